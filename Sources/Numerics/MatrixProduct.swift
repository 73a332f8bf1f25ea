import CBLAS

/// Part of a matrix: rows of `columns` values that lie `stride` apart.
package struct MatrixSpan {
    package var values: UnsafeMutablePointer<Float>
    package var rows: Int
    package var columns: Int
    package var stride: Int

    package init(_ values: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
        self.values = values
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }
}

extension Matrix {
    /// All of it.
    package var span: MatrixSpan { MatrixSpan(values, rows: rows, columns: columns, stride: columns) }

    /// Some of its rows.
    package func span(rows range: Range<Int>) -> MatrixSpan {
        MatrixSpan(values + range.lowerBound * columns, rows: range.count, columns: columns, stride: columns)
    }

    /// Some of its columns.
    package func span(columns range: Range<Int>) -> MatrixSpan {
        MatrixSpan(values + range.lowerBound, rows: rows, columns: range.count, stride: columns)
    }
}

/// Which operand of a product is transposed.
package enum Transposition: Sendable {
    /// `a b`
    case none
    /// `a bᵀ`: activations times a weight that is stored `[out, in]`.
    case second
    /// `aᵀ b`: the gradient of such a weight.
    case first
}

/// `c = alpha * op(a) op(b) + beta * c` on the caller's thread.
package func multiply(
    _ a: MatrixSpan, _ b: MatrixSpan, _ transposition: Transposition, into c: MatrixSpan, alpha: Float = 1,
    beta: Float = 0
) {
    let inner = transposition == .first ? a.rows : a.columns
    guard c.rows > 0, c.columns > 0 else { return }
    guard inner > 0 else {
        for row in 0..<c.rows { for column in 0..<c.columns { c.values[row * c.stride + column] *= beta } }
        return
    }
    if c.rows == 1, transposition != .first {
        // A vector: sgemv reads the matrix once, where sgemm would pack it first.
        let isTransposed = transposition == .none
        cblas_sgemv(
            CblasRowMajor, isTransposed ? CblasTrans : CblasNoTrans, blasint(b.rows), blasint(b.columns), alpha,
            b.values, blasint(b.stride), a.values, 1, beta, c.values, 1)
        return
    }
    cblas_sgemm(
        CblasRowMajor, transposition == .first ? CblasTrans : CblasNoTrans,
        transposition == .second ? CblasTrans : CblasNoTrans, blasint(c.rows), blasint(c.columns), blasint(inner),
        alpha, a.values, blasint(a.stride), b.values, blasint(b.stride), beta, c.values, blasint(c.stride))
}

/// Which BLAS is linked, as it names itself.
package func blasDescription() -> String {
    openblas_get_config().map { String(cString: $0).split(separator: " ").joined(separator: " ") } ?? "BLAS"
}

/// Leaves threads to `Workers`: BLAS computes on the thread that calls it.
package func useSingleThreadedBLAS() { openblas_set_num_threads(1) }

extension Workers {
    /// `c = alpha * op(a) op(b) + beta * c`, cut into tiles of C that depend on the sizes alone.
    package func multiply(
        _ a: MatrixSpan, _ b: MatrixSpan, _ transposition: Transposition, into c: MatrixSpan, alpha: Float = 1,
        beta: Float = 0
    ) {
        let (rowTile, columnTile) = Self.tile(rows: c.rows, columns: c.columns)
        let across = (c.columns + columnTile - 1) / columnTile
        let down = (c.rows + rowTile - 1) / rowTile
        forEach(across * down) { piece in
            let row = piece / across * rowTile
            let column = piece % across * columnTile
            let height = min(rowTile, c.rows - row)
            let width = min(columnTile, c.columns - column)
            var left = a
            if transposition == .first {
                left.values += row
                left.columns = height
            } else {
                left.values += row * a.stride
                left.rows = height
            }
            var right = b
            if transposition == .second {
                right.values += column * b.stride
                right.rows = width
            } else {
                right.values += column
                right.columns = width
            }
            let target = MatrixSpan(
                c.values + row * c.stride + column, rows: height, columns: width, stride: c.stride)
            Numerics.multiply(left, right, transposition, into: target, alpha: alpha, beta: beta)
        }
    }

    /// Tiles large enough that packing the operands costs little, and enough of them for a few threads.
    private static func tile(rows: Int, columns: Int) -> (Int, Int) {
        func cut(_ extent: Int, _ target: Int) -> Int {
            let pieces = max(1, (extent + target / 2) / target)
            return max(16, ((extent + pieces - 1) / pieces + 15) / 16 * 16)
        }
        if rows <= 64 { return (max(rows, 1), cut(columns, 256)) }
        return (cut(rows, 512), cut(columns, 1024))
    }
}
