import Checkpoints
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// LoRA adapters that PEFT 0.21.2 saved, against the logits of its live models (`Tests/Fixtures/adapters/make.py`).
@Suite("LoRA adapters")
struct AdapterTests {
    private let root = Fixtures.file("adapters")

    private static let adapters = [
        "patterns", "saved", "saved-tied", "saved-tied-both", "saved-tied-head", "embedding", "embedding-tied",
        "embedding-tied-both", "head-tied", "tokens", "tokens-tied", "lora-bias", "bias-all", "bias-lora-only",
        "parameters", "parameters-down", "resized", "resized-tied",
    ]

    private func base(_ adapter: String) -> String {
        let name =
            adapter.contains("tied") || adapter == "bias-lora-only"
            ? "tied" : adapter.hasPrefix("parameters") ? "mixtral" : "llama"
        return root + "/" + name
    }

    private func values(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
        let info = try #require(file.info(name))
        return try file.bytes(name).withUnsafeBytes { raw in
            (0..<info.shape.elementCount).map {
                info.dtype == .i64
                    ? Float(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Int64.self))
                    : raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self)
            }
        }
    }

    /// The largest difference between a checkpoint's logits and PEFT's.
    private func difference(_ checkpoint: Checkpoint, _ adapter: String) throws -> Float {
        let file = try SafetensorsFile(path: root + "/expected.safetensors")
        let decoder = try Decoder(checkpoint, workers: Workers(threads: 1))
        let batch = TokenBatch(ids: try values(file, "ids").map { Int32($0) }, length: 12)
        let logits = try decoder.logits(decoder.forward(batch).span).array
        let expected = try values(file, adapter)
        guard logits.count == expected.count else { return .infinity }
        var largest: Float = 0
        for index in expected.indices {
            let distance = abs(logits[index] - expected[index])
            largest = distance.isFinite ? Swift.max(largest, distance) : .infinity
        }
        return largest
    }

    @Test("Each form that PEFT writes computes what PEFT computes, opened and written", arguments: adapters)
    func logits(_ adapter: String) async throws {
        let opened = try Checkpoint(at: root + "/" + adapter, adapterBase: base(adapter))
        #expect(try difference(opened, adapter) < 2e-5, "\(adapter)")
        let folder = try TemporaryFolder()
        try await opened.write(to: folder.path + "/out")
        #expect(try difference(Checkpoint(at: folder.path + "/out"), adapter) < 2e-5, "\(adapter)")
    }

    // MARK: Configurations

    private func adapter(_ changes: [String: JSON], in folder: TemporaryFolder) throws -> String {
        let path = try folder.copy(root + "/patterns", as: UUID().uuidString)
        let file = path + "/adapter_config.json"
        var config = try #require(try JSON(parsing: contents(file), file: file).object)
        for (key, value) in changes { config[key] = value }
        try Data(JSON.object(config).serialized().utf8).write(to: URL(fileURLWithPath: file))
        return path
    }

    @Test(
        "A key that changes the function is refused by name",
        arguments: [
            ("use_dora", "true"), ("alora_invocation_tokens", "[1, 2]"), ("layer_replication", "[[0, 2], [0, 2]]"),
            ("use_qalora", "true"), ("monteclora_config", "{\"a\": 1}"), ("kasa_config", "{\"beta\": 1}"),
            ("use_bdlora", "{\"nblocks\": 2}"), ("arrow_config", "{\"top_k\": 2}"),
            ("megatron_config", "{\"a\": 1}"), ("init_lora_weights", "\"pissa\""),
            ("init_lora_weights", "\"pissa_niter_16\""), ("init_lora_weights", "\"olora\""),
            ("init_lora_weights", "\"corda\""), ("init_lora_weights", "\"loftq\""),
            ("init_lora_weights", "\"lora_ga\""), ("peft_type", "\"LOHA\""), ("from_the_future", "true"),
            ("enable_lora", "[true]"), ("rank_pattern", "{\"(?=q)q_proj\": 3}"),
        ])
    func refused(_ key: String, _ text: String) throws {
        let folder = try TemporaryFolder()
        let value = try JSON(parsing: Array("[\(text)]".utf8), file: "value").array?[0]
        let path = try adapter([key: try #require(value)], in: folder)
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: path, adapterBase: base("patterns")) }
        #expect(error?.code == .incompatible)
        #expect(error?.description.contains("merge it with PEFT first") == true, "\(String(describing: error))")
    }

    @Test("What is off, or says how the adapter was trained, changes nothing")
    func harmless() throws {
        let folder = try TemporaryFolder()
        let path = try adapter(
            [
                "use_dora": false, "kasa_config": .null, "layer_replication": .array([]),
                "lora_dropout": .number("0.5"),
                "init_lora_weights": "gaussian", "eva_config": .object(["rho": 2]), "from_the_future": .null,
                "fan_in_fan_out": true, "peft_version": "0.99", "enable_lora": .null, "merge_weights": false,
            ], in: folder)
        #expect(try difference(Checkpoint(at: path, adapterBase: base("patterns")), "patterns") < 2e-5)
        for start in ["eva", "orthogonal", "mica"] {
            let other = try adapter(["init_lora_weights": .string(start)], in: folder)
            #expect(throws: Never.self) { try Checkpoint(at: other, adapterBase: base("patterns")) }
        }
    }

    @Test(
        "Values that are none are errors",
        arguments: [
            ("r", "0"), ("r", "1e30"), ("r", "\"2\""), ("lora_alpha", "\"3\""), ("modules_to_save", "\"a\""),
            ("rank_pattern", "{\"a\": \"b\"}"), ("bias", "\"some\""), ("use_rslora", "1"), ("r", "5"),
        ])
    func malformed(_ key: String, _ text: String) throws {
        let folder = try TemporaryFolder()
        let value = try JSON(parsing: Array("[\(text)]".utf8), file: "value").array?[0]
        // Without patterns, every module has the rank that r says.
        var changes: [String: JSON] = ["rank_pattern": .object([:])]
        changes[key] = value
        let path = try adapter(changes, in: folder)
        #expect(throws: CheckpointError.self) { try Checkpoint(at: path, adapterBase: base("patterns")) }
    }

    @Test("Tokens that are not in the vocabulary, or twice, are refused")
    func tokens() throws {
        let folder = try TemporaryFolder()
        for list in ["[3, 20, 28]", "[3, 20, -1]", "[3, 3, 20]", "[3, 20]", "null"] {
            let path = try folder.copy(root + "/tokens", as: UUID().uuidString)
            let file = path + "/adapter_config.json"
            var config = try #require(try JSON(parsing: contents(file), file: file).object)
            config["trainable_token_indices"] = try JSON(parsing: Array("[\(list)]".utf8), file: "value").array?[0]
            try Data(JSON.object(config).serialized().utf8).write(to: URL(fileURLWithPath: file))
            let error = #expect(throws: CheckpointError.self, "\(list)") {
                try Checkpoint(at: path, adapterBase: base("tokens"))
            }
            #expect(error?.description.contains("trainable_token_indices") == true)
        }
    }

    // MARK: Bases and folders

    @Test("A path in the adapter's file is followed only where the user named it too; --base wins")
    func bases() throws {
        let adapter = root + "/patterns"
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: adapter) }
        #expect(error?.description.contains("a path in a file is not followed") == true)
        #expect(try difference(Checkpoint(at: adapter, adapterBase: nil, named: [root + "/llama"]), "patterns") < 2e-5)
        #expect(throws: CheckpointError.self, "another model") {
            try Checkpoint(at: adapter, adapterBase: nil, named: [root + "/tied"])
        }
        let folder = try TemporaryFolder()
        let other = try folder.copy(root + "/llama", as: "elsewhere")
        let own = try self.adapter(["base_model_name_or_path": .string(root + "/tied")], in: folder)
        #expect(try difference(Checkpoint(at: own, adapterBase: other, named: [root + "/tied"]), "patterns") < 2e-5)
    }

    @Test("An adapter that is its own base, and two that are each other's, are errors")
    func cycles() throws {
        let folder = try TemporaryFolder()
        let first = try folder.copy(root + "/patterns", as: "first")
        #expect(throws: CheckpointError.self) { try Checkpoint(at: first, adapterBase: first) }
        let second = try folder.copy(root + "/patterns", as: "second")
        for (path, base) in [(first, "../second"), (second, "../first")] {
            let file = path + "/adapter_config.json"
            var config = try #require(try JSON(parsing: contents(file), file: file).object)
            config["base_model_name_or_path"] = .string(base)
            try Data(JSON.object(config).serialized().utf8).write(to: URL(fileURLWithPath: file))
        }
        let error = #expect(throws: CheckpointError.self) {
            try Checkpoint(at: first, adapterBase: nil, named: [first, second])
        }
        #expect(error?.description.contains("each other's bases") == true, "\(String(describing: error))")
    }

    @Test("config.json beside an adapter, weights beside an adapter, and other kinds of adapters")
    func folders() throws {
        let folder = try TemporaryFolder()
        let path = try folder.copy(root + "/patterns", as: "a")
        try FileManager.default.copyItem(atPath: root + "/llama/config.json", toPath: path + "/config.json")
        #expect(try difference(Checkpoint(at: path, adapterBase: base("patterns")), "patterns") < 2e-5)
        try FileManager.default.copyItem(
            atPath: root + "/llama/model.safetensors", toPath: path + "/model.safetensors")
        let both = #expect(throws: CheckpointError.self) { try Checkpoint(at: path, adapterBase: base("patterns")) }
        #expect(both?.description.contains("a folder of its own") == true)
        try FileManager.default.removeItem(atPath: path + "/adapter_model.safetensors")
        #expect(try Checkpoint(at: path).name == "a", "a model with what was left of an adapter")
        for (file, message) in [("adapter_model.bin", "pickle"), ("adapters.safetensors", "mlx_lm.fuse")] {
            let other = try folder.copy(root + "/patterns", as: file)
            try FileManager.default.moveItem(
                atPath: other + "/adapter_model.safetensors", toPath: other + "/" + file)
            let error = #expect(throws: CheckpointError.self) {
                try Checkpoint(at: other, adapterBase: base("patterns"))
            }
            #expect(error?.description.contains(message) == true, "\(String(describing: error))")
        }
        let mlx = try folder.copy(root + "/patterns", as: "mlx")
        try folder.write(
            "mlx/adapter_config.json", Array("{\"fine_tune_type\": \"lora\", \"lora_parameters\": {}}".utf8))
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: mlx, adapterBase: base("patterns")) }
        #expect(error?.description.contains("mlx") == true)
    }
}
