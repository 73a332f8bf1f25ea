/// Text from tokens as they come: at every moment as much of it as no token that follows can change.
///
/// What it gives, put together, is the text of all the tokens: decoding at once is the same steps.
public struct StreamingDecoder: Sendable {
    /// Nil where each byte of the text is a token.
    private let tokenizer: Tokenizer?
    private let skipsSpecialTokens: Bool
    private var stages: [DecodingStage] = []

    /// - Parameters:
    ///   - tokenizer: nil where the tokens are the bytes of the text.
    ///   - skipsSpecialTokens: leave out special tokens, as `tokenizers` does by default.
    public init(_ tokenizer: Tokenizer?, skipsSpecialTokens: Bool = true) {
        self.tokenizer = tokenizer
        self.skipsSpecialTokens = skipsSpecialTokens
        var isJoined = false
        for decoding in tokenizer?.decodings ?? [.utf8] {
            stages.append(DecodingStage(decoding, isJoined: isJoined))
            if decoding.joins { isJoined = true }
        }
        // Without a decoder the library puts spaces between tokens.
        if stages.isEmpty { stages = [DecodingStage(.separate, isJoined: false)] }
    }

    /// The text that a token settles; empty where it settles none. An id that stands for no token has no text.
    public mutating func add(_ id: Int32) -> String {
        guard let token = bytes(id) else { return "" }
        return run([token], from: 0)
    }

    /// The rest of the text.
    public mutating func finish() -> String {
        var text = ""
        for index in stages.indices {
            var out: [[UInt8]] = []
            stages[index].finish(&out)
            text += run(out, from: index + 1)
        }
        return text
    }

    private func bytes(_ id: Int32) -> [UInt8]? {
        guard let tokenizer else { return UInt8(exactly: id).map { [$0] } }
        guard id >= 0, Int(id) < tokenizer.tokens.count, let token = tokenizer.tokens[Int(id)] else { return nil }
        return skipsSpecialTokens && tokenizer.added.specialContents.contains(token) ? nil : token
    }

    private mutating func run(_ tokens: [[UInt8]], from first: Int) -> String {
        var tokens = tokens
        for index in stages.indices.dropFirst(first) where !tokens.isEmpty {
            var out: [[UInt8]] = []
            for token in tokens { stages[index].add(token, &out) }
            tokens = out
        }
        return tokens.reduce(into: "") { $0 += String(decoding: $1, as: UTF8.self) }
    }
}
