extension JSON {
    /// The value in one line: what a line of a JSON Lines file holds.
    package var line: String {
        switch self {
        case .null: "null"
        case .bool(let value): value ? "true" : "false"
        case .number(let number): number
        case .string(let string): quoted(string)
        case .array(let elements): "[" + elements.map(\.line).joined(separator: ", ") + "]"
        case .object(let object):
            "{" + object.keys.map { quoted($0) + ": " + (object[$0] ?? .null).line }.joined(separator: ", ") + "}"
        }
    }
}
