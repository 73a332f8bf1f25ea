import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Merging models")
struct MergeTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ checkpoint: Checkpoint, _ name: String = UUID().uuidString) async throws -> String {
        let path = folder.path + "/" + name
        try await checkpoint.write(to: path)
        return path
    }

    private func opened(_ name: String, _ seeds: [UInt64]) throws -> [Checkpoint] {
        try seeds.map {
            let path = folder.path + "/v\($0)"
            return try Checkpoint(
                at: FileManager.default.fileExists(atPath: path)
                    ? path : folder.variant(of: name, seed: $0, as: "v\($0)"))
        }
    }

    @Test("Experts are the models' networks, everything else their mean")
    func branchTrainMix() async throws {
        let models = try opened("mistral", [1, 2, 3])
        let path = try await write(Checkpoint.merging(models))
        let sources = try (1...3).map { try folder.tensors(folder.path + "/v\($0)") }
        let result = try folder.tensors(path)
        for (expert, source) in sources.enumerated() {
            for (mine, theirs) in [("w1", "gate_proj"), ("w3", "up_proj"), ("w2", "down_proj")] {
                #expect(
                    result["model.layers.1.block_sparse_moe.experts.\(expert).\(mine).weight"]
                        == source["model.layers.1.mlp.\(theirs).weight"])
            }
        }
        let name = "model.layers.0.self_attn.q_proj.weight"
        let parts = try (1...3).map { try folder.floats(folder.path + "/v\($0)", name) }
        let mean = parts[0].indices.map { i in
            Float((Double(parts[0][i]) + Double(parts[1][i]) + Double(parts[2][i])) / 3)
        }
        #expect(try folder.floats(path, name) == mean)
        let merged = try Checkpoint(at: path)
        #expect(try merged.description.size("experts") == 3)
        #expect(try merged.description.size("top_k") == 2)
    }

    static let identities: [MergeMethod] = [
        .linear, .taskArithmetic, .ties, .dareLinear, .dareTies, .della, .breadcrumbs, .modelStock, .sce, .base,
        .frozen,
    ]

    @Test("Copies merge to the model, byte for byte", arguments: identities)
    func copies(_ method: MergeMethod) async throws {
        let model = try Checkpoint(at: Fixtures.model("mistral"))
        var options = MergeOptions()
        options.average = method
        options.settings.weights = [.value(0.3), .value(0.5), .value(0.4)]
        let dense = try await write(Checkpoint.mergingDense([model, model, model], base: model, options: options))
        #expect(try folder.tensors(dense) == folder.tensors(Fixtures.model("mistral")))
        let mixture = try folder.tensors(
            await write(Checkpoint.merging([model, model, model], base: model, options: options)))
        for (name, bytes) in try folder.tensors(Fixtures.model("mistral")) where !name.contains("mlp") {
            #expect(mixture[name] == bytes, "\(name)")
        }
    }

    @Test("Models join a mixture that stays as it is")
    func into() async throws {
        let models = try opened("mistral", [1, 2, 3])
        let old = try await write(Checkpoint.merging(Array(models.prefix(2))))
        var options = MergeOptions()
        options.seed = 5
        let new = try await write(Checkpoint(at: old).adding([models[2]], options: options))
        let before = try folder.tensors(old)
        let after = try folder.tensors(new)
        for (name, bytes) in before {
            if name.hasSuffix("gate.weight") {
                #expect(Array(after[name]?.prefix(bytes.count) ?? []) == bytes)
                #expect(after[name]?.count == bytes.count / 2 * 3)
            } else {
                #expect(after[name] == bytes, "\(name)")
            }
        }
        #expect(
            after["model.layers.0.block_sparse_moe.experts.2.w1.weight"]
                == (try folder.tensors(folder.path + "/v3"))["model.layers.0.mlp.gate_proj.weight"])
        #expect(try Checkpoint(at: new).description.size("top_k") == 2)
    }

    @Test("A mixture's experts join in their order")
    func mixtures() async throws {
        let models = try opened("mistral", [1, 2, 3])
        let first = try await write(Checkpoint.merging(Array(models.prefix(2))), "first")
        let all = try await write(Checkpoint.merging([Checkpoint(at: first), models[2]]))
        let tensors = try folder.tensors(all)
        for seed in 1...3 {
            #expect(
                tensors["model.layers.0.block_sparse_moe.experts.\(seed - 1).w2.weight"]
                    == (try folder.tensors(folder.path + "/v\(seed)"))["model.layers.0.mlp.down_proj.weight"])
        }
    }

    @Test("Split cuts each network, blend joins the chunks of all")
    func arrangements() async throws {
        let models = try opened("mistral", [1, 2])
        var options = MergeOptions()
        options.arrangement = .split(2)
        options.scale = 1
        let split = try await write(Checkpoint.merging(models, options: options))
        options.arrangement = .blend(2)
        let blend = try await write(Checkpoint.merging(models, options: options))
        let up = "model.layers.0.mlp.up_proj.weight"
        let sources = try [1, 2].map { try folder.floats(folder.path + "/v\($0)", up) }
        let half = sources[0].count / 2
        #expect(
            try folder.floats(split, "model.layers.0.block_sparse_moe.experts.3.w3.weight")
                == Array(sources[1][half...]))
        #expect(
            try folder.floats(blend, "model.layers.0.block_sparse_moe.experts.1.w3.weight")
                == Array(sources[0][half...]) + Array(sources[1][half...]))
        #expect(try Checkpoint(at: split).description.size("experts") == 4)
        #expect(try Checkpoint(at: blend).description.size("expert_inner") == 48)
        // Columns of the down projection, row by row.
        let down = try folder.floats(folder.path + "/v2", "model.layers.0.mlp.down_proj.weight")
        let chunk = try folder.floats(blend, "model.layers.0.block_sparse_moe.experts.0.w2.weight")
        #expect(Array(chunk[24..<48]) == Array(down[0..<24]))
    }

    @Test("Router rows come from a file, or are refused with what is wrong")
    func routerFile() async throws {
        let models = try opened("mistral", [1, 2])
        let values: [Float] = (0..<64).map { Float($0) / 8 }
        let bytes = values.withUnsafeBytes { Array($0) }
        let path = folder.path + "/router.safetensors"
        try writeSafetensors(
            try (0..<2).map {
                ("model.layers.\($0).block_sparse_moe.gate.weight", .f32, try Shape([2, 32]), bytes)
            }, to: path)
        var options = MergeOptions()
        options.router = .file(path)
        let merged = try await write(Checkpoint.merging(models, options: options))
        #expect(try folder.floats(merged, "model.layers.1.block_sparse_moe.gate.weight") == values)
        let three = try opened("mistral", [1, 2, 3])
        let error = try #require(throws: CheckpointError.self) { try Checkpoint.merging(three, options: options) }
        #expect(error.code == .incompatible)
        #expect(error.message.contains("[3, 32]"))
    }

    @Test("What does not fit together is shown in one table, before anything is written")
    func incompatible() throws {
        let mistral = try Checkpoint(at: Fixtures.model("mistral"))
        let llama = try Checkpoint(at: Fixtures.model("llama"))
        let error = try #require(throws: CheckpointError.self) { try Checkpoint.merging([mistral, llama]) }
        #expect(error.code == .incompatible)
        #expect(error.message.contains("! family"))
        #expect(error.message.contains("llama"))
        let branch = try opened("mistral", [1])[0]
        var options = MergeOptions()
        options.average = .frozen
        let frozen = try #require(throws: CheckpointError.self) {
            try Checkpoint.merging([mistral, branch], options: options)
        }
        #expect(frozen.message.contains("model.layers.0.self_attn.q_proj.weight"))
    }

    /// W + (alpha / r) B A by hand: one row of B times two rows of A.
    @Test("A LoRA adapter is its base with the low-rank change", arguments: [false, true])
    func adapter(_ stabilised: Bool) async throws {
        let base = try folder.copy(Fixtures.model("mistral"), as: "base")
        let adapter = folder.path + "/adapter"
        try FileManager.default.createDirectory(atPath: adapter, withIntermediateDirectories: true)
        try folder.write(
            "adapter/adapter_config.json",
            Array(
                #"{"peft_type": "LORA", "r": 2, "lora_alpha": 6, "use_rslora": \#(stabilised), "base_model_name_or_path": "base"}"#
                    .utf8))
        var generator = SeededGenerator(seed: 3)
        let a = (0..<2 * 32).map { _ in Float.random(in: -1...1, using: &generator) }
        let b = (0..<48 * 2).map { _ in Float.random(in: -1...1, using: &generator) }
        let module = "base_model.model.model.layers.1.mlp.up_proj"
        try writeSafetensors(
            [
                (module + ".lora_A.weight", .f32, try Shape([2, 32]), a.withUnsafeBytes { Array($0) }),
                (module + ".lora_B.weight", .f32, try Shape([48, 2]), b.withUnsafeBytes { Array($0) }),
            ], to: adapter + "/adapter_model.safetensors")
        let path = try await write(Checkpoint(at: adapter, adapterBase: base))
        let name = "model.layers.1.mlp.up_proj.weight"
        let old = try folder.floats(base, name)
        let scale = stabilised ? 6 / 2.0.squareRoot() : 3
        for (i, value) in try folder.floats(path, name).enumerated() {
            let (row, column) = (i / 32, i % 32)
            let change = (0..<2).reduce(0.0) { $0 + Double(b[row * 2 + $1]) * Double(a[$1 * 32 + column]) }
            #expect(abs(Double(value) - (Double(old[i]) + scale * change)) < 1e-5)
        }
        var rest = try folder.tensors(path)
        var expected = try folder.tensors(base)
        rest[name] = nil
        expected[name] = nil
        #expect(rest == expected)
    }

    @Test("Gradients and filters, as mergekit evaluates them")
    func settings() {
        let gradient = MergeSetting.gradient([0, 0.5, 1])
        #expect(gradient.value(for: "x", depth: 0.25) == 0.25)
        #expect(gradient.value(for: "x", depth: 1) == 1)
        let filtered = MergeSetting.filtered([
            .init(filter: "self_attn", setting: .value(0.1)), .init(filter: nil, setting: .gradient([1, 3])),
        ])
        #expect(filtered.value(for: "model.layers.0.self_attn.q_proj.weight", depth: 0) == 0.1)
        #expect(filtered.value(for: "model.norm.weight", depth: 0.5) == 2)
    }

    /// Two vocabularies of 96 tokens: the second has the first's tokens from t6 on, six places earlier, and six of its own.
    private func withTokenizers() throws -> [Checkpoint] {
        try [(1, 0), (2, 6)].map { seed, first in
            let path = try folder.variant(of: "mistral", seed: UInt64(seed), as: "t\(seed)")
            let vocabulary = (0..<96).map { "\"t\($0 + first)\": \($0)" }.joined(separator: ", ")
            try folder.write(
                "t\(seed)/tokenizer.json",
                Array(
                    #"{"model": {"type": "BPE", "vocab": {\#(vocabulary)}, "merges": []}, "added_tokens": [{"id": 1, "content": "t\#(1 + first)"}]}"#
                        .utf8))
            return try Checkpoint(at: path)
        }
    }

    @Test("Embedding rows go by their tokens, and the tokenizer with them", arguments: VocabularyChoice.allCases)
    func vocabularies(_ choice: VocabularyChoice) async throws {
        let models = try withTokenizers()
        let refused = try #require(throws: CheckpointError.self) { try Checkpoint.merging(models) }
        #expect(refused.message.contains("6 tokens that t1 has not"))
        #expect(refused.message.contains("90 under other ids"))
        #expect(refused.message.contains("`vocab`"))
        var options = MergeOptions()
        options.vocabulary = choice
        let path = try await write(Checkpoint.merging(models, options: options))
        let name = "model.embed_tokens.weight"
        let (a, b) = (try folder.floats(folder.path + "/t1", name), try folder.floats(folder.path + "/t2", name))
        let merged = try folder.floats(path, name)
        let count = choice == .base ? 96 : choice == .union ? 102 : 90
        #expect(merged.count == count * 32)
        #expect(try Checkpoint(at: path).description.size("vocab") == count)
        // The first of the result that both have is t6: row 6 of the one, row 0 of the other.
        let both = choice == .intersect ? 0 : 6
        for i in 0..<32 {
            #expect(merged[both * 32 + i] == Float((Double(a[6 * 32 + i]) + Double(b[i])) / 2))
            if choice != .intersect { #expect(merged[i] == a[i]) }
            if choice == .union { #expect(merged[101 * 32 + i] == b[95 * 32 + i]) }
        }
        let json = try JSON(
            parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path + "/tokenizer.json"))), file: "tokenizer.json")
        let vocabulary = json.object?["model"]?.object?["vocab"]?.object
        #expect(vocabulary?["t6"]?.int == both)
        #expect(vocabulary?["t0"]?.int == (choice == .intersect ? nil : 0))
        // t7 is an added token of the second model, and joins those of the union only where it is new; t1 is the first's.
        let added = json.object?["added_tokens"]?.array?.compactMap { $0.object?["content"]?.string }
        #expect(added == (choice == .intersect ? [] : ["t1"]))
    }
}
