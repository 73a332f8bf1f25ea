package import Checkpoints

/// How text is read and made tokens of.
public struct TextOptions: Sendable, Hashable {
    /// What makes tokens of text.
    public enum Tokenization: String, Sendable, CaseIterable {
        /// The `tokenizer.json` that goes with the model.
        case auto
        /// A token for each byte, whose id is its value.
        case bytes
    }

    /// The key of a document's text in a line of JSON.
    public var textField = "text"
    /// Leave out, and count, documents and files that are broken instead of throwing.
    public var skipsBad = false
    /// What makes tokens of text.
    public var tokenizer = Tokenization.auto
    /// Tokens that are read of each domain at most, from 2 up; nil for all.
    public var tokenLimit: Int?

    /// The defaults.
    public init() {}

    package var data: DataOptions {
        var options = DataOptions()
        options.textField = textField
        options.skipsBad = skipsBad
        options.tokenLimit = tokenLimit
        return options
    }

    /// What encodes text for a checkpoint, which need not have been written.
    ///
    /// - Throws: `TokenizerError` and `SafetensorsError` for a tokenizer that cannot be used; `CheckpointError` of
    ///   `.incompatible` for one that is not the model's.
    package func encoder(_ checkpoint: Checkpoint) throws -> TextEncoder {
        try TextEncoder(for: checkpoint, bytes: tokenizer == .bytes)
    }
}
