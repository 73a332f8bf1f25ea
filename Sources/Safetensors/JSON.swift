/// A JSON value that keeps what other parsers lose: the order of keys and the text of numbers.
public indirect enum JSON: Sendable, Equatable {
    /// `null`, which also stands for a number that is NaN or infinite.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number's text.
    case number(String)
    /// A string without its quotes.
    case string(String)
    /// Values in their order.
    case array([JSON])
    /// Members in their order.
    case object(JSONObject)

    /// Parses text strictly, after a byte order mark if there is one: no duplicate keys, no comments, nothing after the value.
    ///
    /// - Parameter allowsInfinity: whether `Infinity` is a number, as Python writes one where a configuration has no limit.
    /// - Throws: `SafetensorsError` with the byte offset.
    package init(
        parsing bytes: [UInt8], file: String, maximumDepth: Int = 64, allowsInfinity: Bool = false
    ) throws(SafetensorsError) {
        var result: Result<JSON, SafetensorsError> = .success(.null)
        bytes.withUnsafeBufferPointer { buffer in
            do throws(SafetensorsError) {
                var scanner = JSONScanner(buffer, file: file)
                scanner.skipMark()
                scanner.allowsInfinity = allowsInfinity
                scanner.skipWhitespace()
                let value = try Self.value(&scanner, depth: maximumDepth)
                scanner.skipWhitespace()
                guard scanner.isAtEnd else { throw scanner.failure("expected the end, found \(scanner.found)") }
                result = .success(value)
            } catch {
                result = .failure(error)
            }
        }
        self = try result.get()
    }

    private static func value(_ scanner: inout JSONScanner, depth: Int) throws(SafetensorsError) -> JSON {
        guard depth > 0 else { throw scanner.failure("nested too deeply") }
        switch scanner.peek {
        case UInt8(ascii: "{"):
            try scanner.expect(UInt8(ascii: "{"))
            var object = JSONObject()
            scanner.skipWhitespace()
            if scanner.take(UInt8(ascii: "}")) { return .object(object) }
            while true {
                scanner.skipWhitespace()
                let key = try scanner.string()
                scanner.skipWhitespace()
                try scanner.expect(UInt8(ascii: ":"))
                scanner.skipWhitespace()
                let member = try value(&scanner, depth: depth - 1)
                guard object[key] == nil else { throw scanner.failure("the key \"\(escaped(key))\" appears twice") }
                object[key] = member
                scanner.skipWhitespace()
                if scanner.take(UInt8(ascii: "}")) { return .object(object) }
                try scanner.expect(UInt8(ascii: ","))
            }
        case UInt8(ascii: "["):
            try scanner.expect(UInt8(ascii: "["))
            var elements: [JSON] = []
            scanner.skipWhitespace()
            if scanner.take(UInt8(ascii: "]")) { return .array(elements) }
            while true {
                scanner.skipWhitespace()
                elements.append(try value(&scanner, depth: depth - 1))
                scanner.skipWhitespace()
                if scanner.take(UInt8(ascii: "]")) { return .array(elements) }
                try scanner.expect(UInt8(ascii: ","))
            }
        case UInt8(ascii: "\""): return .string(try scanner.string())
        case UInt8(ascii: "t"):
            try scanner.literal("true")
            return .bool(true)
        case UInt8(ascii: "f"):
            try scanner.literal("false")
            return .bool(false)
        case UInt8(ascii: "n"):
            try scanner.literal("null")
            return .null
        default: return .number(try scanner.number())
        }
    }

    package init(_ value: Int) { self = .number(String(value)) }
    package init(_ value: Bool) { self = .bool(value) }
    package init(_ value: String) { self = .string(value) }

    /// The shortest text that reads back as the same number; JSON has no NaN or infinity, and they become null.
    package init(_ value: Double) {
        self = value.isFinite ? .number(String(value)) : .null
    }

    /// A whole number that fits an `Int`; nil for anything else.
    public var int: Int? { if case .number(let text) = self { Int(text) } else { nil } }
    /// A number; nil for anything else.
    public var double: Double? { if case .number(let text) = self { Double(text) } else { nil } }
    /// A string; nil for anything else.
    public var string: String? { if case .string(let text) = self { text } else { nil } }
    /// A truth value; nil for anything else.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The values of an array; nil for anything else.
    public var array: [JSON]? { if case .array(let elements) = self { elements } else { nil } }
    /// The members of an object; nil for anything else.
    public var object: JSONObject? { if case .object(let object) = self { object } else { nil } }
    package var isNull: Bool { self == .null }

    /// The layout of Python's `json.dumps(value, indent=2, ensure_ascii=False)`.
    public func serialized(sortedKeys: Bool = false) -> String {
        var text = ""
        write(to: &text, indent: 0, sortedKeys: sortedKeys)
        return text
    }

    private func write(to text: inout String, indent: Int, sortedKeys: Bool) {
        let inner = String(repeating: " ", count: indent + 2)
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let number): text += number
        case .string(let string): text += quoted(string)
        case .array(let elements):
            if elements.isEmpty {
                text += "[]"
                return
            }
            text += "[\n"
            for (index, element) in elements.enumerated() {
                text += inner
                element.write(to: &text, indent: indent + 2, sortedKeys: sortedKeys)
                text += index + 1 < elements.count ? ",\n" : "\n"
            }
            text += String(repeating: " ", count: indent) + "]"
        case .object(let object):
            if object.keys.isEmpty {
                text += "{}"
                return
            }
            text += "{\n"
            let keys = sortedKeys ? object.keys.sorted(by: utf8Precedes) : object.keys
            for (index, key) in keys.enumerated() {
                text += inner + quoted(key) + ": "
                object[key]?.write(to: &text, indent: indent + 2, sortedKeys: sortedKeys)
                text += index + 1 < keys.count ? ",\n" : "\n"
            }
            text += String(repeating: " ", count: indent) + "}"
        }
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral {
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A whole number.
    public init(integerLiteral value: Int) { self = .number(String(value)) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
}

extension JSON {
    /// A list of strings.
    package static func strings(_ values: [String]) -> JSON { .array(values.map { .string($0) }) }
}

/// The members of a JSON object in their order.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// The members' names in their order.
    public private(set) var keys: [String] = []
    /// A vocabulary may have both spellings of a letter with an accent.
    private var values: [ExactText: JSON] = [:]

    /// An object without members.
    public init() {}

    /// The members of a literal, in its order.
    public init(dictionaryLiteral elements: (String, JSON)...) {
        for (key, value) in elements { self[key] = value }
    }

    /// A member. One that is set anew keeps its place; a new one comes last; nil removes it.
    public subscript(key: String) -> JSON? {
        get { values[ExactText(key)] }
        set {
            if let newValue {
                if values.updateValue(newValue, forKey: ExactText(key)) == nil { keys.append(key) }
            } else if values.removeValue(forKey: ExactText(key)) != nil {
                keys.removeAll { $0.utf8.elementsEqual(key.utf8) }
            }
        }
    }
}

/// A result that the command line prints as one document with `--json`.
public protocol JSONResult: Sendable {
    /// The document; its keys are always in the same order.
    var json: JSONObject { get }
}

extension JSONResult {
    /// The document as text, laid out like Python's `json.dumps(value, indent=2, ensure_ascii=False)`.
    public var jsonText: String { JSON.object(json).serialized() }
}

/// A JSON string literal, escaped as serde and Python (`ensure_ascii=False`) do it.
package func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\u{8}": result += "\\b"
        case "\u{C}": result += "\\f"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case "\u{0}"..."\u{1F}":
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}

/// The order of UTF-8 bytes, which is the reference's; Swift's own order of strings is by canonical equivalence.
package func utf8Precedes(_ a: String, _ b: String) -> Bool {
    a.utf8.lexicographicallyPrecedes(b.utf8)
}
