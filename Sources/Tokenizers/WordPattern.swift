/// The patterns that cut text into words before byte-level BPE, written out by hand: a general engine would be slower, and
/// these are the ones that models have.
enum WordPattern: Sendable, Hashable {
    /// GPT-2's: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    case gpt2
    /// Llama 3's, with at most so many digits together (Qwen 2: one).
    case llama3(digits: Int)

    private static let llama3Text =
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    private static let gpt2Text = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

    /// The pattern as tokenizer.json has it; nil for one that is not known.
    init?(_ text: String) {
        switch text {
        case Self.gpt2Text: self = .gpt2
        case Self.llama3Text: self = .llama3(digits: 3)
        case Self.llama3Text.replacing("{1,3}", with: ""): self = .llama3(digits: 1)
        default: return nil
        }
    }

    /// The pattern as tokenizer.json has it.
    var text: String {
        switch self {
        case .gpt2: Self.gpt2Text
        case .llama3(let digits):
            Self.llama3Text.replacing("{1,3}", with: digits == 1 ? "" : "{1,\(digits)}")
        }
    }

    /// Calls `body` with each word's range.
    func forEachWord(in bytes: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void) rethrows {
        try CharacterClass.table.withUnsafeBufferPointer { table in
            guard let classes = table.baseAddress else { return }
            var matcher = WordMatcher(bytes: bytes, classes: classes)
            var position = 0
            while position < bytes.count {
                let end =
                    switch self {
                    case .gpt2: matcher.gpt2(position)
                    case .llama3(let digits): matcher.llama3(position, digits: digits)
                    }
                try body(position..<end)
                position = end
            }
        }
    }
}

/// Finds where the word that begins at a position ends.
private struct WordMatcher {
    let bytes: UnsafeBufferPointer<UInt8>
    let classes: UnsafePointer<UInt8>

    /// A character, its classes and where the next begins; none at the end.
    @inline(__always)
    private func character(_ position: Int) -> (value: UInt32, kind: UInt8, next: Int)? {
        guard position < bytes.count else { return nil }
        let (value, length) = scalar(bytes, at: position)
        return (value, CharacterClass.of(value, classes), position + max(length, 1))
    }

    /// Where characters of a kind end.
    @inline(__always)
    private func run(_ position: Int, _ kind: UInt8) -> Int {
        var end = position
        while let next = character(end), next.kind & kind != 0 { end = next.next }
        return end
    }

    /// Where characters that are no space, letter or number end.
    @inline(__always)
    private func symbols(_ position: Int) -> Int {
        var end = position
        while let next = character(end), next.kind == 0 { end = next.next }
        return end
    }

    private func contraction(_ position: Int, ignoresCase: Bool) -> Int? {
        guard bytes[position] == UInt8(ascii: "'") else { return nil }
        func letter(_ offset: Int) -> (UInt8, Int)? {
            let index = position + offset
            guard index < bytes.count else { return nil }
            let byte = bytes[index]
            if ignoresCase {
                if byte >= 0x41, byte <= 0x5A { return (byte | 0x20, 1) }
                // The long s folds to s.
                if byte == 0xC5, index + 1 < bytes.count, bytes[index + 1] == 0xBF { return (UInt8(ascii: "s"), 2) }
            }
            return (byte, 1)
        }
        guard let (first, length) = letter(1) else { return nil }
        if "std".utf8.contains(first) || first == UInt8(ascii: "m") { return position + 1 + length }
        guard let (second, _) = letter(2) else { return nil }
        switch (first, second) {
        case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
            (UInt8(ascii: "l"), UInt8(ascii: "l")):
            return position + 3
        default: return nil
        }
    }

    /// `\s+(?!\S)|\s+`: spaces, but the last where a word follows and there is more than one.
    private func spaces(_ position: Int) -> Int {
        var end = position
        var last = position
        while let next = character(end), next.kind & CharacterClass.space != 0 {
            last = end
            end = next.next
        }
        return end == bytes.count || last == position ? end : last
    }

    mutating func gpt2(_ position: Int) -> Int {
        if let end = contraction(position, ignoresCase: false) { return end }
        guard let first = character(position) else { return bytes.count }
        let start = first.value == 0x20 ? first.next : position
        if let next = character(start) {
            if next.kind & CharacterClass.letter != 0 { return run(start, CharacterClass.letter) }
            if next.kind & CharacterClass.number != 0 { return run(start, CharacterClass.number) }
            if next.kind == 0 { return symbols(start) }
        }
        return max(spaces(position), first.next)
    }

    mutating func llama3(_ position: Int, digits: Int) -> Int {
        if let end = contraction(position, ignoresCase: true) { return end }
        guard let first = character(position) else { return bytes.count }
        let isBreak = first.value == 0x0A || first.value == 0x0D
        if first.kind & CharacterClass.letter != 0 { return run(position, CharacterClass.letter) }
        if first.kind & CharacterClass.number == 0, !isBreak, let next = character(first.next),
            next.kind & CharacterClass.letter != 0
        {
            return run(first.next, CharacterClass.letter)
        }
        if first.kind & CharacterClass.number != 0 {
            var end = first.next
            var count = 1
            while count < digits, let next = character(end), next.kind & CharacterClass.number != 0 {
                end = next.next
                count += 1
            }
            return end
        }
        let start = first.value == 0x20 ? first.next : position
        if let next = character(start), next.kind == 0 {
            var end = symbols(start)
            while end < bytes.count, bytes[end] == 0x0A || bytes[end] == 0x0D { end += 1 }
            return end
        }
        // `\s*[\r\n]+`: up to the last line break of the spaces.
        var end = position
        var afterBreak = -1
        while let next = character(end), next.kind & CharacterClass.space != 0 {
            end = next.next
            if next.value == 0x0A || next.value == 0x0D { afterBreak = end }
        }
        if afterBreak > 0 { return afterBreak }
        return max(spaces(position), first.next)
    }
}
