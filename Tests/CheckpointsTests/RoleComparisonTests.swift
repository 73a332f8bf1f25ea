import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("A dense model beside a mixture")
struct RoleComparisonTests {
    private let folder: TemporaryFolder
    private let dense: Checkpoint

    init() throws {
        folder = try TemporaryFolder()
        dense = try Checkpoint(at: Fixtures.model("mistral"))
    }

    /// A mixtral of two copies and a zero router, made by hand from the dense tensors.
    private func mixture(
        _ name: String, setting values: [String: Any?] = [:],
        changing change: (String, inout [UInt8]) -> Void = { _, _ in }, without dropped: Set<String> = []
    ) throws -> Checkpoint {
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        let file = try SafetensorsFile(path: Fixtures.model("mistral") + "/model.safetensors")
        for info in file.header.tensors where !dropped.contains(info.name) {
            guard info.name.contains(".mlp.") else {
                tensors.append((info.name, info.dtype, info.shape, try file.bytes(info.name)))
                continue
            }
            for (theirs, ours) in [("gate_proj", "w1"), ("up_proj", "w3"), ("down_proj", "w2")] {
                guard info.name.contains(theirs) else { continue }
                for expert in 0..<2 {
                    let name = info.name.replacingOccurrences(
                        of: "mlp.\(theirs)", with: "block_sparse_moe.experts.\(expert).\(ours)")
                    tensors.append((name, info.dtype, info.shape, try file.bytes(info.name)))
                }
            }
        }
        for layer in 0..<dense.description.layerCount {
            tensors.append(
                (
                    "model.layers.\(layer).block_sparse_moe.gate.weight", .f32, try Shape([2, 32]),
                    [UInt8](repeating: 0, count: 256)
                ))
        }
        let path = try folder.copy(
            Fixtures.model("mistral"), as: name,
            setting: [
                "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_local_experts": 2,
                "num_experts_per_tok": 2, "rms_norm_eps": dense.description.config.object["rms_norm_eps"]?.double,
            ].merging(values) { _, new in new })
        for index in tensors.indices { change(tensors[index].name, &tensors[index].bytes) }
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: path + "/model.safetensors")
        return try Checkpoint(at: path)
    }

    private func compare(_ moe: Checkpoint) async throws -> RoleComparison {
        try await .between(dense: dense, moe: moe, threads: 2, isCancelled: { false })
    }

    @Test("Copies of the network are its function")
    func exact() async throws {
        let result = try await compare(mixture("same"))
        #expect(result.isExact && result.isWithin(0), "\(result.differences)")
    }

    @Test("A NaN in an expert is a difference without a bound")
    func nan() async throws {
        let result = try await compare(
            mixture(
                "nan",
                changing: { name, bytes in
                    if name.contains("layers.1"), name.contains("experts.1.w2") {
                        bytes.replaceSubrange(8..<12, with: withUnsafeBytes(of: Float.nan) { Array($0) })
                    }
                }))
        #expect(!result.isExact && !result.isWithin(1e30))
        #expect(result.maximumAbsolute.isNaN)
        #expect(result.json["maximum_absolute"] == .null)
    }

    private static let keys: [(String, any Sendable)] = [
        ("rms_norm_eps", 0.01), ("rope_theta", 123456.0), ("sliding_window", 3),
        ("rope_scaling", ["type": "linear", "factor": 2.0] as [String: any Sendable]),
    ]

    @Test("What the configuration changes is a difference too", arguments: keys.indices)
    func configurations(_ index: Int) async throws {
        let (key, value) = Self.keys[index]
        let rope: [String: Any?] = key.hasPrefix("rope") ? ["rope_parameters": nil] : [:]
        let result = try await compare(mixture("changed", setting: rope.merging([key: value]) { _, new in new }))
        #expect(!result.isExact && !result.isWithin(1e30))
        #expect(result.disagreements.count == 1, "\(result.disagreements)")
        #expect(result.verdict.contains("configurations"))
    }

    @Test("A number that is written otherwise is none")
    func spelling() async throws {
        let result = try await compare(
            mixture(
                "spelled",
                setting: ["rope_parameters": nil, "rope_scaling": nil, "rope_theta": 10000, "rope_type": nil]))
        let theta = try dense.description.config.ropeParameters(dense.description.architecture)?["rope_theta"]?.double
        #expect(result.isExact == (theta == 10000))
    }

    @Test("Tensors of the dense model that the mixture lacks are differences")
    func missing() async throws {
        let qwen = try Checkpoint(at: Fixtures.model("qwen3"))
        let result = try await RoleComparison.between(
            dense: qwen, moe: mixture("other"), threads: 2, isCancelled: { false })
        #expect(!result.isExact)
        #expect(result.differences.contains { $0.contains("norm.q") && $0.contains("the mixture has none") })
    }

    @Test("Configurations of checkpoints of one family are compared with their tensors")
    func byName() throws {
        let path = Fixtures.model("llama")
        let other = try folder.copy(path, as: "llama", setting: ["rms_norm_eps": 0.5])
        #expect(try Comparison.configurations(path, other).map(\.name) == ["norm epsilon"])
        let inert = try folder.copy(path, as: "inert", setting: ["initializer_range": 0.5, "use_cache": false])
        #expect(try Comparison.configurations(path, inert).isEmpty)
        let unknown = try folder.copy(path, as: "unknown", setting: ["model_type": "new", "clip": 1])
        let another = try folder.copy(path, as: "another", setting: ["model_type": "new", "clip": 2])
        #expect(try Comparison.configurations(unknown, another).map(\.description) == ["clip: 1 and 2"])
    }
}
