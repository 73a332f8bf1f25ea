import CBLAS

/// Part of a matrix: rows of `columns` values that lie `stride` apart.
///
/// It holds the matrix that it was made of: a matrix that nothing else names, the result of a call say, would otherwise be
/// gone, and its memory another's, as soon as its span is made.
package struct MatrixSpan {
    package var values: UnsafeMutablePointer<Float>
    package var rows: Int
    package var columns: Int
    package var stride: Int
    fileprivate let owner: Matrix?

    /// A part of memory that the caller keeps.
    package init(_ values: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int) {
        self.init(values, rows: rows, columns: columns, stride: stride, owner: nil)
    }

    fileprivate init(
        _ values: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int, owner: Matrix?
    ) {
        self.values = values
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.owner = owner
    }
}

extension Matrix {
    /// All of it.
    package var span: MatrixSpan { span(rows: 0..<rows) }

    /// Some of its rows.
    package func span(rows range: Range<Int>) -> MatrixSpan {
        MatrixSpan(
            values + range.lowerBound * columns, rows: range.count, columns: columns, stride: columns, owner: self)
    }

    /// Some of its columns.
    package func span(columns range: Range<Int>) -> MatrixSpan {
        MatrixSpan(values + range.lowerBound, rows: rows, columns: range.count, stride: columns, owner: self)
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
    defer { withExtendedLifetime((a.owner, b.owner, c.owner)) {} }
    let inner = transposition == .first ? a.rows : a.columns
    guard c.rows > 0, c.columns > 0 else { return }
    guard inner > 0 else {
        for row in 0..<c.rows { for column in 0..<c.columns { c.values[row * c.stride + column] *= beta } }
        return
    }
    if c.rows == 1, transposition != .first {
        // A vector: sgemv reads the matrix once, where sgemm would pack it first.
        let isTransposed = transposition == .none
        BLASBuffers.use {
            cblas_sgemv(
                CblasRowMajor, isTransposed ? CblasTrans : CblasNoTrans, blasint(b.rows), blasint(b.columns), alpha,
                b.values, blasint(b.stride), a.values, 1, beta, c.values, 1)
        }
        return
    }
    BLASBuffers.use {
        cblas_sgemm(
            CblasRowMajor, transposition == .first ? CblasTrans : CblasNoTrans,
            transposition == .second ? CblasTrans : CblasNoTrans, blasint(c.rows), blasint(c.columns), blasint(inner),
            alpha, a.values, blasint(a.stride), b.values, blasint(b.stride), beta, c.values, blasint(c.stride))
    }
}

/// Leaves threads to `Workers`: BLAS computes on the thread that calls it.
package func useSingleThreadedBLAS() { openblas_set_num_threads(1) }

/// A product `c = alpha * op(a) op(b) + beta * c` to be computed.
package struct MatrixProduct {
    package var a: MatrixSpan
    package var b: MatrixSpan
    package var c: MatrixSpan
    package var transposition: Transposition
    package var alpha: Float
    package var beta: Float

    package init(
        _ a: MatrixSpan, _ b: MatrixSpan, _ transposition: Transposition, into c: MatrixSpan, alpha: Float = 1,
        beta: Float = 0
    ) {
        self.a = a
        self.b = b
        self.c = c
        self.transposition = transposition
        self.alpha = alpha
        self.beta = beta
    }

    /// Rows and columns of the tiles that C is cut into: large enough that packing the operands costs little, enough of
    /// them for a few threads, and a matter of the sizes alone.
    private var tile: (rows: Int, columns: Int) {
        func cut(_ extent: Int, _ target: Int) -> Int {
            let pieces = max(1, (extent + target / 2) / target)
            return max(16, ((extent + pieces - 1) / pieces + 15) / 16 * 16)
        }
        if c.rows <= 64 { return (max(c.rows, 1), cut(c.columns, 256)) }
        return (cut(c.rows, 512), cut(c.columns, 1024))
    }

    /// How many tiles there are.
    fileprivate var tiles: Int {
        let tile = tile
        return ((c.rows + tile.rows - 1) / tile.rows) * ((c.columns + tile.columns - 1) / tile.columns)
    }

    fileprivate func computeTile(_ index: Int) {
        let tile = tile
        let across = (c.columns + tile.columns - 1) / tile.columns
        let row = index / across * tile.rows
        let column = index % across * tile.columns
        let height = min(tile.rows, c.rows - row)
        let width = min(tile.columns, c.columns - column)
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
        let target = MatrixSpan(c.values + row * c.stride + column, rows: height, columns: width, stride: c.stride)
        Numerics.multiply(left, right, transposition, into: target, alpha: alpha, beta: beta)
    }
}

extension Workers {
    /// `c = alpha * op(a) op(b) + beta * c`, cut into tiles of C that depend on the sizes alone.
    package func multiply(
        _ a: MatrixSpan, _ b: MatrixSpan, _ transposition: Transposition, into c: MatrixSpan, alpha: Float = 1,
        beta: Float = 0
    ) {
        multiply([MatrixProduct(a, b, transposition, into: c, alpha: alpha, beta: beta)])
    }

    /// Products that do not depend on each other, the tiles of all of them dealt out together.
    package func multiply(_ products: [MatrixProduct]) {
        var starts = [0]
        for product in products { starts.append((starts.last ?? 0) + product.tiles) }
        let total = starts.last ?? 0
        forEach(total) { index in
            var (low, high) = (0, products.count - 1)
            while low < high {
                let middle = (low + high + 1) / 2
                if starts[middle] <= index { low = middle } else { high = middle - 1 }
            }
            products[low].computeTile(index - starts[low])
        }
    }
}
