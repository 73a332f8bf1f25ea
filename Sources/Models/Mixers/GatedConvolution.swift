import CPlatform
import Numerics

/// The weights of a gated short convolution.
package struct ConvolutionParameters: MixerParameters {
    /// To two gates and the value, `[3 * hidden, hidden]`.
    package let projection: Linear
    package let convolution: ConvolutionWeights
    package let output: Linear

    package var weights: [LayerWeights] {
        [.linear(projection)] + convolution.weights + [.linear(output)]
    }
}

extension ConvolutionWeights {
    var weights: [LayerWeights] { [.vector(values)] + (biasWeights.map { [.vector($0)] } ?? []) }
}

/// A gated short convolution as LFM2 has it: of `(B, C, x) = W u` it gives `W' (C * conv(B * x))`.
struct GatedConvolution: Mixer {
    let parameters: ConvolutionParameters

    private final class Tape: MixerTape {
        let input: Matrix
        /// B, C and x, `[rows, 3 * hidden]`.
        let projected: Matrix
        /// `B * x`, and its convolution.
        let gated: Matrix
        let convolved: Matrix
        /// `C` times that.
        let product: Matrix

        init(input: Matrix, projected: Matrix, gated: Matrix, convolved: Matrix, product: Matrix) {
            self.input = input
            self.projected = projected
            self.gated = gated
            self.convolved = convolved
            self.product = product
        }
    }

    private var convolution: CausalConvolution {
        CausalConvolution(weights: parameters.convolution, activates: false)
    }

    private static let rowsPerPiece = 32

    func forward(
        _ input: Matrix, _ pass: MixerPass, state: (any MixerState)?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: (any MixerTape)?) {
        let projected = try parameters.projection.forward(input, workers)
        let width = projected.columns / 3
        let gated = Matrix(rows: input.rows, columns: width)
        workers.forEachRange(of: input.rows, size: Self.rowsPerPiece) { rows in
            for row in rows {
                let (b, x) = (projected.row(row), projected.row(row) + 2 * width)
                cmixer_multiply(gated.row(row), b, x, width)
            }
        }
        let convolved = Matrix(rows: input.rows, columns: width)
        let known = state as? RecurrentState
        convolution.forward(gated.span, into: convolved.span, pass.shape, window: known?.window, workers)
        known?.slide(gated.span)
        let product = keeps ? Matrix(rows: input.rows, columns: width) : convolved
        workers.forEachRange(of: input.rows, size: Self.rowsPerPiece) { rows in
            for row in rows {
                cmixer_multiply(product.row(row), convolved.row(row), projected.row(row) + width, width)
            }
        }
        let output = try parameters.output.forward(product, workers)
        guard keeps else { return (output, nil) }
        return (
            output,
            Tape(input: input, projected: projected, gated: gated, convolved: convolved, product: product)
        )
    }

    func backward(
        _ slope: Matrix, _ tape: any MixerTape, _ pass: MixerPass, into target: Matrix, _ workers: Workers
    ) throws {
        guard let tape = tape as? Tape else { return }
        let (rows, width) = (slope.rows, tape.gated.columns)
        let product = Matrix(rows: rows, columns: width)
        try parameters.output.backward(slope.span, input: tape.product.span, into: product.span, workers)
        let projected = Matrix(rows: rows, columns: 3 * width)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { rows in
            for row in rows {
                cmixer_multiply(projected.row(row) + width, product.row(row), tape.convolved.row(row), width)
                cmixer_multiply(product.row(row), product.row(row), tape.projected.row(row) + width, width)
            }
        }
        let gated = Matrix(rows: rows, columns: width)
        convolution.backward(tape.gated.span, product.span, into: gated.span, pass.shape, workers)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { rows in
            for row in rows {
                let (b, x) = (tape.projected.row(row), tape.projected.row(row) + 2 * width)
                cmixer_multiply(projected.row(row), gated.row(row), x, width)
                cmixer_multiply(projected.row(row) + 2 * width, gated.row(row), b, width)
            }
        }
        try parameters.projection.backward(projected.span, input: tape.input.span, into: target.span, workers)
    }
}
