/// Text from tokens as they come, in whole characters.
///
/// A character's bytes may be spread over tokens, and what a token says may depend on the one before it (a space that is
/// left out at the beginning, bytes that only together are UTF-8). So the last tokens are decoded anew with each that
/// comes, and what is new is given, but for a character at the end that is incomplete.
package struct TextStream {
    private let decode: ([Int32]) -> String
    /// The tokens that are decoded with those to come: the last whose text was given whole, and all after them.
    private var ids: [Int32]
    /// How many of `ids` were given whole.
    private var settled: Int
    /// The bytes of text of `ids` that were given.
    private var given: Int

    /// Tokens before that may change what follows them.
    private static let contextLength = 8
    /// After so many tokens without a complete character, what there is is not text.
    private static let longestRun = 64
    /// A character has 4 bytes, so 3 of them may be waiting for the last; each may look like a broken one.
    private static let longestRest = 3
    /// Bytes of U+FFFD.
    private static let replacementLength = 3

    /// - Parameters:
    ///   - context: the tokens before, whose text is not given.
    ///   - decode: the text of tokens.
    package init(after context: [Int32] = [], _ decode: @escaping ([Int32]) -> String) {
        self.decode = decode
        ids = Array(context.suffix(Self.contextLength))
        settled = ids.count
        given = decode(ids).utf8.count
    }

    /// The text that a token completes; empty where it completes none.
    package mutating func add(_ id: Int32) -> String {
        ids.append(id)
        let text = decode(ids)
        let isTooLong = ids.count - settled > Self.longestRun
        let rest = text.unicodeScalars.reversed().prefix(Self.longestRest).prefix { $0 == "\u{FFFD}" }.count
        let complete = text.utf8.count - (isTooLong ? 0 : Self.replacementLength * rest)
        var new = ""
        if complete > given {
            new = String(decoding: text.utf8.dropFirst(given).prefix(complete - given), as: UTF8.self)
            given = complete
        }
        if rest == 0 || isTooLong { settle() }
        return new
    }

    /// What is left, with replacement characters for characters that are incomplete.
    package mutating func finish() -> String {
        let new = String(decoding: decode(ids).utf8.dropFirst(given), as: UTF8.self)
        settle()
        return new
    }

    /// Forgets all tokens but those that are context.
    private mutating func settle() {
        ids = Array(ids.suffix(Self.contextLength))
        settled = ids.count
        given = decode(ids).utf8.count
    }
}
