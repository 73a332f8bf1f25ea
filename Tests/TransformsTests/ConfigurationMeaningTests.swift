import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Configurations by what they mean")
struct ConfigurationMeaningTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func model(_ name: String, _ values: [String: Any?] = [:]) throws -> Checkpoint {
        try Checkpoint(at: folder.copy(Fixtures.model(name), as: UUID().uuidString, setting: values))
    }

    private func refusal(_ body: () throws -> Void) throws -> CheckpointError {
        try #require(throws: CheckpointError.self) { try body() }
    }

    private static let functions: [(String, String, any Sendable)] = [
        ("granite", "residual_multiplier", 0.5), ("granite", "embedding_multiplier", 7.0),
        ("granite", "attention_multiplier", 0.3), ("granite", "logits_scaling", 3.0),
        ("llama", "rms_norm_eps", 1e-3), ("mistral", "sliding_window", 7), ("gemma2", "attn_logit_softcapping", 11.0),
        ("gemma2", "final_logit_softcapping", 11.0), ("gemma2", "query_pre_attn_scalar", 9),
        ("qwen3-moe", "num_experts_per_tok", 1), ("deepseek-v3", "routed_scaling_factor", 9.0),
        ("gpt-oss", "swiglu_limit", 3.0), ("phimoe", "router_jitter_noise", 0.3),
    ]

    @Test("Models of different functions are not merged", arguments: functions.indices)
    func differentFunctions(_ index: Int) throws {
        let (name, key, value) = Self.functions[index]
        let models = [try model(name), try model(name, [key: value])]
        let dense = try refusal { _ = try Checkpoint.mergingDense(models) }
        #expect(dense.code == .incompatible && dense.message.contains("the models differ in"), "\(dense)")
        if ["llama", "mistral", "granite"].contains(name) {
            #expect(try refusal { _ = try Checkpoint.merging(models) }.code == .incompatible)
        }
    }

    @Test("Gates that are divided by their sum are not merged with others")
    func renormalisation() throws {
        let models = [
            try model("qwen3-moe", ["norm_topk_prob": true]), try model("qwen3-moe", ["norm_topk_prob": false]),
        ]
        #expect(try refusal { _ = try Checkpoint.merging(models) }.message.contains("gates"))
        let dense = [try model("mistral", ["sliding_window": 7])]
        let mixture = try Checkpoint.merging([try model("mistral"), try model("mistral")])
        #expect(try refusal { _ = try mixture.adding(dense) }.message.contains("sliding window"))
    }

    @Test("Equal functions in other words are merged")
    func equalFunctions() throws {
        let words: [[String: Any?]] = [
            ["rope_theta": 10000, "rope_parameters": nil, "rope_scaling": nil],
            ["rope_theta": 1e4, "rope_parameters": nil, "rope_scaling": nil],
            [
                "rope_theta": nil, "rope_parameters": ["rope_theta": 10000.0, "rope_type": "default"],
                "rope_scaling": nil,
            ],
            ["rope_theta": nil, "rope_parameters": nil, "rope_scaling": nil],
            [
                "rope_theta": 10000, "rope_parameters": nil, "rope_scaling": ["rope_type": "linear", "factor": 1.0],
                "hidden_act": "swish",
            ],
        ]
        let models = try words.map { try model("llama", $0) }
        #expect(try Checkpoint.merging(models).description.size("experts") == 5)
        _ = try Checkpoint.mergingDense(models)
    }

    // A tied head is the embedding: the mean of the two heads by hand.
    @Test("Tied and untied models unite with the head spelled out")
    func tiedAndUntied() async throws {
        let untied = folder.path + "/untied"
        try await model("qwen2-tied").write(to: untied)
        var tensors = try folder.tensors(untied)
        let shape = try #require(
            try SafetensorsFile(path: untied + "/model.safetensors").header.tensors.first {
                $0.name == "model.embed_tokens.weight"
            }?.shape)
        let embedding = try folder.floats(untied, "model.embed_tokens.weight")
        let head = embedding.indices.map { Float($0 % 17) / 8 }
        tensors["lm_head.weight"] = head.withUnsafeBytes { Array($0) }
        let header = try SafetensorsFile(path: untied + "/model.safetensors").header.tensors
        try FileManager.default.removeItem(atPath: untied + "/model.safetensors")
        try writeSafetensors(
            header.map { ($0.name, $0.dtype, $0.shape, tensors[$0.name] ?? []) }
                + [("lm_head.weight", .f32, shape, tensors["lm_head.weight"] ?? [])],
            metadata: ["format": "pt"], to: untied + "/model.safetensors")
        let other = try Checkpoint(at: folder.copy(untied, as: "other", setting: ["tie_word_embeddings": false]))
        let models = [try model("qwen2-tied"), other]
        for (index, merged) in [try Checkpoint.mergingDense(models), try Checkpoint.merging(models)].enumerated() {
            let path = folder.path + "/merged\(index)"
            try await merged.write(to: path)
            #expect(try Checkpoint(at: path).description.config.object["tie_word_embeddings"]?.bool == false)
            let mean = zip(embedding, head).map { Float((Double($0) + Double($1)) / 2) }
            #expect(try folder.floats(path, "lm_head.weight") == mean)
        }
    }

    // transformers 5.24: LlamaConfig's heads share nothing where num_key_value_heads is absent, MixtralConfig's are 8;
    // Qwen3MoeAttention's heads are hidden_size / num_attention_heads where head_dim is absent, Qwen3Config's are 128.
    @Test("What the source means by an absent key is written out")
    func absentKeys() throws {
        let llama = try empty([
            "model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
            "intermediate_size": 48, "vocab_size": 96,
        ])
        for target in ["mixtral", "qwen2_moe", "granitemoe"] {
            var options = UpcycleOptions(experts: 2)
            options.target = target
            let moe = try llama.upcycled(options).checkpoint.description.config.object
            #expect(moe["num_key_value_heads"]?.int == 4, "\(target)")
            #expect(moe["rms_norm_eps"]?.double == 1e-6, "\(target)")
        }
        let other = try empty(llama.description.config.object)
        let merged = try Checkpoint.merging([llama, other]).description.config.object
        #expect(merged["num_key_value_heads"]?.int == 4)
        let mixture = try empty([
            "model_type": "qwen3_moe", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
            "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16, "intermediate_size": 48,
            "vocab_size": 96,
        ])
        let dense = try mixture.densified().description.config.object
        #expect(dense["head_dim"]?.int == 8 && dense["num_key_value_heads"]?.int == 4)
    }

    /// A checkpoint of zeros.
    private func empty(_ config: JSONObject) throws -> Checkpoint {
        let path = folder.path + "/" + UUID().uuidString
        let family = try #require(try config["model_type"]?.string.flatMap { try Architecture.named($0) })
        let description = try ModelDescription(family, ModelConfig(object: config, file: "config.json"))
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        try writeSafetensors(
            description.expectedTensors().map { tensor in
                let count = 4 * tensor.shape.reduce(1, *)
                return (tensor.name, .f32, try Shape(tensor.shape), [UInt8](repeating: 0, count: count))
            }, to: path + "/model.safetensors")
        try Data(JSON.object(config).serialized().utf8).write(to: URL(fileURLWithPath: path + "/config.json"))
        return try Checkpoint(at: path)
    }

    // 4.57 and 5.24 read the key as true where it is a number other than zero.
    @Test("norm_topk_prob may be a number", arguments: [(1, 1.0), (0, 0.5)])
    func numericSwitch(_ value: Int, _ mass: Double) throws {
        let number = try model("qwen3-moe", ["norm_topk_prob": value]).densified(DensifyOptions()).report.approximations
        let bool = try model("qwen3-moe", ["norm_topk_prob": value == 1]).densified(DensifyOptions()).report
            .approximations
        #expect(number == bool)
        #expect(number.contains { $0.contains("do not sum to one") } == (value == 0))
    }

    @Test("A model that cannot run is not written")
    func pruning() throws {
        let deepseek = try model("deepseek-v3")
        let experts = try deepseek.description.size("experts")
        let groups = try #require(deepseek.description.config.object["n_group"]?.int)
        #expect(experts % groups == 0 && groups > 1)
        // One expert in each group: its two best are what a group is worth.
        let few = try refusal { _ = try deepseek.pruned(PruneOptions(size: .experts(groups), choice: .random)) }
        #expect(few.code == .incompatible && few.message.contains("two best"), "\(few)")
        var options = PruneOptions(size: .experts(2 * groups), choice: .random)
        options.topK = 2 * groups
        let kept = try refusal { _ = try deepseek.pruned(options) }
        #expect(kept.code == .incompatible && kept.message.contains("groups"), "\(kept)")
        var one = PruneOptions(size: .experts(2), choice: .random)
        one.topK = 1
        let phi = try refusal { _ = try self.model("phimoe").pruned(one) }
        #expect(phi.code == .incompatible && phi.message.contains("selects 2"), "\(phi)")
        // What only this program does not compute can be pruned all the same.
        let long = try model(
            "phimoe",
            [
                "rope_theta": nil, "rope_parameters": nil,
                "rope_scaling": ["type": "longrope", "short_factor": [1.0, 1.0], "long_factor": [1.0, 1.0]],
            ])
        _ = try long.pruned(PruneOptions(size: .experts(2), choice: .random))
        #expect(try refusal { _ = try long.pruned(one) }.message.contains("selects 2"))
    }

    @Test("Every table is checked as a model before it is written")
    func written() throws {
        let negative = try model("llama", ["rms_norm_eps": -1.0])
        #expect(try refusal { _ = try negative.writePlan(shardLimit: 1 << 30) }.message.contains("rms_norm_eps"))
    }

    // The reference library's numbers are in Tests/Interop: here that the family, the zero biases and the layers are right.
    @Test(
        "Shared experts and chosen layers make a qwen2_moe of a family without biases", arguments: ["llama", "mistral"])
    func qwen(_ name: String) async throws {
        var options = UpcycleOptions(experts: 4)
        options.sharedExperts = true
        options.layers = .listed([1])
        let path = folder.path + "/moe"
        try await model(name).upcycled(options).checkpoint.write(to: path)
        let moe = try Checkpoint(at: path)
        #expect(moe.description.architecture.modelType == "qwen2_moe")
        #expect(moe.description.moeLayers == [false, true])
        #expect(try folder.floats(path, "model.layers.0.self_attn.q_proj.bias").allSatisfy { $0 == 0 })
        let comparison = try await RoleComparison.between(
            dense: model(name), moe: moe, threads: 2, isCancelled: { false })
        #expect(comparison.isExact, "\(comparison.differences)")
        let error = try refusal {
            options.target = "mixtral"
            _ = try self.model(name).upcycled(options)
        }
        #expect(error.message.contains("`target` qwen2_moe"))
    }

    @Test("Biases of zero are no difference to a family without any")
    func zeroBiases() throws {
        var options = UpcycleOptions(experts: 2)
        options.target = "qwen2_moe"
        let llama = try model("llama")
        let moe = try llama.upcycled(options).checkpoint
        #expect(try moe.adding([llama]).description.size("experts") == 3)
        #expect(try Checkpoint.merging([moe, model("llama")]).description.size("experts") == 3)
    }

    @Test("A tied embedding that is stored as the head is read, and written under its own name")
    func headAlone() async throws {
        let path = try folder.copy(Fixtures.model("qwen2-tied"), as: "tied")
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        let tensors = try file.header.tensors.map {
            (
                $0.name == "model.embed_tokens.weight" ? "lm_head.weight" : $0.name, $0.dtype, $0.shape,
                try file.bytes($0.name)
            )
        }
        let embedding = try file.bytes("model.embed_tokens.weight")
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: path + "/model.safetensors")
        let checkpoint = try Checkpoint(at: path)
        #expect(checkpoint.warnings.contains { $0.contains("lm_head.weight") })
        try await checkpoint.write(to: folder.path + "/out")
        #expect(try folder.tensors(folder.path + "/out")["model.embed_tokens.weight"] == embedding)
    }

    @Test("The verdict counts what the weights are rounded to")
    func verdict() throws {
        let exact = try model("llama").upcycled(UpcycleOptions(experts: 2)).preservation
        #expect(exact.rounding(.f32, to: .f32).degree == .exact)
        #expect(exact.rounding(.bf16, to: .f32).degree == .exact)
        #expect(exact.rounding(.f8E4M3, to: .bf16).degree == .exact)
        for dtype in [DType.bf16, .f16, .f8E4M3, .f8E5M2] {
            #expect(exact.rounding(.f32, to: dtype).degree == .rounded)
        }
        #expect(exact.rounding(.f16, to: .bf16).degree == .rounded)
    }
}
