package import Tokenizers

/// The text that continues a prompt, from tokens as they come.
///
/// Put together it is the text of prompt and continuation, decoded at once, without as many characters as the prompt has by
/// itself. What a later token can still change is held back: the bytes of an incomplete character, and, where `<0xNN>` are
/// tokens, a run of them until it ends, since one that is broken makes all of it replacement characters.
package struct TextStream {
    private var decoder: StreamingDecoder
    /// The prompt's characters that are not settled yet, and are not the continuation's.
    private var owed: Int

    /// - Parameter context: the tokens before, whose text is not given.
    package init(after context: [Int32] = [], _ decoder: StreamingDecoder) {
        self.decoder = decoder
        for id in context { _ = self.decoder.add(id) }
        var prompt = self.decoder
        owed = prompt.finish().unicodeScalars.count
    }

    /// The text that a token settles; empty where it settles none.
    package mutating func add(_ id: Int32) -> String { continuation(decoder.add(id)) }

    /// What is left, with replacement characters for characters that are incomplete.
    package mutating func finish() -> String { continuation(decoder.finish()) }

    private mutating func continuation(_ text: String) -> String {
        guard owed > 0, !text.isEmpty else { return text }
        let rest = text.unicodeScalars.dropFirst(owed)
        owed -= text.unicodeScalars.count - rest.count
        return String(rest)
    }
}
