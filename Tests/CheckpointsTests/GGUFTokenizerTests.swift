import Checkpoints
import Safetensors
import Testing

/// What a GGUF file says of a tokenizer; llama.cpp's names and numbers are those of its `llama-vocab.cpp`.
struct GGUFTokenizerTests {
    /// - Parameter rest: members of the tokenizer beside its model.
    private func metadata(
        model: String = "", _ rest: String, rows: Int = 6, pre: String? = nil
    ) throws -> GGUFMetadata {
        let text = """
            {"model": {"type": "BPE", \(model) "vocab": {"a": 0, "b": 1, "ab": 2, "<s>": 3}, "merges": [["a", "b"]]},
             "added_tokens": [{"id": 3, "content": "<s>", "special": true}, {"id": 4, "content": "<u>", "special": false}],
             \(rest)}
            """
        let companion = Companion(name: "tokenizer.json", content: .bytes(Array(text.utf8)))
        let config = ModelConfig(object: JSONObject(), file: "config.json")
        return try GGUFTokenizer([companion], config, rows: rows, pre: pre).metadata
    }

    private let byteLevel = #""pre_tokenizer": {"type": "ByteLevel", "use_regex": true}"#

    @Test("Tokens are filled up to the embedding's rows: normal 1, control 3, user-defined 4, unused 5")
    func vocabulary() throws {
        let found = try metadata(byteLevel)
        #expect(found["tokenizer.ggml.model"] == .string("gpt2"))
        #expect(found["tokenizer.ggml.pre"] == .string("gpt-2"))
        #expect(found["tokenizer.ggml.tokens"] == .strings(["a", "b", "ab", "<s>", "<u>", "[PAD5]"]))
        #expect(found["tokenizer.ggml.token_type"] == .int32s([1, 1, 1, 3, 4, 5]))
        #expect(found["tokenizer.ggml.merges"] == .strings(["a b"]))
        #expect(throws: CheckpointError.self) { try metadata(byteLevel, rows: 4) }
    }

    @Test("What the template puts before a text begins it, where no settings say otherwise")
    func beginning() throws {
        let template = #"""
            , "post_processor": {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}
            """#
        let found = try metadata(byteLevel + template)
        #expect(found["tokenizer.ggml.bos_token_id"] == .uint32(3))
        #expect(found["tokenizer.ggml.add_bos_token"] == .bool(true))
        #expect(found["tokenizer.ggml.add_eos_token"] == .bool(false))
    }

    @Test("A pre-tokenizer is named by what it does, refused where none does it, and taken as it is given")
    func preTokenizers() throws {
        let pattern =
            #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"#
            + #"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
        func split(_ pattern: String) -> String {
            #""pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": ""#
                + pattern
                + #""}}, {"type": "ByteLevel", "use_regex": false}]}"#
        }
        let key = "tokenizer.ggml.pre"
        #expect(try metadata(model: #""ignore_merges": true,"#, split(pattern))[key] == .string("llama-bpe"))
        #expect(try metadata(split(pattern.replacing("{1,3}", with: "")))[key] == .string("qwen2"))
        let error = #expect(throws: CheckpointError.self) { try metadata(split("[ab]+")) }
        #expect(error?.message.contains("[ab]+") == true)
        #expect(try metadata(split("[ab]+"), pre: "mine")[key] == .string("mine"))
    }

    @Test("Of SentencePiece's kind, the earlier merge has the higher score")
    func scores() throws {
        let found = try metadata(model: #""byte_fallback": true,"#, #""normalizer": {"type": "Prepend"}"#)
        #expect(found["tokenizer.ggml.model"] == .string("llama"))
        #expect(found["tokenizer.ggml.merges"] == nil)
        #expect(found["tokenizer.ggml.add_space_prefix"] == .bool(true))
        guard case .float32s(let scores) = found["tokenizer.ggml.scores"] else {
            Issue.record("there are no scores")
            return
        }
        #expect(scores.count == 6)
        #expect(scores[2] > scores[0] && scores[2] > scores[1])
    }
}
