import Foundation
package import Safetensors

/// A schema of Formats/schemas: types, members, elements, enumerations and references to its definitions.
package struct JSONSchema {
    private let root: JSONObject

    package init(_ name: String) throws {
        let path = Fixtures.file("../../Formats/schemas/\(name).schema.json")
        let bytes = try Array(Data(contentsOf: URL(filePath: path)))
        guard let root = try JSON(parsing: bytes, file: path).object else { throw CocoaError(.fileReadCorruptFile) }
        self.root = root
    }

    /// What is wrong with a value, by the whole schema or by one of its definitions.
    package func problems(_ value: JSON, of definition: String? = nil) throws -> [String] {
        guard let definition else { return problems(value, root, at: "") }
        guard let rule = self.definition(definition) else { return ["there is no definition \(definition)"] }
        return problems(value, rule, at: definition)
    }

    private func definition(_ name: String) -> JSONObject? { root["$defs"]?.object?[name]?.object }

    private func problems(_ value: JSON, _ schema: JSONObject, at place: String) -> [String] {
        if let reference = schema["$ref"]?.string {
            guard let rule = definition(String(reference.dropFirst("#/$defs/".count))) else {
                return ["\(place): there is no \(reference)"]
            }
            return problems(value, rule, at: place)
        }
        if let values = schema["enum"]?.array { return values.contains(value) ? [] : ["\(place) is \(value.line)"] }
        let types = schema["type"]?.array?.compactMap(\.string) ?? [schema["type"]?.string].compactMap { $0 }
        let type: String =
            switch value {
            case .null: "null"
            case .bool: "boolean"
            case .number: value.int == nil ? "number" : "integer"
            case .string: "string"
            case .array: "array"
            case .object: "object"
            }
        if !types.isEmpty, !types.contains(type), !(type == "integer" && types.contains("number")) {
            return ["\(place) is a \(type), not \(types)"]
        }
        var found: [String] = []
        if let items = schema["items"]?.object {
            for (index, element) in (value.array ?? []).enumerated() {
                found += problems(element, items, at: "\(place)[\(index)]")
            }
        }
        guard let object = value.object else { return found }
        for key in (schema["required"]?.array ?? []).compactMap(\.string) where object[key] == nil {
            found.append("\(place) lacks \(key)")
        }
        let properties = schema["properties"]?.object
        for key in object.keys {
            if let rule = properties?[key]?.object ?? schema["additionalProperties"]?.object, let member = object[key] {
                found += problems(member, rule, at: "\(place).\(key)")
            } else if schema["additionalProperties"]?.bool == false {
                found.append("\(place) has \(key), which is not known")
            }
        }
        return found
    }
}
