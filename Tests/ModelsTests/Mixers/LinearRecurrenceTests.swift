import Models
import Numerics
import TestSupport
import Testing

/// The chunked form against the recurrence as it is defined, a token after the other in F64.
@Suite struct LinearRecurrenceTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let isDelta: Bool
        let length: Int
        let chunk: Int

        var testDescription: String { "\(isDelta ? "delta" : "plain") \(length) in \(chunk)" }
    }

    static let cases = [true, false].flatMap { isDelta in
        [(1, 64), (5, 64), (64, 64), (150, 64), (33, 8), (7, 1)].map {
            Case(isDelta: isDelta, length: $0.0, chunk: $0.1)
        }
    }

    @Test(arguments: cases)
    func chunksGiveWhatTheRecurrenceGives(_ test: Case) throws {
        let problem = Problem(test)
        let expected = problem.reference()
        let out = Matrix(rows: problem.rows, columns: Problem.heads * Problem.valueDimension)
        let tape = problem.recurrence.forward(
            problem.input, into: problem.spread(out), problem.shape, state: nil, keeps: true, Workers(threads: 2))
        #expect(largestDifference(out.array, expected.out.map { Float($0) }) <= 2e-5)
        let kept = try #require(tape)
        let slopes = problem.slopes()
        problem.recurrence.backward(
            problem.input, problem.spread(problem.outSlope), kept, into: slopes.spans, problem.shape,
            Workers(threads: 2))
        for (name, found, gradient) in [
            ("query", slopes.query, expected.query), ("key", slopes.key, expected.key),
            ("value", slopes.value, expected.value), ("decay", slopes.decays, expected.decays),
            ("strength", slopes.strengths, expected.strengths),
        ] where name != "strength" || test.isDelta {
            #expect(relativeDifference(found.array, gradient.map { Float($0) }) <= 1e-4, "\(name)")
        }
    }

    /// A state that is handed on gives the same, whether chunks or single tokens follow.
    @Test(arguments: [true, false], [[150], [70, 1, 1, 64, 1, 13], [1, 149]])
    func statesAreCarriedOn(isDelta: Bool, pieces: [Int]) {
        let problem = Problem(Case(isDelta: isDelta, length: 150, chunk: 64), sequences: 1)
        let expected = problem.reference().out.map { Float($0) }
        let out = Matrix(rows: problem.rows, columns: Problem.heads * Problem.valueDimension)
        let state = Matrix(zeros: Problem.heads * Problem.keyDimension, Problem.valueDimension)
        var first = 0
        for piece in pieces {
            let part = problem.part(first..<first + piece)
            let rows = Matrix(rows: first..<first + piece, of: out)
            _ = problem.recurrence.forward(
                part, into: problem.spread(rows), SequenceShape(count: 1, length: piece), state: state, keeps: false,
                Workers(threads: 1))
            first += piece
        }
        #expect(largestDifference(out.array, expected) <= 2e-5)
        // And one token after the other, by the plain loop.
        state.values.update(repeating: 0, count: state.count)
        problem.recurrence.step(problem.input, into: problem.spread(out), state, Workers(threads: 1))
        #expect(largestDifference(out.array, expected) <= 2e-5)
    }
}

/// Random operands: 3 heads of queries and keys of 5 values, shared by 6 heads of 7 values.
private struct Problem {
    static let (heads, keyHeads, keyDimension, valueDimension) = (6, 3, 5, 7)
    let recurrence: LinearRecurrence
    let shape: SequenceShape
    let query: Matrix
    let key: Matrix
    let value: Matrix
    let decays: Matrix
    let strengths: Matrix?
    let outSlope: Matrix

    var rows: Int { shape.rows }

    init(_ test: LinearRecurrenceTests.Case, sequences: Int = 2) {
        var generator = SeededGenerator(seed: UInt64(test.length))
        func random(_ columns: Int, _ range: ClosedRange<Float>) -> Matrix {
            let rows = sequences * test.length
            return Matrix(
                rows: rows, columns: columns,
                (0..<rows * columns).map { _ in Float.random(in: range, using: &generator) })
        }
        recurrence = LinearRecurrence(
            heads: Self.heads, keyHeads: Self.keyHeads, keyDimension: Self.keyDimension,
            valueDimension: Self.valueDimension, chunk: test.chunk)
        shape = SequenceShape(count: sequences, length: test.length)
        query = random(Self.keyHeads * Self.keyDimension, -0.5...0.5)
        key = random(Self.keyHeads * Self.keyDimension, -0.5...0.5)
        value = random(Self.heads * Self.valueDimension, -1...1)
        decays = random(Self.heads, -0.3...0)
        strengths = test.isDelta ? random(Self.heads, 0...1) : nil
        outSlope = random(Self.heads * Self.valueDimension, -1...1)
    }

    private func span(_ matrix: Matrix, _ dimension: Int) -> HeadSpan {
        HeadSpan(values: matrix.values, stride: matrix.columns, headStride: dimension, dimension: dimension)
    }

    func spread(_ matrix: Matrix) -> HeadSpan { span(matrix, Self.valueDimension) }

    var input: LinearRecurrence.Input { part(0..<rows) }

    func part(_ rows: Range<Int>) -> LinearRecurrence.Input {
        LinearRecurrence.Input(
            query: span(Matrix(rows: rows, of: query), Self.keyDimension),
            key: span(Matrix(rows: rows, of: key), Self.keyDimension),
            value: span(Matrix(rows: rows, of: value), Self.valueDimension), decays: Matrix(rows: rows, of: decays),
            strengths: strengths.map { Matrix(rows: rows, of: $0) })
    }

    struct Slopes {
        let query: Matrix
        let key: Matrix
        let value: Matrix
        let decays: Matrix
        let strengths: Matrix
        let spans: LinearRecurrence.Input
    }

    func slopes() -> Slopes {
        let (query, key, value) = (query.copy(), key.copy(), value.copy())
        let decays = decays.copy()
        let strengths = decays.copy()
        return Slopes(
            query: query, key: key, value: value, decays: decays, strengths: strengths,
            spans: .init(
                query: span(query, Self.keyDimension), key: span(key, Self.keyDimension),
                value: span(value, Self.valueDimension), decays: decays, strengths: strengths))
    }

    /// What the definition gives, and by the chain rule the gradients.
    func reference() -> (
        out: [Double], query: [Double], key: [Double], value: [Double], decays: [Double], strengths: [Double]
    ) {
        let (dk, dv) = (Self.keyDimension, Self.valueDimension)
        func zeros(_ matrix: Matrix) -> [Double] { [Double](repeating: 0, count: matrix.count) }
        var out = zeros(value)
        var (dQuery, dKey, dValue) = (zeros(query), zeros(key), zeros(value))
        var (dDecays, dStrengths) = (zeros(decays), zeros(decays))
        for sequence in 0..<shape.count {
            for head in 0..<Self.heads {
                let keyHead = head / (Self.heads / Self.keyHeads)
                var state = [Double](repeating: 0, count: dk * dv)
                // The decayed matrix that each token finds, and what it adds.
                var found: [[Double]] = []
                var after: [[Double]] = []
                var added: [[Double]] = []
                var missing: [[Double]] = []
                for t in 0..<shape.length {
                    let row = sequence * shape.length + t
                    let k = (0..<dk).map { Double(key[row, keyHead * dk + $0]) }
                    let q = (0..<dk).map { Double(query[row, keyHead * dk + $0]) }
                    let v = (0..<dv).map { Double(value[row, head * dv + $0]) }
                    let decay = exponential(Double(decays[row, head]))
                    for i in state.indices { state[i] *= decay }
                    found.append(state)
                    let known = (0..<dv).map { c in (0..<dk).reduce(0.0) { $0 + k[$1] * state[$1 * dv + c] } }
                    let lacks = strengths == nil ? v : zip(v, known).map { $0 - $1 }
                    missing.append(lacks)
                    added.append(lacks.map { $0 * (strengths.map { Double($0[row, head]) } ?? 1) })
                    for r in 0..<dk { for c in 0..<dv { state[r * dv + c] += k[r] * added[t][c] } }
                    after.append(state)
                    for c in 0..<dv {
                        out[row * value.columns + head * dv + c] =
                            (0..<dk).reduce(0.0) { $0 + q[$1] * state[$1 * dv + c] }
                    }
                }
                var slope = [Double](repeating: 0, count: dk * dv)
                for t in (0..<shape.length).reversed() {
                    let row = sequence * shape.length + t
                    let strength = strengths.map { Double($0[row, head]) } ?? 1
                    let given = (0..<dv).map { Double(outSlope[row, head * dv + $0]) }
                    var addedSlope = [Double](repeating: 0, count: dv)
                    for r in 0..<dk {
                        let at = row * query.columns + keyHead * dk + r
                        for c in 0..<dv {
                            dQuery[at] += given[c] * after[t][r * dv + c]
                            slope[r * dv + c] += Double(query.values[at]) * given[c]
                            dKey[at] += slope[r * dv + c] * added[t][c]
                            addedSlope[c] += slope[r * dv + c] * Double(key.values[at])
                        }
                    }
                    for c in 0..<dv {
                        dValue[row * value.columns + head * dv + c] += addedSlope[c] * strength
                        dStrengths[row * Self.heads + head] += addedSlope[c] * missing[t][c]
                    }
                    if strengths != nil {
                        for r in 0..<dk {
                            let at = row * query.columns + keyHead * dk + r
                            for c in 0..<dv {
                                let known = -addedSlope[c] * strength
                                dKey[at] += known * found[t][r * dv + c]
                                slope[r * dv + c] += known * Double(key.values[at])
                            }
                        }
                    }
                    let decay = exponential(Double(decays[row, head]))
                    for i in slope.indices {
                        dDecays[row * Self.heads + head] += slope[i] * found[t][i]
                        slope[i] *= decay
                    }
                }
            }
        }
        return (out, dQuery, dKey, dValue, dDecays, dStrengths)
    }

    /// e^x by its series, for x from -1 to 0.
    private func exponential(_ x: Double) -> Double {
        var (term, sum) = (1.0, 1.0)
        for n in 1...20 {
            term *= x / Double(n)
            sum += term
        }
        return sum
    }
}
