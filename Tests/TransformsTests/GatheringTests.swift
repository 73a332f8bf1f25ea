import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing
import Transforms

/// What experts have in common comes back whole; numbers of other experts are numpy's, in F64, from the same fixture.
@Suite("Densifying by units and by singular directions")
struct GatheringTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ checkpoint: Checkpoint) async throws -> String {
        let path = folder.path + "/" + UUID().uuidString
        try await checkpoint.write(to: path)
        return path
    }

    private func options(_ method: DensifyOptions.Method) -> DensifyOptions {
        var options = DensifyOptions()
        options.method = method
        return options
    }

    @Test(
        "Copies of one network become that network, byte for byte", arguments: DensifyTests.families,
        [DensifyOptions.Method.topNeurons, .svd])
    func copies(_ name: String, _ method: DensifyOptions.Method) async throws {
        let dense = try Checkpoint(at: Fixtures.model(name))
        var cases: [(String, (inout UpcycleOptions) -> Void)] = [
            ("eight", { $0.experts = 8 }), ("three", { $0.experts = 3 }), ("granularity", { $0.granularity = 2 }),
        ]
        if ["qwen2-tied", "deepseek-v3-dense"].contains(name) {
            cases.append(("a shared expert", { $0.sharedExperts = true }))
        }
        let original = try folder.tensors(Fixtures.model(name))
        for (title, change) in cases {
            var upcycling = UpcycleOptions(experts: 4)
            change(&upcycling)
            let moe = try Checkpoint(at: try await write(dense.upcycled(upcycling).checkpoint))
            let (back, report) = try moe.densified(options(method))
            #expect(report.approximations.isEmpty, "\(title)")
            #expect(try folder.tensors(await write(back)) == original, "\(title)")
            let loss = try moe.weightLoss(densifying: options(method))
            #expect(loss.isNone && loss.mean == 0, "\(title)")
        }
    }

    // From numpy: the mean, and the mean of the four leading directions, of twenty-four, of each of six deviations.
    @Test("The mean and the leading directions of the deviations")
    func directions() async throws {
        let path = try await write(Checkpoint(at: Fixtures.model("qwen2-moe")).densified(options(.svd)).checkpoint)
        let gate = try folder.floats(path, "model.layers.0.mlp.gate_proj.weight")
        let up = try folder.floats(path, "model.layers.0.mlp.up_proj.weight")
        let down = try folder.floats(path, "model.layers.0.mlp.down_proj.weight")
        // gate and up are [24 + 40, 32]; down is [32, 24 + 40], a third of its values where the gates sum to 2/6.
        let found: [(Float, Double)] = [
            (gate[0], -0.0014216193742363215), (gate[3 * 32 + 5], -0.0021301209055855745),
            (gate[23 * 32 + 31], -0.004549308785628273), (up[0], 0.03721183291786005),
            (up[3 * 32 + 5], 0.14904364923613184), (up[23 * 32 + 31], 0.12499329673747217),
            (down[0], -0.16185732950567455 / 3), (down[3 * 64 + 5], 0.0019275425697787806 / 3),
            (down[31 * 64 + 23], -0.027075594177414182 / 3),
        ]
        for (value, expected) in found { #expect(abs(Double(value) - expected) < 1e-6, "\(value) \(expected)") }
    }

    // From numpy: the experts take turns, each with its largest unit among the places that are empty.
    @Test("Each expert gives the same number of units, and no place is filled twice")
    func units() async throws {
        let source = Fixtures.model("qwen2-moe")
        let path = try await write(Checkpoint(at: source).densified(options(.topNeurons)).checkpoint)
        let chosen = [
            [5, 1, 0, 2, 5, 0, 1, 2, 2, 3, 4, 2, 1, 4, 0, 5, 4, 3, 0, 5, 3, 3, 4, 1],
            [4, 1, 3, 4, 3, 4, 2, 4, 0, 0, 0, 5, 5, 1, 3, 5, 3, 0, 2, 5, 1, 2, 1, 2],
        ]
        for (layer, experts) in chosen.enumerated() {
            for name in ["gate_proj", "up_proj"] {
                let made = try folder.floats(path, "model.layers.\(layer).mlp.\(name).weight")
                for (unit, expert) in experts.enumerated() {
                    let own = try folder.floats(source, "model.layers.\(layer).mlp.experts.\(expert).\(name).weight")
                    #expect(made[unit * 32..<unit * 32 + 32] == own[unit * 32..<unit * 32 + 32], "\(layer) \(unit)")
                }
            }
            let down = try folder.floats(path, "model.layers.\(layer).mlp.down_proj.weight")
            for (unit, expert) in experts.enumerated() {
                let own = try folder.floats(source, "model.layers.\(layer).mlp.experts.\(expert).down_proj.weight")
                #expect((0..<32).allSatisfy { abs(down[$0 * 64 + unit] - own[$0 * 24 + unit] / 3) < 1e-7 })
            }
        }
    }

    @Test("What is expected to be lost is the energy of the differences, as numpy has it")
    func energies() throws {
        let source = try Checkpoint(at: Fixtures.model("qwen2-moe"))
        let expected: [(DensifyOptions.Method, [Double])] = [
            (.average, [0.8285777860876029, 0.8387505486113683]), (.svd, [0.860876628748817, 0.8709317925452462]),
        ]
        for (method, values) in expected {
            let loss = try source.weightLoss(densifying: options(method))
            #expect(!loss.isNone && loss.layerCount == 2)
            for (layer, value) in values.enumerated() {
                #expect(abs((loss.layers[layer] ?? .nan) - value) < 1e-6, "\(method) \(layer)")
            }
        }
        let pruning = try source.pruningForecast(PruneOptions(size: .experts(2), choice: .list([0, 3])))
        #expect(!pruning.isExact)
        for (layer, value) in [1.3089345320062198, 1.306705284535375].enumerated() {
            #expect(abs((pruning.weights.layers[layer] ?? .nan) - value) < 1e-6, "\(layer)")
        }
    }

    @Test("Leaving out copies loses nothing where gates sum to one, and of scores the share that goes is said")
    func pruning() async throws {
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        let moe = try Checkpoint(at: try await write(dense.upcycled(experts: 4)))
        let layers = moe.description.moeLayers.indices.filter { moe.description.moeLayers[$0] }
        let scores = Dictionary(uniqueKeysWithValues: layers.map { ($0, [1.0, 4, 2, 3]) })
        let forecast = try moe.pruningForecast(PruneOptions(size: .experts(2), choice: .scores(scores)))
        #expect(forecast.isExact && forecast.weights.isNone)
        for layer in layers { #expect(abs((forecast.lostScores?[layer] ?? .nan) - 0.3) < 1e-12) }
        // One weight of one expert is enough to lose the verdict.
        let path = try await write(moe)
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        for info in file.header.tensors {
            var values = try folder.floats(path, info.name)
            if info.name.contains("layers.1.block_sparse_moe.experts.2.w3.") { values[77] += 0.01 }
            tensors.append((info.name, info.dtype, info.shape, values.withUnsafeBytes { Array($0) }))
        }
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: path + "/model.safetensors")
        let changed = try Checkpoint(at: path)
        #expect(try !changed.pruningForecast(PruneOptions(size: .experts(2), choice: .list([0, 1]))).isExact)
        #expect(try !changed.weightLoss(densifying: options(.average)).isNone)
    }
}
