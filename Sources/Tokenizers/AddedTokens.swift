/// Tokens that are found in the text as they are, before anything else is done to it.
struct AddedTokens: Sendable {
    struct Token: Sendable {
        let id: Int32
        let content: [UInt8]
        let isSpecial: Bool
        let isSingleWord: Bool
        let stripsLeft: Bool
        let stripsRight: Bool
        let isNormalized: Bool
    }

    /// By first byte, the longest first.
    private var byFirst: [[Token]] = Array(repeating: [], count: 256)
    let isEmpty: Bool
    /// The bytes of each token as text.
    let byteCounts: [Int32: Int]

    init(_ tokens: [Token]) {
        isEmpty = tokens.isEmpty
        byteCounts = Dictionary(tokens.map { ($0.id, $0.content.count) }) { first, _ in first }
        for token in tokens.sorted(by: { $0.content.count > $1.content.count }) {
            if let first = token.content.first { byFirst[Int(first)].append(token) }
        }
    }

    /// Calls `body` with each piece of text between tokens and each token, in order: leftmost first, longest of those.
    func split(_ text: ArraySlice<UInt8>, _ body: (_ piece: ArraySlice<UInt8>, _ token: Int32?) -> Void) {
        var start = text.startIndex
        var index = start
        while index < text.endIndex {
            guard let token = match(text, index) else {
                index += 1
                continue
            }
            var (begin, end) = (index, index + token.content.count)
            if token.stripsLeft { while begin > start, isSpace(text[begin - 1]) { begin -= 1 } }
            if token.stripsRight { while end < text.endIndex, isSpace(text[end]) { end += 1 } }
            if begin > start { body(text[start..<begin], nil) }
            body(text[begin..<end], token.id)
            start = end
            index = end
        }
        if start < text.endIndex { body(text[start...], nil) }
    }

    private func match(_ text: ArraySlice<UInt8>, _ index: Int) -> Token? {
        for token in byFirst[Int(text[index])] {
            let end = index + token.content.count
            guard end <= text.endIndex, text[index..<end].elementsEqual(token.content) else { continue }
            if token.isSingleWord {
                if index > text.startIndex, isWord(text[index - 1]) { continue }
                if end < text.endIndex, isWord(text[end]) { continue }
            }
            return token
        }
        return nil
    }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// A letter, digit or underscore, or part of a character beyond ASCII.
    private func isWord(_ byte: UInt8) -> Bool {
        byte >= 0x80 || byte == 0x5F || (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
            || (0x61...0x7A).contains(byte)
    }
}
