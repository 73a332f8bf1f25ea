import CPlatform
import Glibc
import Numerics

/// Queries, keys or values of all heads: row r of head h begins at `values + r * stride + h * headStride`.
package struct HeadSpan {
    let values: UnsafeMutablePointer<Float>
    let stride: Int
    let headStride: Int
    let dimension: Int

    package init(values: UnsafeMutablePointer<Float>, stride: Int, headStride: Int, dimension: Int) {
        self.values = values
        self.stride = stride
        self.headStride = headStride
        self.dimension = dimension
    }

    func head(_ head: Int, rows: Range<Int>) -> MatrixSpan {
        MatrixSpan(
            values + rows.lowerBound * stride + head * headStride, rows: rows.count, columns: dimension, stride: stride)
    }
}

/// Softmax attention of each head over the tokens before, a block of queries at a time: scores of one block are all that
/// is in memory.
struct AttentionCore {
    /// Sequences of the same length, one after the other.
    let sequences: Int
    /// Tokens of each sequence that ask; they are the last of those there are.
    let queries: Int
    /// Tokens of each sequence that are asked.
    let keys: Int
    let heads: Int
    /// Heads of keys and values, each shared by `heads / keyValueHeads` heads of queries.
    let keyValueHeads: Int
    let scale: Float
    let softcap: Float?
    let window: Int?
    /// A query sees only keys of its own run of this many tokens, counted from the first.
    let chunk: Int?
    /// A logit of each head that takes part in the softmax and has no value, `[1, heads]`.
    let sinks: Matrix?

    /// Queries at a time: enough for the matrix products, few enough that their scores stay in the cache.
    private static let block = 128

    private var blocks: Int { (queries + Self.block - 1) / Self.block }

    /// A block of queries of one sequence, and the keys that any of them sees.
    private struct Piece {
        let rows: Range<Int>
        let keys: Range<Int>
        /// For each of the rows, which of the keys it sees, counted from the first.
        let seen: (Int) -> Range<Int>
    }

    private func piece(sequence: Int, block: Int) -> Piece {
        let first = block * Self.block
        let last = min(queries, first + Self.block)
        let offset = keys - queries
        let low = firstSeen(from: offset + first)
        let high = offset + last
        return Piece(
            rows: sequence * queries + first..<sequence * queries + last,
            keys: sequence * keys + low..<sequence * keys + high,
            seen: { row in
                let position = offset + first + row
                return firstSeen(from: position) - low..<position + 1 - low
            })
    }

    /// The first key that the query of a position sees.
    private func firstSeen(from position: Int) -> Int {
        max(0, window.map { position - $0 + 1 } ?? 0, chunk.map { position / $0 * $0 } ?? 0)
    }

    /// - Parameters:
    ///   - out: `[sequences * queries, heads * dimension]`.
    ///   - logsums: the log of each row's sum, `[sequences * queries, heads]`, for the backward pass.
    func forward(
        _ query: HeadSpan, _ key: HeadSpan, _ value: HeadSpan, into out: HeadSpan, logsums: Matrix?, _ workers: Workers
    ) {
        let group = heads / keyValueHeads
        workers.forEach(sequences * heads * blocks) { index in
            let head = index / blocks % heads
            let piece = piece(sequence: index / blocks / heads, block: index % blocks)
            let scores = Matrix(rows: piece.rows.count, columns: piece.keys.count)
            multiply(
                query.head(head, rows: piece.rows), key.head(head / group, rows: piece.keys), .second, into: scores.span
            )
            let sink = sinks.map { $0.values + head }
            for row in 0..<scores.rows {
                let seen = piece.seen(row)
                let logsum = ctransformer_softmax(
                    scores.row(row), scores.columns, seen.lowerBound, seen.upperBound, scale, softcap ?? 0, sink)
                if let logsums { logsums[piece.rows.lowerBound + row, head] = logsum }
            }
            multiply(
                scores.span, value.head(head / group, rows: piece.keys), .none, into: out.head(head, rows: piece.rows))
        }
    }

    /// The gradients of queries, keys and values; the latter two are added to what is there.
    ///
    /// - Parameter sinkGradient: added to, `[1, heads]`.
    func backward(
        _ query: HeadSpan, _ key: HeadSpan, _ value: HeadSpan, out: HeadSpan, logsums: Matrix, dOut: HeadSpan,
        dQuery: HeadSpan, dKey: HeadSpan, dValue: HeadSpan, sinkGradient: Matrix?, _ workers: Workers
    ) {
        let group = heads / keyValueHeads
        let sinkParts = sinkGradient.map { _ in Matrix(zeros: sequences, heads) }
        workers.forEach(sequences * keyValueHeads) { index in
            let sequence = index / keyValueHeads
            let shared = index % keyValueHeads
            for head in shared * group..<(shared + 1) * group {
                for block in 0..<blocks {
                    let piece = piece(sequence: sequence, block: block)
                    let scores = Matrix(rows: piece.rows.count, columns: piece.keys.count)
                    let slopes = Matrix(rows: piece.rows.count, columns: piece.keys.count)
                    let queryPart = query.head(head, rows: piece.rows)
                    let outSlope = dOut.head(head, rows: piece.rows)
                    multiply(queryPart, key.head(shared, rows: piece.keys), .second, into: scores.span)
                    multiply(outSlope, value.head(shared, rows: piece.keys), .second, into: slopes.span)
                    let outPart = out.head(head, rows: piece.rows)
                    for row in 0..<scores.rows {
                        let seen = piece.seen(row)
                        let logsum = logsums[piece.rows.lowerBound + row, head]
                        ctransformer_softmax_again(
                            scores.row(row), scores.columns, seen.lowerBound, seen.upperBound, scale, softcap ?? 0,
                            logsum)
                        let dot = ctransformer_dot(
                            outSlope.values + row * outSlope.stride, outPart.values + row * outPart.stride,
                            outPart.columns)
                        ctransformer_softmax_backward(
                            scores.row(row), slopes.row(row), scores.columns, seen.lowerBound, seen.upperBound, dot,
                            scale, softcap ?? 0, logsum)
                        if let sinkParts, let sinks {
                            sinkParts[sequence, head] -= expf(sinks[0, head] - logsum) * dot
                        }
                    }
                    multiply(scores.span, outSlope, .first, into: dValue.head(shared, rows: piece.keys), beta: 1)
                    multiply(
                        slopes.span, key.head(shared, rows: piece.keys), .none,
                        into: dQuery.head(head, rows: piece.rows))
                    multiply(slopes.span, queryPart, .first, into: dKey.head(shared, rows: piece.keys), beta: 1)
                }
            }
        }
        guard let sinkGradient, let sinkParts else { return }
        for sequence in 0..<sequences {
            ctransformer_add_scaled(sinkGradient.values, sinkParts.row(sequence), 1, heads)
        }
    }
}
