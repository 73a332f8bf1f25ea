import Checkpoints

/// `factor * sum F_i w_i / sum F_i`, element by element; the mean where no F is positive.
struct FisherRule: Combining {
    let count: Int
    let factor: Double

    var isDeferred: Bool { false }
    var needsWholeVectors: Bool { false }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        for i in out.indices {
            var (sum, total, plain) = (0.0, 0.0, 0.0)
            for member in 0..<count {
                let weight = inputs[count + member][i]
                sum += weight * inputs[member][i]
                total += weight
                plain += inputs[member][i]
            }
            out[i] = factor * (total > 0 ? sum / total : plain / Double(count))
        }
    }
}
