import Safetensors

/// A whole number computed from configuration keys and symbols: `heads * head_dim`, `head_dim ?? hidden_size / heads`.
///
/// Operators, the loosest first: `??` (the right side where a key on the left is absent or null), `+ -`, `* / %`. A
/// division by `/` must come out even; `%` is the quotient rounded down.
package struct DimensionExpression: Sendable {
    private indirect enum Node: Sendable {
        case number(Int)
        case name(String)
        case binary(Character, Node, Node)
    }

    package let text: String
    private let root: Node

    /// - Throws: `CheckpointError` where the text is not an expression.
    package init(_ text: String) throws {
        self.text = text
        var parser = Parser(tokens: Self.tokens(text))
        guard let root = parser.expression(), parser.isAtEnd else {
            throw CheckpointError(.internalFailure, message: "not a dimension: \(text)")
        }
        self.root = root
    }

    /// The value; nil where a name in it has none, or where a division leaves a rest or a product overflows.
    package func value(_ lookUp: (String) throws -> Int?) rethrows -> Int? { try Self.value(root, lookUp) }

    private static func value(_ node: Node, _ lookUp: (String) throws -> Int?) rethrows -> Int? {
        switch node {
        case .number(let number): return number
        case .name(let name): return try lookUp(name)
        case .binary("?", let a, let b): return try value(a, lookUp) ?? value(b, lookUp)
        case .binary(let symbol, let a, let b):
            guard let x = try value(a, lookUp), let y = try value(b, lookUp) else { return nil }
            let result: (partialValue: Int, overflow: Bool)
            switch symbol {
            case "+": result = x.addingReportingOverflow(y)
            case "-": result = x.subtractingReportingOverflow(y)
            case "*": result = x.multipliedReportingOverflow(by: y)
            case "%":
                guard y > 0, x >= 0 else { return nil }
                result = (x / y, false)
            default:
                guard y != 0, x % y == 0 else { return nil }
                result = (x / y, false)
            }
            return result.overflow ? nil : result.partialValue
        }
    }

    private static func tokens(_ text: String) -> [String] {
        var tokens: [String] = []
        var word = ""
        for character in text.replacing("??", with: "?") {
            if character.isLetter || character.isNumber || character == "_" {
                word.append(character)
                continue
            }
            if !word.isEmpty { tokens.append(word) }
            word = ""
            if character != " " { tokens.append(String(character)) }
        }
        if !word.isEmpty { tokens.append(word) }
        return tokens
    }

    private struct Parser {
        let tokens: [String]
        var position = 0

        var isAtEnd: Bool { position == tokens.count }

        mutating func expression() -> Node? { level(["?"], ["+", "-"], ["*", "/", "%"]) }

        private mutating func level(_ levels: [String]...) -> Node? { level(levels[...]) }

        private mutating func level(_ levels: ArraySlice<[String]>) -> Node? {
            guard let operators = levels.first else { return atom() }
            guard var left = level(levels.dropFirst()) else { return nil }
            while position < tokens.count, operators.contains(tokens[position]) {
                let symbol = Character(tokens[position])
                position += 1
                guard let right = level(levels.dropFirst()) else { return nil }
                left = .binary(symbol, left, right)
            }
            return left
        }

        private mutating func atom() -> Node? {
            guard position < tokens.count else { return nil }
            let token = tokens[position]
            position += 1
            if token == "(" {
                let inner = expression()
                guard position < tokens.count, tokens[position] == ")" else { return nil }
                position += 1
                return inner
            }
            if let number = Int(token) { return .number(number) }
            guard let first = token.first, first.isLetter || first == "_" else { return nil }
            return .name(token)
        }
    }
}
