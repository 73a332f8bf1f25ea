package import Numerics

/// Skywork-MoE's normalisation of a router's logits (Wei et al. 2024, 2406.06563):
/// `y = lambda (z - mean(z)) / std(z)` over the experts of each token.
///
/// The deviation is that of the population, the experts: the paper does not say which. Logits that are all the same stay
/// zeros, with no gradient.
package struct LogitNormalization: Sendable {
    /// How sharp the distribution becomes; the paper's is 1.
    package let lambda: Float

    package init(lambda: Float = 1) { self.lambda = lambda }

    /// Normalises each row of `[tokens, experts]`; `result` may be `logits`.
    ///
    /// - Parameter deviations: each row's, `[tokens, 1]`, for the gradient.
    package func apply(_ logits: Matrix, into result: Matrix, deviations: Matrix) {
        let experts = logits.columns
        for token in 0..<logits.rows {
            let row = logits.row(token)
            let target = result.row(token)
            var mean = 0.0
            for i in 0..<experts { mean += Double(row[i]) }
            mean /= Double(experts)
            var variance = 0.0
            for i in 0..<experts { variance += (Double(row[i]) - mean) * (Double(row[i]) - mean) }
            let deviation = (variance / Double(experts)).squareRoot()
            deviations.values[token] = Float(deviation)
            let factor = deviation > 0 ? Double(lambda) / deviation : 0
            for i in 0..<experts { target[i] = Float((Double(row[i]) - mean) * factor) }
        }
    }

    /// Turns the gradient with respect to the normalised logits into that with respect to the logits, in place:
    /// with `v = y / lambda`, `dz = lambda / std (g - mean(g) - v mean(g v))`.
    package func applyGradient(normalised: Matrix, deviations: Matrix, to gradient: Matrix) {
        let experts = gradient.columns
        for token in 0..<gradient.rows {
            let y = normalised.row(token)
            let g = gradient.row(token)
            let deviation = Double(deviations.values[token])
            let factor = deviation > 0 ? Double(lambda) / deviation : 0
            let unit = lambda == 0 ? 0 : 1 / Double(lambda)
            var mean = 0.0
            var projection = 0.0
            for i in 0..<experts {
                mean += Double(g[i])
                projection += Double(g[i]) * Double(y[i]) * unit
            }
            mean /= Double(experts)
            projection /= Double(experts)
            for i in 0..<experts {
                g[i] = Float(factor * (Double(g[i]) - mean - Double(y[i]) * unit * projection))
            }
        }
    }
}
