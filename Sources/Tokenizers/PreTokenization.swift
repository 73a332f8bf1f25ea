/// One step of how text is cut and spelled before the model.
enum PreTokenization: Sendable {
    /// Cut at what is found.
    case split(Splitter, Behavior, isInverted: Bool)
    /// Cut where the script changes; white space goes with what is before it.
    case scripts
    /// Cut into so many characters each.
    case fixedLength(Int)
    /// Bytes are the symbols; with a space in front where asked for, and cut at GPT-2's words.
    case byteLevel(addsSpace: Bool, splits: Bool)
    /// Spaces become a letter, which is put in front as well: always, or at the beginning of the text alone; cut before each.
    case metaspace([UInt8], prepends: Prepending, splits: Bool)

    enum Prepending: String, Sendable { case first, always, never }

    /// What becomes of what is found.
    enum Behavior: String, Sendable {
        case removed = "Removed"
        case isolated = "Isolated"
        case mergedWithPrevious = "MergedWithPrevious"
        case mergedWithNext = "MergedWithNext"
        case contiguous = "Contiguous"
    }
}

/// What a step looks for.
enum Splitter: Sendable {
    case words(WordPattern)
    case pattern(Pattern)
    /// Bytes, some at least.
    case literal([UInt8])
    /// Single characters.
    case scalars(ScalarLookup)
    /// Runs of word characters, and runs of what is neither one nor white space.
    case wordRuns

    /// Calls `body` with each part of a text that is found, and each between two of them.
    func forEachSegment(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, _ isFound: Bool) throws -> Void
    ) throws {
        var last = 0
        func found(_ range: Range<Int>) throws {
            if last < range.lowerBound { try body(last..<range.lowerBound, false) }
            try body(range, true)
            last = range.upperBound
        }
        switch self {
        case .words(let words): return try words.forEachWord(in: text) { try body($0, true) }
        case .pattern(let pattern): try pattern.forEachMatch(in: text, found)
        case .literal(let bytes): try Self.forEachOccurrence(of: bytes, in: text, found)
        case .scalars(let set):
            var position = 0
            while position < text.count {
                let (value, length) = scalar(text, at: position)
                if set.contains(value) { try found(position..<position + length) }
                position += length
            }
        case .wordRuns: try Self.forEachWordRun(in: text, found)
        }
        if last < text.count { try body(last..<text.count, false) }
    }

    private static func forEachOccurrence(
        of bytes: [UInt8], in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void
    ) rethrows {
        guard let first = bytes.first else { return }
        var position = 0
        while position + bytes.count <= text.count {
            if text[position] == first, text[position..<position + bytes.count].elementsEqual(bytes) {
                try body(position..<position + bytes.count)
                position += bytes.count
            } else {
                position += 1
            }
        }
    }

    private static let wordCharacters = ScalarLookup(UnicodeData.standardWord)
    private static let spaces = ScalarLookup(UnicodeData.whiteSpace)

    private static func forEachWordRun(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void
    ) rethrows {
        /// 0 for white space.
        func kind(_ value: UInt32) -> Int { wordCharacters.contains(value) ? 1 : spaces.contains(value) ? 0 : 2 }
        var (position, start, current) = (0, 0, 0)
        while position < text.count {
            let (value, length) = scalar(text, at: position)
            let next = kind(value)
            if next != current {
                if current > 0 { try body(start..<position) }
                (start, current) = (position, next)
            }
            position += length
        }
        if current > 0 { try body(start..<position) }
    }
}

extension PreTokenization.Behavior {
    /// Calls `body` with each piece that segments make.
    func forEachPiece(
        of text: UnsafeBufferPointer<UInt8>, by splitter: Splitter, isInverted: Bool,
        _ body: (Range<Int>) throws -> Void
    ) throws {
        // A piece that what follows may belong to, and whether it was found.
        var held: Range<Int>?
        var wasFound = false
        func give(_ piece: Range<Int>?) throws { if let piece, !piece.isEmpty { try body(piece) } }
        try splitter.forEachSegment(in: text) { segment, isFound in
            let isFound = isFound != isInverted
            defer { wasFound = isFound }
            let joins =
                switch self {
                case .removed, .isolated: false
                case .contiguous: held != nil && isFound == wasFound
                case .mergedWithPrevious: held != nil && isFound && !wasFound
                case .mergedWithNext: held != nil && !isFound && wasFound
                }
            if joins, let before = held {
                held = before.lowerBound..<segment.upperBound
                return
            }
            switch self {
            case .removed: if !isFound { try give(segment) }
            case .isolated: try give(segment)
            default:
                try give(held)
                held = segment
            }
        }
        try give(held)
    }
}

/// The steps of a pre-tokenizer, in order.
struct PreTokenizer: Sendable {
    let steps: [PreTokenization]
    /// Whether the words that it gives are bytes whose letters are still to be spelled.
    let isByteLevel: Bool

    init(_ steps: [PreTokenization]) {
        self.steps = steps
        isByteLevel = if case .byteLevel? = steps.last { true } else { false }
    }

    /// Calls `body` with each word of a text.
    ///
    /// - Parameters:
    ///   - isFirst: whether it is the beginning of the whole text.
    ///   - prefixed: counts the bytes that are put in front of words and that the text does not have.
    func forEachWord(
        in text: UnsafeBufferPointer<UInt8>, isFirst: Bool, prefixed: inout Int,
        _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        try forEachWord(in: text, steps[...], isFirst, &prefixed, body)
    }

    private func forEachWord(
        in text: UnsafeBufferPointer<UInt8>, _ steps: ArraySlice<PreTokenization>, _ isFirst: Bool,
        _ prefixed: inout Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> Void
    ) throws {
        guard !text.isEmpty else { return }
        guard let step = steps.first else { return try body(text) }
        let rest = steps.dropFirst()
        func on(_ piece: UnsafeBufferPointer<UInt8>, _ range: Range<Int>, _ prefixed: inout Int) throws {
            let part = UnsafeBufferPointer(rebasing: piece[range])
            if rest.isEmpty { return try body(part) }
            try forEachWord(in: part, rest, isFirst && range.lowerBound == 0, &prefixed, body)
        }
        switch step {
        case .split(let splitter, let behavior, let isInverted):
            try behavior.forEachPiece(of: text, by: splitter, isInverted: isInverted) { try on(text, $0, &prefixed) }
        case .scripts:
            try Self.forEachScriptRun(in: text) { try on(text, $0, &prefixed) }
        case .fixedLength(let length):
            var (start, position, count) = (0, 0, 0)
            while position < text.count {
                position += scalar(text, at: position).length
                count += 1
                if count == length || position == text.count {
                    try on(text, start..<position, &prefixed)
                    (start, count) = (position, 0)
                }
            }
        case .byteLevel(let addsSpace, let splits):
            func cut(_ text: UnsafeBufferPointer<UInt8>, _ prefixed: inout Int) throws {
                func spelled(_ range: Range<Int>, _ prefixed: inout Int) throws {
                    if rest.isEmpty { return try on(text, range, &prefixed) }
                    let letters = ByteAlphabet.spelled(UnsafeBufferPointer(rebasing: text[range]))
                    try letters.withUnsafeBufferPointer {
                        try forEachWord(in: $0, rest, isFirst && range.lowerBound == 0, &prefixed, body)
                    }
                }
                guard splits else { return try spelled(0..<text.count, &prefixed) }
                try WordPattern.gpt2.forEachWord(in: text) { try spelled($0, &prefixed) }
            }
            guard addsSpace, text[0] != 0x20 else { return try cut(text, &prefixed) }
            prefixed += 1
            try ([0x20] + Array(text)).withUnsafeBufferPointer { try cut($0, &prefixed) }
        case .metaspace(let letter, let prepending, let splits):
            var spelled = replacing([0x20], with: letter, in: Array(text))
            let prepends = prepending == .always || (prepending == .first && isFirst)
            if prepends, !spelled.starts(with: letter) {
                spelled = letter + spelled
                prefixed += 1
            }
            try spelled.withUnsafeBufferPointer { text in
                guard splits else { return try on(text, 0..<text.count, &prefixed) }
                try PreTokenization.Behavior.mergedWithNext.forEachPiece(
                    of: text, by: .literal(letter), isInverted: false
                ) { try on(text, $0, &prefixed) }
            }
        }
    }

    private static func forEachScriptRun(
        in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void
    ) rethrows {
        let runs = UnicodeData.scriptRuns
        func script(_ value: UInt32) -> Int {
            var (low, high) = (0, runs.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if runs[middle].first <= value { low = middle } else { high = middle }
            }
            return runs[low].value
        }
        var position = 0
        // Without a number at first: white space at the beginning is part of no run, as in the library.
        var (last, start): (Int?, Int?) = (nil, nil)
        while position < text.count {
            let (value, length) = scalar(text, at: position)
            let next = script(value)
            if next != 0 {
                if next != last {
                    if let start { try body(start..<position) }
                    start = position
                }
                last = next
            }
            position += length
        }
        if let start { try body(start..<text.count) }
    }
}
