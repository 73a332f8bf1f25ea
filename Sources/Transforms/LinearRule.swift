import Checkpoints
import Numerics

/// `factor * sum w_i x_i / divisor`: summed in F64, divided once.
struct LinearRule: Combining {
    private let weights: [Double]
    private let divisor: Double
    private let factor: Double

    /// - Parameters:
    ///   - divides: divide by the sum of the weights.
    ///   - factor: what the mean is multiplied by.
    /// - Throws: `CheckpointError` where the weights sum to zero.
    init(_ weights: [Double], divides: Bool = true, factor: Double = 1, name: String) throws {
        self.weights = weights
        self.factor = factor
        divisor = divides ? weights.reduce(0, +) : 1
        guard divisor != 0, divisor.isFinite else {
            throw CheckpointError(
                .usage, tensor: name, message: "the weights sum to \(divisor), and a mean divides by it")
        }
    }

    var isDeferred: Bool { false }
    var needsWholeVectors: Bool { false }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        out.update(repeating: 0)
        for (index, input) in inputs.enumerated() { addScaled(out, input, weights[index]) }
        if divisor != 1 { for i in out.indices { out[i] /= divisor } }
        if factor != 1 { for i in out.indices { out[i] *= factor } }
    }
}
