import Foundation
import Safetensors
import TestSupport
import Testing

/// `convert --quantise` from the command line.
@Suite struct QuantiseCommandTests {
    private let folder: TemporaryFolder
    private let schema: JSONSchema

    init() throws {
        folder = try TemporaryFolder()
        schema = try JSONSchema("output")
    }

    private func json(_ shape: String, _ arguments: [String]) throws -> JSONObject {
        let result = try Tool.run(list: arguments + ["--json"], in: folder.path)
        #expect(result.code == 0, "\(arguments): \(result.errors)")
        let value = try JSON(parsing: Array(result.output.utf8), file: "\(arguments)")
        #expect(try schema.problems(value, of: shape).isEmpty)
        return try #require(value.object)
    }

    @Test(
        "Each format is written, in the size that it has",
        arguments: [
            // Codes and scales of a weight in bits, by hand: 8 + 32 / 16384 at least, and short blocks more.
            ("fp8-block", 8.002, 8.01), ("fp8-channel", 8.04, 8.13), ("int8", 8.04, 8.13), ("int4-group:32", 4.5, 4.51),
            ("mxfp4", 4.25, 4.2501), ("nvfp4", 4.5, 4.51),
        ])
    func formats(_ name: String, _ least: Double, _ most: Double) throws {
        let plan = try json("plan_of_writing", ["convert", "--quantise", name, Seed.path, "-o", "out", "-n"])
        let plain = try json("plan_of_writing", ["convert", Seed.path, "-o", "plain", "-n"])
        #expect(plan["parameters"] == plain["parameters"])
        let made = try json("write", ["convert", "--quantise", name, Seed.path, "-o", "out", "--verify"])
        #expect(made["bytes"] == plan["bytes"])
        let quantised = try #require(made["quantised"]?.object)
        #expect(quantised["format"]?.string == name)
        // The networks have 352 rows, which blocks of 128 do not fill.
        #expect(quantised["weights"]?.int == (name == "fp8-block" ? 16 : 28))
        let bits = try #require(quantised["bits_per_weight"]?.double)
        #expect((least...most).contains(bits), "\(bits)")
        let again = try Tool.run(
            list: ["convert", "--quantise", name, Seed.path, "-o", "out", "--resume"], in: folder.path)
        #expect(again.code == 0 && again.errors.contains("complete already"))
        let other = try Tool.run(list: ["convert", Seed.path, "-o", "out", "--resume"], in: folder.path)
        #expect(other.code == 2)
    }

    @Test("The default name says the format")
    func defaultName() throws {
        let seed = try folder.copy(Seed.path, as: "seed")
        let result = try Tool.run(list: ["convert", "--quantise", "int4-group:32", seed, "-q"], in: folder.path)
        #expect(result.code == 0)
        #expect(folder.names.contains("seed-int4-g32"))
    }

    @Test("A model and its quantised form are compared by role, and what is quantised again is quantised anew")
    func comparison() throws {
        _ = try json("write", ["convert", "--quantise", "fp8-block", Seed.path, "-o", "fp8"])
        let errors = try json("compare_errors", ["compare", Seed.path, "fp8"])
        var seen: [String: Double] = [:]
        for row in errors["roles"]?.array ?? [] {
            let name = try #require(row.object?["role"]?.string)
            seen[name] = row.object?["relative_error"]?.double
        }
        // Three bits of mantissa: a step of 1/8 of a value's power of two, uniformly, is 1/8 / sqrt(12) of it at most.
        for role in ["attention.q", "attention.o"] {
            let error = try #require(seen[role])
            #expect(error > 0.015 && error < 0.036, "\(role) \(error)")
        }
        #expect(seen["embedding"] == 0 && seen["head"] == 0 && seen["feedForward.up"] == 0)
        #expect(errors["missing"] == .array([]))
        #expect(try Tool.run(list: ["compare", Seed.path, "fp8", "--exact", "-q"], in: folder.path).code == 6)
        #expect(try Tool.run(list: ["compare", Seed.path, "fp8", "--tolerance", "1", "-q"], in: folder.path).code == 0)

        let again = try json("write", ["convert", "--quantise", "int8", "fp8", "-o", "int8"])
        #expect(again["quantised"]?.object?["weights"]?.int == 28)
        let config = try JSON(parsing: contents(folder.path + "/int8/config.json"), file: "config.json")
        #expect(config.object?["quantization_config"]?.object?["quant_method"]?.string == "compressed-tensors")
    }

    @Test(
        "Wrong arguments are told from right ones before anything is read",
        arguments: [
            ["--quantise", "int5"], ["--quantise", "int4-group:12"], ["--quantise", "int4-group:0"],
            ["--quantise", "int4-group:99999999999999999999"], ["--quantise", ""], ["--roles", "experts"],
            ["--scale-search", "mse"], ["--quantise", "int8", "--scale-search", "mse"],
            ["--quantise", "nvfp4", "--scale-search", "best"], ["--quantise", "int8", "--roles", "norms"],
            ["--quantise", "int8", "--roles", ""], ["--quantise", "int8", "--roles", "attention,"],
            ["--quantise", "int8", "--unpack"], ["--quantise", "int8", "--zstd"],
            ["--quantise", "int8", "--dtype", "F8_E4M3"], ["--quantise", "int8", "--allow-nonfinite"],
        ])
    func arguments(_ options: [String]) throws {
        let result = try Tool.run(list: ["convert", Seed.path, "-o", "out"] + options, in: folder.path)
        #expect(result.code == 2, "\(options): \(result.errors)")
        #expect(!result.errors.isEmpty && result.output.isEmpty)
        #expect(folder.names.isEmpty)
    }
}
