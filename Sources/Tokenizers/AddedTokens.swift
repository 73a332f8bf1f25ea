/// Tokens that are found in the text as they are, before anything else is done to it.
struct AddedTokens: Sendable {
    struct Token: Sendable, Hashable {
        var content: [UInt8]
        var isSpecial = false
        var isSingleWord = false
        var stripsLeft = false
        var stripsRight = false
        var isNormalized = true
    }

    /// What is looked for: some bytes, and the token that they are.
    struct Pattern: Sendable {
        let content: [UInt8]
        let id: Int32
        let token: Token
    }

    /// Patterns that begin with the same byte.
    private struct Bucket: Sendable {
        /// From the longest down.
        var lengths: [Int] = []
        var patterns: [ArraySlice<UInt8>: Pattern] = [:]
    }

    private var buckets = [Bucket](repeating: Bucket(), count: 256)
    /// Whether a pattern begins with a byte: most bytes of a text begin none.
    private var isFirst = [Bool](repeating: false, count: 256)
    private(set) var isEmpty = true
    /// The bytes of each token as text.
    private(set) var byteCounts: [Int32: Int] = [:]

    /// - Parameter patterns: of those of the same bytes the first is found.
    init(_ patterns: [Pattern]) {
        for pattern in patterns {
            guard let first = pattern.content.first else { continue }
            isEmpty = false
            isFirst[Int(first)] = true
            if byteCounts[pattern.id] == nil { byteCounts[pattern.id] = pattern.content.count }
            let key = pattern.content[...]
            if buckets[Int(first)].patterns[key] == nil {
                buckets[Int(first)].patterns[key] = pattern
                if !buckets[Int(first)].lengths.contains(key.count) { buckets[Int(first)].lengths.append(key.count) }
            }
        }
        for byte in buckets.indices { buckets[byte].lengths.sort(by: >) }
    }

    /// Calls `body` with each piece of text between tokens and each token, in order: leftmost first, longest of those.
    ///
    /// As in the library, a token that is found but is no word of its own hides shorter ones in its place, and white space
    /// that a token takes along can still be a token itself.
    func split(
        _ text: ArraySlice<UInt8>, _ body: (_ piece: ArraySlice<UInt8>, _ token: Int32?) throws -> Void
    ) rethrows {
        var start = text.startIndex
        var index = start
        // Where white space that was looked over ends: a token that is white space itself asks again and again.
        var space = text.startIndex..<text.startIndex
        while index < text.endIndex {
            guard isFirst[Int(text[index])], let pattern = match(text, index) else {
                index += 1
                continue
            }
            let (first, end) = (index, index + pattern.content.count)
            index = end
            let token = pattern.token
            if token.isSingleWord, isWord(text, before: first) || isWord(text, at: end) { continue }
            var (begin, stop) = (first, end)
            if token.stripsLeft {
                while begin > start, let previous = Self.isSpace(text, before: begin), previous >= start {
                    begin = previous
                }
                begin = max(begin, start)
            }
            if token.stripsRight {
                if !space.contains(end) {
                    var last = end
                    while let next = Self.isSpace(text, at: last) { last = next }
                    space = end..<last
                }
                if space.contains(end) { stop = space.upperBound }
            }
            if begin > start { try body(text[start..<begin], nil) }
            // What the token before took along as white space can be a token itself, but none that takes white space
            // before it.
            if begin < stop { try body(text[min(max(begin, start), stop)..<stop], pattern.id) }
            start = stop
        }
        if start < text.endIndex { try body(text[start...], nil) }
    }

    private func match(_ text: ArraySlice<UInt8>, _ index: Int) -> Pattern? {
        let bucket = buckets[Int(text[index])]
        for length in bucket.lengths where length <= text.endIndex - index {
            if let pattern = bucket.patterns[text[index..<index + length]] { return pattern }
        }
        return nil
    }

    /// Where the white space that begins at `index` ends; nil where none does.
    private static func isSpace(_ text: ArraySlice<UInt8>, at index: Int) -> Int? {
        guard let (scalar, length) = character(text, at: index), spaces.contains(scalar.value) else { return nil }
        return index + length
    }

    /// Where the white space that ends before `index` begins; nil where none does.
    private static func isSpace(_ text: ArraySlice<UInt8>, before index: Int) -> Int? {
        guard let (scalar, start) = character(text, before: index), spaces.contains(scalar.value) else { return nil }
        return start
    }

    private func isWord(_ text: ArraySlice<UInt8>, at index: Int) -> Bool {
        Self.character(text, at: index).map { Self.isWord($0.0) } ?? false
    }

    private func isWord(_ text: ArraySlice<UInt8>, before index: Int) -> Bool {
        Self.character(text, before: index).map { Self.isWord($0.0) } ?? false
    }

    private static let words = ScalarLookup(UnicodeData.standardWord)
    private static let spaces = ScalarLookup(UnicodeData.whiteSpace)

    private static func isWord(_ scalar: Unicode.Scalar) -> Bool { words.contains(scalar.value) }

    private static func character(_ text: ArraySlice<UInt8>, at index: Int) -> (Unicode.Scalar, Int)? {
        guard index >= text.startIndex, index < text.endIndex else { return nil }
        return text[index..<min(index + 4, text.endIndex)].withUnsafeBufferPointer { bytes in
            let (value, length) = scalar(bytes, at: 0)
            return Unicode.Scalar(value).map { ($0, length) }
        }
    }

    /// The character before `index`, and where it begins.
    private static func character(_ text: ArraySlice<UInt8>, before index: Int) -> (Unicode.Scalar, Int)? {
        var start = index - 1
        while start > text.startIndex, start > index - 4, text[start] & 0xC0 == 0x80 { start -= 1 }
        return character(text, at: start).map { ($0.0, start) }
    }
}
