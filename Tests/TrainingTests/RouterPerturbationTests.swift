import Numerics
import Testing
import Training

/// The expected numbers are PyTorch's, from Tests/Fixtures/training/make.py, where nothing else is said.
@Suite("Router perturbations")
struct RouterPerturbationTests {
    private let golden: Golden
    private let logits: Matrix
    private let draws: Matrix
    private let upstream: Matrix
    private let workers = Workers(threads: 2)

    init() throws {
        golden = try Golden()
        logits = try golden.matrix("logits")
        draws = try golden.matrix("normals")
        upstream = try golden.matrix("upstream")
    }

    private func zeros() -> Matrix { Matrix(zeros: logits.rows, logits.columns) }

    private func random(step: Int = 3, _ draw: RouterDraw = .noise) -> KeyedRandom {
        KeyedRandom(seed: 1, router: "model.layers.0.gate.weight", draw: draw, step: step)
    }

    @Test("Noisy logits and the gradient to the noise")
    func noise() throws {
        let noise = RouterNoise(raw: try golden.matrix("raw"), draws: draws)
        let noisy = zeros()
        noise.add(to: logits, into: noisy)
        #expect(distance([noisy], try golden.values("noisy.logits")) < 1e-6)
        let gradient = zeros()
        noise.addGradient(noisy: upstream, toRaw: gradient)
        #expect(distance([gradient], try golden.values("noisy.raw-gradient")) < 1e-6)
    }

    @Test("Noise of any size stays finite")
    func extremes() {
        let raw = Matrix(rows: 1, columns: 4, [-1e30, -100, 100, 1e30])
        let noise = RouterNoise(raw: raw, draws: Matrix(rows: 1, columns: 4, [1, 1, 1, 1]))
        let noisy = Matrix(rows: 1, columns: 4)
        noise.add(to: Matrix(zeros: 1, 4), into: noisy)
        #expect(noisy.array == [0.01, 0.01, 100.01, 1e30])
        let gradient = Matrix(zeros: 1, 4)
        noise.addGradient(noisy: Matrix(rows: 1, columns: 4, [1, 1, 1, 1]), toRaw: gradient)
        #expect(gradient.array.allSatisfy { $0.isFinite })
    }

    @Test("Skywork's normalisation and its gradient")
    func normalisation() throws {
        let normalization = LogitNormalization(lambda: 1.5)
        let result = zeros()
        let deviations = Matrix(rows: logits.rows, columns: 1)
        normalization.apply(logits, into: result, deviations: deviations)
        #expect(distance([result], try golden.values("normalised")) < 1e-6)
        let gradient = upstream.copy()
        normalization.applyGradient(normalised: result, deviations: deviations, to: gradient)
        #expect(distance([gradient], try golden.values("normalised.gradient")) < 1e-5)

        let equal = Matrix(rows: 1, columns: 3, [7, 7, 7])
        normalization.apply(equal, into: equal, deviations: deviations)
        #expect(equal.array == [0, 0, 0])
    }

    @Test("Sample top-1: gate, expert and gradient")
    func sampling() throws {
        let sampling = SampledTopOne(temperature: 0.7)
        let probabilities = zeros()
        var experts = [Int32](repeating: -1, count: logits.rows)
        let gates = (0..<logits.rows).map { upstream[$0, 0] }
        let gradient = zeros()
        experts.withUnsafeMutableBufferPointer { experts in
            sampling.apply(logits, draws: draws, probabilities: probabilities, experts: experts)
            gates.withUnsafeBufferPointer { gates in
                sampling.addGradient(
                    gates: gates, probabilities: probabilities, experts: UnsafeBufferPointer(experts), to: gradient)
            }
        }
        #expect(experts.map(Int.init) == (try golden.integers("sampled.expert")))
        let found = experts.indices.map { Double(probabilities[$0, Int(experts[$0])]) }
        #expect(distance(found, try golden.values("sampled.gate")) < 1e-6)
        #expect(distance([gradient], try golden.values("sampled.gradient")) < 1e-5)
    }

    @Test("The temperature falls from 1 to a half")
    func temperature() {
        // exp(-1e-4 * 1000) = 0.904837; exp(-1e-4 * t) = 0.5 at t = 6931.
        #expect(SampledTopOne(step: 0).temperature == 1)
        #expect(abs(SampledTopOne(step: 1000).temperature - 0.904837) < 1e-6)
        #expect(SampledTopOne(step: 6932).temperature == 0.5)
        #expect(SampledTopOne(step: 1_000_000).temperature == 0.5)
    }

    @Test("Gumbel draws make experts as likely as the softmax says")
    func gumbel() {
        // P = softmax(0, 1, 2) = 0.0900, 0.2447, 0.6652.
        let count = 200_000
        let logits = Matrix(rows: count, columns: 3)
        for row in 0..<count { for column in 0..<3 { logits[row, column] = Float(column) } }
        let draws = Matrix(rows: count, columns: 3)
        SampledTopOne.fill(draws, random(.gumbel))
        #expect(draws.array.allSatisfy { $0.isFinite })
        var experts = [Int32](repeating: 0, count: count)
        experts.withUnsafeMutableBufferPointer {
            SampledTopOne(temperature: 1).apply(logits, draws: draws, probabilities: draws.copy(), experts: $0)
        }
        for (expert, probability) in [0.0900, 0.2447, 0.6652].enumerated() {
            let share = Double(experts.filter { $0 == expert }.count) / Double(count)
            // Five standard errors at most: sqrt(0.25 / 200000) = 0.0011.
            #expect(abs(share - probability) < 0.0056, "\(expert)")
        }
    }

    @Test("Jitter stays within its bounds, and is the same for any threads and parts")
    func jitters() {
        let whole = Matrix(rows: 100, columns: 333)
        whole.values.update(repeating: 2, count: whole.count)
        jitter(whole, epsilon: 0.1, random(.jitter), workers)
        #expect(whole.array.allSatisfy { $0 >= 1.8 && $0 < 2.2 })
        let mean = whole.array.reduce(0.0) { $0 + Double($1) } / Double(whole.count)
        // The deviation of a draw is 0.4 / sqrt(12); five standard errors.
        #expect(abs(mean - 2) < 0.0032)
        let part = Matrix(rows: 30, columns: 333)
        part.values.update(repeating: 2, count: part.count)
        jitter(part, epsilon: 0.1, random(.jitter), firstToken: 70, Workers(threads: 1))
        #expect(part.array == Array(whole.array[70 * 333..<100 * 333]))
    }

    @Test("Steps, routers and purposes draw different numbers; parts of a step go on where the part before ended")
    func keys() {
        func numbers(_ random: KeyedRandom, firstToken: Int = 0) -> [Float] {
            RouterNoise(raw: Matrix(zeros: 2, 3), random, firstToken: firstToken).draws.array
        }
        #expect(numbers(random()) == numbers(random()))
        #expect(numbers(random()) != numbers(random(step: 4)))
        #expect(numbers(random()) != numbers(random(.gumbel)))
        #expect(numbers(random()) != numbers(KeyedRandom(seed: 1, router: "other", draw: .noise, step: 3)))
        #expect(numbers(random(), firstToken: 1).prefix(3) == numbers(random()).suffix(3))
    }
}
