import Foundation
import Safetensors
import TestSupport
import Testing

/// What commands print with `--json` has the shape that Formats/schemas/output.schema.json gives.
@Suite struct OutputSchemaTests {
    private let folder: TemporaryFolder
    private let definitions: JSONObject

    init() throws {
        folder = try TemporaryFolder()
        let path = Fixtures.file("../../Formats/schemas/output.schema.json")
        definitions = try #require(JSON(parsing: contents(path), file: path).object?["$defs"]?.object)
    }

    /// What is wrong with a value by a schema of types, members, elements and enumerations.
    private func problems(_ value: JSON, _ schema: JSONObject, at place: String) -> [String] {
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
            guard let rule = properties?[key]?.object ?? schema["additionalProperties"]?.object,
                let member = object[key]
            else { continue }
            found += problems(member, rule, at: "\(place).\(key)")
        }
        return found
    }

    private func check(_ shape: String, _ arguments: [String]) throws {
        let result = try Tool.run(list: arguments + ["--json"], in: folder.path)
        let schema = try #require(definitions[shape]?.object)
        let value = try JSON(parsing: Array(result.output.utf8), file: "\(arguments)")
        #expect(problems(value, schema, at: shape).isEmpty, "\(arguments): \(problems(value, schema, at: shape))")
    }

    @Test func everyShape() throws {
        let words = String(repeating: "Some words of a domain to read. ", count: 100)
        let text = try folder.write("text.txt", Array(words.utf8))
        let runs = (1..<40).map { "1e\(6 + $0 % 5),1e\(8 + $0 % 3),\(1 << ($0 % 4)),\(2 + 10 / Double($0))" }
        let table = try folder.write("runs.csv", Array(("N,D,E,loss\n" + runs.joined(separator: "\n")).utf8))
        try check("plan_of_writing", ["upcycle", "-e", "2", Seed.path, "-o", "moe", "-n"])
        try check("write", ["upcycle", "-e", "2", Seed.path, "-o", "moe"])
        try check("inspect", ["inspect", "moe", "--tensors"])
        try check("compare_roles", ["compare", Seed.path, "moe"])
        try check("compare_tensors", ["compare", Seed.path, Seed.path])
        try check("evaluate", ["evaluate", "moe", Seed.path, "--data", text, "--length", "32"])
        try check("generate", ["generate", Seed.path, "--prompt", "a", "--max-tokens", "2"])
        try check("plan_loss", ["plan", "loss", "-N", "1e9", "-D", "1e10", "-E", "8"])
        try check("plan_optimal", ["plan", "optimal", "--flops", "1e20"])
        try check("plan_cost", ["plan", "cost", "-N", "1e9", "-E", "8"])
        try check(
            "plan_upcycle", ["plan", "upcycle", Seed.path, "-e", "4", "--tokens", "1e9", "--sunk-tokens", "1e10"])
        try check(
            "plan_fit",
            [
                "plan", "fit", "--runs", table, "--starts", "1", "--bootstrap", "1", "--held-out", "0", "--law",
                "chinchilla",
            ])
        try check("tokenizer_train", ["tokenizer", "train", "--data", text, "--vocab-size", "260", "-o", "tok"])
        try check("error", ["inspect", "absent"])
    }
}
