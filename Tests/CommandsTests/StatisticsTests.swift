import Foundation
import Safetensors
import TestSupport
import Testing

/// prune and densify by what is measured on text, and merge's measured routers, as a user runs them.
@Suite("Statistics for prune, densify and merge")
struct StatisticsTests {
    private let folder: TemporaryFolder
    /// Two models of 1300 tokens with a tokenizer, their mixture, and text.
    private let models: [String]
    private let mixture: String
    private let text: String

    init() throws {
        folder = try TemporaryFolder()
        var models: [String] = []
        for name in ["a", "b"] {
            models.append(try folder.copy(Fixtures.file("tasks"), as: name))
            try folder.write("\(name)/tokenizer.json", contents(Fixtures.file("tokenizers/gpt2-style/tokenizer.json")))
        }
        self.models = models
        text = folder.path + "/held-out"
        try FileManager.default.createDirectory(atPath: text, withIntermediateDirectories: true)
        for (name, line) in ["a": "Hello world, this is text. ", "b": "def f(x): return x + 1\n"] {
            try folder.write("held-out/\(name).txt", Array(String(repeating: line, count: 200).utf8))
        }
        mixture = folder.path + "/moe"
        let made = try Tool.run(
            "upcycle", models[0], "--experts", "4", "--init", "noise:0.3", "--router", "random:1", "-o", mixture)
        #expect(made.code == 0, "\(made.errors)")
    }

    private func record(_ path: String) throws -> JSONObject {
        let file = path + "/moe-tool.json"
        let steps = try JSON(parsing: contents(file), file: file).object?["steps"]?.array
        return try #require(steps?.last?.object)
    }

    private func kept(_ path: String) throws -> [String: [Int]] {
        let map = try #require(try record(path)["kept"]?.object)
        return Dictionary(
            uniqueKeysWithValues: map.keys.map { ($0, (map[$0]?.array ?? []).compactMap(\.int)) })
    }

    /// The scores of a layer in the file that evaluate wrote.
    private func scores(_ path: String, _ name: String) throws -> [Double] {
        let file = try SafetensorsFile(path: path)
        return try file.bytes(name).withUnsafeBytes { raw in
            (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
        }
    }

    @Test(
        "prune keeps the experts with the highest scores, measured or read",
        arguments: [
            ("reap", "reap"), ("frequency", "frequency"), ("gate-mass", "gate_mass"), ("output-norm", "output_norm"),
        ])
    func prune(_ criterion: String, _ tensor: String) throws {
        let stats = folder.path + "/stats.safetensors"
        let evaluated = try Tool.run("evaluate", mixture, "--data", text, "--length", "64", "--stats", stats, "-q")
        #expect(evaluated.code == 0, "\(evaluated.errors)")
        let read = folder.path + "/read"
        let pruned = try Tool.run(
            "prune", mixture, "--experts", "2", "--criterion", criterion, "--stats", stats, "-o", read)
        #expect(pruned.code == 0, "\(pruned.errors)")
        for (layer, experts) in try kept(read) {
            let values = try scores(stats, "layers.\(layer).\(tensor)")
            let best = values.indices.sorted { values[$0] > values[$1] }.prefix(2).sorted()
            #expect(experts == best, "\(layer): \(values)")
        }
        #expect(try record(read)["criterion"]?.string == criterion)
        let measured = folder.path + "/measured"
        let again = try Tool.run(
            "prune", mixture, "--experts", "2", "--criterion", criterion, "--data", text, "-o", measured)
        #expect(again.code == 0, "\(again.errors)")
        #expect(try kept(measured).count == 2)
        #expect(try Tool.run("evaluate", measured, "--data", text, "--length", "64").code == 0)
    }

    @Test("prune --merge makes groups of experts that are alike", arguments: ["hc", "m-smoe"])
    func merge(_ kind: String) throws {
        let output = folder.path + "/merged"
        let result = try Tool.run(
            "prune", mixture, "--experts", "2", "--merge", kind, "--data", text, "-o", output)
        #expect(result.code == 0, "\(result.errors)")
        #expect(try record(output)["criterion"]?.string == "merge \(kind)")
        let map = try #require(try record(output)["kept"]?.object)
        for layer in map.keys {
            let groups = (map[layer]?.array ?? []).map { $0.int.map { [$0] } ?? ($0.array ?? []).compactMap(\.int) }
            #expect(groups.count == 2)
            #expect(groups.flatMap { $0 }.sorted() == [0, 1, 2, 3])
        }
        #expect(try Tool.run("evaluate", output, "--data", text, "--length", "64").code == 0)
    }

    @Test("densify weighs experts by their use, and by Fisher information")
    func densify() throws {
        let stats = folder.path + "/stats.safetensors"
        let evaluated = try Tool.run(
            "evaluate", mixture, "--data", text, "--length", "64", "--stats", stats, "--fisher", "-q")
        #expect(evaluated.code == 0, "\(evaluated.errors)")
        for (index, arguments) in [
            ["--method", "usage", "--stats", stats], ["--method", "usage", "--data", text],
            ["--method", "fisher:\(stats)"], ["--method", "fisher", "--stats", stats], ["--stats", stats],
        ].enumerated() {
            let output = folder.path + "/dense\(index)"
            let result = try Tool.run(list: ["densify", mixture, "-o", output] + arguments)
            #expect(result.code == 0, "\(arguments): \(result.errors)")
            #expect(try record(output)["method"]?.string == (index < 2 ? "usage" : index < 4 ? "fisher" : "average"))
        }
        // The mean by use of layer 0's gates, from the file's own counts.
        let frequency = try scores(stats, "layers.0.frequency")
        let weights = try (0..<4).map {
            try values(mixture, "model.layers.0.block_sparse_moe.experts.\($0).w1.weight")
        }
        let found = try values(folder.path + "/dense0", "model.layers.0.mlp.gate_proj.weight")
        let total = frequency.reduce(0, +)
        for i in found.indices {
            let mean = zip(frequency, weights).reduce(0) { $0 + $1.0 * Double($1.1[i]) } / total
            // BF16 keeps 8 bits.
            #expect(abs(mean - Double(found[i])) <= abs(mean) / 256 + 1e-6)
        }
    }

    /// The values of a BF16 tensor.
    private func values(_ model: String, _ name: String) throws -> [Float] {
        let file = try SafetensorsFile(path: model + "/model.safetensors")
        return try file.bytes(name).withUnsafeBytes { raw in
            (0..<raw.count / 2).map {
                Float(bitPattern: UInt32(raw.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)) << 16)
            }
        }
    }

    @Test("A model whose gates do not add up to one is made dense with the mass that was measured")
    func gateMass() throws {
        let prefix = ["upcycle", "--experts", "4", "--norm-topk", "off", "--scale", "none", "--target"]
        let moe = folder.path + "/unnormalised"
        let qwen = try folder.copy(Fixtures.model("qwen2-tied"), as: "q")
        let made = try Tool.run(list: prefix + ["qwen2_moe", qwen, "-o", moe])
        #expect(made.code == 0, "\(made.errors)")
        let plain = try Tool.run("densify", moe, "-o", folder.path + "/plain")
        #expect(plain.output.contains("for want of data"), "\(plain.output)")
        // The fixture's vocabulary of 96 takes no text: tokens as they are.
        try folder.write("ids.bin", (0..<4096).flatMap { [UInt8($0 * 7 % 96), 0] })
        let measured = try Tool.run(
            "densify", moe, "-o", folder.path + "/measured", "--data", "x=\(folder.path)/ids.bin:uint16")
        #expect(measured.code == 0, "\(measured.errors)")
        #expect(!measured.output.contains("for want of data"), "\(measured.output)")
    }

    @Test(
        "What is needed and not given is said",
        arguments: [
            (["prune", "%/moe", "--experts", "2"], 2, "--stats"),
            (["prune", "%/moe", "--experts", "2", "--merge", "hc"], 2, "measured on text"),
            (["densify", "%/moe", "--method", "usage"], 2, "measured on text"),
            (["densify", "%/moe", "--method", "fisher"], 2, "--fisher"),
            (["densify", "%/moe", "--method", "learned"], 2, "--learn-mixture"),
            (["prune", "%/moe", "--experts", "2", "--stats", "%/a/model.safetensors"], 3, "evaluation with --stats"),
            (["merge", "%/a", "%/b", "--router", "domain:%/held-out/a.txt"], 4, "no domain for expert 1"),
            (["merge", "%/a", "--into", "%/moe", "--router", "domain:%/held-out"], 2, "new mixture"),
        ])
    func refusals(_ arguments: [String], _ code: Int32, _ message: String) throws {
        let list = arguments.map { $0.replacingOccurrences(of: "%", with: folder.path) }
        let result = try Tool.run(list: list + ["-o", folder.path + "/out"])
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(message), "\(result.errors)")
        #expect(!folder.names.contains("out"))
    }

    @Test("merge writes the rows that were measured, for the command line and for a recipe")
    func router() throws {
        let direct = try Tool.run(
            list: ["merge"] + models + ["--router", "domain:" + text, "-o", folder.path + "/direct"])
        #expect(direct.code == 0, "\(direct.errors)")
        #expect(try record(folder.path + "/direct")["router"]?.string == "domain")
        let recipe = try folder.write(
            "recipe.yaml", Array("models: [a, b]\nrouter: domain:held-out\nrouter-std: 1\n".utf8))
        let other = try Tool.run("merge", recipe, "-o", folder.path + "/recipe")
        #expect(other.code == 0, "\(other.errors)")
        let name = "model.layers.1.block_sparse_moe.gate.weight"
        let rows = try values(folder.path + "/direct", name)
        #expect(rows == (try values(folder.path + "/recipe", name)))
        #expect(rows.count == 32)
        // Centred: what one expert's row has, the other's has not.
        for i in 0..<16 { #expect(rows[i] == -rows[16 + i]) }
        let config = """
            {"base_model": "a", "gate_mode": "cheap_embed", "experts": [
              {"source_model": "a", "positive_prompts": ["Hello"]}, {"source_model": "b", "positive_prompts": ["def f"]}]}
            """
        let mergekit = try folder.write("mergekit.yaml", Array(config.utf8))
        let cheap = try Tool.run("merge", mergekit, "-o", folder.path + "/cheap")
        #expect(cheap.code == 0, "\(cheap.errors)")
        let row = try values(folder.path + "/cheap", name).prefix(16)
        #expect(abs(row.reduce(0) { $0 + $1 * $1 } - 1) < 0.02, "a row of unit length")
    }
}
