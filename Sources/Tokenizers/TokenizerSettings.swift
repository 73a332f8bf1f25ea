package import Safetensors

/// The files beside tokenizer.json that say how transformers' AutoTokenizer uses it.
///
/// Ids are those of transformers 5.24. In 4.57 `LlamaTokenizerFast` keeps the components of tokenizer.json instead of
/// building its own, and makes its template of `add_bos_token` (true where it is absent) and `add_eos_token`, which 5.x does
/// not read beside a tokenizer.json; `add_prefix_space` of tokenizer_config.json there changes a single ByteLevel component.
package struct TokenizerSettings: Sendable {
    /// tokenizer_config.json.
    package var tokenizer: JSONObject?
    /// special_tokens_map.json, which counts where tokenizer_config.json has no added_tokens_decoder.
    package var specialTokens: JSONObject?
    /// added_tokens.json, likewise.
    package var addedTokens: JSONObject?
    /// config.json.
    package var model: JSONObject?

    package init() {}

    /// - Parameter object: the JSON object in a file of that name; nil where there is none.
    package init(_ object: (String) throws -> JSONObject?) rethrows {
        tokenizer = try object("tokenizer_config.json")
        specialTokens = try object("special_tokens_map.json")
        addedTokens = try object("added_tokens.json")
        model = try object("config.json")
    }

    /// Nothing says anything: the tokenizer is what tokenizer.json is.
    var isEmpty: Bool { tokenizer == nil && specialTokens == nil && addedTokens == nil && model == nil }

    func tokenizerClass(isByteLevel: Bool) -> TokenizerClass {
        TokenizerClass(
            tokenizer?["tokenizer_class"]?.string ?? model?["tokenizer_class"]?.string,
            modelType: model?["model_type"]?.string, isByteLevel: isByteLevel)
    }

    /// tokenizer.json with the components that a class builds.
    func rebuilt(_ file: JSONObject, _ kind: TokenizerClass) -> JSONObject {
        guard kind != .own, var model = file["model"]?.object else { return file }
        var file = file
        for key in ["unk_token", "continuing_subword_prefix", "end_of_word_suffix", "dropout"] { model[key] = .null }
        for key in ["ignore_merges", "fuse_unk", "byte_fallback"] { model[key] = false }
        let prefixSpace = tokenizer?["add_prefix_space"]?.bool
        func byteLevel(usesPattern: Bool) -> JSON {
            .object([
                "type": "ByteLevel", "add_prefix_space": .bool(prefixSpace ?? false), "trim_offsets": true,
                "use_regex": .bool(usesPattern),
            ])
        }
        file["normalizer"] = .null
        file["decoder"] = .object(["type": "ByteLevel"])
        switch kind {
        case .own: break
        case .gpt2: file["pre_tokenizer"] = byteLevel(usesPattern: true)
        case .gptNeoX:
            file["normalizer"] = .object(["type": "NFC"])
            file["pre_tokenizer"] = byteLevel(usesPattern: true)
            // It makes its own template, of add_bos_token and add_eos_token, which are not read.
            file["post_processor"] = .null
        case .qwen2:
            file["normalizer"] = .object(["type": "NFC"])
            let split: JSON = .object([
                "type": "Split", "pattern": .object(["Regex": .string(WordPattern.llama3(digits: 1).text)]),
                "behavior": "Isolated", "invert": false,
            ])
            file["pre_tokenizer"] = .object([
                "type": "Sequence", "pretokenizers": .array([split, byteLevel(usesPattern: false)]),
            ])
        case .llama:
            model["fuse_unk"] = true
            model["byte_fallback"] = true
            let legacy = tokenizer?["legacy"]?.bool ?? false
            let scheme = prefixSpace == false ? "never" : legacy ? "always" : "first"
            file["pre_tokenizer"] = .object([
                "type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": .string(scheme), "split": false,
            ])
            var steps: [JSON] = [
                .object(["type": "Replace", "pattern": .object(["String": "\u{2581}"]), "content": " "]),
                .object(["type": "ByteFallback"]), .object(["type": "Fuse"]),
            ]
            if prefixSpace != false {
                steps.append(.object(["type": "Strip", "content": " ", "start": 1, "stop": 0]))
            }
            file["decoder"] = .object(["type": "Sequence", "decoders": .array(steps)])
        }
        file["model"] = .object(model)
        file["added_tokens"] = .array([])
        return file
    }
}
