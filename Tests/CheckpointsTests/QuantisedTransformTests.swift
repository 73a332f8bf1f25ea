import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// What becomes of quantised weights in transforms: copies stay as they are, what is computed does not.
@Suite("Transforms of quantised checkpoints")
struct QuantisedTransformTests {
    /// The mixtures, but for the one that cannot lose an expert: two groups of two.
    static let mixtures = QuantisedTests.names.filter { name in
        ["kimi", "moe", "minimax", "mixtral", "gpt-oss"].contains { name.contains($0) }
    }

    private func tensors(_ folder: String) throws -> [String: (DType, [Int], [UInt8])] {
        let all = try ShardedTensors(opening: folder)
        var result: [String: (DType, [Int], [UInt8])] = [:]
        for name in all.names {
            let (file, info) = try #require(all.lookup(name))
            result[name] = (info.dtype, info.shape.dimensions, try file.bytes(name))
        }
        return result
    }

    private func settings(_ folder: String) throws -> JSONObject? {
        let file = folder + "/config.json"
        let object = try #require(JSON(parsing: contents(file), file: file).object)
        return (object["quantization_config"] ?? object["quantization"])?.object
    }

    @Test("Pruning copies what is stored of the experts that are left", arguments: mixtures)
    func pruned(_ name: String) async throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.file("quantised/" + name)
        let source = try Checkpoint(at: path)
        let experts = try source.description.size("experts")
        let groups = max(1, try source.description.config.int("n_group", source.description.architecture) ?? 1)
        // The last expert goes, or of two groups the last of each.
        let kept = (0..<experts).filter { ($0 + 1) % (experts / groups) != 0 }
        var options = PruneOptions(size: .experts(kept.count), choice: .list(kept))
        options.topK = 1
        try await source.pruned(options).write(to: folder.path + "/out")
        let before = try tensors(path)
        let after = try tensors(folder.path + "/out")
        var compared = 0
        for (name, (dtype, shape, bytes)) in after {
            if let range = name.range(of: #"experts\.\d+\."#, options: .regularExpression) {
                let number = try #require(Int(name[range].split(separator: ".")[1]))
                let old = name.replacingCharacters(in: range, with: "experts.\(kept[number]).")
                let original = try #require(before[old], "\(old)")
                #expect(original.0 == dtype && original.1 == shape && original.2 == bytes, "\(name)")
                compared += 1
            } else if name.contains("experts.") || name.contains("switch_mlp") {
                let original = try #require(before[name])
                let size = original.2.count / experts
                let expected = kept.flatMap { original.2[$0 * size..<($0 + 1) * size] }
                #expect(
                    original.0 == dtype && shape == [kept.count] + original.1.dropFirst() && expected == bytes,
                    "\(name)")
                compared += 1
            }
        }
        #expect(compared >= 3)
        let old = try settings(path)
        let new = try settings(folder.path + "/out")
        #expect(old?["quant_method"] == new?["quant_method"] && (old == nil) == (new == nil))
        // What was written is read with the values that the experts had.
        let read = try Checkpoint(at: folder.path + "/out")
        let layer = try #require(source.description.moeLayers.firstIndex(of: true))
        for (index, expert) in kept.enumerated() {
            let a = try #require(source.table[.expert(layer, expert, .down)])
            let b = try #require(read.table[.expert(layer, index, .down)])
            #expect(try Difference.between(a, b).isIdentical)
        }
    }

    @Test("A copy stays quantised; dequantised it is the same in BF16 and its configuration says nothing")
    func converted() async throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.file("quantised/fp8-minimax-m2-ragged")
        let source = try Checkpoint(at: path)
        try await source.write(to: folder.path + "/same")
        let (before, same) = (try tensors(path), try tensors(folder.path + "/same"))
        #expect(Set(before.keys) == Set(same.keys))
        for (name, tensor) in before { #expect(same[name]?.2 == tensor.2, "\(name)") }
        #expect(try settings(folder.path + "/same") == settings(path))
        try await source.dequantised().write(to: folder.path + "/plain")
        #expect(try settings(folder.path + "/plain") == nil)
        let plain = try Checkpoint(at: folder.path + "/plain")
        for (role, tensor) in source.table {
            #expect(try Difference.between(tensor, try #require(plain.table[role])).isIdentical, "\(role)")
        }
        #expect(try source.quantisedNote?.contains("10 weights stay quantised") == true)
        #expect(try source.dequantised().quantisedNote?.contains("10 weights that were quantised") == true)
    }

    @Test("Names of experts in lists of what is not quantised follow the experts")
    func lists() async throws {
        let folder = try TemporaryFolder()
        let listed = [
            "lm_head", "model.layers.0.mlp.experts.1.up_proj", "model.layers.1.mlp.experts.2", "re:.*mlp.gate$",
        ]
        let path = try folder.copy(
            Fixtures.file("quantised/fp8-qwen3-moe-ue8m0-bytes"), as: "in",
            setting: [
                "quantization_config": [
                    "quant_method": "fp8", "weight_block_size": [1, 32], "modules_to_not_convert": listed,
                ]
            ])
        var options = PruneOptions(size: .experts(2), choice: .list([1, 2]))
        options.topK = 1
        try await Checkpoint(at: path).pruned(options).write(to: folder.path + "/out")
        let names = try settings(folder.path + "/out")?["modules_to_not_convert"]?.array?.compactMap(\.string)
        #expect(
            names == [
                "lm_head", "model.layers.0.mlp.experts.0.up_proj", "model.layers.1.mlp.experts.1", "re:.*mlp.gate$",
            ])
    }

    @Test("An upcycled model is in BF16, or quantised with its router listed where that is asked for")
    func upcycled() async throws {
        let folder = try TemporaryFolder()
        let path = Fixtures.file("quantised/fp8-llama-ue8m0")
        let mixture = try Checkpoint(at: path).upcycled(experts: 2, topK: 1)
        try await mixture.write(to: folder.path + "/plain")
        #expect(try settings(folder.path + "/plain") == nil)
        try await mixture.keepingQuantised().write(to: folder.path + "/kept")
        let (before, after) = (try tensors(path), try tensors(folder.path + "/kept"))
        let scales = "model.layers.0.block_sparse_moe.experts.1.w3.weight_scale_inv"
        #expect(after[scales]?.2 == before["model.layers.0.mlp.up_proj.weight_scale_inv"]?.2)
        let names = try settings(folder.path + "/kept")?["modules_to_not_convert"]?.array?.compactMap(\.string)
        #expect(names?.contains("model.layers.0.block_sparse_moe.gate") == true)
        let (plain, kept) = (try Checkpoint(at: folder.path + "/plain"), try Checkpoint(at: folder.path + "/kept"))
        for (role, tensor) in plain.table {
            #expect(try Difference.between(tensor, try #require(kept.table[role])).isIdentical, "\(role)")
        }
    }
}
