import Numerics
import Testing
import Training

/// The expected numbers are PyTorch's, from Tests/Fixtures/training/make.py: autograd in F64.
@Suite("Router losses")
struct RouterLossTests {
    private let golden: Golden
    private let workers = Workers(threads: 2)

    init() throws { golden = try Golden() }

    private func batch(noisy: Bool = false, topK: Int = 2, domains: Bool = true) throws -> RouterBatch {
        let raw = try golden.matrices("raw")
        let draws = try golden.matrices("normals")
        let noise = noisy ? zip(raw, draws).map { RouterNoise(raw: $0, draws: $1) } : []
        return RouterBatch(
            logits: try golden.matrices("logits"), noise: noise, topK: topK,
            domains: domains ? try golden.integers("domains") : [], workers)
    }

    private static let losses: [(name: String, loss: any RouterLoss)] = [
        ("switch", SwitchLoss()), ("gshard", GShardLoss()), ("hf", PooledLoss()), ("btx", BranchTrainMixLoss()),
        ("mutual-information", MutualInformationLoss()), ("z", RouterZLoss()),
    ]

    @Test("Value and gradient are PyTorch's", arguments: losses.map(\.name))
    func values(_ name: String) throws {
        let loss = try #require(Self.losses.first { $0.name == name }).loss
        let batch = try batch()
        let gradients = RouterGradients(zerosFor: batch)
        let value = loss.add(batch, weight: 1, to: gradients, workers)
        let expected = try golden.scalar(name + ".value")
        #expect(abs(value - expected) < 1e-6 * abs(expected), "\(value), expected \(expected)")
        #expect(distance(gradients.logits, try golden.values(name + ".gradient")) < 1e-5)
    }

    @Test("A weight scales what is added to the gradient, and not the value", arguments: losses.map(\.name))
    func weights(_ name: String) throws {
        let loss = try #require(Self.losses.first { $0.name == name }).loss
        let batch = try batch()
        let gradients = RouterGradients(zerosFor: batch)
        let first = loss.add(batch, weight: 2, to: gradients, workers)
        let second = loss.add(batch, weight: -0.5, to: gradients, workers)
        #expect(first == second)
        let expected = try golden.values(name + ".gradient").map { 1.5 * $0 }
        #expect(distance(gradients.logits, expected) < 1e-5)
    }

    @Test("Importance and load, with gradients to logits and noise", arguments: [2, 6])
    func importanceAndLoad(_ topK: Int) throws {
        let name = topK == 6 ? "importance+load-all" : "importance+load"
        let batch = try batch(noisy: true, topK: topK)
        let gradients = RouterGradients(zerosFor: batch)
        let value = ImportanceLoadLoss().add(batch, weight: 1, to: gradients, workers)
        let expected = try golden.scalar(name + ".value")
        #expect(abs(value - expected) < 1e-6 * expected)
        #expect(distance(gradients.logits, try golden.values(name + ".gradient")) < 1e-5)
        #expect(distance(gradients.noise, try golden.values(name + ".raw-gradient")) < 1e-5)
    }

    /// Each of the four experts is the first choice of a quarter of the tokens and the second of another: f is even, and
    /// the probabilities are so by symmetry.
    @Test("Values where the load is even are those of the formulas")
    func even() {
        let rows: [Float] = [3, 2, 0, 0, 0, 3, 2, 0, 0, 0, 3, 2, 2, 0, 0, 3]
        let layers = (0..<3).map { _ in Matrix(rows: 4, columns: 4, rows) }
        let batch = RouterBatch(logits: layers, topK: 2, domains: [0, 0, 0, 0], workers)
        let gradients = RouterGradients(zerosFor: batch)
        func value(_ loss: any RouterLoss) -> Double { loss.add(batch, weight: 1, to: gradients, workers) }
        #expect(abs(value(SwitchLoss()) - 3) < 1e-6)
        #expect(abs(value(GShardLoss()) - 3.0 / 16) < 1e-6)
        #expect(abs(value(PooledLoss()) - 2) < 1e-6)
        #expect(abs(value(BranchTrainMixLoss()) - 3) < 1e-6)
        // One domain tells nothing of the experts.
        #expect(abs(value(MutualInformationLoss())) < 1e-6)
    }

    @Test("Experts of their own for each domain are worth the entropy of the domains")
    func specialists() {
        // Two domains of half the tokens each, with logits that leave no doubt: -log 2 for a layer.
        let batch = RouterBatch(
            logits: [Matrix(rows: 4, columns: 2, [50, 0, 50, 0, 0, 50, 0, 50])], topK: 1, domains: [0, 0, 1, 1], workers
        )
        let gradients = RouterGradients(zerosFor: batch)
        let value = MutualInformationLoss().add(batch, weight: 1, to: gradients, workers)
        #expect(abs(value + 0.6931471805599453) < 1e-9)
        #expect(gradients.logits[0].array.allSatisfy { $0.isFinite })
    }

    @Test("What is not known gives nothing: domains, noise, layers")
    func missing() throws {
        let noDomains = try batch(domains: false)
        let gradients = RouterGradients(zerosFor: noDomains)
        #expect(MutualInformationLoss().add(noDomains, weight: 1, to: gradients, workers) == 0)
        #expect(gradients.logits.allSatisfy { $0.array.allSatisfy { $0 == 0 } })
        let value = ImportanceLoadLoss().add(noDomains, weight: 1, to: gradients, workers)
        #expect(value.isFinite && gradients.noise.isEmpty)

        let empty = RouterBatch(logits: [], topK: 2, workers)
        for (_, loss) in Self.losses {
            #expect(loss.add(empty, weight: 1, to: RouterGradients(zerosFor: empty), workers) == 0)
        }
    }

    @Test("The largest are selected in order, of equal ones the first")
    func selection() {
        let logits = Matrix(rows: 3, columns: 5, [1, 5, 3, 5, 2, 0, 0, 0, 0, 0, -1, -2, -3, -4, .nan])
        let batch = RouterBatch(logits: [logits], topK: 3, workers)
        let selected = Array(batch.layers[0].selected)
        #expect(selected.prefix(6) == [1, 3, 2, 0, 1, 2])
        #expect(selected.allSatisfy { (0..<5).contains($0) })
    }

    @Test("The bias moves against the load")
    func bias() {
        var bias: [Float] = [0.5, 0, -1, 0]
        bias.withUnsafeMutableBufferPointer { updateLossFreeBias($0, counts: [10, 2, 4, 0], rate: 0.25) }
        // The mean is 4.
        #expect(bias == [0.25, 0.25, -1, 0.25])
    }

    @Test("A method is read as it is typed")
    func parsing() {
        #expect(Balance("switch:0.02") == Balance(.switch, weight: 0.02))
        #expect(Balance("importance+load") == Balance(.importanceLoad, weight: 0.01))
        #expect(Balance("loss-free")?.weight == 0.001)
        #expect(Balance("none")?.loss == nil)
        for method in Balance.Method.allCases { #expect(Balance(method.rawValue)?.method == method) }
        for text in ["", "Switch", "switch:", "switch:x", "switch:-1", "switch:nan", "none:1", "switch:0.1:2"] {
            #expect(Balance(text) == nil, "\(text)")
        }
    }
}
