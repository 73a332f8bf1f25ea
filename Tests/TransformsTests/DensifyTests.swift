import Checkpoints
import Foundation
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Densifying and pruning")
struct DensifyTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ checkpoint: Checkpoint) async throws -> String {
        let path = folder.path + "/" + UUID().uuidString
        try await checkpoint.write(to: path)
        return path
    }

    static let families = ["mistral", "qwen2-tied", "qwen3", "olmo2", "granite", "deepseek-v3-dense"]

    @Test("An upcycled model becomes the model it came from, byte for byte", arguments: families)
    func roundTrip(_ name: String) async throws {
        let dense = try Checkpoint(at: Fixtures.model(name))
        var cases: [(String, (inout UpcycleOptions) -> Void)] = [
            ("copies", { _ in }), ("three", { $0.experts = 3 }), ("granularity", { $0.granularity = 2 }),
            ("partition", { $0.initialisation = .partition }),
        ]
        if ["qwen2-tied", "qwen3", "olmo2", "deepseek-v3-dense"].contains(name) {
            cases.append(
                (
                    "gates that are not normalised",
                    {
                        $0.normalisesTopK = false
                        $0.router = .zero
                    }
                ))
        }
        if ["qwen2-tied", "deepseek-v3-dense"].contains(name) {
            cases.append(("shared experts", { $0.sharedExperts = true }))
        }
        let original = try folder.tensors(Fixtures.model(name))
        for (title, change) in cases {
            var options = UpcycleOptions(experts: 4)
            change(&options)
            if options.initialisation == .partition { options.topK = 4 }
            let moe = try await write(dense.upcycled(options).checkpoint)
            let (back, report) = try Checkpoint(at: moe).densified(DensifyOptions())
            #expect(report.approximations.isEmpty, "\(title)")
            let result = try folder.tensors(await write(back))
            #expect(result == original, "\(title)")
        }
    }

    @Test("A granularity that is not a power of two comes back within a unit in the last place")
    func thirds() async throws {
        var options = UpcycleOptions(experts: 4)
        options.granularity = 3
        let moe = try await write(Checkpoint(at: Fixtures.model("mistral")).upcycled(options).checkpoint)
        let back = try await write(Checkpoint(at: moe).densified())
        let name = "model.layers.0.mlp.down_proj.weight"
        for (a, b) in zip(try folder.floats(back, name), try folder.floats(Fixtures.model("mistral"), name)) {
            #expect(abs(a - b) <= b.ulp)
        }
    }

    @Test("The mean of experts, folded with what the gates sum to")
    func mean() async throws {
        // qwen2_moe with six experts, top-2, gates not normalised: a router without a preference gives 2/6.
        let source = Fixtures.model("qwen2-moe")
        let (dense, report) = try Checkpoint(at: source).densified(DensifyOptions())
        #expect(report.width == 24 + 40)
        #expect(report.approximations.count == 2)
        let path = try await write(dense)
        let down = try folder.floats(path, "model.layers.0.mlp.down_proj.weight")
        let experts = try (0..<6).map { try folder.floats(source, "model.layers.0.mlp.experts.\($0).down_proj.weight") }
        let shared = try folder.floats(source, "model.layers.0.mlp.shared_expert.down_proj.weight")
        for row in [0, 31] {
            for unit in [0, 23] {
                let sum = experts.reduce(0.0) { $0 + Double($1[row * 24 + unit]) }
                #expect(abs(Double(down[row * 64 + unit]) - sum / 6 / 3) < 1e-7)
            }
            #expect(down[row * 64 + 24 + 7] == shared[row * 40 + 7] / 2)
        }
    }

    @Test("Experts that are permutations of one are one again when they are aligned")
    func alignment() async throws {
        // A mixture whose experts are the dense network with its hidden units in other orders.
        let dense = try Checkpoint(at: Fixtures.model("mistral"))
        let moe = try await write(dense.upcycled(experts: 3))
        let file = try SafetensorsFile(path: moe + "/model.safetensors")
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        for info in file.header.tensors {
            var values = try folder.floats(moe, info.name)
            if let place = info.name.range(of: "experts.") {
                let expert = Int(String(info.name[place.upperBound])) ?? 0
                let order = (0..<48).map { ($0 * (expert == 1 ? 5 : 7) + expert) % 48 }
                let old = values
                if expert > 0, info.name.contains(".w2.") {
                    for row in 0..<32 {
                        for (i, unit) in order.enumerated() { values[row * 48 + i] = old[row * 48 + unit] }
                    }
                } else if expert > 0 {
                    for (i, unit) in order.enumerated() {
                        for column in 0..<32 { values[i * 32 + column] = old[unit * 32 + column] }
                    }
                }
            }
            tensors.append((info.name, info.dtype, info.shape, values.withUnsafeBytes { Array($0) }))
        }
        try FileManager.default.removeItem(atPath: moe + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: moe + "/model.safetensors")
        var options = DensifyOptions()
        options.aligns = true
        let aligned = try await write(Checkpoint(at: moe).densified(options).checkpoint)
        #expect(try folder.tensors(aligned) == folder.tensors(Fixtures.model("mistral")))
        options.aligns = false
        let mixed = try await write(Checkpoint(at: moe).densified(options).checkpoint)
        #expect(try folder.tensors(mixed) != folder.tensors(Fixtures.model("mistral")))
    }

    @Test("Each family goes where it can, or says why not")
    func targets() throws {
        let expected = [
            "mixtral": "mistral", "qwen2-moe": "qwen2", "qwen3-moe": "qwen3", "flex-olmo": "olmo2",
            "granitemoe": "granite", "deepseek-v2": "deepseek_v2", "deepseek-v3": "deepseek_v3", "olmoe": "olmoe",
            "gpt-oss": "gpt_oss",
        ]
        for (name, family) in expected {
            let dense = try Checkpoint(at: Fixtures.model(name)).densified()
            #expect(dense.description.architecture.modelType == family)
        }
        #expect(throws: CheckpointError.self) { try Checkpoint(at: Fixtures.model("phimoe")).densified() }
        #expect(throws: CheckpointError.self) { try Checkpoint(at: Fixtures.model("mistral")).densified() }
    }

    @Test("Pruning keeps experts and their routers' rows as they are")
    func prune() async throws {
        let source = Fixtures.model("olmoe")
        let scores: [Int: [Double]] = [0: [5, 1, 4, 4, 0, 9], 1: [0, 1, 2, 3, 4, 5]]
        let options = PruneOptions(size: .experts(3), choice: .scores(scores))
        let path = try await write(Checkpoint(at: source).pruned(options))
        let before = try folder.tensors(source)
        let after = try folder.tensors(path)
        // Of the two that score 4, the first.
        for (layer, kept) in [[0, 2, 5], [3, 4, 5]].enumerated() {
            let rows = try folder.floats(source, "model.layers.\(layer).mlp.gate.weight")
            #expect(
                try folder.floats(path, "model.layers.\(layer).mlp.gate.weight")
                    == kept.flatMap { rows[$0 * 32..<($0 + 1) * 32] })
            for (new, old) in kept.enumerated() {
                let name = "model.layers.\(layer).mlp.experts."
                #expect(after["\(name)\(new).up_proj.weight"] == before["\(name)\(old).up_proj.weight"])
            }
        }
        #expect(try Checkpoint(at: path).description.size("experts") == 3)
        // A router that chooses groups first keeps as many in each of its two groups.
        let grouped = try Checkpoint(at: Fixtures.model("deepseek-v3"))
        let ranks = Dictionary(uniqueKeysWithValues: (0..<3).map { ($0, (0..<8).map { -Double($0) }) })
        let pruned = try grouped.pruned(PruneOptions(size: .ratio(0.5), choice: .scores(ranks)))
        #expect(pruned.history.last?["kept"]?.object?["1"] == JSON.array([0, 1, 4, 5]))
        #expect(throws: CheckpointError.self) {
            try grouped.pruned(PruneOptions(size: .experts(3), choice: .random))
        }
        #expect(throws: CheckpointError.self) {
            try Checkpoint(at: source).pruned(PruneOptions(size: .experts(1), choice: .random))
        }
    }

    @Test("Groups become their weighted, aligned mean, under the router's row of the first")
    func groups() async throws {
        let source = Fixtures.model("qwen3-moe")
        // Not in the order of their first experts.
        let groups = [[0, 3], [2, 5, 4], [1]]
        let usage: [Double] = [3, 1, 1, 1, 1, 1]
        let options = PruneOptions(
            size: .experts(3), choice: .groups([0: groups, 1: groups], usage: [0: usage, 1: usage]))
        let path = try await write(Checkpoint(at: source).pruned(options))
        let before = try folder.tensors(source)
        #expect(
            try folder.tensors(path)["model.layers.0.mlp.experts.2.up_proj.weight"]
                == before["model.layers.0.mlp.experts.1.up_proj.weight"])
        let rows = try folder.floats(source, "model.layers.0.mlp.gate.weight")
        #expect(
            try folder.floats(path, "model.layers.0.mlp.gate.weight")
                == [0, 2, 1].flatMap { rows[$0 * 32..<($0 + 1) * 32] })
        // Weights 3 and 1 of four, whatever the order of the units: the sum over them does not depend on it.
        let name = "model.layers.0.mlp.experts."
        let merged = try folder.floats(path, "\(name)0.up_proj.weight")
        let (first, second) = (
            try folder.floats(source, "\(name)0.up_proj.weight"), try folder.floats(source, "\(name)3.up_proj.weight")
        )
        let column = { (values: [Float]) in (0..<24).reduce(0.0) { $0 + Double(values[$1 * 32]) } }
        #expect(abs(column(merged) - (3 * column(first) + column(second)) / 4) < 1e-5)
    }

    @Test("Similar experts are grouped around the most used, or by average linkage")
    func clusters() {
        let similarity: [[Double]] = [
            [1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.1], [0.1, 0.3, 1, 0.8], [0.2, 0.1, 0.8, 1],
        ]
        #expect(
            ExpertClustering.aroundMostUsed(similarity: similarity, usage: [5, 1, 1, 4], count: 2) == [
                [0, 1], [3, 2],
            ])
        // Points on a line: 0, 1, 5, 6.5, 20. Average linkage joins 0 and 1, 5 and 6.5, then these two pairs.
        let points = [[0.0], [1], [5], [6.5], [20]]
        let usage = [1.0, 2, 1, 1, 1]
        #expect(
            ExpertClustering.hierarchical(features: points, usage: usage, count: 3) == [[1, 0], [2, 3], [4]])
        #expect(ExpertClustering.hierarchical(features: points, usage: usage, count: 2) == [[1, 0, 2, 3], [4]])
    }
}
