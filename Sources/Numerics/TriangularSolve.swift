import CBLAS

/// Replaces b by x with `(I + L) x = b`, or `(I + L)ᵀ x = b`, where L is what a square matrix has below its diagonal.
package func solveUnitLower(_ a: MatrixSpan, _ b: MatrixSpan, transposed: Bool = false) {
    guard b.rows > 0, b.columns > 0 else { return }
    BLASBuffers.use {
        cblas_strsm(
            CblasRowMajor, CblasLeft, CblasLower, transposed ? CblasTrans : CblasNoTrans, CblasUnit, blasint(b.rows),
            blasint(b.columns), 1, a.values, blasint(a.stride), b.values, blasint(b.stride))
    }
}
