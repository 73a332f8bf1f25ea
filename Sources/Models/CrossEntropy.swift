import CPlatform
import Glibc
package import Numerics
import Synchronization

extension Decoder {
    /// Calls `body` with the logits of some rows after others; `range` says which rows.
    package func forEachLogits(_ states: Matrix, _ body: (_ range: Range<Int>, _ logits: Matrix) throws -> Void) throws {
        var first = 0
        while first < states.rows {
            let rows = first..<min(states.rows, first + logitRows)
            try body(rows, logits(states.span(rows: rows)))
            first = rows.upperBound
        }
    }

    /// The cross-entropy of each next token in nats, `[count * (length - 1)]`, sequence by sequence.
    ///
    /// - Parameter states: normalised hidden states of the batch.
    package func losses(_ states: Matrix, _ batch: TokenBatch) throws -> [Float] {
        var result = [Float](repeating: 0, count: batch.count * max(batch.length - 1, 0))
        try forEachLogits(states) { range, logits in
            result.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let buffer = buffer
                workers.forEachRange(of: range.count, size: 8) { rows in
                    for row in rows {
                        let token = range.lowerBound + row
                        let (sequence, position) = (token / batch.length, token % batch.length)
                        guard position + 1 < batch.length else { continue }
                        let target = Int(batch.ids[token + 1])
                        buffer[sequence * (batch.length - 1) + position] =
                            ctransformer_logsumexp(logits.row(row), logits.columns) - logits[row, target]
                    }
                }
            }
        }
        return result
    }
}
