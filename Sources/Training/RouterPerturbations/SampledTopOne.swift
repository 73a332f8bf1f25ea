import Glibc
package import Numerics

/// Branch-Train-MiX's sample top-1 routing (Sukhbaatar et al. 2024, 2403.07816): one expert a token, drawn by
/// a Gumbel softmax (Jang, Gu and Poole 2017, 1611.01144).
///
/// `y = softmax((z + g) / tau)` for Gumbel draws g; the expert of the largest y is used, weighed by that y.
package struct SampledTopOne: Sendable {
    /// The temperature of the softmax.
    package let temperature: Float

    package init(temperature: Float) { self.temperature = temperature }

    /// The paper's temperature: `max(0.5, exp(-rate step))`. (It prints `max(0.5, -rt)`, which would be constant.)
    package init(step: Int, rate: Double = 1e-4) { temperature = Float(max(0.5, exp(-rate * Double(step)))) }

    /// Fills `draws` with Gumbel draws, `-log(-log u)`.
    ///
    /// - Parameter firstToken: how many tokens of the step came before these.
    package static func fill(_ draws: Matrix, _ random: KeyedRandom, firstToken: Int = 0) {
        random.fillUniform(draws.buffer, from: firstToken * draws.columns)
        for i in 0..<draws.count {
            // u lies on multiples of 2^-24, the first of which is 0: half a step further, both logarithms are finite.
            draws.values[i] = Float(-log(-log(Double(draws.values[i]) + 0x1p-25)))
        }
    }

    /// Samples.
    ///
    /// - Parameters:
    ///   - logits: `[tokens, experts]`.
    ///   - draws: as `fill` made them, `[tokens, experts]`.
    ///   - probabilities: y, `[tokens, experts]`.
    ///   - experts: each token's expert; its gate is that expert's probability.
    package func apply(
        _ logits: Matrix, draws: Matrix, probabilities: Matrix, experts: UnsafeMutableBufferPointer<Int32>
    ) {
        let count = logits.columns
        for token in 0..<min(logits.rows, experts.count) {
            let y = probabilities.row(token)
            var best = 0
            for i in 0..<count {
                y[i] = (logits[token, i] + draws[token, i]) / temperature
                if y[i] > y[best] { best = i }
            }
            experts[token] = Int32(truncatingIfNeeded: best)
            softmax(y, into: y, count: count)
        }
    }

    /// Adds the gradient with respect to the logits, `dz_j = g y_s ((s = j) - y_j) / tau`, given that with respect to each
    /// token's gate.
    package func addGradient(
        gates: UnsafeBufferPointer<Float>, probabilities: Matrix, experts: UnsafeBufferPointer<Int32>,
        to gradient: Matrix
    ) {
        for token in 0..<min(gradient.rows, gates.count, experts.count) {
            let y = probabilities.row(token)
            let target = gradient.row(token)
            let chosen = Int(experts[token])
            let factor = gates[token] * y[chosen] / temperature
            for i in 0..<gradient.columns { target[i] -= factor * y[i] }
            target[chosen] += factor
        }
    }
}
