import Glibc
package import Numerics

/// The noise of noisy top-k routing (Shazeer et al. 2017, 1701.06538, equation 4): `h = z + n (softplus(r) + floor)`,
/// with n standard normal and `r = x W_noise` learned.
///
/// The floor is what the paper's own program adds, so that noise does not die out; W_noise begins at zero.
package struct RouterNoise: @unchecked Sendable {
    /// `x W_noise`, `[tokens, experts]`.
    package let raw: Matrix
    /// n, `[tokens, experts]`.
    package let draws: Matrix
    /// The smallest deviation.
    package let floor: Float

    package static let usualFloor: Float = 1e-2

    package init(raw: Matrix, draws: Matrix, floor: Float = usualFloor) {
        self.raw = raw
        self.draws = draws
        self.floor = floor
    }

    /// Draws the noise.
    ///
    /// - Parameter firstToken: how many tokens of the step came before these.
    package init(raw: Matrix, _ random: KeyedRandom, firstToken: Int = 0, floor: Float = usualFloor) {
        draws = Matrix(rows: raw.rows, columns: raw.columns)
        random.fillNormal(draws.buffer, from: firstToken * raw.columns)
        self.raw = raw
        self.floor = floor
    }

    /// No noise: deviations of the floor, and draws of zero.
    init(zerosFor logits: Matrix) {
        raw = Matrix(rows: logits.rows, columns: logits.columns)
        // softplus of this is 0.
        raw.values.update(repeating: -1000, count: raw.count)
        draws = Matrix(zeros: logits.rows, logits.columns)
        floor = Self.usualFloor
    }

    /// The noisy logits, and the deviations where they are asked for; all `[tokens, experts]`.
    package func add(to logits: Matrix, into noisy: Matrix, deviations: Matrix? = nil) {
        for i in 0..<logits.count {
            let r = raw.values[i]
            // Without overflow, and precise where exp(r) is small.
            let deviation = max(r, 0) + log1p(exp(-abs(r))) + floor
            deviations?.values[i] = deviation
            noisy.values[i] = logits.values[i] + draws.values[i] * deviation
        }
    }

    /// Adds the gradient with respect to `raw`, `g n sigmoid(r)`, given that with respect to the noisy logits. With
    /// respect to the logits it is that of the noisy ones.
    package func addGradient(noisy gradient: Matrix, toRaw target: Matrix) {
        for i in 0..<gradient.count {
            target.values[i] += gradient.values[i] * draws.values[i] * Float(logistic(Double(raw.values[i])))
        }
    }
}

/// `1 / (1 + exp(-x))`.
func logistic(_ x: Double) -> Double { x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)) }
