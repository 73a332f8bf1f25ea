import CPlatform
import Models
import Numerics

/// `(1 - alpha) CE + alpha T² KL(softmax(z_t / T) || softmax(z_s / T))` (Hinton et al. 2015, 1503.02531), summed over the
/// predictions of a batch, with its gradient.
final class DistillationLoss {
    /// The sums over predictions, in nats, without their weights.
    private(set) var crossEntropy = 0.0
    /// T² times the divergence.
    private(set) var divergence = 0.0

    private let options: TrainingOptions.Distillation
    private let scale: Float

    /// - Parameter scale: what the sum is multiplied by for the gradient: one over a step's predictions.
    init(_ options: TrainingOptions.Distillation, scale: Float) {
        self.options = options
        self.scale = scale
    }

    /// The gradient of the student's hidden states; its head's own gradient is added where it is trained.
    func backward(
        _ student: Decoder, _ states: Matrix, _ teacher: Decoder, _ teacherStates: Matrix, _ batch: TokenBatch
    ) throws -> Matrix {
        let workers = student.workers
        let temperature = Float(options.temperature)
        let hard = scale * Float(1 - options.alpha)
        // alpha T² d KL / dz = alpha T (p_s - p_t)
        let soft = scale * Float(options.alpha) * temperature
        return try student.headBackward(states) { range, logits in
            let guide = try teacher.logits(teacherStates.span(rows: range))
            let sums = Matrix(zeros: range.count, 2)
            workers.forEachRange(of: range.count, size: 4) { rows in
                // The student's probabilities at the temperature of one and at that of the teacher.
                let count = logits.columns
                let plain = Matrix(rows: 1, columns: count)
                for row in rows {
                    let token = range.lowerBound + row
                    let own = logits.row(row)
                    guard token % batch.length + 1 < batch.length else {
                        own.update(repeating: 0, count: count)
                        continue
                    }
                    let target = Int(batch.ids[token + 1])
                    let logsum = ctransformer_logsumexp(own, count)
                    sums[row, 0] = logsum - own[target]
                    plain.values.update(from: own, count: count)
                    ctransformer_exp_shifted(plain.values, count, logsum, hard)
                    plain.values[target] -= hard
                    let other = guide.row(row)
                    ctransformer_scale(own, own, 1 / temperature, count)
                    ctransformer_scale(other, other, 1 / temperature, count)
                    let ownSum = ctransformer_logsumexp(own, count)
                    let otherSum = ctransformer_logsumexp(other, count)
                    // sum p_t (log p_t - log p_s) = sum p_t (z_t - z_s) - logsum_t + logsum_s
                    let difference = Matrix(rows: 1, columns: count)
                    difference.values.update(from: other, count: count)
                    ctransformer_add_scaled(difference.values, own, -1, count)
                    ctransformer_exp_shifted(other, count, otherSum, 1)
                    let divergence = ctransformer_dot(other, difference.values, count) - otherSum + ownSum
                    sums[row, 1] = divergence * temperature * temperature
                    ctransformer_exp_shifted(own, count, ownSum, soft)
                    ctransformer_add_scaled(own, other, -soft, count)
                    ctransformer_add_scaled(own, plain.values, 1, count)
                }
            }
            for row in 0..<range.count {
                crossEntropy += Double(sums[row, 0])
                divergence += Double(sums[row, 1])
            }
        }
    }
}
