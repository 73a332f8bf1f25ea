import Foundation
import Safetensors
import TestSupport
import Testing
import Tokenizers

/// The cases are made by Hugging Face's tokenizers library.
@Suite("Tokenizers")
struct TokenizerTests {
    static let names = ["gpt2-style", "llama2-style", "llama3-style", "mistral-style", "qwen2-style"]

    @Test("Ids and text are those of the reference", arguments: names)
    func cases(_ name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: Fixtures.file("tokenizers/\(name)/tokenizer.json"))
        let data = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.file("tokenizers/\(name)/cases.json"))))
        let cases = try #require(try JSON(parsing: data, file: "cases.json").array)
        #expect(cases.count == 68)
        for entry in cases {
            let text = try #require(entry.object?["text"]?.string)
            let numbers = { (key: String) in (entry.object?[key]?.array ?? []).compactMap { $0.int.map { Int32($0) } } }
            let ids = try tokenizer.encode(text)
            #expect(ids == numbers("ids"), "\(name): \(text.debugDescription.prefix(80))")
            #expect(try tokenizer.encode(text, addsSpecialTokens: true) == numbers("ids_special"))
            let decoded = try #require(entry.object?["decoded"]?.string)
            #expect(
                Array(tokenizer.decode(numbers("ids"), skipsSpecialTokens: false).utf8) == Array(decoded.utf8),
                "\(name): \(text.debugDescription.prefix(80))")
        }
    }

    @Test("Text of any kind comes back", arguments: ["gpt2-style", "llama3-style"])
    func roundTrip(_ name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: Fixtures.file("tokenizers/\(name)/tokenizer.json"))
        var generator = SeededGenerator(seed: 4)
        for _ in 0..<200 {
            var text = String.UnicodeScalarView()
            for _ in 0..<Int.random(in: 0...60, using: &generator) {
                let limit: UInt32 = Bool.random(using: &generator) ? 0x80 : 0x11000
                if let scalar = Unicode.Scalar(UInt32.random(in: 0..<limit, using: &generator)) { text.append(scalar) }
            }
            let string = String(text)
            #expect(try Array(tokenizer.decode(tokenizer.encode(string)).utf8) == Array(string.utf8))
        }
    }

    @Test("What is not supported is refused by name")
    func refusals() throws {
        let folder = try TemporaryFolder()
        func message(_ json: String) throws -> String {
            let path = try folder.write("tokenizer.json", Array(json.utf8))
            return try #require(throws: TokenizerError.self) { try Tokenizer(contentsOf: path) }.message
        }
        func bpe(_ part: String) -> String { #"{"model": {"type": "BPE", "vocab": {}, "merges": []}, \#(part)}"# }
        #expect(try message(#"{"model": {"type": "Sequitur", "vocab": []}}"#).contains("Sequitur"))
        #expect(try message(#"{"model": {"type": "WordPiece", "vocab": {}}}"#).contains("unk_token"))
        #expect(try message(#"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}}"#).contains("unk_id"))
        #expect(try message(#"{"model": {"type": "BPE", "vocab": {}, "dropout": 0.1}}"#).contains("dropout"))
        #expect(try message(bpe(#""normalizer": {"type": "Uppercase"}"#)).contains("Uppercase"))
        #expect(
            try message(bpe(#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}"#)).contains(
                "charsmap"))
        for pattern in [
            #"(a)\\1"#, #"\\Ka"#, #"\\p{Elvish}"#, "(?<=a+)b", "(?~a)", "(?(1)a)", "a{2000}",
        ] {
            let split =
                #"{"type": "Split", "pattern": {"Regex": "\#(pattern)"}, "behavior": "Isolated", "invert": false}"#
            #expect(try message(bpe(#""pre_tokenizer": \#(split)"#)).contains("is not supported"), "\(pattern)")
        }
        #expect(
            try message(#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#).contains("merge 0"))
        #expect(try message(#"{"model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}"#).contains("\"a\""))
    }
}
