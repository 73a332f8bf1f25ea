import Checkpoints
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// Checkpoints that are odd, and that transformers loads.
@Suite("Odd but valid checkpoints")
struct OddCheckpointTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private typealias Tensor = (name: String, dtype: DType, shape: Shape, bytes: [UInt8])

    /// A copy of a fixture with other tensors and another configuration.
    private func variant(
        _ name: String, tensors change: (inout [Tensor]) throws -> Void = { _ in },
        config edit: (inout JSONObject) -> Void = { _ in }
    ) throws -> String {
        let path = try folder.copy(Fixtures.model(name), as: UUID().uuidString)
        let weights = path + "/model.safetensors"
        let file = try SafetensorsFile(path: weights)
        var tensors = try file.header.tensors.map { Tensor($0.name, $0.dtype, $0.shape, try file.bytes($0.name)) }
        try change(&tensors)
        try FileManager.default.removeItem(atPath: weights)
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: weights)
        let configuration = path + "/config.json"
        var object = try #require(try JSON(parsing: contents(configuration), file: configuration).object)
        edit(&object)
        try Data(JSON.object(object).serialized().utf8).write(to: URL(fileURLWithPath: configuration))
        return path
    }

    private func logits(_ path: String) throws -> [Float] {
        let decoder = try Decoder(Checkpoint(at: path), workers: Workers(threads: 1))
        return try decoder.logits(decoder.forward(TokenBatch(ids: (1...24).map { Int32($0) }, length: 24)).span).array
    }

    @Test("A model saved without its head has names without model.", arguments: ["qwen2-tied", "qwen3-moe"])
    func bare(_ name: String) throws {
        let path = try variant(name) { tensors in
            for index in tensors.indices where tensors[index].name.hasPrefix("model.") {
                tensors[index].name = String(tensors[index].name.dropFirst("model.".count))
            }
        }
        #expect(try logits(path) == logits(Fixtures.model(name)))
    }

    @Test("Without a head that is not tied there is nothing to predict with")
    func headless() throws {
        let path = try variant("mistral") { tensors in
            tensors = tensors.filter { $0.name != "lm_head.weight" }.map {
                Tensor(String($0.name.dropFirst("model.".count)), $0.dtype, $0.shape, $0.bytes)
            }
        }
        let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: path) }
        #expect(error?.description.contains("saved without its head (lm_head.weight)") == true)
    }

    @Test("Buffers and a trainer's value head are dropped, and that is said")
    func buffers() throws {
        let names = [
            "v_head.summary.weight", "v_head.summary.bias", "model.layers.0.self_attn.rotary_emb.cos_cached",
            "model.layers.1.self_attn.rotary_emb.sin_cached", "model.rotary_emb.inv_freq",
            "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.0.self_attn.masked_bias",
            "model.rotary_emb.original_inv_freq",
        ]
        let path = try variant("llama") { tensors in
            for name in names { tensors.append(Tensor(name, .f32, try Shape([1]), [0, 0, 0, 0])) }
        }
        #expect(try logits(path) == logits(Fixtures.model("llama")))
        #expect(try Checkpoint(at: path).warnings.contains { $0.contains("\(names.count) tensors") })
    }

    @Test("An index that names tensors in no file: nothing unless they are needed")
    func absent() throws {
        for (name, isNeeded) in [("model.unused.weight", false), ("model.layers.1.mlp.up_proj.weight", true)] {
            let path = try variant("llama") { tensors in tensors.removeAll { $0.name == name } }
            let file = try SafetensorsFile(path: path + "/model.safetensors")
            var map = JSONObject()
            for info in file.header.tensors { map[info.name] = "model.safetensors" }
            map[name] = "model.safetensors"
            let index = JSON.object(["metadata": .object([:]), "weight_map": .object(map)])
            try Data(index.serialized().utf8).write(to: URL(fileURLWithPath: path + "/model.safetensors.index.json"))
            if isNeeded {
                let error = #expect(throws: CheckpointError.self) { try Checkpoint(at: path) }
                #expect(error?.description.contains("missing: \(name)") == true)
            } else {
                #expect(try logits(path) == logits(Fixtures.model("llama")))
                #expect(try Checkpoint(at: path).warnings.contains { $0.contains("in no file (\(name))") })
            }
        }
    }

    /// transformers 5.24: `rope_parameters.setdefault("original_max_position_embeddings", max_position_embeddings)`; the
    /// last position's first logits are its.
    @Test("yarn without original_max_position_embeddings begins from the model's length")
    func yarn() throws {
        let path = try variant(
            "llama",
            config: { config in
                config["rope_parameters"] = .object(["rope_type": "yarn", "factor": 4, "rope_theta": 10000])
            })
        let expected: [Float] = [0.238_387_69, -0.077_049_04, -2.368_460_7, -1.795_395_1, 0.028_690_375, -0.489_146_74]
        for (found, value) in zip(try logits(path).suffix(96), expected) { #expect(abs(found - value) < 2e-5) }
        let stated = try variant(
            "llama",
            config: { config in
                config["rope_parameters"] = .object([
                    "rope_type": "yarn", "factor": 4, "rope_theta": 10000, "original_max_position_embeddings": 128,
                ])
            })
        #expect(try logits(stated) == logits(path))
    }
}
