import Numerics
import Testing

@Suite("Matrices")
struct MatrixTests {
    /// A size of this suite's own: other tests, which run at the same time, take no memory of it.
    private let rows = 977
    private let columns = 1031

    private func ones() -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        matrix.buffer.update(repeating: 1)
        return matrix
    }

    @Test("A span holds the matrix that nothing else names: its memory is not given to the next")
    func spanOfTemporary() {
        let span = ones().span
        let (some, part) = (ones().span(rows: 3..<7), ones().span(columns: 5..<9))
        let others = (0..<4).map { _ in Matrix(zeros: rows, columns) }
        #expect(span.values[0] == 1 && span.values[rows * columns - 1] == 1)
        #expect(some.values[0] == 1 && part.values[0] == 1)
        withExtendedLifetime(others) {}
    }

    @Test("A product of matrices that nothing else names, while others are made")
    func productOfTemporaries() async {
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    (0..<200).allSatisfy { _ in
                        let product = Matrix(rows: 1, columns: 31)
                        multiply(
                            Matrix(rows: 1, columns: 300, [Float](repeating: 1, count: 300)).span,
                            Matrix(rows: 31, columns: 300, [Float](repeating: 2, count: 9300)).span, .second,
                            into: product.span)
                        return product.array.allSatisfy { $0 == 600 }
                    }
                }
            }
            for await isRight in group { #expect(isRight) }
        }
    }
}
