import Numerics
import Testing
import Training

@Suite("AdamW")
struct AdamWTests {
    /// The run of make.py: six steps of a matrix that decays and a vector that does not, clipped at 1.
    @Test("Steps, moments and norms are PyTorch's")
    func steps() throws {
        let golden = try Golden()
        let matrix = try golden.matrix("adamw.matrix")
        let vector = try golden.matrix("adamw.vector")
        let optimizer = AdamW(
            [
                OptimizedParameter(name: "matrix", values: matrix, decays: true),
                OptimizedParameter(name: "vector", values: vector, decays: false),
            ], AdamWOptions(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1))
        #expect(optimizer.parameterCount == 128)
        let workers = Workers(threads: 2)
        let all = try golden.matrix("adamw.gradients")
        let norms = try golden.values("adamw.norms")
        let expected = try golden.matrix("adamw.steps")
        var clipped = 0
        for step in 0..<6 {
            let gradient = Matrix(rows: 9, columns: 13, Array(all.array[step * 128..<step * 128 + 117]))
            let other = Matrix(rows: 1, columns: 11, Array(all.array[step * 128 + 117..<(step + 1) * 128]))
            let norm = optimizer.gradientNorm([gradient, other], workers)
            #expect(abs(norm - norms[step]) <= 1e-6 * norms[step])
            let scale = clippingScale(norm: norm, limit: 1)
            clipped += scale < 1 ? 1 : 0
            optimizer.step(
                [gradient, other], learningRate: 3e-2 * Double(step + 1) / 6, scale: scale, workers)
            let row = (0..<128).map { Double(expected[step, $0]) }
            #expect(distance([matrix, vector], row) < 1e-7, "step \(step)")
        }
        #expect(clipped == 3)
        #expect(distance([optimizer.firstMoments[0]], try golden.values("adamw.first")) < 1e-6)
        #expect(distance([optimizer.secondMoments[0]], try golden.values("adamw.second")) < 1e-6)
    }

    @Test("The first step moves each weight by the rate, against the gradient, after the decay")
    func firstStep() {
        // m / (1 - beta1) = g and sqrt(v / (1 - beta2)) = |g|, so that the step is rate * sign(g).
        let weight = Matrix(rows: 1, columns: 3, [1, 2, -4])
        let optimizer = AdamW(
            [OptimizedParameter(name: "w", values: weight, decays: true)],
            AdamWOptions(epsilon: 0, weightDecay: 0.5))
        optimizer.step([Matrix(rows: 1, columns: 3, [3, -0.25, 100])], learningRate: 0.1, Workers(threads: 1))
        let expected: [Float] = [0.95 - 0.1, 1.9 + 0.1, -3.8 - 0.1]
        for (found, value) in zip(weight.array, expected) { #expect(abs(found - value) < 1e-6) }
        #expect(optimizer.stepCount == 1)
    }

    @Test("The number of threads changes no bit, and a tail is not forgotten")
    func threads() {
        let random = KeyedRandom(seed: 3, tensor: "w", purpose: "test")
        var results: [[UInt32]] = []
        var norms: [Double] = []
        for threads in [1, 2, 5] {
            let weight = Matrix(rows: 3, columns: 70_001)
            let gradient = Matrix(rows: 3, columns: 70_001)
            random.fillNormal(weight.buffer, from: 0)
            random.fillNormal(gradient.buffer, from: weight.count)
            let workers = Workers(threads: threads)
            let optimizer = AdamW([OptimizedParameter(name: "w", values: weight, decays: true)], AdamWOptions())
            norms.append(optimizer.gradientNorm([gradient], workers))
            for _ in 0..<2 { optimizer.step([gradient], learningRate: 1e-3, workers) }
            results.append(weight.array.map(\.bitPattern))
        }
        #expect(results[0] == results[1] && results[0] == results[2])
        #expect(norms[0] == norms[1] && norms[0] == norms[2])
        // 210003 squares of standard normal numbers: the norm is within five deviations (0.707) of the root of that.
        #expect(abs(norms[0] - 210_003.0.squareRoot()) < 3.6)
    }

    @Test("A gradient that is not finite is named")
    func nonfinite() {
        let names = ["a", "b", "c"]
        let optimizer = AdamW(
            names.map { OptimizedParameter(name: $0, values: Matrix(zeros: 2, 5), decays: true) }, AdamWOptions())
        let workers = Workers(threads: 2)
        let gradients = names.map { _ in Matrix(zeros: 2, 5) }
        #expect(optimizer.firstNonfinite(gradients, workers) == nil)
        gradients[1][1, 4] = .nan
        #expect(optimizer.gradientNorm(gradients, workers).isNaN)
        #expect(optimizer.firstNonfinite(gradients, workers)?.name == "b")
        gradients[0][0, 0] = -.infinity
        #expect(optimizer.firstNonfinite(gradients, workers)?.name == "a")
    }

    @Test("Clipping leaves what is small enough alone")
    func clipping() {
        #expect(clippingScale(norm: 0.5, limit: 1) == 1)
        #expect(clippingScale(norm: 0, limit: 1) == 1)
        #expect(abs(clippingScale(norm: 4, limit: 1) - 0.25) < 1e-6)
        #expect(abs(clippingScale(norm: 4, limit: 2) - 0.5) < 1e-6)
    }
}
