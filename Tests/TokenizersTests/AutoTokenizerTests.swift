import Safetensors
import TestSupport
import Testing
import Tokenizers

/// Folders of a tokenizer and the ids of transformers' AutoTokenizer: Tests/Fixtures/tokenizers/auto/make.py.
@Suite("What AutoTokenizer makes of a folder")
struct AutoTokenizerTests {
    @Test("Ids and texts are those of transformers")
    func cases() throws {
        let path = Fixtures.file("tokenizers/auto/cases.json")
        let fixture = try #require(try JSON(parsing: contents(path), file: path).object)
        let cases = try #require(fixture["cases"]?.array)
        #expect(cases.count > 40)
        for entry in cases {
            let object = try #require(entry.object)
            let name = try #require(object["name"]?.string)
            let folder = try TemporaryFolder()
            let base = try #require(object["tokenizer"]?.string)
            let json = try #require(fixture["tokenizers"]?.object?[base])
            _ = try folder.write("tokenizer.json", Array(json.serialized().utf8))
            let files = try #require(object["files"]?.object)
            for file in files.keys { _ = try folder.write(file, Array((files[file] ?? .null).serialized().utf8)) }
            let tokenizer = try Tokenizer(inFolder: folder.path)
            for item in object["texts"]?.array ?? [] {
                let text = try #require(item.object?["text"]?.string)
                #expect(try tokenizer.encode(text) == ids(item.object?["ids"]), "\(name): \(text.debugDescription)")
                let special = try tokenizer.encode(text, addsSpecialTokens: true)
                #expect(special == ids(item.object?["special"]), "\(name): \(text.debugDescription), special")
            }
            for item in object["decoded"]?.array ?? [] {
                #expect(tokenizer.decode(ids(item.object?["ids"])) == item.object?["text"]?.string, "\(name)")
            }
            #expect(tokenizer.beginning.map(Int.init) == object["bos"]?.int, "\(name)")
            #expect(tokenizer.end.map(Int.init) == object["eos"]?.int, "\(name)")
        }
    }

    private func ids(_ value: JSON?) -> [Int32] {
        (value?.array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
    }
}
