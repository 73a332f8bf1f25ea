import CPlatform
package import Numerics

extension Decoder {
    /// Calls `body` with the logits of some rows after others; `range` says which rows.
    package func forEachLogits(_ states: Matrix, _ body: (_ range: Range<Int>, _ logits: Matrix) throws -> Void) throws
    {
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

    /// The cross-entropy of each next token, as `losses` gives it, and the gradient of the hidden states of `scale` times
    /// their sum; the head's own gradient is added where it is trained.
    package func lossesBackward(_ states: Matrix, _ batch: TokenBatch, scale: Float) throws -> ([Float], Matrix) {
        var result = [Float](repeating: 0, count: batch.count * max(batch.length - 1, 0))
        let slope = try headBackward(states) { range, logits in
            result.withUnsafeMutableBufferPointer { buffer in
                nonisolated(unsafe) let buffer = buffer
                workers.forEachRange(of: range.count, size: 8) { rows in
                    for row in rows {
                        let token = range.lowerBound + row
                        let (sequence, position) = (token / batch.length, token % batch.length)
                        let values = logits.row(row)
                        guard position + 1 < batch.length else {
                            values.update(repeating: 0, count: logits.columns)
                            continue
                        }
                        let target = Int(batch.ids[token + 1])
                        let logsum = ctransformer_logsumexp(values, logits.columns)
                        buffer[sequence * (batch.length - 1) + position] = logsum - values[target]
                        ctransformer_exp_shifted(values, logits.columns, logsum, scale)
                        values[target] -= scale
                    }
                }
            }
        }
        return (result, slope)
    }
}
