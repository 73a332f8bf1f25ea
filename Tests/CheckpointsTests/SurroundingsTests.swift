import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// Language models within larger ones, and tensors that are carried along.
@Suite("Wrapped models and carried tensors")
struct SurroundingsTests {
    /// A copy of a fixture with tensors renamed, and others added as copies of them.
    private func variant(
        of name: String, in folder: TemporaryFolder, renaming: (String) -> String = { $0 },
        adding: (String) -> String? = { _ in nil }
    ) throws -> String {
        let file = try SafetensorsFile(path: Fixtures.model(name) + "/model.safetensors")
        var origins: [String: TensorInfo] = [:]
        for tensor in file.header.tensors {
            origins[renaming(tensor.name)] = tensor
            if let copy = adding(tensor.name) { origins[copy] = tensor }
        }
        let (header, layout) = try Header.serialized(
            tensors: origins.map { ($0.key, $0.value.dtype, $0.value.shape) }, metadata: ["format": "pt"])
        var bytes = header
        for tensor in layout { bytes += try file.bytes(#require(origins[tensor.name]).name) }
        try FileManager.default.createDirectory(atPath: folder.path + "/in", withIntermediateDirectories: true)
        try folder.write("in/model.safetensors", bytes)
        try folder.write("in/config.json", contents(Fixtures.model(name) + "/config.json"))
        return folder.path + "/in"
    }

    @Test("The outer configuration keeps its keys and their order; the inner one is the family's")
    func configuration() async throws {
        let folder = try TemporaryFolder()
        let source = try Checkpoint(at: Fixtures.model("mistral3-vision"))
        #expect(source.description.architecture.modelType == "ministral3")
        try await source.converted(to: .bf16).write(to: folder.path + "/out")
        let path = folder.path + "/out/config.json"
        let written = try #require(JSON(parsing: contents(path), file: path).object)
        let original = Fixtures.model("mistral3-vision") + "/config.json"
        let before = try #require(JSON(parsing: contents(original), file: original).object)
        #expect(Array(written.keys) == Array(before.keys))
        #expect(written["vision_config"] == before["vision_config"])
        #expect(written["model_type"]?.string == "mistral3")
        #expect(written["dtype"]?.string == "bfloat16")
        #expect(written["text_config"]?.object?["model_type"]?.string == "ministral3")
        // What is carried is not converted.
        let tensors = try ShardedTensors(opening: folder.path + "/out")
        #expect(tensors.lookup("vision_tower.patch_conv.weight")?.info.dtype == .f32)
        #expect(tensors.lookup("language_model.model.norm.weight")?.info.dtype == .bf16)
    }

    @Test("Names of either generation are the same model", arguments: ["model.language_model.", "language_model."])
    func generations(_ body: String) throws {
        let folder = try TemporaryFolder()
        let path = try variant(
            of: "gemma3-vision", in: folder,
            renaming: { name in
                name.hasPrefix("language_model.model.")
                    ? body + name.dropFirst("language_model.model.".count) : "model." + name
            })
        let checkpoint = try Checkpoint(at: path)
        #expect(checkpoint.description.config.surroundings.naming.body == body)
        #expect(checkpoint.description.config.surroundings.carried.count == 34)
        let original = try Checkpoint(at: Fixtures.model("gemma3-vision"))
        let roles = original.table.keys.filter { $0.kind != .carried }
        #expect(roles.count == 54)
        #expect(roles.allSatisfy { checkpoint.table[$0] != nil })
    }

    @Test("--drop leaves out what it names, and nothing that the family describes")
    func drop() async throws {
        let folder = try TemporaryFolder()
        let source = try Checkpoint(at: Fixtures.model("gemma3-vision"))
        try await source.dropping(["vision_tower.*"]).write(to: folder.path + "/out")
        let names = try ShardedTensors(opening: folder.path + "/out").names
        #expect(names.filter { $0.hasPrefix("vision_tower.") }.isEmpty)
        #expect(names.filter { $0.hasPrefix("multi_modal_projector.") }.count == 2)
        #expect(names.count == 56)
        #expect(throws: CheckpointError.self) { _ = try source.dropping(["language_model.*"]) }
    }

    // The layer behind the model's is a copy of its last: whatever becomes of that becomes of it.
    @Test(
        "A layer that predicts further tokens is transformed like the model's",
        arguments: [("glm4-moe", "model.layers.3."), ("qwen3-next", "mtp.layers.0."), ("qwen3-moe", "mtp.layers.0.")])
    func furtherLayers(_ name: String, prefix: String) async throws {
        let folder = try TemporaryFolder()
        let last = try #require(["glm4-moe": 2, "qwen3-next": 2, "qwen3-moe": 1][name])
        let own = "model.layers.\(last)."
        let path = try variant(
            of: name, in: folder,
            adding: { $0.hasPrefix(own) ? prefix + $0.dropFirst(own.count) : nil })
        let source = try Checkpoint(at: path)
        #expect(source.description.config.surroundings.carried.isEmpty)
        #expect(source.description.layerCount == (try Checkpoint(at: Fixtures.model(name)).description.layerCount))
        func expectCopies(_ checkpoint: Checkpoint, _ out: String) async throws {
            try await checkpoint.write(to: folder.path + "/" + out)
            let file = try SafetensorsFile(path: folder.path + "/\(out)/model.safetensors")
            let names = file.header.tensors.map(\.name).filter { $0.hasPrefix(own) }
            #expect(!names.isEmpty)
            for name in names {
                #expect(try file.bytes(name) == file.bytes(prefix + name.dropFirst(own.count)), "\(name)")
            }
            _ = try Checkpoint(at: folder.path + "/" + out)
        }
        try await expectCopies(source, "same")
        #expect(try contents(folder.path + "/same/model.safetensors") == contents(path + "/model.safetensors"))
        try await expectCopies(source.pruned(PruneOptions(size: .experts(4), choice: .list([0, 2, 3, 5]))), "pruned")
        try await expectCopies(source.withLayout("fused"), "fused")
        if name == "glm4-moe" { try await expectCopies(source.densified(), "dense") }
        let scores = Dictionary(
            uniqueKeysWithValues: try (0..<source.description.layerCount).map {
                ($0, (0..<(try source.description.size("experts"))).map { Double($0) })
            })
        let ranked = try source.pruned(PruneOptions(size: .experts(4), choice: .scores(scores)))
        #expect(ranked.table[.router(source.description.layerCount)]?.rows == 4)
        #expect(throws: CheckpointError.self) { _ = try source.dropping([prefix + "mlp.gate.weight"]) }
        #expect(try source.dropping([prefix + "*"]).table.keys.allSatisfy { $0.layer ?? 0 <= last + 1 })
    }

    @Test("A further layer that is not made like the model's is refused where its experts would not be the model's")
    func furtherTokens() async throws {
        let folder = try TemporaryFolder()
        let path = try variant(
            of: "glm4-moe", in: folder,
            adding: {
                $0.contains("layers.2.") && !$0.contains("o_proj") ? $0.replacing("layers.2.", with: "layers.3.") : nil
            })
        let source = try Checkpoint(at: path)
        #expect(source.description.config.surroundings.carried.count == 39)
        try await source.write(to: folder.path + "/out")
        #expect(try contents(folder.path + "/out/model.safetensors") == contents(path + "/model.safetensors"))
        let options = PruneOptions(size: .experts(4), choice: .random)
        let pruned = try source.pruned(options)
        let error = #expect(throws: CheckpointError.self) { _ = try pruned.writePlan(shardLimit: 1 << 30) }
        #expect(error?.description.contains("model.layers.3.") == true)
        #expect(error?.description.contains("`drop`") == true)
        let dropped = try pruned.dropping(["model.layers.3.*"])
        #expect(dropped.description.config.object["num_nextn_predict_layers"]?.int == 0)
        try await dropped.write(to: folder.path + "/pruned")
        #expect(try Checkpoint(at: folder.path + "/pruned").description.size("experts") == 4)
    }

    @Test("What the family describes and the configuration denies is not carried")
    func contradiction() throws {
        let folder = try TemporaryFolder()
        let path = try variant(
            of: "llama", in: folder,
            adding: { $0 == "model.layers.0.input_layernorm.weight" ? "model.layers.0.self_attn.o_proj.bias" : nil })
        #expect(throws: CheckpointError.self) { _ = try Checkpoint(at: path) }
    }
}
