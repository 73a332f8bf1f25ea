import CPlatform
package import Numerics

/// A convolution of each channel by itself over the tokens of a sequence, each seeing the `kernel` last:
/// `y[t] = sum over j of w[j] x[t - kernel + 1 + j] + b`, and with `activates` the SiLU of it.
package struct CausalConvolution {
    let weights: ConvolutionWeights
    let activates: Bool

    package init(weights: ConvolutionWeights, activates: Bool) {
        self.weights = weights
        self.activates = activates
    }

    /// Channels at a time, which depend on each other in nothing.
    private static let block = 128

    /// - Parameters:
    ///   - x: `[sequences * length, channels]`.
    ///   - window: the inputs before the first; one sequence then.
    package func forward(
        _ x: MatrixSpan, into y: MatrixSpan, _ shape: SequenceShape, window: Matrix?, _ workers: Workers
    ) {
        let blocks = (x.columns + Self.block - 1) / Self.block
        let taps = weights.taps
        workers.forEach(blocks * shape.count) { piece in
            let first = piece % blocks * Self.block
            let row = piece / blocks * shape.length
            cmixer_convolution(
                x.values + row * x.stride + first, x.stride, window.map { $0.values + first }, x.columns,
                taps.values + first, weights.bias.map { $0.values + first }, y.values + row * y.stride + first,
                y.stride, shape.length, min(Self.block, x.columns - first), taps.rows, activates ? 1 : 0)
        }
    }

    /// Replaces `dx` by the gradient of the input, and adds those of the weights that are trained; `dy` is used up.
    package func backward(
        _ x: MatrixSpan, _ dy: MatrixSpan, into dx: MatrixSpan, _ shape: SequenceShape, _ workers: Workers
    ) {
        let blocks = (x.columns + Self.block - 1) / Self.block
        let taps = weights.taps
        let gradient = weights.values.gradient.map { _ in Matrix(zeros: taps.rows, x.columns) }
        workers.forEach(blocks) { block in
            let first = block * Self.block
            for sequence in 0..<shape.count {
                let row = sequence * shape.length
                cmixer_convolution_backward(
                    x.values + row * x.stride + first, x.stride, x.columns, taps.values + first,
                    weights.bias.map { $0.values + first }, dy.values + row * dy.stride + first, dy.stride,
                    dx.values + row * dx.stride + first, dx.stride, gradient.map { $0.values + first },
                    weights.biasWeights?.gradient.map { $0.values + first },
                    shape.length, min(Self.block, x.columns - first), taps.rows, activates ? 1 : 0)
            }
        }
        guard let gradient, let target = weights.values.gradient else { return }
        for channel in 0..<target.rows {
            for tap in 0..<target.columns { target[channel, tap] += gradient[tap, channel] }
        }
    }
}

/// A convolution's weights.
package struct ConvolutionWeights {
    /// `[channels, kernel]`, as they are trained.
    package let values: VectorWeights
    package let biasWeights: VectorWeights?

    package init(values: VectorWeights, biasWeights: VectorWeights?) {
        self.values = values
        self.biasWeights = biasWeights
    }

    /// `[kernel, channels]`, as the kernels read them.
    var taps: Matrix {
        let source = values.values
        let result = Matrix(rows: source.columns, columns: source.rows)
        for channel in 0..<source.rows {
            for tap in 0..<source.columns { result[tap, channel] = source[channel, tap] }
        }
        return result
    }

    package var bias: Matrix? { biasWeights?.values }
}
