import Checkpoints
import Safetensors
import Yams

/// A YAML mapping that knows which of its keys were asked for, so that none is overlooked.
struct RecipeMapping {
    let file: String
    /// Where it lies: "models[0].parameters".
    let path: String
    private let members: [String: Node]
    private let order: [String]

    /// The document of a file.
    static func document(_ file: String) throws -> RecipeMapping {
        try RecipeMapping(YAMLDocument.node(file), file: file, path: "")
    }

    init(_ node: Node, file: String, path: String) throws {
        self.file = file
        self.path = path
        guard let mapping = node.mapping else {
            throw CheckpointError(
                .usage, file: file,
                message: "\(path.isEmpty ? "the recipe" : path) should be a mapping of keys to values")
        }
        var members: [String: Node] = [:]
        var order: [String] = []
        for (key, value) in mapping {
            guard let name = key.string else {
                throw CheckpointError(.usage, file: file, message: "\(path): a key is not a string")
            }
            guard members.updateValue(value, forKey: name) == nil else {
                throw CheckpointError(.usage, file: file, message: "\(location(name)) is given twice")
            }
            order.append(name)
        }
        self.members = members
        self.order = order
        func location(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }
    }

    var keys: [String] { order }

    /// The folder that the file is in.
    var folder: String { file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "." }

    /// `KIND:PATH` with the path taken from the recipe's folder where it is there and not here.
    func resolving(_ text: String) throws -> String {
        guard let colon = text.firstIndex(of: ":") else { return text }
        let path = String(text[text.index(after: colon)...])
        guard !path.hasPrefix("/"), try !fileExists(path), try fileExists(folder + "/" + path) else { return text }
        return text[...colon] + folder + "/" + path
    }

    func has(_ key: String) -> Bool { members[key].map { $0.null == nil } ?? false }

    private func location(_ key: String) -> String { path.isEmpty ? key : "\(path).\(key)" }

    func failure(_ key: String, _ message: String) -> CheckpointError {
        let line = members[key]?.mark.map { "line \($0.line): " } ?? ""
        return CheckpointError(.usage, file: file, message: "\(line)\(location(key)): \(message)")
    }

    /// - Throws: `CheckpointError` for a key that is not one of these, with the nearest that is.
    func check(known: [String]) throws {
        for key in order where !known.contains(key) {
            let nearest =
                known.first { $0.hasPrefix(key) || key.hasPrefix($0) }
                ?? known.min { distance(key, $0) < distance(key, $1) }.flatMap {
                    distance(key, $0) <= max(2, key.count / 3) ? $0 : nil
                }
            let hint = nearest.map { "; did you mean \($0)?" } ?? ""
            throw failure(key, "no such key\(hint.isEmpty ? "; known are \(known.joined(separator: ", "))" : hint)")
        }
    }

    func string(_ key: String) throws -> String? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let value = node.scalar?.string else { throw failure(key, "expected a string") }
        return value
    }

    func bool(_ key: String) throws -> Bool? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let value = node.bool else { throw failure(key, "expected true or false") }
        return value
    }

    func int(_ key: String) throws -> Int? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let value = node.int else { throw failure(key, "expected a whole number") }
        return value
    }

    func ints(_ key: String) throws -> [Int]? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let sequence = node.sequence, sequence.allSatisfy({ $0.int != nil }) else {
            throw failure(key, "expected a list of whole numbers")
        }
        return sequence.compactMap(\.int)
    }

    func double(_ key: String) throws -> Double? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let value = node.float, value.isFinite else { throw failure(key, "expected a number") }
        return value
    }

    func strings(_ key: String) throws -> [String]? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let sequence = node.sequence else { throw failure(key, "expected a list of strings") }
        return try sequence.map { element in
            guard let value = element.scalar?.string else { throw failure(key, "expected a list of strings") }
            return value
        }
    }

    func mapping(_ key: String) throws -> RecipeMapping? {
        guard let node = members[key], node.null == nil else { return nil }
        return try RecipeMapping(node, file: file, path: location(key))
    }

    /// A list whose elements are mappings, or strings that stand for a mapping with the one key `short`.
    func list(_ key: String, short: String? = nil) throws -> [RecipeMapping]? {
        guard let node = members[key], node.null == nil else { return nil }
        guard let sequence = node.sequence else { throw failure(key, "expected a list") }
        return try sequence.enumerated().map { index, element in
            let place = "\(location(key))[\(index)]"
            if let short, element.scalar != nil {
                return try RecipeMapping(Node([(Node(short), element)]), file: file, path: place)
            }
            return try RecipeMapping(element, file: file, path: place)
        }
    }

    /// A number, a gradient, or either by filters.
    func setting(_ key: String) throws -> MergeSetting? {
        guard let node = members[key], node.null == nil else { return nil }
        return try setting(node, key)
    }

    private func setting(_ node: Node, _ key: String) throws -> MergeSetting {
        if let value = node.float, value.isFinite { return .value(value) }
        if let value = node.bool { return .value(value ? 1 : 0) }
        if node.mapping != nil { return .filtered([try filtered(node, key)]) }
        guard let sequence = node.sequence, !sequence.isEmpty else {
            throw failure(key, "expected a number, a list of numbers, or a list of {filter, value}")
        }
        if sequence.allSatisfy({ $0.float != nil }) { return .gradient(sequence.compactMap(\.float)) }
        return .filtered(
            try sequence.map { element in
                element.mapping != nil
                    ? try filtered(element, key)
                    : MergeSetting.Filtered(filter: nil, setting: try setting(element, key))
            })
    }

    private func filtered(_ node: Node, _ key: String) throws -> MergeSetting.Filtered {
        let entry = try RecipeMapping(node, file: file, path: location(key))
        try entry.check(known: ["filter", "value"])
        guard let value = try entry.setting("value") else { throw failure(key, "a filter without a value") }
        return MergeSetting.Filtered(filter: try entry.string("filter"), setting: value)
    }
}

/// The number of letters to insert, remove or replace (Levenshtein).
private func distance(_ a: String, _ b: String) -> Int {
    let (x, y) = (Array(a), Array(b))
    var row = Array(0...y.count)
    for i in 0..<x.count {
        var diagonal = row[0]
        row[0] = i + 1
        for j in 0..<y.count {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x[i] == y[j] ? 0 : 1))
            diagonal = above
        }
    }
    return row[y.count]
}
