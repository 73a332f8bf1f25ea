import CPlatform
import Checkpoints
import Glibc
import Numerics

/// What sequences a layer's rows are.
package struct SequenceShape {
    /// Sequences of the same length, one after the other.
    package let count: Int
    /// Tokens of each that are computed; a row each.
    package let length: Int
    /// Tokens of each that came before, whose keys and values are known.
    var past = 0

    package init(count: Int, length: Int, past: Int = 0) {
        self.count = count
        self.length = length
        self.past = past
    }

    package var rows: Int { count * length }
}

/// Keys and values of the tokens so far, of one layer and one sequence.
package final class LayerCache {
    var keys: Matrix
    var values: Matrix
    var count = 0

    init(keyWidth: Int, valueWidth: Int, capacity: Int) {
        keys = Matrix(rows: capacity, columns: keyWidth)
        values = Matrix(rows: capacity, columns: valueWidth)
    }

    /// Appends rows; the capacity doubles where it is exceeded.
    func append(keys new: MatrixSpan, values newValues: MatrixSpan) {
        if count + new.rows > keys.rows {
            let capacity = max(2 * keys.rows, count + new.rows)
            let (oldKeys, oldValues) = (keys, values)
            keys = Matrix(rows: capacity, columns: oldKeys.columns)
            values = Matrix(rows: capacity, columns: oldValues.columns)
            keys.values.update(from: oldKeys.values, count: count * oldKeys.columns)
            values.values.update(from: oldValues.values, count: count * oldValues.columns)
        }
        for row in 0..<new.rows {
            keys.row(count + row).update(from: new.values + row * new.stride, count: new.columns)
            values.row(count + row).update(from: newValues.values + row * newValues.stride, count: newValues.columns)
        }
        count += new.rows
    }
}

/// What the backward pass of an attention needs.
final class AttentionTape {
    /// The normalised stream that went in, `[rows, hidden]`.
    let input: Matrix
    /// Queries, keys and values as the scores are made of them.
    var query: Matrix
    var key: Matrix
    var value: Matrix
    /// What the heads gave, `[rows, heads * valueDimension]`.
    let context: Matrix
    let logsums: Matrix
    /// Projections before their norms; nil where there are none.
    var raw: Matrix?
    /// The statistics of each norm.
    var statistics: [Matrix] = []
    /// Normalised queries, keys and values before they are cut to a magnitude.
    var unclipped: Matrix?
    /// Of latent attention.
    var latent: LatentTape?
    /// The output's gate, and the heads' output times it; nil where there is none.
    var gate: Matrix?
    var gated: Matrix?

    init(input: Matrix, query: Matrix, key: Matrix, value: Matrix, context: Matrix, logsums: Matrix) {
        self.input = input
        self.query = query
        self.key = key
        self.value = value
        self.context = context
        self.logsums = logsums
    }
}

/// A layer's attention.
struct SelfAttention {
    let parameters: AttentionParameters
    let configuration: DecoderConfiguration.Attention
    let norm: DecoderConfiguration.Norm
    let layer: Int

    func core(_ shape: SequenceShape) -> AttentionCore {
        AttentionCore(
            sequences: shape.count, queries: shape.length, keys: shape.past + shape.length, heads: configuration.heads,
            keyValueHeads: configuration.keyValueHeads, scale: configuration.scale, softcap: configuration.softcap,
            window: configuration.windows[layer], chunk: configuration.chunks[layer], sinks: parameters.sinks?.values)
    }

    /// From one head's query to the next's: its gate is between where the projection has both.
    private var queryStride: Int { configuration.keyDimension * (configuration.gatesInsideQuery ? 2 : 1) }
    var queryColumns: Range<Int> { 0..<configuration.heads * queryStride }
    var keyColumns: Range<Int> {
        queryColumns.upperBound..<queryColumns.upperBound + configuration.keyValueHeads * configuration.keyDimension
    }
    var valueColumns: Range<Int> {
        keyColumns.upperBound..<keyColumns.upperBound + configuration.keyValueHeads * configuration.valueDimension
    }

    private func heads(_ matrix: Matrix, from column: Int) -> HeadSpan {
        HeadSpan(
            values: matrix.values + column, stride: matrix.columns, headStride: configuration.keyDimension,
            dimension: configuration.keyDimension)
    }

    private func queryHeads(_ matrix: Matrix) -> HeadSpan {
        HeadSpan(
            values: matrix.values, stride: matrix.columns, headStride: queryStride,
            dimension: configuration.keyDimension)
    }

    /// The norms of queries, keys and values, those that there are.
    private var norms: [(weights: NormWeights, columns: Range<Int>, isQuery: Bool)] {
        [
            parameters.queryNorm.map { ($0, queryColumns, true) }, parameters.keyNorm.map { ($0, keyColumns, false) },
            parameters.valueNorm.map { ($0, valueColumns, false) },
        ].compactMap { $0 }
    }

    /// Queries, keys and values side by side; values are a copy of the keys where they share a projection.
    private func project(_ projection: Linear, _ input: Matrix, _ workers: Workers) throws -> Matrix {
        guard configuration.sharesKeys else { return try projection.forward(input, workers) }
        let result = Matrix(rows: input.rows, columns: valueColumns.upperBound)
        try projection.forward(input.span, into: result.span(columns: 0..<keyColumns.upperBound), workers)
        for row in 0..<result.rows {
            let values = result.row(row)
            (values + valueColumns.lowerBound).update(from: values + keyColumns.lowerBound, count: keyColumns.count)
        }
        return result
    }

    private func projectBackward(
        _ projection: Linear, _ gradient: Matrix, _ input: Matrix, into target: Matrix, _ workers: Workers
    ) throws {
        guard configuration.sharesKeys else {
            try projection.backward(gradient.span, input: input.span, into: target.span, workers)
            return
        }
        for row in 0..<gradient.rows {
            let slopes = gradient.row(row)
            ctransformer_add_scaled(
                slopes + keyColumns.lowerBound, slopes + valueColumns.lowerBound, 1, keyColumns.count)
        }
        try projection.backward(
            gradient.span(columns: 0..<keyColumns.upperBound), input: input.span, into: target.span, workers)
    }

    /// The norm of queries, keys or values: of each head where its weights are a head's, else of all heads together.
    private func headNorm(_ weights: NormWeights, width: Int, isQuery: Bool) -> Normalization {
        if isQuery, configuration.gatesInsideQuery {
            return Normalization(weights: weights, norm: norm, heads: configuration.heads, headStride: queryStride)
        }
        return Normalization(weights: weights, norm: norm, heads: width / max(weights.weight.columns, 1))
    }

    /// - Parameters:
    ///   - input: the normalised stream, `[rows, hidden]`.
    ///   - rotary: of the positions from `shape.past` on.
    ///   - cache: keys and values of the tokens before, to which those of these tokens are added.
    /// - Returns: what the attention adds to the stream, and with `keeps` what its backward pass needs.
    func forward(
        _ input: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable, cache: LayerCache?, keeps: Bool,
        _ workers: Workers
    ) throws -> (output: Matrix, tape: AttentionTape?) {
        switch parameters.projections {
        case .grouped(let projection):
            return try grouped(projection, input, shape, rotary, cache: cache, keeps: keeps, workers)
        case .latent(let projections):
            return try latent(projections, input, shape, rotary, cache: cache, keeps: keeps, workers)
        }
    }

    private func grouped(
        _ projection: Linear, _ input: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable, cache: LayerCache?,
        keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: AttentionTape?) {
        let stacked = try project(projection, input, workers)
        if configuration.normalizesAfterRotation { rotate(stacked, shape, rotary, sign: 1, workers) }
        let isNormalized = parameters.queryNorm != nil || parameters.keyNorm != nil || parameters.valueNorm != nil
        let raw = keeps && isNormalized ? stacked.copy() : nil
        var statistics: [Matrix] = []
        for (weights, columns, isQuery) in norms {
            let norm = headNorm(weights, width: columns.count, isQuery: isQuery)
            let own = keeps ? norm.statistics(rows: input.rows) : nil
            if let own { statistics.append(own) }
            norm.forward(
                stacked.span(columns: columns), into: stacked.span(columns: columns), statistics: own, workers)
        }
        let unclipped = keeps && configuration.clip != nil ? stacked.copy() : nil
        if let limit = configuration.clip { clip(stacked, limit) }
        if !configuration.normalizesAfterRotation { rotate(stacked, shape, rotary, sign: 1, workers) }
        scaleQueries(stacked, shape, rotary)
        let context = Matrix(rows: input.rows, columns: configuration.heads * configuration.valueDimension)
        let logsums = keeps ? Matrix(rows: input.rows, columns: configuration.heads) : nil
        let dimension = configuration.valueDimension
        let out = HeadSpan(
            values: context.values, stride: context.columns, headStride: dimension, dimension: dimension)
        if let cache {
            cache.append(keys: stacked.span(columns: keyColumns), values: stacked.span(columns: valueColumns))
            core(shape).forward(
                queryHeads(stacked), heads(cache.keys, from: 0), heads(cache.values, from: 0), into: out,
                logsums: logsums, workers)
        } else {
            core(shape).forward(
                queryHeads(stacked), heads(stacked, from: keyColumns.lowerBound),
                heads(stacked, from: valueColumns.lowerBound), into: out, logsums: logsums, workers)
        }
        let gate =
            configuration.gatesInsideQuery
            ? sigmoid(gates(in: stacked), workers)
            : try parameters.gate.map { sigmoid(try $0.forward(input, workers), workers) }
        let gated = gate.map { product($0, context, workers) }
        let output = try parameters.output.forward(gated ?? context, workers)
        guard let logsums else { return (output, nil) }
        let tape = AttentionTape(
            input: input, query: stacked, key: stacked, value: stacked, context: context, logsums: logsums)
        tape.gate = gate
        tape.gated = gated
        tape.raw = raw
        tape.statistics = statistics
        tape.unclipped = unclipped
        return (output, tape)
    }

    private func clip(_ matrix: Matrix, _ limit: Float) {
        for i in 0..<matrix.count { matrix.values[i] = min(max(matrix.values[i], -limit), limit) }
    }

    /// Rotates queries and keys of stacked rows.
    private func rotate(
        _ stacked: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable, sign: Float, _ workers: Workers
    ) {
        workers.forEachRange(of: stacked.rows, size: 64) { rows in
            for row in rows {
                rotary.rotate(
                    stacked.row(row), position: row % shape.length, heads: configuration.heads, stride: queryStride,
                    sign: sign)
                rotary.rotate(
                    stacked.row(row) + keyColumns.lowerBound, position: row % shape.length,
                    heads: configuration.keyValueHeads, stride: configuration.keyDimension, sign: sign)
            }
        }
    }

    /// Multiplies each position's queries by its factor, where there is one; so its gradient.
    private func scaleQueries(_ stacked: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable) {
        guard let factors = rotary.queryFactors else { return }
        for row in 0..<stacked.rows {
            for head in 0..<configuration.heads {
                let query = stacked.row(row) + head * queryStride
                ctransformer_scale(query, query, factors[row % shape.length], configuration.keyDimension)
            }
        }
    }

    /// The gates that lie behind each head's query.
    private func gates(in stacked: Matrix) -> Matrix {
        let dimension = configuration.keyDimension
        let result = Matrix(rows: stacked.rows, columns: configuration.heads * dimension)
        for row in 0..<stacked.rows {
            for head in 0..<configuration.heads {
                (result.row(row) + head * dimension).update(
                    from: stacked.row(row) + head * queryStride + dimension, count: dimension)
            }
        }
        return result
    }

    /// Puts their gradients there.
    private func putGates(_ slopes: Matrix, in gradient: Matrix) {
        let dimension = configuration.keyDimension
        for row in 0..<gradient.rows {
            for head in 0..<configuration.heads {
                (gradient.row(row) + head * queryStride + dimension).update(
                    from: slopes.row(row) + head * dimension, count: dimension)
            }
        }
    }

    /// `1 / (1 + exp(-x))`, in place.
    private func sigmoid(_ matrix: Matrix, _ workers: Workers) -> Matrix {
        workers.forEachRange(of: matrix.rows, size: 16) { rows in
            let values = UnsafeMutableBufferPointer(
                start: matrix.row(rows.lowerBound), count: rows.count * matrix.columns)
            for i in values.indices { values[i] = 1 / (1 + expf(-values[i])) }
        }
        return matrix
    }

    private func product(_ a: Matrix, _ b: Matrix, _ workers: Workers) -> Matrix {
        let result = Matrix(rows: a.rows, columns: a.columns)
        workers.forEachRange(of: a.rows, size: 16) { rows in
            let first = rows.lowerBound * a.columns
            for i in first..<first + rows.count * a.columns { result.values[i] = a.values[i] * b.values[i] }
        }
        return result
    }

    /// The gradient of the heads' output before its gate, in place of the gated output's.
    ///
    /// - Returns: the gradient of what the gate is the sigmoid of.
    private func gateBackward(
        _ gate: Matrix, _ gradient: Matrix, _ tape: AttentionTape, _ workers: Workers
    ) -> Matrix {
        let slope = Matrix(rows: gate.rows, columns: gate.columns)
        workers.forEachRange(of: gate.rows, size: 16) { rows in
            let first = rows.lowerBound * gate.columns
            for i in first..<first + rows.count * gate.columns {
                let share = gate.values[i]
                slope.values[i] = gradient.values[i] * tape.context.values[i] * share * (1 - share)
                gradient.values[i] *= share
            }
        }
        return slope
    }

    /// The gradient of the input, added to `target` where it is given.
    func backward(
        _ output: Matrix, _ tape: AttentionTape, _ shape: SequenceShape, _ rotary: RotaryTable, into target: Matrix,
        _ workers: Workers
    ) throws {
        let context = Matrix(rows: output.rows, columns: tape.context.columns)
        try parameters.output.backward(
            output.span, input: (tape.gated ?? tape.context).span, into: context.span, workers)
        switch parameters.projections {
        case .grouped(let projection):
            try groupedBackward(projection, context, tape, shape, rotary, into: target, workers)
        case .latent(let projections):
            try latentBackward(projections, context, tape, shape, rotary, into: target, workers)
        }
    }

    private func groupedBackward(
        _ projection: Linear, _ context: Matrix, _ tape: AttentionTape, _ shape: SequenceShape, _ rotary: RotaryTable,
        into target: Matrix, _ workers: Workers
    ) throws {
        let stacked = tape.query
        let gateSlope = tape.gate.map { gateBackward($0, context, tape, workers) }
        let gradient = Matrix(zeros: stacked.rows, stacked.columns)
        let dimension = configuration.valueDimension
        func contextHeads(_ matrix: Matrix) -> HeadSpan {
            HeadSpan(values: matrix.values, stride: matrix.columns, headStride: dimension, dimension: dimension)
        }
        core(shape).backward(
            queryHeads(stacked), heads(stacked, from: keyColumns.lowerBound),
            heads(stacked, from: valueColumns.lowerBound), out: contextHeads(tape.context), logsums: tape.logsums,
            dOut: contextHeads(context), dQuery: queryHeads(gradient),
            dKey: heads(gradient, from: keyColumns.lowerBound), dValue: heads(gradient, from: valueColumns.lowerBound),
            sinkGradient: parameters.sinks?.gradient, workers)
        scaleQueries(gradient, shape, rotary)
        if !configuration.normalizesAfterRotation { rotate(gradient, shape, rotary, sign: -1, workers) }
        if let limit = configuration.clip, let unclipped = tape.unclipped {
            for i in 0..<gradient.count where abs(unclipped.values[i]) > limit { gradient.values[i] = 0 }
        }
        if let raw = tape.raw {
            for ((weights, columns, isQuery), statistics) in zip(norms, tape.statistics) {
                headNorm(weights, width: columns.count, isQuery: isQuery).backward(
                    raw.span(columns: columns), statistics: statistics, dy: gradient.span(columns: columns),
                    into: gradient.span(columns: columns), replaces: true, workers)
            }
        }
        if configuration.normalizesAfterRotation { rotate(gradient, shape, rotary, sign: -1, workers) }
        if let gateSlope, configuration.gatesInsideQuery { putGates(gateSlope, in: gradient) }
        try projectBackward(projection, gradient, tape.input, into: target, workers)
        if let gateSlope, let gate = parameters.gate {
            try gate.backward(gateSlope.span, input: tape.input.span, into: target.span, beta: 1, workers)
        }
    }
}
