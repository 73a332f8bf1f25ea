import Checkpoints
package import Tokenizers

/// Makes tokens of a prompt, and text of tokens, as transformers does: with the special tokens of the tokenizer's template.
package struct PromptEncoding: Sendable {
    private let encoder: TextEncoder
    /// Nil where bytes are tokens.
    private let tokenizer: Tokenizer?

    /// - Throws: `.incompatible` where nothing turns text into tokens.
    package init(_ encoder: TextEncoder) throws {
        self.encoder = encoder
        switch encoder.kind {
        case .tokenizer(let own): tokenizer = own
        case .bytes: tokenizer = nil
        case .none:
            throw CheckpointError(
                .incompatible,
                message:
                    "there is no tokenizer.json beside the model: transformers' save_pretrained of a fast tokenizer "
                    + "writes one; `tokenizer` bytes takes bytes for tokens")
        }
    }

    /// - Parameter addsFirst: put the token that begins documents before the text where the tokenizer's template does not.
    /// - Throws: `.incompatible` for a token that the model does not know, and where there is no first token to add.
    package func encode(_ text: String, addsFirst: Bool) throws -> [Int32] {
        var ids = try tokenizer?.encode(text, addsSpecialTokens: true) ?? text.utf8.map { Int32($0) }
        if addsFirst {
            guard let first = encoder.documentStart else {
                throw CheckpointError(
                    .incompatible, message: "the model's configuration has no bos_token_id to begin with")
            }
            if ids.first != first { ids.insert(first, at: 0) }
        }
        try encoder.check(ids[...], place: "the prompt")
        return ids
    }

    /// What makes text of tokens, without special ones; what is not UTF-8 becomes replacement characters.
    package var decoder: StreamingDecoder { StreamingDecoder(tokenizer) }
}
