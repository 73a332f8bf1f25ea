/// Reads a regular expression in Oniguruma's own syntax, which is what the Hugging Face library compiles.
///
/// What needs more than a position in the text (back references, recursion, `\K`, `\G`, absent operators) and `\X` are
/// refused by name.
struct PatternParser {
    struct Options {
        var ignoresCase = false
        var dotIsAny = false
        var isExtended = false
    }

    static let deepest = 100
    static let longest = 1 << 16
    static let mostRepeats = 100_000

    private let text: [UInt32]
    var position = 0
    private var depth = 0

    static func parse(_ pattern: String) throws(PatternError) -> PatternNode {
        guard pattern.utf8.count <= longest else {
            throw PatternError(message: "a pattern of more than \(longest) bytes")
        }
        var parser = PatternParser(text: pattern.unicodeScalars.map(\.value))
        let node = try parser.alternation(Options())
        guard parser.position == parser.text.count else { throw parser.malformed("a parenthesis that nothing opens") }
        return node
    }

    private init(text: [UInt32]) { self.text = text }

    // MARK: - Characters

    func malformed(_ what: String) -> PatternError {
        PatternError(message: "\(what), at character \(position)", isMalformed: true)
    }

    func unsupported(_ what: String) -> PatternError {
        PatternError(message: "\(what), at character \(position)")
    }

    var next: UInt32? { position < text.count ? text[position] : nil }

    func starts(with prefix: String, at offset: Int = 0) -> Bool {
        text.dropFirst(position + offset).starts(with: prefix.unicodeScalars.lazy.map(\.value))
    }

    mutating func take(_ prefix: String) -> Bool {
        guard starts(with: prefix) else { return false }
        position += prefix.unicodeScalars.count
        return true
    }

    /// What is before an end, which is passed over; nil where there is no such end.
    mutating func takeName(until end: Unicode.Scalar) -> String? {
        guard let index = text[position...].firstIndex(of: end.value) else { return nil }
        var name = ""
        for value in text[position..<index] {
            if let scalar = Unicode.Scalar(value) { name.unicodeScalars.append(scalar) }
        }
        position = index + 1
        return name
    }

    mutating func takeNumber(radix: UInt32, longest: Int) -> Int? {
        var value: Int?
        var count = 0
        while count < longest, let digit = next.flatMap({ Self.digit($0) }), digit < radix {
            value = min((value ?? 0) * Int(radix) + Int(digit), 1 << 40)
            position += 1
            count += 1
        }
        return value
    }

    private static func digit(_ value: UInt32) -> UInt32? {
        switch value {
        case 0x30...0x39: value - 0x30
        case 0x41...0x46: value - 0x41 + 10
        case 0x61...0x66: value - 0x61 + 10
        default: nil
        }
    }

    // MARK: - Expressions

    private mutating func alternation(_ options: Options) throws(PatternError) -> PatternNode {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.deepest else { throw unsupported("groups more than \(Self.deepest) deep") }
        var branches = [try branch(options)]
        while take("|") { branches.append(try branch(options)) }
        return branches.count == 1 ? branches[0] : .alternation(branches)
    }

    private mutating func branch(_ options: Options) throws(PatternError) -> PatternNode {
        var nodes: [PatternNode] = []
        // Letters that case does not tell apart are kept as they are written, since some strings of them are one character.
        var letters: [UInt32] = []
        func flush(_ nodes: inout [PatternNode], _ letters: inout [UInt32]) {
            nodes += CaseFolding.nodes(letters)
            letters = []
        }
        while let character = next, character != 0x7C, character != 0x29 {
            if options.isExtended {
                if [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D].contains(character) {
                    position += 1
                    continue
                }
                if character == 0x23 {
                    while let other = next, other != 0x0A { position += 1 }
                    continue
                }
            }
            if take("(?#") {
                guard takeName(until: ")") != nil else { throw malformed("a comment without an end") }
                continue
            }
            let start = position
            var node: PatternNode
            var literal: UInt32?
            if let isolated = try takeIsolatedOptions(options) {
                // As in Ruby, what follows in the group belongs to it, other branches too.
                flush(&nodes, &letters)
                nodes.append(try alternation(isolated))
                break
            }
            (node, literal) = try atom(options)
            if options.isExtended { skipExtended() }
            let repeated = try repetitions(node, options)
            if let literal, options.ignoresCase, repeated == nil {
                letters.append(literal)
                continue
            }
            flush(&nodes, &letters)
            if let literal, options.ignoresCase {
                let folded = CaseFolding.nodes([literal])
                position = start
                _ = try atom(options)
                if options.isExtended { skipExtended() }
                node = try repetitions(folded.count == 1 ? folded[0] : .sequence(folded), options) ?? .empty
            } else {
                node = repeated ?? node
            }
            nodes.append(node)
        }
        flush(&nodes, &letters)
        return nodes.count == 1 ? nodes[0] : .sequence(nodes)
    }

    private mutating func skipExtended() {
        while let character = next, [0x20, 0x09, 0x0A, 0x0B, 0x0C, 0x0D].contains(character) { position += 1 }
    }

    /// The options of `(?i)`, without a colon; nil where there are none.
    private mutating func takeIsolatedOptions(_ options: Options) throws(PatternError) -> Options? {
        let start = position
        guard take("(?"), let (changed, isGroup) = takeOptions(options), !isGroup else {
            position = start
            return nil
        }
        return changed
    }

    private mutating func takeOptions(_ options: Options) -> (Options, isGroup: Bool)? {
        var options = options
        var isOn = true
        while let character = next {
            position += 1
            switch character {
            case 0x2D: isOn = false
            case 0x69: options.ignoresCase = isOn
            case 0x6D: options.dotIsAny = isOn
            case 0x78: options.isExtended = isOn
            case 0x3A: return (options, true)
            case 0x29: return (options, false)
            default: return nil
            }
        }
        return nil
    }

    /// One element, and the character that it is where it is a literal one.
    private mutating func atom(_ options: Options) throws(PatternError) -> (PatternNode, UInt32?) {
        guard let character = next else { return (.empty, nil) }
        switch character {
        case 0x28: return (try group(options), nil)
        case 0x5B:
            position += 1
            return (.set(try characterClass(options)), nil)
        case 0x2E:
            position += 1
            return (.set(options.dotIsAny ? .all : ScalarSet(0x0A).inverted), nil)
        case 0x5E:
            position += 1
            return (.assertion(.lineStart), nil)
        case 0x24:
            position += 1
            return (.assertion(.lineEnd), nil)
        case 0x5C:
            position += 1
            return try escape(options)
        case 0x2A, 0x2B, 0x3F: throw malformed("a repetition of nothing")
        default:
            position += 1
            return (.set(ScalarSet(character)), character)
        }
    }

    private mutating func group(_ options: Options) throws(PatternError) -> PatternNode {
        func closed(_ node: PatternNode, _ parser: inout PatternParser) throws(PatternError) -> PatternNode {
            guard parser.take(")") else { throw parser.malformed("a group without an end") }
            return node
        }
        if take("(?:") { return try closed(alternation(options), &self) }
        if take("(?=") { return try closed(.look(alternation(options), isAhead: true, isNegative: false), &self) }
        if take("(?!") { return try closed(.look(alternation(options), isAhead: true, isNegative: true), &self) }
        if take("(?>") { return try closed(.atomic(alternation(options)), &self) }
        for (prefix, isNegative) in [("(?<=", false), ("(?<!", true)] where take(prefix) {
            let body = try alternation(options)
            let branches = if case .alternation(let branches) = body { branches } else { [body] }
            for branch in branches where branch.fixedLength.map({ $0 > 255 }) ?? true {
                throw unsupported("a look-behind whose branches are not of one length each, up to 255 characters")
            }
            return try closed(.look(body, isAhead: false, isNegative: isNegative), &self)
        }
        if starts(with: "(?~") { throw unsupported("an absent operator, (?~") }
        if starts(with: "(?(") { throw unsupported("a condition, (?(") }
        if starts(with: "(*") || starts(with: "(?{") { throw unsupported("a call-out") }
        for (prefix, end) in [("(?<", ">" as Unicode.Scalar), ("(?'", "'")] where take(prefix) {
            guard let name = takeName(until: end), !name.isEmpty else { throw malformed("a group without a name") }
            return try closed(alternation(options), &self)
        }
        if take("(?") {
            guard let (changed, isGroup) = takeOptions(options), isGroup else {
                throw malformed("a group of an unknown kind")
            }
            return try closed(alternation(changed), &self)
        }
        position += 1
        return try closed(alternation(options), &self)
    }

    // MARK: - Repetitions

    /// A node under the repetitions that follow it; nil where none does.
    private mutating func repetitions(_ node: PatternNode, _ options: Options) throws(PatternError) -> PatternNode? {
        var result: PatternNode?
        var count = 0
        while let (repetition, alsoOptional) = try repetition() {
            count += 1
            guard count <= 10 else { throw unsupported("more than 10 repetitions of one element") }
            result = .repetition(result ?? node, repetition)
            if alsoOptional, let inner = result {
                result = .repetition(inner, .init(least: 0, most: 1, kind: .greedy))
            }
            if options.isExtended { skipExtended() }
        }
        return result
    }

    private mutating func repetition() throws(PatternError) -> (PatternNode.Repetition, alsoOptional: Bool)? {
        let (least, most): (Int, Int?)
        var isInterval = false
        switch next {
        case 0x2A: (least, most) = (0, nil)
        case 0x2B: (least, most) = (1, nil)
        case 0x3F: (least, most) = (0, 1)
        case 0x7B:
            guard let bounds = try interval() else { return nil }
            (least, most) = bounds
            isInterval = true
        default: return nil
        }
        if !isInterval { position += 1 }
        if next == 0x3F {
            position += 1
            // `{n}?` is one that may be left out.
            if isInterval, least == most { return (.init(least: least, most: most, kind: .greedy), true) }
            return (.init(least: least, most: most, kind: .lazy), false)
        }
        if next == 0x2B, !isInterval {
            position += 1
            return (.init(least: least, most: most, kind: .possessive), false)
        }
        return (.init(least: least, most: most, kind: .greedy), false)
    }

    /// `{n}`, `{n,}`, `{n,m}` or `{,m}`; nil where the brace is a letter.
    private mutating func interval() throws(PatternError) -> (Int, Int?)? {
        let start = position
        position += 1
        let least = takeNumber(radix: 10, longest: 12)
        var most = least
        var hasComma = false
        if next == 0x2C {
            position += 1
            hasComma = true
            most = takeNumber(radix: 10, longest: 12)
        }
        guard next == 0x7D, least != nil || most != nil else {
            position = start
            return nil
        }
        position += 1
        guard max(least ?? 0, most ?? 0) <= Self.mostRepeats else {
            throw unsupported("more than \(Self.mostRepeats) repetitions")
        }
        if hasComma, let least, let most, least > most {
            throw unsupported("an interval whose second number is the smaller one")
        }
        return (least ?? 0, most)
    }
}
