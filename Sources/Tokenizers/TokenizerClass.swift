/// What transformers' AutoTokenizer makes of a tokenizer.json: its own components, or those of a class that builds them anew.
///
/// The rules and tables are those of transformers 5.24 (`models/auto/tokenization_auto.py` and the classes' constructors).
enum TokenizerClass: String {
    /// The components of tokenizer.json: `TokenizersBackend`.
    case own
    case llama = "LlamaTokenizer"
    case gpt2 = "GPT2Tokenizer"
    case gptNeoX = "GPTNeoXTokenizer"
    case qwen2 = "Qwen2Tokenizer"

    /// The class that is registered for a model type; `own` for `TokenizersBackend` and Mistral's.
    private static let registered: [String: String] = {
        var result: [String: String] = [:]
        for type in [
            "ernie4_5", "ernie4_5_moe", "flex_olmo", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "gpt_bigcode",
            "granite",
            "granitemoe", "granitemoehybrid", "granitemoeshared", "internlm2", "internlm3", "jamba", "kimi_linear",
            "mimo_v2_flash", "minicpm3", "minimax_m2", "ministral", "ministral3", "mistral", "mistral3", "mixtral",
            "nemotron", "olmo2", "olmo3", "phi3", "phimoe", "stablelm",
        ] { result[type] = TokenizerClass.own.rawValue }
        for type in ["qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "qwen3_next"] { result[type] = qwen2.rawValue }
        for type in ["gpt2", "gpt_neo", "gptj", "opt", "phi", "starcoder2"] { result[type] = gpt2.rawValue }
        for type in ["gpt_neox", "mpt", "olmo", "olmoe", "rwkv"] { result[type] = gptNeoX.rawValue }
        for type in ["gemma", "gemma2", "gemma3", "gemma3_text", "recurrent_gemma"] { result[type] = "GemmaTokenizer" }
        for type in ["cohere", "cohere2"] { result[type] = "CohereTokenizer" }
        for type in ["qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"] { result[type] = "Qwen3_5Tokenizer" }
        return result
    }()

    /// Model types whose tokenizer_config.json is known to name a wrong class, where another one is registered.
    private static let corrected: Set<String> = [
        "qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text",
    ]

    /// - Parameters:
    ///   - name: `tokenizer_class` of tokenizer_config.json, or else of config.json.
    ///   - modelType: `model_type` of config.json.
    ///   - isByteLevel: whether tokenizer.json has a ByteLevel component.
    init(_ name: String?, modelType: String?, isByteLevel: Bool) {
        let name = name.map { $0.hasSuffix("Fast") ? String($0.dropLast(4)) : $0 }
        let registered = modelType.flatMap { Self.registered[$0] }
        guard let name else {
            self = registered.flatMap { Self(rawValue: $0) } ?? .own
            return
        }
        // Files in Llama 3's style that say Llama.
        if name == Self.llama.rawValue, isByteLevel {
            self = .own
        } else if let registered, registered != name {
            let isOwn = registered == Self.own.rawValue
            let isCorrected = modelType.map { Self.corrected.contains($0) } ?? false
            self = isOwn ? .own : Self(rawValue: isCorrected ? registered : name) ?? .own
        } else {
            self = Self(rawValue: name) ?? .own
        }
    }

    /// The special tokens that it has where nothing names others.
    var defaultTokens: [(key: String, content: String)] {
        switch self {
        case .own: []
        case .llama: [("unk_token", "<unk>"), ("bos_token", "<s>"), ("eos_token", "</s>")]
        case .gpt2:
            [("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>")]
        case .gptNeoX:
            [
                ("unk_token", "<|endoftext|>"), ("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"),
                ("pad_token", "<|padding|>"),
            ]
        case .qwen2:
            [("unk_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>"), ("pad_token", "<|endoftext|>")]
        }
    }
}
