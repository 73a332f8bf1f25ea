import Safetensors
import TestSupport
import Testing
import Tokenizers

/// Tokenizers, texts and what the Hugging Face library makes of them: Tests/Fixtures/tokenizers/library/make.py and kinds/make.py.
@Suite("What the Hugging Face library makes of it")
struct LibraryCasesTests {
    private struct Case {
        let name: String
        let tokenizer: Tokenizer
        let encoded: [JSONObject]
        let decoded: [JSONObject]
    }

    /// `library`: what a file may have and a text meets; `kinds`: each model and component.
    static let files = ["library", "kinds"]

    private func cases(_ file: String) throws -> [Case] {
        let path = Fixtures.file("tokenizers/\(file)/cases.json")
        let fixture = try JSON(parsing: contents(path), file: path)
        // Models that several have are written once.
        let models = fixture.object?["models"]?.array ?? []
        return try #require(fixture.array ?? fixture.object?["cases"]?.array).map { entry in
            let object = try #require(entry.object)
            let name = try #require(object["name"]?.string)
            var json = try #require(object["tokenizer"])
            if var file = json.object, let index = file["model"]?.int, models.indices.contains(index) {
                file["model"] = models[index]
                json = .object(file)
            }
            return Case(
                name: name, tokenizer: try Tokenizer(parsing: Array(json.serialized().utf8), file: name),
                encoded: (object["encoded"]?.array ?? []).compactMap(\.object),
                decoded: (object["decoded"]?.array ?? []).compactMap(\.object))
        }
    }

    private func ids(_ value: JSON?) -> [Int32]? {
        value?.array.map { $0.compactMap { $0.int.flatMap { Int32(exactly: $0) } } }
    }

    @Test("Ids are the library's, and where it fails so does this", arguments: files)
    func encoded(_ file: String) throws {
        let cases = try cases(file)
        #expect(cases.count > 20)
        for item in cases {
            for entry in item.encoded {
                let text = try #require(entry["text"]?.string)
                guard let expected = ids(entry["ids"]) else {
                    let error = #expect(throws: TokenizerError.self, "\(item.name): \(text)") {
                        try item.tokenizer.encode(text)
                    }
                    #expect(error?.code == .unencodable)
                    continue
                }
                #expect(try item.tokenizer.encode(text) == expected, "\(item.name): \(text.debugDescription)")
            }
        }
    }

    @Test("Texts are the library's, at once and token by token", arguments: files)
    func decoded(_ file: String) throws {
        for item in try cases(file) {
            for entry in item.decoded {
                let list = try #require(ids(entry["ids"]))
                for (skips, key) in [(true, "text"), (false, "all")] {
                    let expected = try #require(entry[key]?.string)
                    let text = item.tokenizer.decode(list, skipsSpecialTokens: skips)
                    #expect(Array(text.utf8) == Array(expected.utf8), "\(item.name): \(list)")
                    var stream = StreamingDecoder(item.tokenizer, skipsSpecialTokens: skips)
                    let streamed = list.map { stream.add($0) }.joined() + stream.finish()
                    #expect(Array(streamed.utf8) == Array(expected.utf8), "\(item.name): \(list), streamed")
                }
            }
        }
    }

    @Test("A vocabulary with two tokens of one id says the same each time")
    func duplicates() throws {
        let json = #"{"model": {"type": "BPE", "vocab": {"c": 0, "a": 1, "b": 1, "d": 1}, "merges": []}}"#
        for _ in 0..<20 {
            let tokenizer = try Tokenizer(parsing: Array(json.utf8), file: "tokenizer.json")
            #expect(tokenizer.decode([0, 1]) == "c a")
            #expect(try tokenizer.encode("abd") == [1, 1, 1])
        }
    }
}
