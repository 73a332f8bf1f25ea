import Foundation
import Safetensors
import TestSupport
import Testing

/// What commands print with `--json` has the shape that Formats/schemas/output.schema.json gives.
@Suite struct OutputSchemaTests {
    private let folder: TemporaryFolder
    private let schema: JSONSchema

    init() throws {
        folder = try TemporaryFolder()
        schema = try JSONSchema("output")
    }

    private func check(_ shape: String, _ arguments: [String]) throws {
        let result = try Tool.run(list: arguments + ["--json"], in: folder.path)
        let value = try JSON(parsing: Array(result.output.utf8), file: "\(arguments)")
        let problems = try schema.problems(value, of: shape)
        #expect(problems.isEmpty, "\(arguments): \(problems)")
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
        try check("tokenizer_encode", ["tokenizer", "encode", Seed.path])
        try check("tokenizer_decode", ["tokenizer", "decode", Seed.path])
        try check("tokenizer_train", ["tokenizer", "train", "--data", text, "--vocab-size", "260", "-o", "tok"])
        try check("error", ["inspect", "absent"])
    }
}
