import CPlatform
import Glibc
package import Numerics

/// A matrix for each head that every token decays and adds to, and that it then asks:
/// `S[t] = exp(g[t]) S[t-1] + k[t] d[t]ᵀ`, `o[t] = S[t]ᵀ q[t]`.
///
/// What is added for a key is its value, `d = v` (Mamba-2: Dao and Gu 2024, 2405.21060), or by the delta rule what the
/// matrix lacks of it, `d[t] = b[t] (v[t] - exp(g[t]) S[t-1]ᵀ k[t])` (Gated DeltaNet: Yang et al. 2024, 2412.06464).
/// Tokens are taken a chunk at a time: with `G` the sum of `g` since the chunk's begin, `e = exp(G)`,
/// `M[i,j] = exp(G[i] - G[j]) q[i]·k[j]` for j <= i and `P[i,j] = b[i] exp(G[i] - G[j]) k[i]·k[j]` for j < i, its tokens
/// solve `(I + P) D = b (V - e K S)`, and `O = e Q S + M D`, all of which are matrix products.
package struct LinearRecurrence {
    /// Heads of values.
    let heads: Int
    /// Heads of queries and keys, each shared by `heads / keyHeads` heads of values.
    let keyHeads: Int
    let keyDimension: Int
    let valueDimension: Int
    /// Tokens of a chunk.
    let chunk: Int

    static let usualChunk = 64

    package init(
        heads: Int, keyHeads: Int, keyDimension: Int, valueDimension: Int, chunk: Int = Self.usualChunk
    ) {
        self.heads = heads
        self.keyHeads = keyHeads
        self.keyDimension = keyDimension
        self.valueDimension = valueDimension
        self.chunk = chunk
    }

    /// What goes in.
    package struct Input {
        let query: HeadSpan
        let key: HeadSpan
        let value: HeadSpan
        /// The logarithm of each head's decay, not above 0, `[rows, heads]`.
        let decays: Matrix
        /// b of the delta rule, `[rows, heads]`; nil for none.
        let strengths: Matrix?

        package init(query: HeadSpan, key: HeadSpan, value: HeadSpan, decays: Matrix, strengths: Matrix?) {
            self.query = query
            self.key = key
            self.value = value
            self.decays = decays
            self.strengths = strengths
        }
    }

    /// What the backward pass needs.
    package final class Tape {
        /// The matrix before each chunk, by sequence, head and chunk, `[... * keyDimension, valueDimension]`.
        let states: Matrix
        /// D of the delta rule, `[rows, heads * valueDimension]`.
        let additions: Matrix?

        init(states: Matrix, additions: Matrix?) {
            self.states = states
            self.additions = additions
        }
    }

    var shared: Int { heads / keyHeads }

    func chunks(_ length: Int) -> Int { (length + chunk - 1) / chunk }

    func stateRow(sequence: Int, head: Int, chunk: Int, of chunks: Int) -> Int {
        ((sequence * heads + head) * chunks + chunk) * keyDimension
    }

    func additions(_ matrix: Matrix) -> HeadSpan {
        HeadSpan(
            values: matrix.values, stride: matrix.columns, headStride: valueDimension, dimension: valueDimension)
    }

    /// - Parameters:
    ///   - out: where what the heads give goes.
    ///   - state: the matrices of one sequence so far, `[heads * keyDimension, valueDimension]`, which are carried on; nil
    ///     to begin with zeros.
    package func forward(
        _ input: Input, into out: HeadSpan, _ shape: SequenceShape, state: Matrix?, keeps: Bool, _ workers: Workers
    ) -> Tape? {
        if shape.length == 1, let state, !keeps {
            step(input, into: out, state, workers)
            return nil
        }
        let count = chunks(shape.length)
        let tape =
            keeps
            ? Tape(
                states: Matrix(rows: shape.count * heads * count * keyDimension, columns: valueDimension),
                additions: input.strengths.map { Matrix(rows: $0.rows, columns: heads * valueDimension) }) : nil
        workers.forEach(shape.count * keyHeads) { unit in
            let (sequence, keyHead) = (unit / keyHeads, unit % keyHeads)
            let work = ChunkScratch(self)
            for own in 0..<shared {
                let head = keyHead * shared + own
                if let state {
                    work.states[own].values.update(from: state.row(head * keyDimension), count: work.states[own].count)
                } else {
                    work.states[own].values.update(repeating: 0, count: work.states[own].count)
                }
            }
            for index in 0..<count {
                let first = index * chunk
                let rows = sequence * shape.length + first..<sequence * shape.length + min(first + chunk, shape.length)
                let (query, key) = (input.query.head(keyHead, rows: rows), input.key.head(keyHead, rows: rows))
                work.products(query, key, isDelta: input.strengths != nil)
                for own in 0..<shared {
                    let head = keyHead * shared + own
                    let matrix = work.states[own]
                    if let tape {
                        tape.states.row(stateRow(sequence: sequence, head: head, chunk: index, of: count)).update(
                            from: matrix.values, count: matrix.count)
                    }
                    work.decays(input.decays, head, rows)
                    let target = out.head(head, rows: rows)
                    let value = input.value.head(head, rows: rows)
                    var added = value
                    if let strengths = input.strengths {
                        added = tape?.additions.map { additions($0).head(head, rows: rows) } ?? work.added(rows.count)
                        work.strengths(strengths, head, rows)
                        work.solve(key, value, matrix, into: added)
                    }
                    // O = e Q S + M D
                    multiply(query, matrix.span, .none, into: target)
                    cmixer_scale_rows(
                        target.values, target.stride, target.values, target.stride, work.grown, rows.count,
                        valueDimension)
                    cmixer_scores(work.scores, work.queryKey, work.gamma, nil, rows.count, 0)
                    multiply(work.square(work.scores, rows.count), added, .none, into: target, beta: 1)
                    // S = exp(G of the last) S + Kᵀ (exp(G of the last - G) D)
                    let weighed = work.rowsOfValues(work.weighed, rows.count)
                    cmixer_scale_rows(
                        weighed.values, weighed.stride, added.values, added.stride, work.left, rows.count,
                        valueDimension)
                    multiply(key, weighed, .first, into: matrix.span, beta: work.grown[rows.count - 1])
                }
            }
            guard let state else { return }
            for own in 0..<shared {
                state.row((keyHead * shared + own) * keyDimension).update(
                    from: work.states[own].values, count: work.states[own].count)
            }
        }
        return tape
    }

    /// One token, or several, one after the other: what the chunks are an arrangement of.
    package func step(_ input: Input, into out: HeadSpan, _ state: Matrix, _ workers: Workers) {
        let rows = input.decays.rows
        workers.forEach(heads) { head in
            let keyHead = head / shared
            cmixer_recurrence(
                input.query.values + keyHead * input.query.headStride, input.query.stride,
                input.key.values + keyHead * input.key.headStride, input.key.stride,
                input.value.values + head * input.value.headStride, input.value.stride, input.decays.values + head,
                input.strengths.map { UnsafePointer($0.values + head) }, heads, state.row(head * keyDimension),
                out.values + head * out.headStride, out.stride, rows, keyDimension, valueDimension)
        }
    }
}

/// Memory for the chunks of a key head and the heads that share it.
final class ChunkScratch {
    private let size: Int
    private let valueDimension: Int
    private let memory: Matrix
    /// The matrix of each head, `[keyDimension, valueDimension]`.
    let states: [Matrix]
    /// `Q Kᵀ` and `K Kᵀ`, `[chunk, chunk]`, of which a chunk of n rows has `[n, n]`.
    var queryKey: UnsafeMutablePointer<Float> { memory.row(0) }
    var keyKey: UnsafeMutablePointer<Float> { memory.row(1) }
    /// `exp(G[i] - G[j])` for j <= i, else 0.
    var gamma: UnsafeMutablePointer<Float> { memory.row(2) }
    /// M or P.
    var scores: UnsafeMutablePointer<Float> { memory.row(3) }
    var slopes: UnsafeMutablePointer<Float> { memory.row(4) }
    private let vectors: Matrix
    /// G, `exp(G)`, `exp(G of the last - G)` and b.
    var sums: UnsafeMutablePointer<Float> { vectors.row(0) }
    var grown: UnsafeMutablePointer<Float> { vectors.row(1) }
    var left: UnsafeMutablePointer<Float> { vectors.row(2) }
    var strength: UnsafeMutablePointer<Float> { vectors.row(3) }
    var sumSlopes: UnsafeMutablePointer<Float> { vectors.row(4) }
    var strengthSlopes: UnsafeMutablePointer<Float> { vectors.row(5) }
    /// `[chunk, valueDimension]` each.
    let weighed: Matrix
    let solved: Matrix
    let other: Matrix

    init(_ recurrence: LinearRecurrence) {
        size = recurrence.chunk
        valueDimension = recurrence.valueDimension
        memory = Matrix(rows: 5, columns: size * size)
        vectors = Matrix(rows: 6, columns: size)
        states = (0..<recurrence.shared).map { _ in
            Matrix(rows: recurrence.keyDimension, columns: recurrence.valueDimension)
        }
        weighed = Matrix(rows: size, columns: valueDimension)
        solved = Matrix(rows: size, columns: valueDimension)
        other = Matrix(rows: size, columns: valueDimension)
    }

    func square(_ values: UnsafeMutablePointer<Float>, _ rows: Int) -> MatrixSpan {
        MatrixSpan(values, rows: rows, columns: rows, stride: rows)
    }

    func rowsOfValues(_ matrix: Matrix, _ rows: Int) -> MatrixSpan { matrix.span(rows: 0..<rows) }

    func added(_ rows: Int) -> MatrixSpan { rowsOfValues(solved, rows) }

    /// What the heads that share a key have in common.
    func products(_ query: MatrixSpan, _ key: MatrixSpan, isDelta: Bool) {
        multiply(query, key, .second, into: square(queryKey, key.rows))
        if isDelta { multiply(key, key, .second, into: square(keyKey, key.rows)) }
    }

    func decays(_ logarithms: Matrix, _ head: Int, _ rows: Range<Int>) {
        var sum: Float = 0
        for (index, row) in rows.enumerated() {
            sum += logarithms[row, head]
            sums[index] = sum
        }
        for index in 0..<rows.count {
            grown[index] = expf(sums[index])
            left[index] = expf(sum - sums[index])
        }
        cmixer_decays(gamma, sums, rows.count)
    }

    func strengths(_ values: Matrix, _ head: Int, _ rows: Range<Int>) {
        for (index, row) in rows.enumerated() { strength[index] = values[row, head] }
    }

    /// D of the delta rule.
    func solve(_ key: MatrixSpan, _ value: MatrixSpan, _ state: Matrix, into added: MatrixSpan) {
        multiply(key, state.span, .none, into: added)
        cmixer_delta_targets(
            added.values, added.stride, value.values, value.stride, grown, strength, key.rows, valueDimension)
        cmixer_scores(scores, keyKey, gamma, strength, key.rows, 1)
        solveUnitLower(square(scores, key.rows), added)
    }
}
