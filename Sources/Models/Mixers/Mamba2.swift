import CPlatform
import Checkpoints
import Glibc
import Numerics

/// The weights of a Mamba-2 layer.
package struct MambaParameters: MixerParameters {
    /// To the output's gate, what goes through the convolution (values, keys and queries), and a step for each head.
    package let projection: Linear
    package let convolution: ConvolutionWeights
    /// The logarithm of each head's rate of decay, and what is added to its step.
    package let decay: VectorWeights
    package let stepBias: VectorWeights
    /// How much of its own value each head gives besides.
    package let skip: VectorWeights
    package let norm: NormWeights
    package let output: Linear

    package var weights: [LayerWeights] {
        [.linear(projection)] + convolution.weights
            + [.vector(decay), .vector(stepBias), .vector(skip), .norm(norm), .linear(output)]
    }
}

/// Mamba-2 (Dao and Gu 2024, 2405.21060): values, keys and queries (x, B and C there) through a short convolution, a
/// recurrence to which each token adds its value times its step, and a norm of the output times its gate.
struct Mamba2: Mixer {
    let parameters: MambaParameters
    let sizes: DecoderConfiguration.Mamba
    let epsilon: Float

    private final class Tape: MixerTape {
        let input: Matrix
        let projected: Matrix
        /// Values, keys and queries after the convolution, and the values times the steps.
        let mixed: Matrix
        let added: Matrix
        let steps: Matrix
        let decays: Matrix
        let recurrence: LinearRecurrence.Tape
        /// What the heads gave, that times its gate, and that normalised.
        let given: Matrix
        let gated: Matrix
        let statistics: Matrix
        let normal: Matrix

        init(
            input: Matrix, projected: Matrix, mixed: Matrix, added: Matrix, steps: Matrix, decays: Matrix,
            recurrence: LinearRecurrence.Tape, given: Matrix, gated: Matrix, statistics: Matrix, normal: Matrix
        ) {
            self.input = input
            self.projected = projected
            self.mixed = mixed
            self.added = added
            self.steps = steps
            self.decays = decays
            self.recurrence = recurrence
            self.given = given
            self.gated = gated
            self.statistics = statistics
            self.normal = normal
        }
    }

    private static let rowsPerPiece = 16

    private var recurrence: LinearRecurrence { LinearRecurrence(sizes) }
    private var convolution: CausalConvolution {
        CausalConvolution(weights: parameters.convolution, activates: true)
    }
    private var normalization: GroupedNormalization {
        GroupedNormalization(weights: parameters.norm, epsilon: epsilon, groups: sizes.groups)
    }

    private func heads(_ matrix: Matrix, from column: Int, _ dimension: Int) -> HeadSpan {
        HeadSpan(
            values: matrix.values + column, stride: matrix.columns, headStride: dimension, dimension: dimension)
    }

    private func operands(_ mixed: Matrix, added: Matrix, _ decays: Matrix) -> LinearRecurrence.Input {
        LinearRecurrence.Input(
            query: heads(mixed, from: sizes.queryColumn, sizes.state),
            key: heads(mixed, from: sizes.keyColumn, sizes.state),
            value: heads(added, from: 0, sizes.headDimension), decays: decays, strengths: nil)
    }

    func forward(
        _ input: Matrix, _ pass: MixerPass, state: (any MixerState)?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: (any MixerTape)?) {
        let projected = try parameters.projection.forward(input, workers)
        let rows = input.rows
        let known = state as? RecurrentState
        let raw = projected.span(columns: sizes.mixedColumns)
        let mixed = Matrix(rows: rows, columns: sizes.channels)
        convolution.forward(raw, into: mixed.span, pass.shape, window: known?.window, workers)
        known?.slide(raw)
        let steps = Matrix(rows: rows, columns: sizes.heads)
        let decays = Matrix(rows: rows, columns: sizes.heads)
        let added = Matrix(rows: rows, columns: sizes.inner)
        let rates = parameters.decay.values.array.map { -expf($0) }
        let width = sizes.headDimension
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                for head in 0..<sizes.heads {
                    let step = sizes.limited(softplus(rawStep(projected, row, head)))
                    steps[row, head] = step
                    decays[row, head] = rates[head] * step
                    ctransformer_scale(added.row(row) + head * width, mixed.row(row) + head * width, step, width)
                }
            }
        }
        let given = Matrix(rows: rows, columns: sizes.inner)
        let tape = recurrence.forward(
            operands(mixed, added: added, decays), into: heads(given, from: 0, width), pass.shape,
            state: known?.state, keeps: keeps, workers)
        let gated = Matrix(rows: rows, columns: sizes.inner)
        let skip = parameters.skip.values
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                for head in 0..<sizes.heads {
                    ctransformer_add_scaled(
                        given.row(row) + head * width, mixed.row(row) + head * width, skip.values[head], width)
                }
                ctransformer_glu(
                    Int32(ctransformer_silu), 0, 0, projected.row(row), given.row(row), gated.row(row), sizes.inner)
            }
        }
        let statistics = keeps ? Matrix(rows: sizes.groups, columns: rows) : nil
        let normal = normalization.forward(gated, statistics: statistics, workers)
        let output = try parameters.output.forward(normal, workers)
        guard let tape, let statistics else { return (output, nil) }
        return (
            output,
            Tape(
                input: input, projected: projected, mixed: mixed, added: added, steps: steps, decays: decays,
                recurrence: tape, given: given, gated: gated, statistics: statistics, normal: normal)
        )
    }

    /// What a head's step is the softplus of.
    private func rawStep(_ projected: Matrix, _ row: Int, _ head: Int) -> Float {
        projected[row, sizes.stepColumn + head] + parameters.stepBias.values.values[head]
    }

    func backward(
        _ slope: Matrix, _ tape: any MixerTape, _ pass: MixerPass, into target: Matrix, _ workers: Workers
    ) throws {
        guard let tape = tape as? Tape else { return }
        let rows = slope.rows
        let width = sizes.headDimension
        let normal = Matrix(rows: rows, columns: sizes.inner)
        try parameters.output.backward(slope.span, input: tape.normal.span, into: normal.span, workers)
        normalization.backward(tape.gated, statistics: tape.statistics, normal, workers)
        let projected = Matrix(rows: rows, columns: sizes.columns)
        let given = Matrix(rows: rows, columns: sizes.inner)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                ctransformer_glu_backward(
                    Int32(ctransformer_silu), 0, 0, tape.projected.row(row), tape.given.row(row), normal.row(row),
                    projected.row(row), given.row(row), sizes.inner)
            }
        }
        let mixed = Matrix(rows: rows, columns: sizes.channels)
        let added = Matrix(rows: rows, columns: sizes.inner)
        let decays = Matrix(rows: rows, columns: sizes.heads)
        recurrence.backward(
            operands(tape.mixed, added: tape.added, tape.decays), heads(given, from: 0, width), tape.recurrence,
            into: .init(
                query: heads(mixed, from: sizes.queryColumn, sizes.state),
                key: heads(mixed, from: sizes.keyColumn, sizes.state), value: heads(added, from: 0, width),
                decays: decays, strengths: nil), pass.shape, workers)
        let skip = parameters.skip.values
        let skips = Matrix(rows: rows, columns: sizes.heads)
        workers.forEachRange(of: rows, size: Self.rowsPerPiece) { range in
            for row in range {
                for head in 0..<sizes.heads {
                    let (value, out) = (tape.mixed.row(row) + head * width, mixed.row(row) + head * width)
                    let (addedSlope, givenSlope) = (added.row(row) + head * width, given.row(row) + head * width)
                    ctransformer_scale(out, addedSlope, tape.steps[row, head], width)
                    ctransformer_add_scaled(out, givenSlope, skip.values[head], width)
                    skips[row, head] = ctransformer_dot(givenSlope, value, width)
                    let raw = rawStep(tape.projected, row, head)
                    let isInside = sizes.limited(softplus(raw)) == softplus(raw)
                    let slope =
                        ctransformer_dot(addedSlope, value, width)
                        - decays[row, head] * expf(parameters.decay.values.values[head])
                    projected[row, sizes.stepColumn + head] = isInside ? slope / (1 + expf(-raw)) : 0
                }
            }
        }
        addVectors(tape, skips, decays, projected)
        convolution.backward(
            tape.projected.span(columns: sizes.mixedColumns), mixed.span,
            into: projected.span(columns: sizes.mixedColumns), pass.shape, workers)
        try parameters.projection.backward(projected.span, input: tape.input.span, into: target.span, workers)
    }

    /// The gradients of what each head has one of, summed in the order of the rows.
    private func addVectors(_ tape: Tape, _ skips: Matrix, _ decays: Matrix, _ projected: Matrix) {
        for row in 0..<projected.rows {
            for head in 0..<sizes.heads {
                parameters.skip.gradient?.values[head] += skips[row, head]
                parameters.stepBias.gradient?.values[head] += projected[row, sizes.stepColumn + head]
                parameters.decay.gradient?.values[head] += decays[row, head] * tape.decays[row, head]
            }
        }
    }
}

extension LinearRecurrence {
    init(_ sizes: DecoderConfiguration.Mamba) {
        self.init(
            heads: sizes.heads, keyHeads: sizes.groups, keyDimension: sizes.state, valueDimension: sizes.headDimension)
    }
}

/// A norm of each of some groups of a row's values, which have weights of their own: `x / rms(x) * w`.
struct GroupedNormalization {
    let weights: NormWeights
    let epsilon: Float
    let groups: Int

    private static let rowsPerPiece = 64

    /// - Parameter statistics: `[groups, rows]`; what the backward pass needs.
    func forward(_ x: Matrix, statistics: Matrix?, _ workers: Workers) -> Matrix {
        let y = Matrix(rows: x.rows, columns: x.columns)
        let width = x.columns / groups
        workers.forEachRange(of: x.rows, size: Self.rowsPerPiece) { rows in
            let first = rows.lowerBound
            for group in 0..<groups {
                ctransformer_rms_norm(
                    x.row(first) + group * width, x.columns, weights.weight.values + group * width, 0, epsilon,
                    y.row(first) + group * width, y.columns, statistics.map { $0.row(group) + first }, rows.count,
                    width)
            }
        }
        return y
    }

    /// Replaces the gradient of what came out by that of what went in.
    func backward(_ x: Matrix, statistics: Matrix, _ slope: Matrix, _ workers: Workers) {
        let width = x.columns / groups
        let pieces = (x.rows + Self.rowsPerPiece - 1) / Self.rowsPerPiece
        let partial = weights.gradient.map { _ in Matrix(zeros: pieces, x.columns) }
        workers.forEachRange(of: x.rows, size: Self.rowsPerPiece) { rows in
            let first = rows.lowerBound
            for group in 0..<groups {
                let target = slope.row(first) + group * width
                ctransformer_rms_norm_backward(
                    x.row(first) + group * width, x.columns, weights.weight.values + group * width, 0,
                    statistics.row(group) + first, target, slope.columns, target, slope.columns,
                    partial.map { $0.row(first / Self.rowsPerPiece) + group * width }, rows.count, width, 0)
            }
        }
        guard let partial, let gradient = weights.gradient else { return }
        for piece in 0..<pieces { ctransformer_add_scaled(gradient.values, partial.row(piece), 1, x.columns) }
    }
}
