import CPlatform
import Checkpoints
import Numerics

/// A norm with its weights: forward, and backward from what `statistics` keeps.
struct Normalization {
    let weights: NormWeights
    let norm: DecoderConfiguration.Norm
    /// Heads of a row that are normalised by themselves; 1 for the whole row.
    var heads = 1
    /// From one head to the next where something lies between them; nil where nothing does.
    var headStride: Int?

    private static let rowsPerPiece = 64

    /// Values that `statistics` has for each row.
    private var statisticsPerRow: Int { norm.kind == .layer ? 2 : heads }

    /// Memory for what the backward pass needs, `[rows, ...]`.
    func statistics(rows: Int) -> Matrix { Matrix(rows: rows, columns: statisticsPerRow) }

    /// - Parameters:
    ///   - x: `[rows, heads * n]`; the result may take its place for all kinds but `layer`.
    ///   - statistics: what the backward pass needs; nil where there will be none.
    func forward(_ x: MatrixSpan, into y: MatrixSpan, statistics: Matrix?, _ workers: Workers) {
        let width = headStride == nil ? x.columns / heads : weights.weight.columns
        let step = headStride ?? width
        let weight = weights.weight.values
        workers.forEachRange(of: x.rows, size: Self.rowsPerPiece) { rows in
            let kept = statistics.map { $0.row(rows.lowerBound) }
            if norm.kind == .layer {
                ctransformer_layer_norm(
                    x.values + rows.lowerBound * x.stride, weight, weights.bias?.values, norm.epsilon,
                    y.values + rows.lowerBound * y.stride, kept, rows.count, x.columns)
                return
            }
            if heads == 1, headStride == nil {
                ctransformer_rms_norm(
                    x.values + rows.lowerBound * x.stride, x.stride, weight, norm.weightOffset, norm.epsilon,
                    y.values + rows.lowerBound * y.stride, y.stride, kept, rows.count, width)
                return
            }
            for row in rows {
                // The heads of a row are rows of their own that share the weights.
                ctransformer_rms_norm(
                    x.values + row * x.stride, step, weight, norm.weightOffset, norm.epsilon,
                    y.values + row * y.stride, step, statistics.map { $0.row(row) }, heads, width)
            }
        }
    }

    func forward(_ x: Matrix, statistics: Matrix? = nil, _ workers: Workers) -> Matrix {
        let y = Matrix(rows: x.rows, columns: x.columns)
        forward(x.span, into: y.span, statistics: statistics, workers)
        return y
    }

    /// Adds the gradient of the input to `dx`, or with `replaces` writes it there, where `dy` may lie as well.
    func backward(
        _ x: MatrixSpan, statistics: Matrix, dy: MatrixSpan, into dx: MatrixSpan, replaces: Bool = false,
        _ workers: Workers
    ) {
        let width = headStride == nil ? x.columns / heads : weights.weight.columns
        let step = headStride ?? width
        let weight = weights.weight.values
        let pieces = (x.rows + Self.rowsPerPiece - 1) / Self.rowsPerPiece
        // Each piece sums on its own and the pieces are added in order: the same bytes for any number of threads.
        let isTrained = weights.gradient != nil || weights.biasGradient != nil
        let partial = isTrained ? Matrix(zeros: pieces, 2 * width) : nil
        workers.forEachRange(of: x.rows, size: Self.rowsPerPiece) { rows in
            let piece = rows.lowerBound / Self.rowsPerPiece
            let sums = partial.map { $0.row(piece) }
            if norm.kind == .layer {
                ctransformer_layer_norm_backward(
                    x.values + rows.lowerBound * x.stride, weight, statistics.row(rows.lowerBound),
                    dy.values + rows.lowerBound * dy.stride, dx.values + rows.lowerBound * dx.stride, sums,
                    sums.map { $0 + width }, rows.count, x.columns)
                return
            }
            if heads == 1, headStride == nil {
                ctransformer_rms_norm_backward(
                    x.values + rows.lowerBound * x.stride, x.stride, weight, norm.weightOffset,
                    statistics.row(rows.lowerBound), dy.values + rows.lowerBound * dy.stride, dy.stride,
                    dx.values + rows.lowerBound * dx.stride, dx.stride, sums, rows.count, width, replaces ? 0 : 1)
                return
            }
            for row in rows {
                ctransformer_rms_norm_backward(
                    x.values + row * x.stride, step, weight, norm.weightOffset, statistics.row(row),
                    dy.values + row * dy.stride, step, dx.values + row * dx.stride, step, sums, heads, width,
                    replaces ? 0 : 1)
            }
        }
        guard let partial else { return }
        for piece in 0..<pieces {
            if let gradient = weights.gradient {
                ctransformer_add_scaled(gradient.values, partial.row(piece), 1, width)
            }
            if let gradient = weights.biasGradient {
                ctransformer_add_scaled(gradient.values, partial.row(piece) + width, 1, width)
            }
        }
    }
}
