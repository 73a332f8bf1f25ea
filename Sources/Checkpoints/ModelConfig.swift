package import Safetensors

/// A checkpoint's `config.json`, with the order of its keys and the keys that nobody knows.
package struct ModelConfig: Sendable {
    /// The file, for messages.
    package let file: String
    package var object: JSONObject
    /// What the model lies in and beside.
    package var surroundings = Surroundings()

    static let maximumSize = 16 << 20
    /// No size, count or id of a model is larger: sums of two of them do not overflow.
    private static let largestNumber: UInt = 1 << 40

    package init(object: JSONObject, file: String) {
        self.object = object
        self.file = file
    }

    /// - Throws: `SafetensorsError` where the file cannot be read or is not JSON, `CheckpointError` where it is not an
    ///   object.
    package init(contentsOf path: String) throws {
        let bytes = try PosixFile.contents(path, limit: Self.maximumSize)
        guard let object = try JSON(parsing: bytes, file: path, allowsInfinity: true).object else {
            throw CheckpointError(.malformed, file: path, message: "expected a JSON object")
        }
        self.init(object: object, file: path)
    }

    /// The file's text: two spaces of indentation, a line feed at the end.
    package var text: String { JSON.object(wrapped).serialized() + "\n" }

    package func failure(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
        CheckpointError(code, file: file, message: message)
    }

    /// A value under any of the spellings that the family knows; the class's default where there is none; nil for null,
    /// which a configuration states where it does not want the default.
    ///
    /// - Throws: `CheckpointError` where two spellings disagree.
    package func value(_ key: String, _ architecture: Architecture) throws -> JSON? {
        var found: (key: String, value: JSON)?
        var isNull = false
        for spelling in [key] + (architecture.aliases[key] ?? []) {
            guard let value = object[spelling] else { continue }
            if value.isNull {
                isNull = true
                continue
            }
            if let found, !Self.same(found.value, value) {
                throw failure(
                    .incompatible,
                    "\(found.key) is \(found.value.serialized()) and \(spelling) is "
                        + "\(value.serialized()): they mean the same and must agree")
            }
            found = (spelling, value)
        }
        if let found { return found.value }
        if isNull { return nil }
        let value = architecture.defaults[key]
        return value?.isNull == true ? nil : value
    }

    /// A whole number.
    package func int(_ key: String, _ architecture: Architecture) throws -> Int? {
        guard var value = try value(key, architecture) else { return nil }
        if let list = value.array, let first = list.first {
            guard list.allSatisfy({ Self.same($0, first) }) else {
                throw failure(.incompatible, "\(key) differs from layer to layer, and moe-tool has one for all layers")
            }
            value = first
        }
        // Some tools write sizes as 4096.0.
        if let number = value.int ?? value.double.flatMap({ Int(exactly: $0) }) {
            guard number.magnitude <= Self.largestNumber else {
                throw failure(.malformed, "\(key) is \(number), which no model has")
            }
            return number
        }
        throw failure(.malformed, "\(key) must be a whole number, found \(escaped(value.serialized()))")
    }

    /// A finite number.
    package func double(_ key: String, _ architecture: Architecture) throws -> Double? {
        guard let value = try value(key, architecture) else { return nil }
        guard let double = value.double, double.isFinite else {
            throw failure(.malformed, "\(key) must be a number, found \(escaped(value.serialized()))")
        }
        return double
    }

    /// Whether a condition of an architecture file holds: a key that is true, not zero and not empty; with `!`, not so;
    /// several of them joined by `&&`.
    package func holds(_ condition: String, _ architecture: Architecture) throws -> Bool {
        let terms = condition.split(separator: " && ").map(String.init)
        if terms.count > 1 { return try terms.allSatisfy { try holds($0, architecture) } }
        if condition.hasPrefix("!") { return try !holds(String(condition.dropFirst()), architecture) }
        switch try value(condition, architecture) {
        case nil, .null, .bool(false): return false
        case .number(let text): return Double(text) != 0
        case .string(let text): return !text.isEmpty
        case .array(let elements): return !elements.isEmpty
        case .bool, .object: return true
        }
    }
}
