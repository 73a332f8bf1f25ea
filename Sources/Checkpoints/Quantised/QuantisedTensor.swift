import Safetensors

/// A weight that is stored as codes, scales and what else its format has: what `TensorExpression.quantised` reads.
///
/// It has the name and the shape that the weight has where it is not quantised, so that nothing that takes tensors need know.
package final class QuantisedTensor: Sendable {
    /// The weight's name where it is not quantised.
    package let name: String
    /// The weight's shape where it is not quantised: a matrix, or a stack of them.
    package let shape: [Int]
    /// Whether each matrix is stored as the transpose of what it is.
    package let isTransposed: Bool
    /// Everything that is stored of it.
    package let parts: [QuantisedPart]
    package let codec: any MatrixCodec
    /// The format for people: "FP8 E4M3 in blocks of 128 x 128".
    package let format: String
    /// The settings that it has in common with others of its checkpoint.
    let scheme: String

    package init(
        name: String, shape: [Int], isTransposed: Bool = false, parts: [QuantisedPart], codec: any MatrixCodec,
        format: String, scheme: String = ""
    ) {
        self.scheme = scheme
        self.name = name
        self.shape = shape
        self.isTransposed = isTransposed
        self.parts = parts
        self.codec = codec
        self.format = format
    }

    /// Matrices in the stack.
    package var copies: Int { shape.count > 2 ? shape[0] : 1 }
    /// Rows of each matrix as it is stored.
    package var rowsPerCopy: Int { shape.count < 2 ? 1 : shape[isTransposed ? shape.count - 1 : shape.count - 2] }
    /// Columns of each matrix as it is stored.
    package var columns: Int { (isTransposed ? shape.dropLast().last : shape.last) ?? 1 }
    /// Rows of all matrices, one below the other.
    package var rows: Int { copies * rowsPerCopy }
    package var elementCount: Int { rows * columns }
    /// Bytes of all that is stored of it.
    package var byteCount: Int { parts.reduce(0) { $0 + $1.tensor.info.end - $1.tensor.info.begin } }

    /// The stored rows that rows of a view of them need.
    func rows(of view: MatrixView, _ rows: Range<Int>) -> Range<Int> {
        let cover = view.coveredElements(rows: rows)
        guard columns > 0, !cover.isEmpty else { return 0..<0 }
        return cover.lowerBound / columns..<(cover.upperBound - 1) / columns + 1
    }

    /// A view of the weight as a view of what is stored, whose element `[r, c]` is number `r * columns + c`.
    package func stored(_ view: MatrixView) -> MatrixView {
        guard isTransposed, elementCount > 0 else { return view }
        return view.turned(rows: rowsPerCopy, columns: columns)
    }

    /// The same weight of settings.
    func of(_ scheme: String) -> QuantisedTensor {
        QuantisedTensor(
            name: name, shape: shape, isTransposed: isTransposed, parts: parts, codec: codec, format: format,
            scheme: scheme)
    }
}

extension MatrixView {
    /// A view of a stack of matrices `[columns, rows]` as a view of their transposes, `[rows, columns]`.
    func turned(rows: Int, columns: Int) -> MatrixView {
        let view = self
        // The weight's element [a, b] of a copy is the stored [b, a].
        func stride(_ stride: Int) -> Int { stride % rows == 0 ? stride / rows : stride * columns }
        let (copy, rest) = view.offset.quotientAndRemainder(dividingBy: rows * columns)
        let (a, b) = rest.quotientAndRemainder(dividingBy: rows)
        return MatrixView(
            offset: copy * rows * columns + b * columns + a, rows: view.rows, columns: view.columns,
            rowStride: stride(view.rowStride), columnStride: stride(view.columnStride))
    }
}

/// A tensor on disk that belongs to a quantised weight.
package struct QuantisedPart: Sendable {
    /// What it is of the weight: "codes", "scales", "zero points".
    package let label: String
    /// What its name has where the weight's plain name has `replaced`.
    package let suffix: String
    /// The end of the plain name that `suffix` stands for.
    package let replaced: String
    package let tensor: SourceTensor
    /// How it lies beside the matrix; nil for what the weight's values do not depend on.
    package let extent: Extent?

    /// What rows of the matrix a row of the part belongs to.
    package enum Extent: Sendable, Hashable {
        /// The part's outermost dimensions are those of the matrix's rows, one for each block of so many rows.
        case rows(block: Int)
        /// One for each matrix of the stack, or for all of it where the part has no such dimension.
        case whole
    }

    package init(
        _ label: String, _ tensor: SourceTensor, suffix: String, replacing replaced: String = "", extent: Extent?
    ) {
        self.label = label
        self.suffix = suffix
        self.replaced = replaced
        self.tensor = tensor
        self.extent = extent
    }

    /// The part's name beside a weight of another name.
    package func name(for plain: String) -> String {
        plain.hasSuffix(replaced) ? plain.dropLast(replaced.count) + suffix : plain + suffix
    }
}

/// Rows at equal distances.
package struct StridedRows: Sendable, Hashable {
    package let first: Int
    package let count: Int
    package let step: Int

    package init(first: Int, count: Int, step: Int = 1) {
        self.first = first
        self.count = count
        self.step = step
    }

    /// The number of the row that is `index`th.
    package subscript(index: Int) -> Int { first + index * step }
    /// The smallest range that holds all.
    package var cover: Range<Int> { count == 0 ? first..<first : first..<first + (count - 1) * step + 1 }
}

/// Turns what is stored of a matrix, or of a stack of them one below the other, into its values.
package protocol MatrixCodec: Sendable {
    /// The part that most bytes are of: where a writer reads along.
    var codes: SourceTensor { get }
    /// Whether rows lie apart in the file, so that a few of them cannot be read in one piece.
    var isScattered: Bool { get }
    /// The elements of the codes that rows need.
    func codeElements(rows: Range<Int>) -> Range<Int>
    /// The elements of the parts that rows need and that should be read together with other rows': the codes and what is
    /// of a size with them.
    func needed(rows: Range<Int>) -> [(tensor: SourceTensor, elements: Range<Int>)]
    /// Writes rows, `[rows.count, columns]`.
    ///
    /// - Throws: `CheckpointError` naming the weight and the part where the parts have what cannot be decoded.
    func decode(_ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>) throws
}

/// Reads the parts of quantised weights: from what is in memory or else from disk.
package struct PartReader {
    let evaluator: Evaluator

    /// Rows of a view as contiguous elements in the part's own dtype.
    package func withElements<R>(
        of tensor: SourceTensor, _ view: MatrixView, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try evaluator.withElements(of: tensor, view, rows: 0..<view.rows, body)
    }

    /// All elements of a small part.
    package func withAll<R>(of tensor: SourceTensor, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        try withElements(of: tensor, .contiguous(rows: 1, columns: tensor.info.shape.elementCount), body)
    }
}
