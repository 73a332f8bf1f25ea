import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

/// Families whose tokens are mixed by something else than attention, made into one another.
@Suite("Families with other mixers than attention")
struct MixerFamilyTests {
    private let folder: TemporaryFolder
    private static let ids: [Int32] = (0..<48).map { Int32(3 + ($0 * 29) % 90) }

    init() throws { folder = try TemporaryFolder() }

    /// Logits of two sequences of 24 tokens.
    private func logits(_ checkpoint: Checkpoint) throws -> [Float] {
        let decoder = try Decoder(checkpoint, workers: Workers(threads: 2))
        return try decoder.logits(decoder.forward(TokenBatch(ids: Self.ids, length: 24)).span).array
    }

    private func difference(_ a: [Float], _ b: [Float]) -> Float {
        guard a.count == b.count else { return .infinity }
        return zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) }
    }

    /// Gates that sum to one over equal experts give what the one network gives; lfm2_moe's fall short of one by 1e-6 over
    /// the sum of the scores.
    @Test(
        "An upcycled model computes what the dense one does, and its mean is the dense one again",
        arguments: [("lfm2", "lfm2_moe"), ("qwen3-5-text", "qwen3_5_moe_text")])
    func upcycled(_ name: String, _ target: String) async throws {
        let dense = try Checkpoint(at: Fixtures.model(name))
        let expected = try logits(dense)
        let path = folder.path + "/" + target
        try await dense.upcycled(experts: 4, topK: 2).write(to: path)
        let moe = try Checkpoint(at: path)
        #expect(moe.description.architecture.modelType == target)
        #expect(moe.description.mixers == dense.description.mixers)
        #expect(difference(try logits(moe), expected) <= 2e-5)
        let back = folder.path + "/back"
        try await moe.densified(DensifyOptions()).checkpoint.write(to: back)
        let again = try Checkpoint(at: back)
        #expect(again.description.architecture.modelType == dense.description.architecture.modelType)
        #expect(difference(try logits(again), expected) <= 2e-5)
    }

    @Test(
        "A pruned mixture is written and read with all of its other tensors",
        arguments: ["lfm2-moe", "qwen3-next", "qwen3-5-moe-text", "granitemoehybrid-mamba", "nemotron-h"])
    func pruned(_ name: String) async throws {
        let mixture = try Checkpoint(at: Fixtures.model(name))
        let options = PruneOptions(size: .experts(3), choice: .random)
        try await mixture.pruned(options).write(to: folder.path + "/pruned")
        let pruned = try Checkpoint(at: folder.path + "/pruned")
        #expect(try pruned.description.size("experts") == 3)
        #expect(pruned.description.mixers == mixture.description.mixers)
        let others = mixture.table.keys.filter { $0.expert == nil && !$0.kind.rawValue.hasPrefix("router") }
        #expect(others.allSatisfy { pruned.table[$0] != nil })
        #expect(try logits(pruned).allSatisfy(\.isFinite))
    }

    // int(2 * 48 / 3) = 32, rounded up to a multiple of 10: the width that Lfm2MLP has.
    @Test("LFM2's width may be adjusted by its configuration")
    func adjustedWidth() throws {
        let path = try folder.copy(
            Fixtures.model("lfm2"), as: "adjusted",
            setting: ["block_auto_adjust_ff_dim": true, "block_multiple_of": 10])
        let config = try ModelConfig(contentsOf: path + "/config.json")
        let architecture = try #require(try Architecture.named("lfm2"))
        #expect(try ModelDescription(architecture, config).size("inner") == 40)
    }

    @Test("Layers are what the configuration's lists, intervals and patterns say")
    func layerKinds() throws {
        func mixers(_ name: String, _ family: String, _ values: [String: Any?]) throws -> [MixerKind?] {
            let path = try folder.copy(Fixtures.model(name), as: UUID().uuidString, setting: values)
            let architecture = try #require(try Architecture.named(family))
            return try ModelDescription(architecture, ModelConfig(contentsOf: path + "/config.json")).mixers
        }
        #expect(
            try mixers("lfm2", "lfm2", ["layer_types": nil, "full_attn_idxs": [0]]) == [.attention, .convolution])
        #expect(try mixers("lfm2", "lfm2", ["layer_types": nil]) == [.attention, .attention])
        #expect(
            try mixers("qwen3-5-text", "qwen3_5_text", ["layer_types": nil, "full_attention_interval": 2])
                == [.delta, .attention, .delta, .attention])
        #expect(
            try mixers(
                "nemotron-h", "nemotron_h", ["layers_block_type": nil, "hybrid_override_pattern": "ME*E-"])
                == [.mamba, nil, .attention, nil, nil])
        #expect(throws: CheckpointError.self) {
            try mixers("lfm2", "lfm2", ["layer_types": ["conv", "mamba"]])
        }
        #expect(throws: CheckpointError.self) { try mixers("lfm2", "lfm2", ["layer_types": ["conv"]]) }
        #expect(throws: CheckpointError.self) { try mixers("lfm2", "lfm2", ["layer_types": 7]) }
        #expect(throws: CheckpointError.self) {
            try mixers("qwen3-5-text", "qwen3_5_text", ["layer_types": nil, "full_attention_interval": 0])
        }
    }

    @Test("A step's limit may be infinite in each of the ways that it is written")
    func stepLimits() throws {
        let path = try folder.copy(Fixtures.model("nemotron-h"), as: "limits", setting: ["time_step_limit": [0, 7]])
        let text = try String(contentsOfFile: path + "/config.json", encoding: .utf8)
        for (limit, expected) in [
            ("7", Float(7)), ("Infinity", .infinity), ("{\"__float__\":\"Infinity\"}", .infinity),
        ] {
            try text.replacing("[0,7]", with: "[0,\(limit)]").write(
                toFile: path + "/config.json", atomically: true, encoding: .utf8)
            let checkpoint = try Checkpoint(at: path)
            #expect(try DecoderConfiguration(checkpoint.description).mamba?.mostStep == expected)
            #expect(checkpoint.description.config.text.contains(limit == "7" ? "7" : "Infinity"))
        }
        for limit in ["-1", "\"none\",1", "[]", "NaN"] {
            try text.replacing("[0,7]", with: "[2,\(limit)]").write(
                toFile: path + "/config.json", atomically: true, encoding: .utf8)
            #expect(throws: (any Error).self) { try Checkpoint(at: path).description.checkRunnable() }
        }
    }

    // By hand: a convolution keeps (3 - 1) * 32 values; a Gated DeltaNet 3 * (2 * 16 + 32) of its convolution and 4 * 8 * 8
    // of its matrices; a Mamba-2 layer 3 * (64 + 2 * 8) and 4 * 16 * 8. Attention keeps 2 * heads * dimension of each token.
    @Test(
        "What layers keep of a sequence",
        arguments: [
            ("lfm2", 2 * 2 * 8, 64), ("qwen3-next", 2 * 2 * 16, 3 * (192 + 256)),
            ("granitemoehybrid-mamba", 2 * 2 * 8, 2 * (240 + 512)),
        ])
    func kept(_ name: String, token: Int, sequence: Int) throws {
        let model = try #require(try Inspection(of: Fixtures.model(name)).model)
        #expect(model.keptElements.token == token)
        #expect(model.keptElements.sequence == sequence)
    }
}
