import CPlatform
import Checkpoints
import Numerics

extension DecoderConfiguration.Activation {
    /// The kernel's number, and its two parameters; nil for an activation without a gate.
    private var kernel: (kind: Int32, alpha: Float, limit: Float)? {
        switch self {
        case .silu: (Int32(ctransformer_silu), 0, 0)
        case .geluTanh: (Int32(ctransformer_gelu_tanh), 0, 0)
        case .clampedSwiGLU(let alpha, let limit): (Int32(ctransformer_clamped_swiglu), alpha, limit)
        case .squaredReLU: nil
        }
    }

    /// `[rows, 2 * inner]`, gate beside up, to `[rows, inner]`; `[rows, inner]` where there is no gate.
    func forward(_ gateUp: MatrixSpan, into out: MatrixSpan) {
        guard let (kind, alpha, limit) = kernel else {
            for row in 0..<gateUp.rows {
                ctransformer_squared_relu(
                    gateUp.values + row * gateUp.stride, out.values + row * out.stride, out.columns)
            }
            return
        }
        for row in 0..<gateUp.rows {
            let gate = gateUp.values + row * gateUp.stride
            ctransformer_glu(
                kind, alpha, limit, gate, gate + out.columns, out.values + row * out.stride, out.columns)
        }
    }

    /// The gradient of gate and up, in their place.
    func backward(_ gateUp: MatrixSpan, _ slope: MatrixSpan) {
        guard let (kind, alpha, limit) = kernel else {
            for row in 0..<gateUp.rows {
                let up = gateUp.values + row * gateUp.stride
                ctransformer_squared_relu_backward(up, slope.values + row * slope.stride, up, slope.columns)
            }
            return
        }
        for row in 0..<gateUp.rows {
            let gate = gateUp.values + row * gateUp.stride
            ctransformer_glu_backward(
                kind, alpha, limit, gate, gate + slope.columns, slope.values + row * slope.stride, gate,
                gate + slope.columns, slope.columns)
        }
    }
}

/// What the backward pass of a gated network needs.
final class NetworkTape {
    /// Gate and up, `[rows, 2 * inner]`, or up alone.
    let gateUp: Matrix
    /// Their product after the activation, `[rows, inner]`.
    let activated: Matrix

    init(gateUp: Matrix, activated: Matrix) {
        self.gateUp = gateUp
        self.activated = activated
    }
}

/// A gated feed-forward network over all rows.
struct FeedForward {
    let network: GatedNetwork
    let activation: DecoderConfiguration.Activation

    private static let rowsPerPiece = 32

    func forward(_ input: Matrix, keeps: Bool, _ workers: Workers) throws -> (output: Matrix, tape: NetworkTape?) {
        let gateUp = try network.gateUp.forward(input, workers)
        let activated = Matrix(rows: input.rows, columns: network.inner)
        workers.forEachRange(of: input.rows, size: Self.rowsPerPiece) { rows in
            activation.forward(gateUp.span(rows: rows), into: activated.span(rows: rows))
        }
        let output = try network.down.forward(activated, workers)
        return (output, keeps ? NetworkTape(gateUp: gateUp, activated: activated) : nil)
    }

    /// The gradient of the input, in or with `beta` 1 added to `target`; the tape's memory is used up.
    func backward(
        _ output: Matrix, input: Matrix, _ tape: NetworkTape, into target: Matrix, beta: Float = 0, _ workers: Workers
    ) throws {
        let slope = Matrix(rows: output.rows, columns: network.inner)
        try network.down.backward(output.span, input: tape.activated.span, into: slope.span, workers)
        workers.forEachRange(of: output.rows, size: Self.rowsPerPiece) { rows in
            activation.backward(tape.gateUp.span(rows: rows), slope.span(rows: rows))
        }
        try network.gateUp.backward(tape.gateUp.span, input: input.span, into: target.span, beta: beta, workers)
    }
}
