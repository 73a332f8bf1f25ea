import Checkpoints
public import Safetensors
public import Tokenizers

/// Which tokenizer is made of which text.
public struct TokenizerTrainingOptions: Sendable {
    /// Text: files, or folders of files, as `EvaluationOptions.data` has them.
    public var data: [String]
    /// Tokens, special ones and the 256 bytes included; 2^24 at most.
    public var vocabularySize = 4096
    /// How often a pair must occur to become a token, from 1 up.
    public var minimumFrequency = 2
    /// How text is cut into words.
    public var words = BytePairTrainer.Words.gpt2
    /// Special tokens, the end of text first.
    public var specialTokens = ["<|endoftext|>"]
    /// How text is read; what tokens are made with does not matter.
    public var text = TextOptions()
    /// Replace a tokenizer that exists at the output.
    public var overwrite = false

    /// - Parameter data: the text.
    public init(data: [String]) { self.data = data }

    /// What is wrong with sizes or special tokens; nil where nothing is.
    package var problem: String? { BytePairVocabulary.problem(size: vocabularySize, specialTokens: specialTokens) }
}

/// The tokenizer that was made.
public struct TokenizerTrainingResult: JSONResult {
    /// The folder with tokenizer.json and tokenizer_config.json.
    public let output: String
    /// Tokens of the vocabulary.
    public let tokens: Int
    /// The special tokens.
    public let specialTokens: [String]
    /// Merges of two tokens to one.
    public let merges: Int
    /// Bytes of the text that it was made of.
    public let textBytes: Int
    /// Tokens of that text.
    public let textTokens: Int
    /// Documents and files that were left out.
    public let skipped: Int
    /// What could not be cleaned up.
    public let warnings: [String]

    /// Bytes of the text for each of its tokens.
    public var bytesPerToken: Double { Double(textBytes) / Double(max(textTokens, 1)) }

    /// Sizes, and what the text was.
    public var json: JSONObject {
        [
            "output": .string(output), "tokens": JSON(tokens), "special_tokens": .strings(specialTokens),
            "merges": JSON(merges), "text_bytes": JSON(textBytes), "text_tokens": JSON(textTokens),
            "bytes_per_token": JSON(bytesPerToken), "skipped": JSON(skipped),
        ]
    }
}

/// Makes a byte-level BPE tokenizer of text, which the Hugging Face library reads and encodes with identically.
public struct TokenizerTrainingSession: Sendable {
    private let options: TokenizerTrainingOptions

    /// - Parameter options: text, sizes and special tokens.
    public init(_ options: TokenizerTrainingOptions) { self.options = options }

    /// Makes the tokenizer and writes its folder, which appears whole or not at all.
    ///
    /// - Throws: `CheckpointError`: `.usage` for options that make none and for an output that is not to be replaced,
    ///   `.cancelled`; `SafetensorsError` for text that cannot be read.
    public func run(output: String) async throws -> TokenizerTrainingResult {
        try await runningOnThread { try train(output) }
    }

    private func train(_ output: String) throws -> TokenizerTrainingResult {
        if let problem = options.problem { throw CheckpointError(.usage, message: problem) }
        let work = try OutputFolder(output, .tokenizer, overwrite: options.overwrite)
        var trainer = BytePairTrainer(options.words)
        var skipped = 0
        for source in try DataSource.parse(options.data) {
            let reader = try DocumentReader(source, options: options.text.data)
            while let document = try reader.next() {
                try Interruption.check()
                trainer.add(document.text)
            }
            skipped += reader.skippedCount
        }
        guard trainer.byteCount > 0 else { throw CheckpointError(.usage, message: "there is no text in `data`") }
        let vocabulary = try trainer.vocabulary(
            size: options.vocabularySize, minimumFrequency: options.minimumFrequency,
            specialTokens: options.specialTokens)
        let end = options.specialTokens.first.map { JSON.string($0) } ?? .null
        let settings: JSONObject = [
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": end, "eos_token": end,
            "model_max_length": .number("1000000000000000019884624838656"), "clean_up_tokenization_spaces": false,
        ]
        func text(_ json: JSON) -> [UInt8] { Array((json.serialized() + "\n").utf8) }
        let warnings = try work.write([
            ("tokenizer.json", text(vocabulary.json)), ("tokenizer_config.json", text(.object(settings))),
        ])
        return TokenizerTrainingResult(
            output: output, tokens: vocabulary.tokens.count, specialTokens: options.specialTokens,
            merges: vocabulary.merges.count, textBytes: trainer.byteCount, textTokens: vocabulary.tokenCount,
            skipped: skipped, warnings: warnings)
    }
}
