import Foundation
import Safetensors
import TestSupport
import Testing
import Tokenizers

/// Files and the ids of their own libraries: Tests/Fixtures/tokenizers/others/make.py.
@Suite("SentencePiece models and tekken.json")
struct OtherFilesTests {
    private func cases() throws -> [(name: String, bytes: [UInt8], texts: [JSONObject])] {
        let path = Fixtures.file("tokenizers/others/cases.json")
        return try #require(try JSON(parsing: contents(path), file: path).array).map { entry in
            let object = try #require(entry.object)
            let data = try #require(object["file"]?.string.flatMap { Data(base64Encoded: $0) })
            return (
                try #require(object["name"]?.string), [UInt8](data), (object["texts"]?.array ?? []).compactMap(\.object)
            )
        }
    }

    @Test("Ids are those of sentencepiece and mistral-common")
    func ids() throws {
        let cases = try cases()
        #expect(cases.count > 10)
        for (number, item) in cases.enumerated() {
            let folder = try TemporaryFolder()
            _ = try folder.write(item.name, item.bytes)
            let tokenizer = try Tokenizer(inFolder: folder.path)
            for entry in item.texts {
                let text = try #require(entry["text"]?.string)
                let expected = (entry["ids"]?.array ?? []).compactMap { $0.int.flatMap { Int32(exactly: $0) } }
                #expect(try tokenizer.encode(text) == expected, "\(number) \(item.name): \(text.debugDescription)")
            }
        }
    }

    @Test("A changed file is refused or works")
    func mutations() throws {
        var generator = SeededGenerator(seed: 5)
        let folder = try TemporaryFolder()
        for item in try cases() {
            for _ in 0..<100 {
                let path = try folder.write(item.name, mutated(item.bytes, longest: 3, using: &generator))
                guard let tokenizer = try? Tokenizer(contentsOf: path) else { continue }
                guard let ids = try? tokenizer.encode("the cat 日本 ﬁ 12\n") else { continue }
                #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize })
                _ = tokenizer.decode(ids)
            }
        }
    }

    @Test("What is no SentencePiece model is refused")
    func refusals() throws {
        let folder = try TemporaryFolder()
        for bytes in [[], [0xFF, 1, 2], Array("IQ== 0\nIg== 1\n".utf8)] as [[UInt8]] {
            let path = try folder.write("tokenizer.model", bytes)
            #expect(throws: TokenizerError.self) { try Tokenizer(contentsOf: path) }
        }
    }
}
