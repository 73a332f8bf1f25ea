import CPlatform
import Glibc
package import Numerics

/// The constants of AdamW; the learning rate is given step by step.
package struct AdamWOptions: Sendable, Equatable {
    /// How slowly the mean of the gradients forgets.
    package var beta1: Double
    /// How slowly the mean of their squares forgets.
    package var beta2: Double
    /// What keeps the quotient finite; added to the square root, not under it.
    package var epsilon: Double
    /// The share of a weight that a step at rate 1 would take away.
    package var weightDecay: Double

    package init(beta1: Double = 0.9, beta2: Double = 0.95, epsilon: Double = 1e-8, weightDecay: Double = 0.1) {
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        self.weightDecay = weightDecay
    }
}

/// A tensor that is trained.
package struct OptimizedParameter: Sendable {
    /// Its name in the checkpoint.
    package let name: String
    /// Its values, updated in place.
    package let values: Matrix
    /// Whether weight decay applies: to tensors that have two dimensions or more in the checkpoint, not to norms and
    /// biases.
    package let decays: Bool

    package init(name: String, values: Matrix, decays: Bool) {
        self.name = name
        self.values = values
        self.decays = decays
    }
}

/// AdamW (Loshchilov and Hutter 2019, 1711.05101), with the operations and roundings of `torch.optim.AdamW` on a CPU:
/// the moments are its bytes; the weights are but for its square root, whose last bit is not always the nearest.
///
/// In F32, for a gradient g, at step t from 1, with rate r:
///
///     p = p (1 - r decay)
///     m = m + (1 - beta1) (g - m)
///     v = beta2 v + (1 - beta2) g g
///     p = p - r / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
///
/// ```swift
/// let optimizer = AdamW([OptimizedParameter(name: "w", values: w, decays: true)], AdamWOptions())
/// let norm = optimizer.gradientNorm([gradient], workers)
/// optimizer.step([gradient], learningRate: 1e-3, scale: clippingScale(norm: norm, limit: 1), workers)
/// ```
///
/// A step works on pieces of fixed size, so that its result is the same bytes for any number of threads.
package final class AdamW {
    package let options: AdamWOptions
    package let parameters: [OptimizedParameter]
    /// The mean of the gradients, for each parameter.
    package let firstMoments: [Matrix]
    /// The mean of their squares, for each parameter.
    package let secondMoments: [Matrix]
    /// How many steps were made; set when a run is resumed.
    package var stepCount = 0

    private let pieces: [Piece]
    private let sums: UnsafeMutablePointer<Double>

    /// A range of one parameter.
    private struct Piece {
        let parameter: Int
        let start: Int
        let count: Int
    }

    /// 256 KiB of each of four arrays: few enough pieces to hand out quickly, enough of them to share.
    private static let pieceSize = 1 << 16

    /// Starts with moments of zero.
    package init(_ parameters: [OptimizedParameter], _ options: AdamWOptions) {
        self.options = options
        self.parameters = parameters
        firstMoments = parameters.map { Matrix(zeros: $0.values.rows, $0.values.columns) }
        secondMoments = parameters.map { Matrix(zeros: $0.values.rows, $0.values.columns) }
        pieces = parameters.indices.flatMap { index in
            let total = parameters[index].values.count
            return stride(from: 0, to: total, by: Self.pieceSize).map {
                Piece(parameter: index, start: $0, count: min(Self.pieceSize, total - $0))
            }
        }
        sums = .allocate(capacity: max(pieces.count, 1))
    }

    deinit { sums.deallocate() }

    /// How many numbers are trained.
    package var parameterCount: Int { parameters.reduce(0) { $0 + $1.values.count } }

    /// The L2 norm of all gradients together, in F64.
    ///
    /// - Parameter gradients: one for each parameter, of its size.
    package func gradientNorm(_ gradients: [Matrix], _ workers: Workers) -> Double {
        measure(gradients, workers)
        return (0..<pieces.count).reduce(0) { $0 + sums[$1] }.squareRoot()
    }

    /// The first parameter whose gradient holds a value that is not finite; asked once the norm is not.
    package func firstNonfinite(_ gradients: [Matrix], _ workers: Workers) -> OptimizedParameter? {
        measure(gradients, workers)
        return (0..<pieces.count).first { !sums[$0].isFinite }.map { parameters[pieces[$0].parameter] }
    }

    private func measure(_ gradients: [Matrix], _ workers: Workers) {
        precondition(gradients.count == parameters.count, "one gradient for each parameter")
        workers.forEach(pieces.count) { index in
            let piece = pieces[index]
            sums[index] = cplatform_sum_of_squares(gradients[piece.parameter].values + piece.start, piece.count)
        }
    }

    /// Makes a step.
    ///
    /// - Parameters:
    ///   - gradients: one for each parameter, of its size.
    ///   - learningRate: of this step, as the schedule has it.
    ///   - scale: what the gradients are multiplied by before use, rounded to F32: the clipping.
    package func step(_ gradients: [Matrix], learningRate: Double, scale: Float = 1, _ workers: Workers) {
        precondition(gradients.count == parameters.count, "one gradient for each parameter")
        stepCount += 1
        // Scalars are made in F64 and rounded once, as Python's are.
        let firstCorrection = 1 - power(options.beta1, stepCount)
        let secondCorrection = (1 - power(options.beta2, stepCount)).squareRoot()
        let constants = cplatform_adamw_step(
            gradient_scale: scale, first_weight: Float(1 - options.beta1), second_decay: Float(options.beta2),
            second_weight: Float(1 - options.beta2), second_correction: Float(secondCorrection),
            epsilon: Float(options.epsilon), value_decay: Float(1 - learningRate * options.weightDecay),
            negative_rate: Float(-(learningRate / firstCorrection)))
        workers.forEach(pieces.count) { index in
            let piece = pieces[index]
            let parameter = parameters[piece.parameter]
            var constants = constants
            if !parameter.decays { constants.value_decay = 1 }
            cplatform_adamw(
                parameter.values.values + piece.start, gradients[piece.parameter].values + piece.start,
                firstMoments[piece.parameter].values + piece.start,
                secondMoments[piece.parameter].values + piece.start, piece.count, &constants)
        }
    }
}

/// What gradients are multiplied by so that their norm is at most `limit`, as `torch.nn.utils.clip_grad_norm_` has it:
/// `min(1, limit / (norm + 1e-6))`, in F32.
package func clippingScale(norm: Double, limit: Double) -> Float {
    // A Python number over a tensor is the tensor's reciprocal times the number.
    min(1, 1 / (Float(norm) + 1e-6) * Float(limit))
}

private func power(_ base: Double, _ exponent: Int) -> Double { pow(base, Double(exponent)) }
