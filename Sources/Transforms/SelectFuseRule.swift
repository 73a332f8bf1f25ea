import Checkpoints
import Numerics
import Safetensors

/// SCE: keep the entries whose task vectors vary most, weight each model by its energy, erase the minority sign.
struct SelectFuseRule: Combining {
    /// The smallest variance that is kept, and the models' weights.
    private struct Choice: Sendable {
        let threshold: Float
        let weights: [Double]
    }

    private let choice: Deferred<Choice>

    /// - Parameter share: the share of the entries with any variance that is kept.
    init(_ inputs: [TensorExpression], base: TensorExpression, _ shape: MatrixSizes, share: Double) {
        choice = Deferred(workspace: 2 << 20) { evaluator in
            let all = [base] + inputs
            var threshold: Float = 0
            if share < 1 {
                var varying = 0
                func variances(_ take: (UnsafeBufferPointer<Float>) -> Void) throws {
                    try evaluator.forEachWideBlock(of: all, rows: shape.rows, columns: shape.columns) { _, values in
                        withScratch(of: Float.self, count: values[0].count) { out in
                            for i in out.indices { out[i] = Self.variance(values, i) }
                            take(UnsafeBufferPointer(out))
                        }
                    }
                }
                try variances { for value in $0 where value > 0 { varying += 1 } }
                let kept = Int(saturating: Double(varying) * max(share, 0))
                threshold = .infinity
                if kept > 0 {
                    threshold = try magnitudes(atRanks: [shape.count - kept]) { try variances($0) }[0]
                }
            }
            var energies = Array(repeating: 0.0, count: inputs.count)
            try evaluator.forEachWideBlock(of: all, rows: shape.rows, columns: shape.columns) { _, values in
                for i in values[0].indices where share >= 1 || Self.variance(values, i) >= threshold {
                    for model in energies.indices {
                        let delta = values[model + 1][i] - values[0][i]
                        energies[model] += delta * delta
                    }
                }
            }
            let total = energies.reduce(0, +)
            let weights = energies.map { total > 0 ? $0 / total : 1 / Double(energies.count) }
            return Choice(threshold: share < 1 ? threshold : -1, weights: weights)
        }
    }

    /// The variance of the task vectors' entries, with n in the denominator.
    private static func variance(_ values: [UnsafeBufferPointer<Double>], _ i: Int) -> Float {
        let count = Double(values.count - 1)
        var sum = 0.0
        for model in 1..<values.count { sum += values[model][i] - values[0][i] }
        let mean = sum / count
        var squares = 0.0
        for model in 1..<values.count {
            let difference = values[model][i] - values[0][i] - mean
            squares += difference * difference
        }
        return Float(squares / count)
    }

    var isDeferred: Bool { true }
    var needsWholeVectors: Bool { false }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        let choice = try choice.resolve(evaluator)
        for i in out.indices {
            let base = inputs[0][i]
            out[i] = base
            if choice.threshold >= 0, Self.variance(inputs, i) < choice.threshold { continue }
            var total = 0.0
            for model in 1..<inputs.count { total += inputs[model][i] - base }
            let isPositive = total >= 0
            var (sum, divisor) = (0.0, 0.0)
            for model in 1..<inputs.count {
                let delta = inputs[model][i] - base
                guard isPositive ? delta > 0 : delta < 0 else { continue }
                sum += choice.weights[model - 1] * delta
                divisor += choice.weights[model - 1]
            }
            if divisor > 0 { out[i] = base + sum / divisor }
        }
    }
}
