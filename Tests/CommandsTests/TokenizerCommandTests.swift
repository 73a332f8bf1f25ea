import Safetensors
import TestSupport
import Testing

/// tokenizer encode and decode, and what inspect says of tokenizers, as a user runs them.
@Suite("Tokenizers on the command line")
struct TokenizerCommandTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ json: String) throws -> String {
        try folder.write("tokenizer.json", Array(json.utf8))
    }

    private let small = #"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#

    @Test("Empty lines keep their place")
    func emptyLines() throws {
        let path = try write(small)
        let text = "\"a\"\n\n{\"text\": \"ba\"}\r\n"
        let encoded = try Tool.run(list: ["tokenizer", "encode", "--lines", path], input: text)
        #expect(encoded.output == "[0]\n[]\n[1, 0]\n", "\(encoded.errors)")
        let decoded = try Tool.run(list: ["tokenizer", "decode", path], input: "[0]\n\n[1]\n")
        #expect(decoded.output == "\"a\"\n\"\"\n\"b\"\n", "\(decoded.errors)")
        let wrong = try Tool.run(list: ["tokenizer", "encode", "--lines", path], input: "\"a\"\n\n7\n")
        #expect(wrong.code == 3 && wrong.errors.contains("line 3"), "\(wrong.errors)")
    }

    @Test("With --json the texts are one document")
    func document() throws {
        let path = try write(small)
        func document(_ arguments: [String], _ input: String) throws -> JSON {
            let result = try Tool.run(list: ["tokenizer"] + arguments + ["--json", path], input: input)
            return try JSON(parsing: Array(result.output.utf8), file: result.errors)
        }
        func expected(_ text: String) throws -> JSON { try JSON(parsing: Array(text.utf8), file: "expected") }
        #expect(
            try document(["encode", "--lines"], "\"ab\"\n\n\"b\"\n")
                == expected(#"{"texts": [{"ids": [0, 1]}, {"ids": []}, {"ids": [1]}]}"#))
        #expect(try document(["encode"], "ab") == expected(#"{"texts": [{"ids": [0, 1]}]}"#))
        #expect(
            try document(["decode"], "[0]\n\n[1, 0]\n")
                == expected(#"{"texts": [{"text": "a"}, {"text": ""}, {"text": "b a"}]}"#))
        #expect(try Tool.run(list: ["tokenizer", "decode", "--json", "--raw", path], input: "[0]\n").code == 2)
    }

    @Test(
        "What is malformed ends with 3, what is not supported or not encodable with 4",
        arguments: [
            ("[]", 3, "JSON object"), (#"{"model": {"type": "BPE", "vocab": {"a": -1}}}"#, 3, "\"a\""),
            (#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}"#, 3, "merge 0"),
            (#"{"model": {"type": "BPE", "vocab": {"a": 0}, "fuse_unk": 3}}"#, 3, "fuse_unk"),
            (#"{"model": {"type": "Unigram", "vocab": []}}"#, 4, "unk_id"),
            (#"{"model": {"type": "Sequitur", "vocab": []}}"#, 4, "Sequitur"),
            (#"{"model": {"type": "BPE", "vocab": {"a": 0}, "unk_token": "<u>"}}"#, 4, "<u>"),
        ] as [(String, Int32, String)])
    func codes(_ json: String, _ code: Int32, _ text: String) throws {
        let result = try Tool.run(list: ["tokenizer", "encode", write(json)], input: "b")
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(text), "\(result.errors)")
    }

    @Test("inspect says what text cannot be read")
    func inspect() throws {
        let model = try folder.copy(Fixtures.file("tasks"), as: "m")
        func warnings(_ json: String) throws -> String {
            try folder.write("m/tokenizer.json", Array(json.utf8))
            return try Tool.run(list: ["inspect", model]).output
        }
        #expect(try !warnings(small).contains("warning"))
        let large = try warnings(#"{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1301}, "merges": []}}"#)
        #expect(large.contains("1302 ids") && large.contains("1300 rows"))
        let pattern = #"{"type": "Split", "pattern": {"Regex": "(x)\\1"}, "behavior": "Isolated"}"#
        let bpe = #"{"type": "BPE", "vocab": {}, "merges": []}"#
        let other = try warnings(#"{"pre_tokenizer": \#(pattern), "model": \#(bpe)}"#)
        #expect(other.contains("back reference") && other.contains(".bin:uint16"))
    }
}
