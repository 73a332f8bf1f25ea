import Checkpoints
package import Models

/// Text for two models that are to say the same of it.
package struct PairedText {
    private let first: (name: String, encoder: TextEncoder)
    private let second: (name: String, encoder: TextEncoder)
    private let length: Int
    private let options: DataOptions
    private let tokensAtOnce: Int

    package init(
        _ a: Decoder, _ first: TextEncoder, _ b: Decoder, _ second: TextEncoder, length: Int, options: DataOptions,
        tokensAtOnce: Int
    ) {
        self.first = (a.checkpoint.name, first)
        self.second = (b.checkpoint.name, second)
        self.length = length
        self.options = options
        self.tokensAtOnce = tokensAtOnce
    }

    /// Calls `body` with windows of a domain's tokens, some at a time.
    ///
    /// - Throws: `.incompatible` where the models' tokenizers do not make the same tokens of it; as `WindowReader`, and
    ///   what `body` throws.
    package func forEachBatch(_ source: DataSource, _ body: (TokenBatch) throws -> Void) throws {
        let reader = try WindowReader(source, length: length, options: options, encoder: first.encoder)
        var other: WindowReader?
        // A model without a tokenizer of its own is one that the tokens are made for elsewhere.
        if case .tokenizer = second.encoder.kind, case .tokenizer = first.encoder.kind {
            other = try WindowReader(source, length: length, options: options, encoder: second.encoder)
        }
        let windowsPerBatch = max(tokensAtOnce / length, 1)
        while let windows = try reader.next(atMost: windowsPerBatch) {
            if let other, try other.next(atMost: windowsPerBatch)?.ids != windows.ids {
                throw CheckpointError(
                    .incompatible, file: source.path,
                    message: "the tokenizers of \(first.name) and \(second.name) make different tokens of this text: "
                        + "their logits cannot be compared")
            }
            try body(TokenBatch(ids: windows.ids, length: length))
        }
    }
}
