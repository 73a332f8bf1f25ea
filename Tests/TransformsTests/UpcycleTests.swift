import Checkpoints
import Foundation
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite("Upcycling")
struct UpcycleTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func upcycle(
        _ name: String, experts: Int = 4, _ change: (inout UpcycleOptions) -> Void = { _ in }
    ) async throws -> (path: String, preservation: Preservation) {
        var options = UpcycleOptions(experts: experts)
        change(&options)
        let (checkpoint, preservation) = try Checkpoint(at: Fixtures.model(name)).upcycled(options)
        let path = folder.path + "/moe-\(UUID().uuidString)"
        try await checkpoint.write(to: path)
        return (path, preservation)
    }

    private func refusal(_ name: String, experts: Int = 4, _ change: (inout UpcycleOptions) -> Void) throws
        -> CheckpointError
    {
        var options = UpcycleOptions(experts: experts)
        change(&options)
        return try #require(throws: CheckpointError.self) {
            try Checkpoint(at: Fixtures.model(name)).upcycled(options)
        }
    }

    private func floats(_ path: String, _ name: String) throws -> [Float] {
        try SafetensorsFile(path: path + "/model.safetensors").bytes(name).withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    static let pairs = [
        ("llama", "mixtral"), ("llama", "granitemoe"), ("llama3-rope", "mixtral"), ("mistral", "mixtral"),
        ("qwen2-tied", "qwen2_moe"), ("qwen3", "qwen3_moe"), ("olmo2", "flex_olmo"), ("granite", "granitemoe"),
        ("deepseek-v3-dense", "deepseek_v3"),
    ]

    // That the weights, the gates and the configuration make the dense function is checked role by role, by code that
    // shares nothing with the transform but the families' files; transformers' own answer is in Tests/Interop.
    @Test("Every construction that claims to be exact is made of the dense network", arguments: pairs)
    func exact(_ name: String, _ target: String) async throws {
        let dense = try Checkpoint(at: Fixtures.model(name))
        var cases: [(inout UpcycleOptions) -> Void] = [
            { _ in }, { $0.topK = 1 }, { $0.granularity = 2 },
            {
                $0.granularity = 4
                $0.topK = 3
            },
            { $0.initialisation = .partition }, { $0.router = .zero }, { $0.router = .uniform(std: 0.1) },
        ]
        if target != "mixtral", target != "granitemoe" {
            cases.append {
                $0.normalisesTopK = false
                $0.router = .zero
            }
        }
        if target == "qwen2_moe" || target == "deepseek_v3" { cases.append { $0.sharedExperts = true } }
        for change in cases {
            let (path, preservation) = try await upcycle(name) { options in
                options.target = target
                change(&options)
            }
            #expect(preservation.degree == .exact, "\(preservation.reason)")
            let moe = try Checkpoint(at: path)
            #expect(moe.isMixture)
            let report = try await RoleComparison.between(dense: dense, moe: moe, threads: 1) { false }
            #expect(report.isExact, "\(report.verdict) \(report.differences.prefix(3))")
        }
    }

    @Test("What is not exact is not claimed to be, and is found out")
    func inexact() async throws {
        let dense = try Checkpoint(at: Fixtures.model("qwen3"))
        let cases: [((inout UpcycleOptions) -> Void, Preservation.Degree)] = [
            ({ $0.initialisation = .noise(0.01) }, .none), ({ $0.initialisation = .drop(0.5) }, .none),
            ({ $0.normalisesTopK = false }, .expectation), ({ $0.scale = .factor(2) }, .none),
            (
                {
                    $0.granularity = 2
                    $0.scale = .none
                }, .none
            ),
            (
                {
                    $0.initialisation = .partition
                    $0.topK = 2
                }, .none
            ),
            (
                {
                    $0.initialisation = .partition
                    $0.router = .random(std: 0.5)
                }, .expectation
            ),
        ]
        for (change, degree) in cases {
            let (path, preservation) = try await upcycle("qwen3", change)
            #expect(preservation.degree == degree, "\(preservation.reason)")
            let report = try await RoleComparison.between(dense: dense, moe: try Checkpoint(at: path), threads: 1) {
                false
            }
            #expect(!report.isExact)
        }
    }

    // methods.md B.2, by hand: G; E*G*G/T with T = K*G experts selected of E*G; 2/K for a sigmoid.
    @Test(
        "The factor is the table's",
        arguments: [
            ("qwen3", 8, 1, 2, true, 1.0), ("qwen3", 8, 8, 1, true, 8), ("qwen3", 8, 1, 2, false, 4),
            ("qwen3", 8, 8, 1, false, 64),
            ("qwen3", 6, 2, 3, false, 4), ("deepseek-v3-dense", 4, 1, 2, false, 1),
            ("deepseek-v3-dense", 4, 2, 4, false, 0.5),
        ])
    func factor(_ name: String, _ experts: Int, _ parts: Int, _ topK: Int, _ normalised: Bool, _ expected: Double)
        throws
    {
        var options = UpcycleOptions(experts: experts, topK: topK)
        options.granularity = parts
        options.normalisesTopK = normalised
        options.router = .zero
        #expect(try Checkpoint(at: Fixtures.model(name)).upcycled(options).preservation.factor == expected)
    }

    @Test("Noise has the standard deviation asked for, relative to the matrix's own, and differs between experts")
    func noise() async throws {
        let (path, _) = try await upcycle("llama") { $0.initialisation = .noise(0.1) }
        let dense = try floats(Fixtures.model("llama"), "model.layers.0.mlp.gate_proj.weight")
        let first = try floats(path, "model.layers.0.block_sparse_moe.experts.0.w1.weight")
        let second = try floats(path, "model.layers.0.block_sparse_moe.experts.1.w1.weight")
        #expect(first != second)
        let sigma = deviation(dense)
        let noise = zip(first, dense).map { $0 - $1 }
        // 1536 values: the standard error of the deviation is 1/sqrt(2 * 1536) = 1.8 %.
        #expect(abs(deviation(noise) / sigma - 0.1) < 0.01)
    }

    private func deviation(_ values: [Float]) -> Float {
        let mean = values.reduce(0, +) / Float(values.count)
        return (values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Float(values.count - 1)).squareRoot()
    }

    @Test("Drop-Upcycling draws the same hidden units anew in gate, up and down")
    func drop() async throws {
        let (path, _) = try await upcycle("llama") { $0.initialisation = .drop(0.5) }
        let width = 48
        let hidden = 32
        var sets: [Set<Int>] = []
        for expert in 0..<4 {
            var redrawn: [Set<Int>] = []
            for (dense, moe, isDown) in [("gate", "w1", false), ("up", "w3", false), ("down", "w2", true)] {
                let before = try floats(Fixtures.model("llama"), "model.layers.1.mlp.\(dense)_proj.weight")
                let after = try floats(path, "model.layers.1.block_sparse_moe.experts.\(expert).\(moe).weight")
                var units: Set<Int> = []
                var replaced: [Float] = []
                var fresh: [Float] = []
                for index in before.indices {
                    let unit = isDown ? index % width : index / hidden
                    if before[index] != after[index] { units.insert(unit) }
                }
                for index in before.indices where units.contains(isDown ? index % width : index / hidden) {
                    replaced.append(before[index])
                    fresh.append(after[index])
                }
                redrawn.append(units)
                // 768 draws: the standard error of their deviation is 2.6 % of it.
                #expect(abs(deviation(fresh) / deviation(replaced) - 1) < 0.13)
                #expect(Set(fresh).intersection(replaced).isEmpty)
            }
            #expect(redrawn[0].count == 24 && redrawn.allSatisfy { $0 == redrawn[0] })
            sets.append(redrawn[0])
        }
        #expect(Set(sets).count == 4, "each expert has a set of its own")
    }

    @Test("Virtual groups: the router's rows of a copy are equal, those of two copies are not")
    func virtualGroups() async throws {
        let (path, _) = try await upcycle("llama") { $0.granularity = 3 }
        let router = try floats(path, "model.layers.0.block_sparse_moe.gate.weight")
        let rows = (0..<12).map { Array(router[$0 * 32..<($0 + 1) * 32]) }
        for row in 0..<12 { #expect((rows[row] == rows[row / 3 * 3]) && (row < 3 || rows[row] != rows[row - 3])) }
        #expect(abs(deviation(router) - 0.02) < 0.004)
    }

    @Test("The seed decides the draws, and nothing else does")
    func seeds() async throws {
        let first = try await upcycle("llama").path
        let same = try await upcycle("llama").path
        let other = try await upcycle("llama") { $0.seed = 1 }.path
        let file = "/model.safetensors"
        #expect(try contents(first + file) == contents(same + file))
        #expect(try contents(first + "/moe-tool.json") == contents(same + "/moe-tool.json"))
        #expect(try contents(first + file) != contents(other + file))
    }

    @Test("The choice of layers is written as each family says it")
    func layers() async throws {
        let listed = try Checkpoint(at: try await upcycle("qwen3") { $0.layers = .listed([0]) }.path)
        #expect(listed.description.moeLayers == [true, false])
        #expect(listed.description.config.object["mlp_only_layers"]?.array == [1])
        let every = try Checkpoint(at: try await upcycle("qwen3") { $0.layers = .every(2) }.path)
        #expect(every.description.moeLayers == [false, true])
        #expect(every.description.config.object["decoder_sparse_step"]?.int == 2)
        let first = try Checkpoint(at: try await upcycle("deepseek-v3-dense") { $0.layers = .firstDense(1) }.path)
        #expect(first.description.config.object["first_k_dense_replace"]?.int == 1)
        #expect(try refusal("olmo2") { $0.layers = .every(2) }.code == .incompatible)
        #expect(try refusal("deepseek-v3-dense") { $0.layers = .listed([0]) }.code == .incompatible)
        #expect(try refusal("qwen3") { $0.layers = .listed([7]) }.message.contains("layer 7"))
        #expect(try refusal("qwen3") { $0.layers = .firstDense(2) }.code == .usage)
    }

    @Test("What cannot be said is refused with the reason")
    func refusals() throws {
        #expect(try refusal("gemma2") { _ in }.message.contains("cannot be upcycled"))
        #expect(try refusal("llama") { $0.target = "qwen3_moe" }.message.contains("mixtral or qwen2_moe or granitemoe"))
        #expect(try refusal("llama3-rope") { $0.target = "granitemoe" }.message.contains("head_dim is 16"))
        #expect(try refusal("mixtral") { _ in }.message.contains("already"))
        #expect(try refusal("llama") { $0.normalisesTopK = false }.message.contains("`normalisesTopK`"))
        #expect(try refusal("olmo2") { $0.sharedExperts = true }.message.contains("no shared experts"))
        #expect(try refusal("llama") { $0.granularity = 5 }.message.contains("48 cannot be cut into 5"))
        #expect(try refusal("llama") { $0.topK = 5 }.code == .usage)
        #expect(
            try refusal("llama") {
                $0.initialisation = .partition
                $0.granularity = 2
            }.code == .usage)
        #expect(try refusal("deepseek-v3-dense", experts: 1) { _ in }.message.contains("at least 2"))
    }

    @Test("Biases that the target does not have are refused", arguments: ["attention_bias", "mlp_bias"])
    func biases(_ key: String) throws {
        let model = try folder.copy(Fixtures.model("llama"), as: "biased")
        let path = model + "/config.json"
        let text = String(decoding: try contents(path), as: UTF8.self)
        try text.replacingOccurrences(of: "\"\(key)\": false", with: "\"\(key)\": true")
            .write(toFile: path, atomically: true, encoding: .utf8)
        // The tensors are not there either: the configuration is judged first, from a description alone.
        let config = try ModelConfig(contentsOf: path)
        let family = try #require(try Architecture.named("llama"))
        let description = try ModelDescription(family, config)
        let error = try #require(throws: CheckpointError.self) {
            try UpcycleRule(from: family, to: "mixtral").check(description)
        }
        #expect(error.message.contains(key))
        #expect(error.code == .incompatible)
    }

    // transformers derives qwen2's windows from max_window_layers up and qwen2_moe's from it down.
    @Test("Windows are written layer by layer")
    func windows() async throws {
        let moe = try Checkpoint(at: try await upcycle("qwen2-tied").path)
        #expect(moe.description.config.object["layer_types"]?.array == ["full_attention", "full_attention"])
    }
}
