import CPlatform
import Checkpoints
import Numerics

/// What the backward pass of latent attention needs besides.
final class LatentTape {
    /// Queries of a lower rank, before and after their norm.
    var queryDown: Matrix?
    var queryNormal: Matrix?
    var queryStatistics: Matrix?
    /// Compressed keys and values with the key's rotated part, `[rows, rank + rotated]`, and normalised, `[rows, rank]`.
    let down: Matrix
    let normal: Matrix
    let statistics: Matrix
    /// Plain keys and values of all heads, `[rows, heads * (plain + valueDimension)]`.
    let up: Matrix

    init(down: Matrix, normal: Matrix, statistics: Matrix, up: Matrix) {
        self.down = down
        self.normal = normal
        self.statistics = statistics
        self.up = up
    }
}

/// Multi-head latent attention (DeepSeek-AI 2024, 2405.04434, section 2.1.2), with keys and values expanded.
extension SelfAttention {
    /// The norms of the lower ranks have an epsilon of their own, whatever the configuration says.
    private static var lowRankNorm: DecoderConfiguration.Norm { .init(kind: .rms, epsilon: 1e-6) }

    private func keyHeads(_ matrix: Matrix) -> HeadSpan {
        HeadSpan(
            values: matrix.values, stride: matrix.columns, headStride: configuration.keyDimension,
            dimension: configuration.keyDimension)
    }

    /// The values among the expanded keys and values.
    private func valueHeads(_ up: Matrix, plain: Int) -> HeadSpan {
        HeadSpan(
            values: up.values + plain, stride: up.columns, headStride: plain + configuration.valueDimension,
            dimension: configuration.valueDimension)
    }

    private func valueHeads(_ matrix: Matrix) -> HeadSpan {
        HeadSpan(
            values: matrix.values, stride: matrix.columns, headStride: configuration.valueDimension,
            dimension: configuration.valueDimension)
    }

    func latent(
        _ projections: LatentProjections, _ input: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable,
        cache: LayerCache?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: AttentionTape?) {
        guard let sizes = configuration.latent else { return (input, nil) }
        let rows = input.rows
        let heads = configuration.heads
        var query = try projections.query.forward(input, workers)
        var queryDown: Matrix?
        var queryNormal: Matrix?
        var queryStatistics: Matrix?
        if let (weights, projection) = projections.queryUp {
            let norm = Normalization(weights: weights, norm: Self.lowRankNorm)
            queryStatistics = keeps ? norm.statistics(rows: rows) : nil
            let normal = norm.forward(query, statistics: queryStatistics, workers)
            (queryDown, queryNormal) = (query, normal)
            query = try projection.forward(normal, workers)
        }
        let down = try projections.keyValueDown.forward(input, workers)
        let norm = Normalization(weights: projections.keyValueNorm, norm: Self.lowRankNorm)
        let statistics = norm.statistics(rows: rows)
        let normal = Matrix(rows: rows, columns: sizes.keyValueRank)
        norm.forward(
            down.span(columns: 0..<sizes.keyValueRank), into: normal.span, statistics: statistics, workers)
        let up = try projections.keyValueUp.forward(normal, workers)
        let key = Matrix(rows: rows, columns: heads * configuration.keyDimension)
        let rotatedKeys = Matrix(rows: rows, columns: sizes.rotated)
        workers.forEachRange(of: rows, size: 64) { range in
            for row in range {
                let position = row % shape.length
                rotary.rotate(
                    query.row(row) + sizes.plain, position: position, heads: heads, stride: configuration.keyDimension)
                let rotated = rotatedKeys.row(row)
                rotated.update(from: down.row(row) + sizes.keyValueRank, count: sizes.rotated)
                rotary.rotate(rotated, position: position, heads: 1, stride: sizes.rotated)
                for head in 0..<heads {
                    let target = key.row(row) + head * configuration.keyDimension
                    target.update(
                        from: up.row(row) + head * (sizes.plain + configuration.valueDimension), count: sizes.plain)
                    (target + sizes.plain).update(from: rotated, count: sizes.rotated)
                }
            }
        }
        let context = Matrix(rows: rows, columns: heads * configuration.valueDimension)
        let logsums = keeps ? Matrix(rows: rows, columns: heads) : nil
        if let cache {
            let values = Matrix(rows: rows, columns: heads * configuration.valueDimension)
            for row in 0..<rows {
                for head in 0..<heads {
                    (values.row(row) + head * configuration.valueDimension).update(
                        from: up.row(row) + head * (sizes.plain + configuration.valueDimension) + sizes.plain,
                        count: configuration.valueDimension)
                }
            }
            cache.append(keys: key.span, values: values.span)
            core(shape).forward(
                keyHeads(query), keyHeads(cache.keys), valueHeads(cache.values), into: valueHeads(context),
                logsums: logsums, workers)
        } else {
            core(shape).forward(
                keyHeads(query), keyHeads(key), valueHeads(up, plain: sizes.plain), into: valueHeads(context),
                logsums: logsums, workers)
        }
        let output = try parameters.output.forward(context, workers)
        guard let logsums else { return (output, nil) }
        let tape = AttentionTape(
            input: input, query: query, key: key, value: up, context: context, logsums: logsums)
        let latent = LatentTape(down: down, normal: normal, statistics: statistics, up: up)
        latent.queryDown = queryDown
        latent.queryNormal = queryNormal
        latent.queryStatistics = queryStatistics
        tape.latent = latent
        return (output, tape)
    }

    func latentBackward(
        _ projections: LatentProjections, _ context: Matrix, _ tape: AttentionTape, _ shape: SequenceShape,
        _ rotary: RotaryTable, into target: Matrix, _ workers: Workers
    ) throws {
        guard let sizes = configuration.latent, let latent = tape.latent else { return }
        let rows = context.rows
        let heads = configuration.heads
        let query = Matrix(rows: rows, columns: tape.query.columns)
        let key = Matrix(zeros: rows, tape.key.columns)
        let up = Matrix(zeros: rows, latent.up.columns)
        core(shape).backward(
            keyHeads(tape.query), keyHeads(tape.key), valueHeads(latent.up, plain: sizes.plain),
            out: valueHeads(tape.context), logsums: tape.logsums, dOut: valueHeads(context), dQuery: keyHeads(query),
            dKey: keyHeads(key), dValue: valueHeads(up, plain: sizes.plain), sinkGradient: nil, workers)
        let down = Matrix(zeros: rows, latent.down.columns)
        workers.forEachRange(of: rows, size: 64) { range in
            for row in range {
                let position = row % shape.length
                rotary.rotate(
                    query.row(row) + sizes.plain, position: position, heads: heads, stride: configuration.keyDimension,
                    sign: -1)
                let rotated = down.row(row) + sizes.keyValueRank
                for head in 0..<heads {
                    let source = key.row(row) + head * configuration.keyDimension
                    (up.row(row) + head * (sizes.plain + configuration.valueDimension)).update(
                        from: source, count: sizes.plain)
                    ctransformer_add_scaled(rotated, source + sizes.plain, 1, sizes.rotated)
                }
                rotary.rotate(rotated, position: position, heads: 1, stride: sizes.rotated, sign: -1)
            }
        }
        let normal = Matrix(rows: rows, columns: sizes.keyValueRank)
        try projections.keyValueUp.backward(up.span, input: latent.normal.span, into: normal.span, workers)
        Normalization(weights: projections.keyValueNorm, norm: Self.lowRankNorm).backward(
            latent.down.span(columns: 0..<sizes.keyValueRank), statistics: latent.statistics, dy: normal.span,
            into: down.span(columns: 0..<sizes.keyValueRank), workers)
        try projections.keyValueDown.backward(down.span, input: tape.input.span, into: target.span, workers)
        guard let (weights, projection) = projections.queryUp, let queryDown = latent.queryDown,
            let queryNormal = latent.queryNormal, let statistics = latent.queryStatistics
        else {
            try projections.query.backward(query.span, input: tape.input.span, into: target.span, beta: 1, workers)
            return
        }
        let gradient = Matrix(rows: rows, columns: queryNormal.columns)
        try projection.backward(query.span, input: queryNormal.span, into: gradient.span, workers)
        Normalization(weights: weights, norm: Self.lowRankNorm).backward(
            queryDown.span, statistics: statistics, dy: gradient.span, into: gradient.span, replaces: true, workers)
        try projections.query.backward(gradient.span, input: tape.input.span, into: target.span, beta: 1, workers)
    }
}
