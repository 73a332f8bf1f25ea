import CPlatform
package import Numerics

extension LinearRecurrence {
    /// The gradients of what went in, of sequences that began with zeros.
    ///
    /// - Parameter slopes: where they go: those of queries, keys, decays and strengths are replaced.
    package func backward(
        _ input: Input, _ out: HeadSpan, _ tape: Tape, into slopes: Input, _ shape: SequenceShape, _ workers: Workers
    ) {
        let count = chunks(shape.length)
        workers.forEach(shape.count * keyHeads) { unit in
            let (sequence, keyHead) = (unit / keyHeads, unit % keyHeads)
            let work = ChunkScratch(self)
            // The gradients of the matrices after the chunk.
            for state in work.states { state.values.update(repeating: 0, count: state.count) }
            for index in (0..<count).reversed() {
                let first = index * chunk
                let rows = sequence * shape.length + first..<sequence * shape.length + min(first + chunk, shape.length)
                work.products(
                    input.query.head(keyHead, rows: rows), input.key.head(keyHead, rows: rows),
                    isDelta: input.strengths != nil)
                for own in 0..<shared {
                    let head = keyHead * shared + own
                    let begin = stateRow(sequence: sequence, head: head, chunk: index, of: count)
                    chunkBackward(
                        input, out.head(head, rows: rows), tape, slopes, work, head: head, keyHead: keyHead, rows,
                        state: tape.states.span(rows: begin..<begin + keyDimension), later: work.states[own],
                        isFirst: own == 0)
                }
            }
        }
    }

    /// One chunk of one head. `later` is the gradient of the matrix after it, and becomes that of the matrix before.
    private func chunkBackward(
        _ input: Input, _ out: MatrixSpan, _ tape: Tape, _ slopes: Input, _ work: ChunkScratch, head: Int,
        keyHead: Int, _ rows: Range<Int>, state: MatrixSpan, later: Matrix, isFirst: Bool
    ) {
        let n = rows.count
        let (query, key) = (input.query.head(keyHead, rows: rows), input.key.head(keyHead, rows: rows))
        let value = input.value.head(head, rows: rows)
        let (dQuery, dKey) = (slopes.query.head(keyHead, rows: rows), slopes.key.head(keyHead, rows: rows))
        let dValue = slopes.value.head(head, rows: rows)
        let added = tape.additions.map { additions($0).head(head, rows: rows) } ?? value
        let (weighed, dAdded, other) = (
            work.rowsOfValues(work.weighed, n), work.rowsOfValues(work.solved, n), work.rowsOfValues(work.other, n)
        )
        let (scores, dScores) = (work.square(work.scores, n), work.square(work.slopes, n))
        work.decays(input.decays, head, rows)
        let sums = work.sumSlopes
        for t in 0..<n { sums[t] = 0 }
        func dot(_ a: MatrixSpan, _ b: MatrixSpan, _ row: Int) -> Float {
            ctransformer_dot(a.values + row * a.stride, b.values + row * b.stride, valueDimension)
        }

        // S' = e' S + Kᵀ (f D): the gradients of f and e', of D and of K.
        multiply(key, later.span, .none, into: other)
        var last: Float = 0
        for t in 0..<n {
            let slope = work.left[t] * dot(other, added, t)
            sums[t] -= slope
            last += slope
        }
        for row in 0..<keyDimension {
            last +=
                work.grown[n - 1]
                * ctransformer_dot(later.row(row), state.values + row * state.stride, valueDimension)
        }
        sums[n - 1] += last
        cmixer_scale_rows(dAdded.values, dAdded.stride, other.values, other.stride, work.left, n, valueDimension)
        cmixer_scale_rows(weighed.values, weighed.stride, added.values, added.stride, work.left, n, valueDimension)
        multiply(weighed, later.span, .second, into: dKey, beta: isFirst ? 0 : 1)

        // O = e Q S + M D: the gradients of e and Q, of D, and of M with what it is made of.
        multiply(query, state, .none, into: other)
        for t in 0..<n { sums[t] += work.grown[t] * dot(out, other, t) }
        cmixer_scale_rows(weighed.values, weighed.stride, out.values, out.stride, work.grown, n, valueDimension)
        multiply(weighed, state, .second, into: dQuery, beta: isFirst ? 0 : 1)
        multiply(query, weighed, .first, into: later.span, beta: work.grown[n - 1])
        cmixer_scores(work.scores, work.queryKey, work.gamma, nil, n, 0)
        multiply(scores, out, .first, into: dAdded, beta: 1)
        multiply(out, added, .second, into: dScores)
        cmixer_scores_backward(work.slopes, work.queryKey, work.gamma, nil, sums, nil, n, 0)
        multiply(dScores, key, .none, into: dQuery, beta: 1)
        multiply(dScores, query, .first, into: dKey, beta: 1)

        if let strengths = input.strengths, let dStrengths = slopes.strengths {
            work.strengths(strengths, head, rows)
            // (I + P) D = b (V - e K S)
            cmixer_scores(work.scores, work.keyKey, work.gamma, work.strength, n, 1)
            solveUnitLower(scores, dAdded, transposed: true)
            for t in 0..<n { work.strengthSlopes[t] = 0 }
            multiply(dAdded, added, .second, into: dScores, alpha: -1)
            cmixer_scores_backward(
                work.slopes, work.keyKey, work.gamma, work.strength, sums, work.strengthSlopes, n, 1)
            multiply(dScores, key, .none, into: dKey, beta: 1)
            multiply(dScores, key, .first, into: dKey, beta: 1)
            multiply(key, state, .none, into: other)
            for t in 0..<n {
                let known = work.grown[t] * dot(dAdded, other, t)
                dStrengths[rows.lowerBound + t, head] = work.strengthSlopes[t] + dot(dAdded, value, t) - known
                sums[t] -= work.strength[t] * known
            }
            cmixer_scale_rows(
                dValue.values, dValue.stride, dAdded.values, dAdded.stride, work.strength, n, valueDimension)
            for t in 0..<n { work.strength[t] *= -work.grown[t] }
            cmixer_scale_rows(
                weighed.values, weighed.stride, dAdded.values, dAdded.stride, work.strength, n, valueDimension)
            multiply(weighed, state, .second, into: dKey, beta: 1)
            multiply(key, weighed, .first, into: later.span, beta: 1)
        } else {
            for t in 0..<n {
                (dValue.values + t * dValue.stride).update(
                    from: dAdded.values + t * dAdded.stride, count: valueDimension)
            }
        }
        // G[t] is the sum of g up to t.
        var sum: Float = 0
        for t in (0..<n).reversed() {
            sum += sums[t]
            slopes.decays[rows.lowerBound + t, head] = sum
        }
    }
}
