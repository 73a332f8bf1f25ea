/// A matrix within a tensor on disk: element `[r, c]` is the tensor's element
/// `offset + r * rowStride + c * columnStride`.
///
/// Stacked, fused, transposed and interleaved layouts all come down to it; so do the rows and columns of a matrix.
package struct MatrixView: Hashable, Sendable {
    package let offset: Int
    package let rows: Int
    package let columns: Int
    package let rowStride: Int
    package let columnStride: Int

    package init(offset: Int, rows: Int, columns: Int, rowStride: Int, columnStride: Int) {
        self.offset = offset
        self.rows = rows
        self.columns = columns
        self.rowStride = rowStride
        self.columnStride = columnStride
    }
    /// A whole matrix stored row by row.
    package static func contiguous(rows: Int, columns: Int, offset: Int = 0) -> MatrixView {
        MatrixView(offset: offset, rows: rows, columns: columns, rowStride: columns, columnStride: 1)
    }

    /// Whether the elements of consecutive rows follow one another without a gap.
    package var isContiguous: Bool {
        (columnStride == 1 || columns <= 1) && (rowStride == columns || rows <= 1)
    }

    /// The smallest range of elements of the tensor that holds rows `rows` of the view.
    package func coveredElements(rows: Range<Int>) -> Range<Int> {
        guard !rows.isEmpty, columns > 0 else { return offset..<offset }
        let first = offset + rows.lowerBound * rowStride
        return first..<first + (rows.count - 1) * rowStride + (columns - 1) * columnStride + 1
    }

    /// The range of all rows.
    package var coveredElements: Range<Int> { coveredElements(rows: 0..<rows) }

    /// Rows `range` of the view; nil where it has no such rows.
    package func sliced(rows range: Range<Int>) -> MatrixView? {
        guard range.lowerBound >= 0, range.upperBound <= rows else { return nil }
        return MatrixView(
            offset: offset + range.lowerBound * rowStride, rows: range.count, columns: columns,
            rowStride: rowStride, columnStride: columnStride)
    }

    /// Columns `range` of the view; nil where it has no such columns.
    package func sliced(columns range: Range<Int>) -> MatrixView? {
        guard range.lowerBound >= 0, range.upperBound <= columns else { return nil }
        return MatrixView(
            offset: offset + range.lowerBound * columnStride, rows: rows, columns: range.count,
            rowStride: rowStride, columnStride: columnStride)
    }
}
