/// A regular expression for module names, as PEFT matches the keys of `rank_pattern` and `alpha_pattern`: Python's
/// `re.match(r"(.*\.)?(KEY)$", name)`.
///
/// The states of all alternatives are followed side by side (Thompson 1968), so that time is linear in the name whatever
/// the expression, which comes from a file.
package struct ModulePattern: Sendable {
    /// What is not understood: look-around, references back, flags.
    package struct Unsupported: Error { let what: String }

    private var program: [Instruction] = []
    private static let maximumSize = 20_000
    private static let maximumDepth = 100

    private indirect enum Node {
        case characters(Set<Item>, isNegated: Bool)
        case start, end
        case sequence([Node])
        case alternatives([Node])
        case repeated(Node, from: Int, to: Int?)
    }

    /// A part of a class of characters.
    private enum Item: Hashable, Sendable {
        case range(UInt32, UInt32)
        case digit(Bool)
        case word(Bool)
        case space(Bool)

        func contains(_ c: Unicode.Scalar) -> Bool {
            switch self {
            case .range(let first, let last): c.value >= first && c.value <= last
            case .digit(let isOne): (c.properties.generalCategory == .decimalNumber) == isOne
            case .word(let isOne): (c == "_" || c.properties.isAlphabetic || c.properties.numericType != nil) == isOne
            case .space(let isOne): c.properties.isWhitespace == isOne
            }
        }
    }

    private enum Instruction: Sendable {
        case characters(Set<Item>, isNegated: Bool)
        case start, end
        case split(Int, Int)
        case jump(Int)
        case accept
    }

    /// - Throws: `Unsupported`.
    package init(_ key: String) throws {
        var parser = Parser(Array(key.unicodeScalars))
        let tree = try parser.alternatives(depth: 0)
        guard parser.isAtEnd else { throw Unsupported(what: "an unmatched )") }
        // (.*\.)?
        let dot = Node.characters([.range(0x2E, 0x2E)], isNegated: false)
        let anything = Node.repeated(.characters([.range(0x0A, 0x0A)], isNegated: true), from: 0, to: nil)
        try compile(.sequence([.repeated(.sequence([anything, dot]), from: 0, to: 1), tree, .end]))
        program.append(.accept)
    }

    /// What Python's `re.match` finds at the beginning of a name.
    ///
    /// - Throws: `Unsupported`.
    package init(matching expression: String) throws {
        var parser = Parser(Array(expression.unicodeScalars))
        let tree = try parser.alternatives(depth: 0)
        guard parser.isAtEnd else { throw Unsupported(what: "an unmatched )") }
        try compile(.sequence([tree, .repeated(.characters([], isNegated: true), from: 0, to: nil)]))
        program.append(.accept)
    }

    package func matches(_ name: String) -> Bool {
        let text = Array(name.unicodeScalars)
        var states: [Int] = []
        var marks = [Int](repeating: -1, count: program.count)
        add(0, at: 0, text.count, &states, &marks)
        for position in text.indices {
            var next: [Int] = []
            for state in states {
                guard case .characters(let items, let isNegated) = program[state] else { continue }
                if items.contains(where: { $0.contains(text[position]) }) != isNegated {
                    add(state + 1, at: position + 1, text.count, &next, &marks)
                }
            }
            states = next
        }
        return states.contains { if case .accept = program[$0] { true } else { false } }
    }

    /// Adds a state, and those that are reached from it without a character.
    private func add(_ first: Int, at position: Int, _ end: Int, _ states: inout [Int], _ marks: inout [Int]) {
        var pending = [first]
        while let state = pending.popLast() {
            guard marks[state] != position else { continue }
            marks[state] = position
            switch program[state] {
            case .jump(let target): pending.append(target)
            case .split(let a, let b): pending += [b, a]
            case .start: if position == 0 { pending.append(state + 1) }
            case .end: if position == end { pending.append(state + 1) }
            case .characters, .accept: states.append(state)
            }
        }
    }

    private mutating func compile(_ node: Node) throws {
        guard program.count < Self.maximumSize else { throw Unsupported(what: "more than \(Self.maximumSize) states") }
        switch node {
        case .characters(let items, let isNegated): program.append(.characters(items, isNegated: isNegated))
        case .start: program.append(.start)
        case .end: program.append(.end)
        case .sequence(let parts): for part in parts { try compile(part) }
        case .alternatives(let choices):
            var ends: [Int] = []
            for (index, choice) in choices.enumerated() {
                guard index + 1 < choices.count else {
                    try compile(choice)
                    break
                }
                let split = program.count
                program.append(.split(split + 1, 0))
                try compile(choice)
                ends.append(program.count)
                program.append(.jump(0))
                program[split] = .split(split + 1, program.count)
            }
            for end in ends { program[end] = .jump(program.count) }
        case .repeated(let part, let from, let to):
            for _ in 0..<from { try compile(part) }
            guard let to else {
                let split = program.count
                program.append(.split(split + 1, 0))
                try compile(part)
                program.append(.jump(split))
                program[split] = .split(split + 1, program.count)
                return
            }
            var splits: [Int] = []
            for _ in from..<to {
                splits.append(program.count)
                program.append(.split(program.count + 1, 0))
                try compile(part)
            }
            for split in splits { program[split] = .split(split + 1, program.count) }
        }
    }

    private struct Parser {
        private let text: [Unicode.Scalar]
        private var position = 0

        init(_ text: [Unicode.Scalar]) { self.text = text }

        var isAtEnd: Bool { position == text.count }
        private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

        private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
            guard next == scalar else { return false }
            position += 1
            return true
        }

        mutating func alternatives(depth: Int) throws -> Node {
            guard depth < ModulePattern.maximumDepth else { throw Unsupported(what: "groups in groups too deep") }
            var choices: [Node] = []
            repeat {
                var parts: [Node] = []
                while let scalar = next, scalar != "|", scalar != ")" {
                    parts.append(try quantified(try atom(depth: depth)))
                }
                choices.append(.sequence(parts))
            } while take("|")
            return choices.count == 1 ? choices[0] : .alternatives(choices)
        }

        private mutating func atom(depth: Int) throws -> Node {
            let scalar = text[position]
            position += 1
            switch scalar {
            case "^": return .start
            case "$": return .end
            case ".": return .characters([.range(0x0A, 0x0A)], isNegated: true)
            case "*", "+", "?": throw Unsupported(what: "\(scalar) with nothing before it")
            case "\\": return try escape()
            case "[": return try characterClass()
            case "(":
                if take("?"), !take(":") {
                    guard take("P"), take("<") else { throw Unsupported(what: "(?, look-around or flags") }
                    while let letter = next, letter != ">" {
                        guard letter.properties.isAlphabetic || letter == "_" || letter.properties.numericType != nil
                        else { throw Unsupported(what: "the name of a group") }
                        position += 1
                    }
                    guard take(">") else { throw Unsupported(what: "the name of a group") }
                }
                let group = try alternatives(depth: depth + 1)
                guard take(")") else { throw Unsupported(what: "a ( without its )") }
                return group
            default: return .characters([.range(scalar.value, scalar.value)], isNegated: false)
            }
        }

        private mutating func quantified(_ node: Node) throws -> Node {
            var bounds: (from: Int, to: Int?)
            let start = position
            switch next {
            case "*": bounds = (0, nil)
            case "+": bounds = (1, nil)
            case "?": bounds = (0, 1)
            case "{":
                position += 1
                guard let read = count() else {
                    position = start
                    // Python takes a brace that is no count for itself.
                    return node
                }
                bounds = read
                position -= 1
            default: return node
            }
            if case .start = node { throw Unsupported(what: "an anchor repeated") }
            position += 1
            if next == "+" || next == "*" || next == "{" { throw Unsupported(what: "a quantifier after another") }
            _ = take("?")
            return .repeated(node, from: bounds.from, to: bounds.to)
        }

        /// `m}`, `m,}`, `,n}` or `m,n}`; nil for anything else.
        private mutating func count() -> (from: Int, to: Int?)? {
            func number(_ digits: [Unicode.Scalar]) -> Int? {
                digits.count < 5 ? Int(String(String.UnicodeScalarView(digits))) : nil
            }
            var parts: [[Unicode.Scalar]] = [[]]
            while let scalar = next, scalar != "}" {
                position += 1
                if scalar == "," { parts.append([]) } else { parts[parts.count - 1].append(scalar) }
            }
            guard take("}"), parts.count <= 2, !(parts.count == 1 && parts[0].isEmpty) else { return nil }
            let from = parts[0].isEmpty ? 0 : number(parts[0])
            let to = parts.count == 1 ? from : parts[1].isEmpty ? nil : number(parts[1])
            guard let from, parts.count == 1 || parts[1].isEmpty || to != nil, to.map({ $0 >= from }) ?? true else {
                return nil
            }
            return (from, to)
        }

        private mutating func escape() throws -> Node {
            guard let scalar = next else { throw Unsupported(what: "a \\ at the end") }
            position += 1
            if let item = Self.kind(scalar) { return .characters([item], isNegated: false) }
            if scalar == "A" { return .start }
            if scalar == "Z" { return .end }
            return .characters([try Self.literal(scalar)], isNegated: false)
        }

        private static func kind(_ scalar: Unicode.Scalar) -> Item? {
            switch scalar {
            case "d", "D": .digit(scalar == "d")
            case "w", "W": .word(scalar == "w")
            case "s", "S": .space(scalar == "s")
            default: nil
            }
        }

        private static func literal(_ scalar: Unicode.Scalar) throws -> Item {
            let controls: [Unicode.Scalar: UInt32] = ["n": 10, "t": 9, "r": 13, "f": 12, "v": 11]
            if let value = controls[scalar] { return .range(value, value) }
            guard scalar.value > 127 || !(scalar.properties.isAlphabetic || scalar.properties.numericType != nil) else {
                throw Unsupported(what: "\\\(scalar)")
            }
            return .range(scalar.value, scalar.value)
        }

        private mutating func characterClass() throws -> Node {
            let isNegated = take("^")
            var items: Set<Item> = []
            var isFirst = true
            while let scalar = next, isFirst || scalar != "]" {
                isFirst = false
                position += 1
                var item = Item.range(scalar.value, scalar.value)
                if scalar == "\\" {
                    guard let escaped = next else { break }
                    position += 1
                    item = try Self.kind(escaped) ?? Self.literal(escaped)
                }
                if case .range(let first, _) = item, next == "-", position + 1 < text.count, text[position + 1] != "]" {
                    position += 1
                    var last = text[position].value
                    position += 1
                    if last == 0x5C {
                        guard let escaped = next, case .range(let value, _) = try Self.literal(escaped) else { break }
                        position += 1
                        last = value
                    }
                    guard first <= last else { throw Unsupported(what: "a range that runs backwards") }
                    item = .range(first, last)
                }
                items.insert(item)
            }
            guard take("]") else { throw Unsupported(what: "a [ without its ]") }
            return .characters(items, isNegated: isNegated)
        }
    }
}
