extension PatternParser {
    // MARK: - Escapes

    /// What follows a backslash outside of a class, and the character that it is where it is a literal one.
    mutating func escape(_ options: Options) throws(PatternError) -> (PatternNode, UInt32?) {
        guard let character = next.flatMap(Unicode.Scalar.init) else { throw malformed("a backslash at the end") }
        switch character {
        case "A", "Z", "z", "b", "B":
            position += 1
            let assertion: PatternNode.Assertion =
                switch character {
                case "A": .textStart
                case "Z": .textEndOrLineEnd
                case "z": .textEnd
                case "b": .wordBoundary
                default: .notWordBoundary
                }
            return (.assertion(assertion), nil)
        case "R":
            position += 1
            let line = ScalarSet(0x0A...0x0D).union(ScalarSet(0x85)).union(ScalarSet(0x2028...0x2029))
            return (
                .atomic(.alternation([.sequence([.set(ScalarSet(0x0D)), .set(ScalarSet(0x0A))]), .set(line)])), nil
            )
        case "N":
            position += 1
            return (.set(ScalarSet(0x0A).inverted), nil)
        case "O":
            position += 1
            return (.set(.all), nil)
        case "G", "K", "X", "y", "Y": throw unsupported("\\\(character)")
        case "k", "g": throw unsupported("a back reference or a call, \\\(character)")
        case "1"..."9":
            let start = position
            let number = takeNumber(radix: 10, longest: 3) ?? 0
            position = start
            if number < 10 { throw unsupported("a back reference, \\\(character)") }
        default: break
        }
        if let set = try classEscape(options) { return (.set(set), nil) }
        let literal = try literalEscape()
        return (.set(ScalarSet(literal)), literal)
    }

    /// The set of `\d`, `\p{...}` and their like; nil where the escape is none of them.
    private mutating func classEscape(_ options: Options) throws(PatternError) -> ScalarSet? {
        guard let character = next.flatMap(Unicode.Scalar.init) else { return nil }
        let set: ScalarSet
        switch character {
        case "d", "D": set = UnicodeData.decimal
        case "s", "S": set = UnicodeData.whiteSpace
        case "w", "W": set = UnicodeData.word
        case "h", "H": set = UnicodeData.posixSet("xdigit") ?? ScalarSet()
        case "p", "P":
            guard starts(with: "{", at: 1) else { return nil }
            position += 2
            let isNegative = (character == "P") != take("^")
            guard let name = takeName(until: "}") else { throw malformed("a property without an end") }
            guard let found = UnicodeData.set(named: name) else {
                throw unsupported("the property \\p{\(name)}, which is no general category, script or binary property")
            }
            // As the library has it, a property takes other cases within a class only.
            return isNegative ? found.inverted : found
        default: return nil
        }
        position += 1
        return ["D", "S", "W", "H"].contains(character) ? set.inverted : set
    }

    /// The character that an escape stands for.
    private mutating func literalEscape() throws(PatternError) -> UInt32 {
        guard let value = next, let character = Unicode.Scalar(value) else { throw malformed("a backslash at the end") }
        position += 1
        func checked(_ number: Int?) throws(PatternError) -> UInt32 {
            guard let number, let value = UInt32(exactly: number), let scalar = Unicode.Scalar(value) else {
                throw malformed("a number that is no character")
            }
            return scalar.value
        }
        switch character {
        case "t": return 0x09
        case "n": return 0x0A
        case "v": return 0x0B
        case "f": return 0x0C
        case "r": return 0x0D
        case "a": return 0x07
        case "e": return 0x1B
        case "x":
            if take("{") {
                let number = takeNumber(radix: 16, longest: 8)
                guard take("}") else { throw unsupported("\\x{ with more than one number") }
                return try checked(number)
            }
            let number = takeNumber(radix: 16, longest: 2)
            if let number, number >= 0x80 { throw malformed("\\x of a byte that is no character") }
            return try checked(number ?? 0)
        case "u":
            guard next != nil else { throw malformed("\\u without four digits") }
            let start = position
            let number = takeNumber(radix: 16, longest: 4)
            guard position == start + 4 else { throw malformed("\\u without four digits") }
            return try checked(number)
        case "o" where take("{"):
            let number = takeNumber(radix: 8, longest: 11)
            guard take("}") else { throw unsupported("\\o{ with more than one number") }
            return try checked(number)
        case "0"..."7":
            position -= 1
            let number = takeNumber(radix: 8, longest: 3) ?? 0
            guard number < 0x80 else { throw malformed("an octal number of a byte that is no character") }
            return try checked(number)
        case "c", "C", "M": throw unsupported("a control character, \\\(character)")
        default: return value
        }
    }

    // MARK: - Classes

    /// A class after its opening bracket.
    mutating func characterClass(_ options: Options, depth: Int = 0) throws(PatternError) -> ScalarSet {
        guard depth < Self.deepest else { throw unsupported("classes more than \(Self.deepest) deep") }
        let isNegative = take("^")
        var whole: ScalarSet?
        var set = ScalarSet()
        // The last literal, which can begin a range.
        var isFirst = true
        func joined(_ set: ScalarSet, _ whole: ScalarSet?) -> ScalarSet { whole?.intersection(set) ?? set }
        while let character = next {
            defer { isFirst = false }
            if character == 0x5D, !isFirst || !hasLaterBracket() {
                position += 1
                if isFirst { throw malformed("an empty class") }
                // Case is no matter of what is left out.
                let all = options.ignoresCase ? CaseFolding.closure(joined(set, whole)) : joined(set, whole)
                return isNegative ? all.inverted : all
            }
            if take("&&") {
                whole = joined(set, whole)
                set = ScalarSet()
                continue
            }
            if starts(with: "[:"), let posix = try posixBracket() {
                set = set.union(posix)
                continue
            }
            if take("[") {
                set = set.union(try characterClass(options, depth: depth + 1))
                continue
            }
            if character == 0x5C {
                position += 1
                if let escaped = try classEscape(options) {
                    set = set.union(escaped)
                    guard next != 0x2D || starts(with: "]", at: 1) else {
                        throw malformed("a range that begins with a class")
                    }
                    continue
                }
                position -= 1
            }
            let first = try classLiteral()
            guard next == 0x2D, !starts(with: "]", at: 1), !starts(with: "&&", at: 1) else {
                set = set.union(ScalarSet(first))
                continue
            }
            position += 1
            if starts(with: "[") { throw unsupported("a range that ends with a class") }
            guard next != nil else { break }
            let last = try classLiteral()
            guard first <= last else { throw malformed("a range whose end is before its beginning") }
            set = set.union(ScalarSet(first...last))
        }
        throw malformed("a class without an end")
    }

    private func hasLaterBracket() -> Bool {
        var copy = self
        copy.position += 1
        return copy.takeName(until: "]") != nil
    }

    private mutating func classLiteral() throws(PatternError) -> UInt32 {
        guard let character = next else { throw malformed("a class without an end") }
        position += 1
        guard character == 0x5C else { return character }
        if next == 0x62 {
            position += 1
            return 0x08
        }
        if let letter = next.flatMap(Unicode.Scalar.init), "RXKG".unicodeScalars.contains(letter) {
            throw unsupported("\\\(letter) in a class")
        }
        return try literalEscape()
    }

    /// `[:name:]`; nil where the brackets are something else.
    private mutating func posixBracket() throws(PatternError) -> ScalarSet? {
        let start = position
        _ = take("[:")
        let isNegative = take("^")
        var name = ""
        while let letter = next.flatMap(Unicode.Scalar.init), ("a"..."z").contains(letter) {
            name.unicodeScalars.append(letter)
            position += 1
        }
        guard take(":]"), let set = UnicodeData.posixSet(name) else {
            position = start
            return nil
        }
        return isNegative ? set.inverted : set
    }
}
