import CPlatform
package import Checkpoints
package import Numerics

/// A projection `y = x Wᵀ + b`, or several of the same input stacked into one, so that the input is multiplied once.
package final class Linear {
    /// One of the matrices that are stacked.
    package struct Part {
        package let role: Role
        package let biasRole: Role?
        package let rows: Range<Int>
    }

    /// `[out, in]`
    package let weight: Matrix
    /// `[1, out]`
    package let bias: Matrix?
    package let parts: [Part]
    /// What is trained of it gets its gradient here, `[out, in]` and `[1, out]`; nil where nothing is.
    package var gradient: Matrix?
    package var biasGradient: Matrix?

    package init(weight: Matrix, bias: Matrix?, parts: [Part]) {
        self.weight = weight
        self.bias = bias
        self.parts = parts
    }

    package var outputs: Int { weight.rows }
    package var inputs: Int { weight.columns }

    /// `[tokens, in]` to `[tokens, out]`.
    func forward(_ input: Matrix, _ workers: Workers) -> Matrix {
        let output = Matrix(rows: input.rows, columns: outputs)
        forward(input.span, into: output.span, workers)
        return output
    }

    func forward(_ input: MatrixSpan, into output: MatrixSpan, _ workers: Workers) {
        workers.multiply(input, weight.span, .second, into: output)
        addBias(to: output, workers)
    }

    private func addBias(to output: MatrixSpan, _ workers: Workers) {
        guard let bias else { return }
        workers.forEachRange(of: output.rows, size: 64) { rows in
            for row in rows {
                ctransformer_add_scaled(output.values + row * output.stride, bias.values, 1, output.columns)
            }
        }
    }

    /// Adds the gradient of the weights, where they are trained, and gives that of the input.
    ///
    /// - Parameters:
    ///   - output: the gradient of the output, `[tokens, out]`.
    ///   - target: where the gradient of the input goes, `[tokens, in]`; added to it with `beta` 1.
    func backward(
        _ output: MatrixSpan, input: MatrixSpan, into target: MatrixSpan?, beta: Float = 0, _ workers: Workers
    ) {
        if let gradient { workers.multiply(output, input, .first, into: gradient.span, beta: 1) }
        if let biasGradient { addColumnSums(of: output, to: biasGradient.values) }
        if let target { workers.multiply(output, weight.span, .none, into: target, beta: beta) }
    }
}

/// `to[c] += sum over rows of x[r, c]`.
func addColumnSums(of x: MatrixSpan, to target: UnsafeMutablePointer<Float>) {
    for row in 0..<x.rows { ctransformer_add_scaled(target, x.values + row * x.stride, 1, x.columns) }
}

/// The weights of a norm.
package final class NormWeights {
    package let role: Role
    package let biasRole: Role?
    /// `[1, n]`
    package let weight: Matrix
    package let bias: Matrix?
    package var gradient: Matrix?
    package var biasGradient: Matrix?
    /// Whether the weights are ones that no checkpoint has: the norm has none.
    package let isWeightless: Bool

    package init(role: Role, biasRole: Role?, weight: Matrix, bias: Matrix?) {
        self.role = role
        self.biasRole = biasRole
        self.weight = weight
        self.bias = bias
        isWeightless = false
    }

    /// A norm without weights over vectors of `count` values.
    init(weightless role: Role, count: Int) {
        self.role = role
        biasRole = nil
        weight = Matrix(rows: 1, columns: count)
        weight.values.update(repeating: 1, count: count)
        bias = nil
        isWeightless = true
    }
}

/// A vector that is neither a norm's nor a projection's bias: attention sinks, the router's correction; or the kernels of a
/// convolution, a row for each channel.
package final class VectorWeights {
    package let role: Role
    package let values: Matrix
    package var gradient: Matrix?

    package init(role: Role, values: Matrix) {
        self.role = role
        self.values = values
    }
}
