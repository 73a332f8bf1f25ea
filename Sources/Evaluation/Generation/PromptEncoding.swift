package import Checkpoints
import Safetensors
import Tokenizers

/// Makes tokens of a prompt, and text of tokens, as transformers does: with the special tokens of the tokenizer's template.
package struct PromptEncoding: Sendable {
    /// Nil where bytes are tokens.
    private let tokenizer: Tokenizer?
    private let vocabulary: Int
    /// The token that begins a text, by the model's configuration.
    private let first: Int32?
    private let file: String

    /// - Parameter bytes: the tokens are the values of bytes.
    /// - Throws: `.incompatible` where there is no tokenizer, or the vocabulary is smaller than 256 for bytes.
    package init(_ checkpoint: Checkpoint, bytes: Bool) throws {
        let config = checkpoint.description.config
        file = config.file
        vocabulary = try checkpoint.description.size("vocab")
        let begin = config.object["bos_token_id"]
        first = (begin?.array?.first ?? begin)?.int.flatMap { Int32(exactly: $0) }
        guard !bytes else {
            guard vocabulary >= 256 else {
                throw CheckpointError(
                    .incompatible, file: file,
                    message: "--tokenizer bytes needs a vocabulary of 256, and the model's is \(vocabulary)")
            }
            tokenizer = nil
            return
        }
        let folder = config.file.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        let path = (folder + ["tokenizer.json"]).joined(separator: "/")
        guard fileExists(path) else {
            throw CheckpointError(
                .incompatible, file: folder.joined(separator: "/"),
                message: "there is no tokenizer.json: transformers' save_pretrained of a fast tokenizer writes one; "
                    + "--tokenizer bytes takes bytes for tokens")
        }
        tokenizer = try Tokenizer(contentsOf: path)
    }

    /// - Parameter addsFirst: put the model's first token before the text where the tokenizer's template does not.
    /// - Throws: `.incompatible` for a token that the model does not know, and where there is no first token to add.
    package func encode(_ text: String, addsFirst: Bool) throws -> [Int32] {
        var ids = tokenizer?.encode(text, addsSpecialTokens: true) ?? text.utf8.map { Int32($0) }
        if addsFirst {
            guard let first, first >= 0 else {
                throw CheckpointError(.incompatible, file: file, message: "there is no bos_token_id to begin with")
            }
            if ids.first != first { ids.insert(first, at: 0) }
        }
        if let id = ids.first(where: { Int($0) >= vocabulary }) {
            throw CheckpointError(
                .incompatible, file: file,
                message: "the tokenizer gives the token \(id), and the model's vocabulary has \(vocabulary)")
        }
        return ids
    }

    /// The text of tokens, without special ones; what is not UTF-8 becomes replacement characters.
    package func decode(_ ids: [Int32]) -> String {
        tokenizer?.decode(ids) ?? String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
    }
}
