import CBLAS
import Glibc
import Safetensors

/// Adds to `sum` a multiple of the best approximation of a matrix of a given rank in the Frobenius norm (Eckart and Young
/// 1936): its leading singular directions, from the eigenvectors of its Gram matrix on the smaller side, in F64 by LAPACK.
///
/// It computes on the thread that calls it, so that the result does not depend on how many there are.
///
/// - Parameters:
///   - matrix: `[rows, columns]`, row by row, as `sum` is.
/// - Returns: false, with `sum` as it was, where there is no answer: the matrix is not finite, or too large for LAPACK.
/// - Complexity: `rows * columns * min(rows, columns)` for the Gram matrix and its cube for the eigenvectors; memory as
///   `leadingDirectionsWorkspace` says.
package func addLeadingDirections(
    of matrix: [Double], rows: Int, columns: Int, rank: Int, factor: Double = 1, to sum: inout [Double]
) -> Bool {
    BLASBuffers.use {
        addDirections(of: matrix, rows: rows, columns: columns, rank: rank, factor: factor, to: &sum)
    }
}

private func addDirections(
    of matrix: [Double], rows: Int, columns: Int, rank: Int, factor: Double, to sum: inout [Double]
) -> Bool {
    precondition(rows >= 0 && columns >= 0 && matrix.count == rows * columns && sum.count == matrix.count)
    let size = min(rows, columns)
    guard size > 0, rank > 0 else { return true }
    guard rank < size else {
        guard matrix.allSatisfy(\.isFinite) else { return false }
        for i in sum.indices { sum[i] += factor * matrix[i] }
        return true
    }
    guard let n = blasint(exactly: size), let m = blasint(exactly: max(rows, columns)) else { return false }
    useSingleThreadedBLAS()
    let isWide = columns > rows
    let k = blasint(rank)
    let stride = blasint(columns)
    var vectors = [Double](repeating: 0, count: size * size)
    cblas_dsyrk(
        CblasRowMajor, CblasUpper, isWide ? CblasNoTrans : CblasTrans, n, m, 1, matrix, stride, 0, &vectors, n)
    // LAPACK has no answer for what is not finite, and may not return.
    guard (0..<size).allSatisfy({ vectors[$0 * size + $0].isFinite }) else { return false }
    guard replaceByEigenvectors(&vectors, size: n) else { return false }
    // The eigenvalues ascend: the last rows are the leading vectors.
    vectors.withUnsafeBufferPointer { vectors in
        guard let base = vectors.baseAddress else { return }
        let leading = base + (size - rank) * size
        var weights = [Double](repeating: 0, count: rank * max(rows, columns))
        if isWide {
            cblas_dgemm(
                CblasRowMajor, CblasNoTrans, CblasNoTrans, k, m, n, 1, leading, n, matrix, stride, 0, &weights, m)
            cblas_dgemm(
                CblasRowMajor, CblasTrans, CblasNoTrans, n, m, k, factor, leading, n, weights, m, 1, &sum, stride)
        } else {
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, k, n, 1, matrix, stride, leading, n, 0, &weights, k)
            cblas_dgemm(
                CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, factor, weights, k, leading, n, 1, &sum, stride)
        }
    }
    return true
}

/// Bytes that `addLeadingDirections` takes beside its matrices.
package func leadingDirectionsWorkspace(rows: Int, columns: Int, rank: Int) -> Int {
    let size = min(rows, columns)
    return 8 * (3 * size * size + 16 * size + rank * max(rows, columns))
}

/// Puts the eigenvectors of a symmetric matrix, of which the upper half is given, in its place, one in each row, the
/// smallest eigenvalue first.
private func replaceByEigenvectors(_ matrix: inout [Double], size: blasint) -> Bool {
    var values = [Double](repeating: 0, count: Int(size))
    // dsyevd's documentation has the least workspace for eigenvectors: 1 + 6 n + 2 n², and 3 + 5 n integers.
    let n = Int(size)
    guard n < 1 << 24, var workLength = blasint(exactly: 1 + 6 * n + 2 * n * n) else { return false }
    var integerLength = 3 + 5 * size
    var work = [Double](repeating: 0, count: Int(workLength))
    var integers = [blasint](repeating: 0, count: Int(integerLength))
    var (order, information) = (size, blasint(0))
    // Row by row is column by column of the transpose: the upper half is LAPACK's lower one.
    dsyevd_("V", "L", &order, &matrix, &order, &values, &work, &workLength, &integers, &integerLength, &information)
    return information == 0
}
