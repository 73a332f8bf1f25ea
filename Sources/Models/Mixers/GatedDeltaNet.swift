import CPlatform
import Checkpoints
import Glibc
import Numerics

/// The weights of a Gated DeltaNet.
package struct DeltaParameters: MixerParameters {
    /// To queries, keys and values, the output's gate, and for each head of values a strength and a step.
    package let projection: Linear
    package let convolution: ConvolutionWeights
    /// The logarithm of each head's rate of decay, and what is added to its step.
    package let decay: VectorWeights
    package let stepBias: VectorWeights
    package let norm: NormWeights
    package let output: Linear

    package var weights: [LayerWeights] {
        [.linear(projection)] + convolution.weights
            + [.vector(decay), .vector(stepBias), .norm(norm), .linear(output)]
    }
}

/// Gated DeltaNet (Yang et al. 2024, 2412.06464) as Qwen3-Next has it: queries, keys and values through a short
/// convolution, queries and keys of length one, the gated delta rule, and a norm of each head's output times its gate.
struct GatedDeltaNet: Mixer {
    let parameters: DeltaParameters
    let sizes: DecoderConfiguration.DeltaNet
    let epsilon: Float

    private final class Tape: MixerTape {
        let input: Matrix
        /// The projections, in the order of `DeltaNet`.
        let projected: Matrix
        /// Queries, keys and values after the convolution, queries and keys normalised.
        let mixed: Matrix
        let inverse: Matrix
        let decays: Matrix
        let strengths: Matrix
        let recurrence: LinearRecurrence.Tape
        /// What the heads gave, that normalised, and that times its gate.
        let given: Matrix
        let statistics: Matrix
        let normal: Matrix
        let gated: Matrix

        init(
            input: Matrix, projected: Matrix, mixed: Matrix, inverse: Matrix, decays: Matrix, strengths: Matrix,
            recurrence: LinearRecurrence.Tape, given: Matrix, statistics: Matrix, normal: Matrix, gated: Matrix
        ) {
            self.input = input
            self.projected = projected
            self.mixed = mixed
            self.inverse = inverse
            self.decays = decays
            self.strengths = strengths
            self.recurrence = recurrence
            self.given = given
            self.statistics = statistics
            self.normal = normal
            self.gated = gated
        }
    }

    private static let rowsPerPiece = 16

    private var recurrence: LinearRecurrence { LinearRecurrence(sizes) }
    private var convolution: CausalConvolution {
        CausalConvolution(weights: parameters.convolution, activates: true)
    }
    private var normalization: Normalization {
        Normalization(weights: parameters.norm, norm: .init(kind: .rms, epsilon: epsilon), heads: sizes.heads)
    }
    private var queryScale: Float { 1 / Float(sizes.keyDimension).squareRoot() }

    private func heads(_ matrix: Matrix, from column: Int, _ dimension: Int) -> HeadSpan {
        HeadSpan(
            values: matrix.values + column, stride: matrix.columns, headStride: dimension, dimension: dimension)
    }

    private func operands(_ mixed: Matrix, _ decays: Matrix, _ strengths: Matrix) -> LinearRecurrence.Input {
        LinearRecurrence.Input(
            query: heads(mixed, from: 0, sizes.keyDimension), key: heads(mixed, from: sizes.keys, sizes.keyDimension),
            value: heads(mixed, from: 2 * sizes.keys, sizes.valueDimension), decays: decays, strengths: strengths)
    }

    func forward(
        _ input: Matrix, _ pass: MixerPass, state: (any MixerState)?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: (any MixerTape)?) {
        let projected = reordered(try parameters.projection.forward(input, workers), isBack: false, workers)
        let rows = input.rows
        let known = state as? RecurrentState
        let raw = projected.span(columns: 0..<sizes.channels)
        let mixed = Matrix(rows: rows, columns: sizes.channels)
        convolution.forward(raw, into: mixed.span, pass.shape, window: known?.window, workers)
        known?.slide(raw)
        let inverse = Matrix(rows: rows, columns: 2 * sizes.keyHeads)
        let decays = Matrix(rows: rows, columns: sizes.heads)
        let strengths = Matrix(rows: rows, columns: sizes.heads)
        let rates = parameters.decay.values.array.map { -expf($0) }
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                cmixer_l2_norm(
                    mixed.row(row), sizes.keyHeads, sizes.keyDimension, queryScale, 1e-6, inverse.row(row))
                cmixer_l2_norm(
                    mixed.row(row) + sizes.keys, sizes.keyHeads, sizes.keyDimension, 1, 1e-6,
                    inverse.row(row) + sizes.keyHeads)
                let (strength, step) = (
                    projected.row(row) + sizes.strengthColumn, projected.row(row) + sizes.stepColumn
                )
                for head in 0..<sizes.heads {
                    strengths[row, head] = 1 / (1 + expf(-strength[head]))
                    decays[row, head] = rates[head] * softplus(step[head] + parameters.stepBias.values.values[head])
                }
            }
        }
        let given = Matrix(rows: rows, columns: sizes.values)
        let tape = recurrence.forward(
            operands(mixed, decays, strengths), into: heads(given, from: 0, sizes.valueDimension), pass.shape,
            state: known?.state, keeps: keeps, workers)
        let statistics = keeps ? normalization.statistics(rows: rows) : nil
        let normal = Matrix(rows: rows, columns: sizes.values)
        normalization.forward(given.span, into: normal.span, statistics: statistics, workers)
        let gated = Matrix(rows: rows, columns: sizes.values)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                ctransformer_glu(
                    Int32(ctransformer_silu), 0, 0, projected.row(row) + sizes.gateColumn, normal.row(row),
                    gated.row(row), sizes.values)
            }
        }
        let output = try parameters.output.forward(gated, workers)
        guard let tape, let statistics else { return (output, nil) }
        return (
            output,
            Tape(
                input: input, projected: projected, mixed: mixed, inverse: inverse, decays: decays,
                strengths: strengths, recurrence: tape, given: given, statistics: statistics, normal: normal,
                gated: gated)
        )
    }

    func backward(
        _ slope: Matrix, _ tape: any MixerTape, _ pass: MixerPass, into target: Matrix, _ workers: Workers
    ) throws {
        guard let tape = tape as? Tape else { return }
        let rows = slope.rows
        let gated = Matrix(rows: rows, columns: sizes.values)
        try parameters.output.backward(slope.span, input: tape.gated.span, into: gated.span, workers)
        let projected = Matrix(rows: rows, columns: sizes.columns)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                ctransformer_glu_backward(
                    Int32(ctransformer_silu), 0, 0, tape.projected.row(row) + sizes.gateColumn, tape.normal.row(row),
                    gated.row(row), projected.row(row) + sizes.gateColumn, tape.normal.row(row), sizes.values)
            }
        }
        // The gradient of what was normalised, and from here on of what the heads gave.
        let given = tape.normal
        normalization.backward(
            tape.given.span, statistics: tape.statistics, dy: given.span, into: given.span, replaces: true, workers)
        let mixed = Matrix(rows: rows, columns: sizes.channels)
        let decays = Matrix(rows: rows, columns: sizes.heads)
        let strengths = Matrix(rows: rows, columns: sizes.heads)
        recurrence.backward(
            operands(tape.mixed, tape.decays, tape.strengths), heads(given, from: 0, sizes.valueDimension),
            tape.recurrence,
            into: .init(
                query: heads(mixed, from: 0, sizes.keyDimension),
                key: heads(mixed, from: sizes.keys, sizes.keyDimension),
                value: heads(mixed, from: 2 * sizes.keys, sizes.valueDimension), decays: decays, strengths: strengths),
            pass.shape, workers)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                cmixer_l2_norm_backward(
                    tape.mixed.row(row), mixed.row(row), sizes.keyHeads, sizes.keyDimension, queryScale,
                    tape.inverse.row(row))
                cmixer_l2_norm_backward(
                    tape.mixed.row(row) + sizes.keys, mixed.row(row) + sizes.keys, sizes.keyHeads, sizes.keyDimension,
                    1, tape.inverse.row(row) + sizes.keyHeads)
            }
        }
        ratesBackward(tape, decays, strengths, into: projected)
        convolution.backward(
            tape.projected.span(columns: 0..<sizes.channels), mixed.span,
            into: projected.span(columns: 0..<sizes.channels), pass.shape, workers)
        try parameters.projection.backward(
            reordered(projected, isBack: true, workers).span, input: tape.input.span, into: target.span, workers)
    }

    /// The gradients of strengths and steps, and those of the decays' own weights, summed in the order of the rows.
    private func ratesBackward(_ tape: Tape, _ decays: Matrix, _ strengths: Matrix, into projected: Matrix) {
        let bias = parameters.stepBias.values.values
        for row in 0..<projected.rows {
            for head in 0..<sizes.heads {
                let strength = tape.strengths[row, head]
                projected[row, sizes.strengthColumn + head] = strengths[row, head] * strength * (1 - strength)
                let step = tape.projected[row, sizes.stepColumn + head] + bias[head]
                let slope =
                    decays[row, head] * -expf(parameters.decay.values.values[head]) / (1 + expf(-step))
                projected[row, sizes.stepColumn + head] = slope
                parameters.stepBias.gradient?.values[head] += slope
                parameters.decay.gradient?.values[head] += decays[row, head] * tape.decays[row, head]
            }
        }
    }

    /// The projections in the order of `DeltaNet`, or back in the order of the file: as they are, or gathered from and
    /// scattered to those of each key head.
    private func reordered(_ projected: Matrix, isBack: Bool, _ workers: Workers) -> Matrix {
        guard sizes.isGrouped else { return projected }
        let result = Matrix(rows: projected.rows, columns: sizes.columns)
        let runs = sizes.groupedRuns.map { run in
            (from: isBack ? run.column : run.grouped, to: isBack ? run.grouped : run.column, count: run.count)
        }
        workers.forEachRange(of: projected.rows, size: Self.rowsPerPiece) { rows in
            for row in rows {
                for run in runs {
                    (result.row(row) + run.to).update(from: projected.row(row) + run.from, count: run.count)
                }
            }
        }
        return result
    }
}

extension LinearRecurrence {
    init(_ sizes: DecoderConfiguration.DeltaNet) {
        self.init(
            heads: sizes.heads, keyHeads: sizes.keyHeads, keyDimension: sizes.keyDimension,
            valueDimension: sizes.valueDimension)
    }
}

/// `log(1 + exp(x))`
func softplus(_ x: Float) -> Float { x > 20 ? x : log1pf(expf(x)) }
