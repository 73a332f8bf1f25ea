package import Numerics
package import Safetensors

/// A tensor as it lies in an open file: what every expression bottoms out in.
package struct SourceTensor: Sendable, Hashable {
    package let file: SafetensorsFile
    package let info: TensorInfo

    package init(file: SafetensorsFile, info: TensorInfo) {
        self.file = file
        self.info = info
    }

    /// Bytes per addressable element. Types of less than a byte (F4, F6) are only ever copied whole, as bytes.
    package var elementSize: Int { info.dtype.bits % 8 == 0 ? info.dtype.bits / 8 : 1 }

    package static func == (a: SourceTensor, b: SourceTensor) -> Bool {
        a.file === b.file && a.info.name == b.info.name
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(file))
        hasher.combine(info.name)
    }
}

/// The values of a matrix `[rows, columns]`, described and not yet computed.
///
/// A tensor of one dimension is a matrix of one column; stacked, transposed and interleaved layouts are views of the
/// tensor on disk, so that an expression never knows how its operands are stored. Draws, noise and factors are in F32;
/// what combines several matrices is in F64. Either is rounded once, to the tensor's dtype, when it is written.
package indirect enum TensorExpression: Sendable {
    /// A view of a tensor on disk.
    case source(SourceTensor, MatrixView)
    /// A view of what is stored of a quantised weight, decoded where it is read.
    case quantised(QuantisedTensor, MatrixView)
    /// The same value everywhere.
    case constant(Float)
    /// Draws of a keyed generator: the value at `[r, c]` is its draw number `(r / repeating) * columns + c`, so that
    /// `repeating` consecutive rows are the same.
    case random(KeyedRandom, Distribution, repeating: Int)
    /// Values that are in memory already, row by row.
    case values([Float])
    /// `factor * x`.
    case scaled(TensorExpression, by: Float)
    /// `x + relative * std(x) * n` with n standard normal: the standard deviation is that of `moments`.
    case perturbed(TensorExpression, relative: Float, moments: Deferred<Moments>, key: KeyedRandom)
    /// `x` with the rows or columns of `selection` drawn anew from a normal distribution that has the mean and the
    /// standard deviation of what is replaced.
    case redrawn(TensorExpression, selection: Selection, moments: Deferred<Moments>, key: KeyedRandom)
    /// Matrices of the same sizes, combined element by element.
    case combined([TensorExpression], any Combining, rows: Int)
    /// Matrices one below the other (`rows`) or side by side (`columns`), with the number of rows or columns of each.
    case concatenated(Selection.Axis, [(expression: TensorExpression, extent: Int)])
    /// Row or column i is row or column `order[i]` of `x`, which has `columns` columns.
    case picked(TensorExpression, Selection.Axis, Order, columns: Int)
    /// `x + scale * b a`, with `a` of `rank` rows and `b` of `rank` columns.
    case lowRank(TensorExpression, a: TensorExpression, b: TensorExpression, rank: Int, scale: Float)
    /// Rows chosen by number from one of several matrices, or their weighted mean.
    case aligned(RowAlignment, own: Int)
    /// A matrix that can only be computed whole.
    case whole(Deferred<[Float]>, from: [TensorExpression])
    /// A part of what a matrix is stored as when it is quantised: bytes, not values.
    case encoded(EncodedMatrix, EncodedMatrix.Part)

    package enum Distribution: Sendable, Hashable {
        /// Mean zero, the given standard deviation.
        case normal(std: Float)
        /// Uniform about zero with the given standard deviation: on ±std·√3.
        case uniform(std: Float)
    }

    /// Which rows or columns are picked.
    package enum Order: Sendable {
        case fixed([Int])
        case deferred(Deferred<[Int]>)
    }

    /// The tensors on disk whose elements are values, each with the view taken of it.
    package var sources: [(tensor: SourceTensor, view: MatrixView)] {
        if case .source(let tensor, let view) = self { return [(tensor, view)] }
        return operands.flatMap(\.sources)
    }

    /// The quantised weights that the values depend on, each with the view taken of what is stored.
    package var quantised: [(tensor: QuantisedTensor, view: MatrixView)] {
        if case .quantised(let tensor, let view) = self { return [(tensor, view)] }
        return operands.flatMap(\.quantised)
    }

    /// The elements on disk that most of the values depend on: where a writer reads along.
    var reads: [(tensor: SourceTensor, elements: Range<Int>)] {
        switch self {
        case .source(let tensor, let view): [(tensor, view.coveredElements)]
        case .quantised(let tensor, let view):
            [(tensor.codec.codes, tensor.codec.codeElements(rows: tensor.rows(of: view, 0..<view.rows)))]
        default: operands.flatMap(\.reads)
        }
    }

    /// Whether rows of a matrix lie apart on disk, so that a few of them cannot be read in one piece.
    var isScattered: Bool {
        switch self {
        case .quantised(let tensor, _): tensor.codec.isScattered
        default: operands.contains(where: \.isScattered)
        }
    }

    /// The expressions that the values are computed from.
    var operands: [TensorExpression] {
        switch self {
        case .source, .quantised, .constant, .random, .values: []
        case .scaled(let x, _), .perturbed(let x, _, _, _), .redrawn(let x, _, _, _), .picked(let x, _, _, _): [x]
        case .combined(let inputs, _, _): inputs
        case .concatenated(_, let parts): parts.map(\.expression)
        case .lowRank(let x, let a, let b, _, _): [x, a, b]
        case .aligned(let alignment, _): alignment.sources
        case .whole(_, let inputs): inputs
        case .encoded(let matrix, let part): part.isOfValues ? [matrix.values] : []
        }
    }

    /// Whether values must be known before any element is, that depend on whole matrices.
    package var isDeferred: Bool {
        switch self {
        case .perturbed, .redrawn, .whole: true
        case .picked(_, _, .deferred, _): true
        case .combined(_, let rule, _) where rule.isDeferred: true
        case .encoded(let matrix, let part) where matrix.global != nil && part != .shape: true
        default: operands.contains(where: \.isDeferred)
        }
    }

    /// The largest amount of memory, in bytes, that a deferred value takes.
    package var workspace: Int {
        var own = 0
        switch self {
        case .whole(let values, _): own = values.workspace
        case .picked(_, _, .deferred(let order), _): own = order.workspace
        default: break
        }
        return max(own, operands.map(\.workspace).max() ?? 0)
    }

    /// Whether it holds a matrix that can only be computed whole.
    var hasWhole: Bool {
        if case .whole = self { return true }
        return operands.contains(where: \.hasWhole)
    }

    /// Lets go of whole matrices that were computed.
    package func release() {
        if case .whole(let values, _) = self { values.release() }
        for operand in operands { operand.release() }
    }

    /// Rows that must be made together, but for the last ones, since they share what they are made with.
    var rowsPerStep: Int {
        if case .encoded(let matrix, .codes) = self { return matrix.rowsPerStep }
        return 1
    }

    /// Whether the values are computed in F64.
    var isWide: Bool {
        switch self {
        case .combined, .lowRank, .aligned: true
        case .source(let tensor, _): tensor.info.dtype == .f64
        case .quantised, .random, .constant, .values, .whole, .encoded: false
        default: operands.contains(where: \.isWide)
        }
    }

    /// The elements of source tensors that rows `rows` need and that should be read together with them.
    func needed(rows: Range<Int>) -> [(tensor: SourceTensor, elements: Range<Int>)] {
        switch self {
        case .source(let tensor, let view): return [(tensor, view.coveredElements(rows: rows))]
        case .quantised(let tensor, let view):
            return rows.isEmpty ? [] : tensor.codec.needed(rows: tensor.rows(of: view, rows))
        case .concatenated(.rows, let parts):
            var start = 0
            var result: [(tensor: SourceTensor, elements: Range<Int>)] = []
            for (expression, extent) in parts {
                let own = rows.clamped(to: start..<start + extent)
                if !own.isEmpty { result += expression.needed(rows: own.lowerBound - start..<own.upperBound - start) }
                start += extent
            }
            return result
        case .picked(let x, .rows, .fixed(let order), _):
            let own = order[rows]
            // The order need not be ascending: merged experts have the row of their most used one.
            guard let first = own.min(), let last = own.max(), last - first < 2 * own.count else { return [] }
            return x.needed(rows: first..<last + 1)
        case .picked(_, .rows, .deferred, _), .aligned, .whole: return []
        case .encoded(let matrix, let part):
            return part.isOfValues ? matrix.values.needed(rows: matrix.rows(of: part, rows)) : []
        case .lowRank(let x, let a, let b, let rank, _):
            return x.needed(rows: rows) + a.needed(rows: 0..<rank) + b.needed(rows: rows)
        default: return operands.flatMap { $0.needed(rows: rows) }
        }
    }
}

/// Combines matrices of the same sizes element by element.
package protocol Combining: Sendable {
    /// Whether values of whole matrices must be known first.
    var isDeferred: Bool { get }
    /// Whether a tensor of one dimension must be combined whole.
    var needsWholeVectors: Bool { get }
    /// Combines rows `rows` of the inputs, `[rows.count, columns]` each.
    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator) throws
}

/// Which row of each of several matrices a row of the result is: how embeddings of different vocabularies line up.
package final class RowAlignment: Sendable {
    package let sources: [TensorExpression]
    package let weights: [Double]
    /// For each source, the row for each row of the result; -1 where it has none.
    package let rows: [[Int32]]

    package init(sources: [TensorExpression], weights: [Double], rows: [[Int32]]) {
        self.sources = sources
        self.weights = weights
        self.rows = rows
    }
}

/// Some of the rows or some of the columns of a matrix, in ascending order.
package struct Selection: Sendable, Hashable {
    package enum Axis: Sendable { case rows, columns }

    package let axis: Axis
    package let indices: [Int]

    package init(_ axis: Axis, _ indices: [Int]) {
        self.axis = axis
        self.indices = indices
    }
}

/// A matrix with its type on disk: an entry of a checkpoint's table.
package struct LazyTensor: Sendable {
    /// The sizes of the matrix; `[n]` is `n` rows of one column.
    package let rows: Int
    package let columns: Int
    /// The dtype it is written in.
    package var dtype: DType
    package var expression: TensorExpression

    package init(rows: Int, columns: Int, dtype: DType, expression: TensorExpression) {
        self.rows = rows
        self.columns = columns
        self.dtype = dtype
        self.expression = expression
    }

    /// The whole of, or a view of, a tensor on disk in its own dtype.
    package init(_ tensor: SourceTensor, view: MatrixView) {
        self.init(
            rows: view.rows, columns: view.columns, dtype: tensor.info.dtype, expression: .source(tensor, view))
    }

    /// The tensor on disk whose bytes are written as they are, if nothing is computed.
    package var copied: (tensor: SourceTensor, view: MatrixView)? {
        guard case .source(let tensor, let view) = expression, tensor.info.dtype == dtype else { return nil }
        return (tensor, view)
    }

    /// The tensor multiplied by `factor`; the same tensor where the factor is one, so that it stays a copy.
    package func scaled(by factor: Float) -> LazyTensor {
        guard factor != 1 else { return self }
        return LazyTensor(rows: rows, columns: columns, dtype: dtype, expression: .scaled(expression, by: factor))
    }

    /// Zeros of the same sizes and dtype.
    package var zeroed: LazyTensor {
        LazyTensor(rows: rows, columns: columns, dtype: dtype, expression: .constant(0))
    }

    /// The same values with another dtype on disk.
    package func written(as dtype: DType) -> LazyTensor {
        var result = self
        result.dtype = dtype
        return result
    }

    /// Rows `range`: a view where the tensor is one, so that it stays a copy. The range must lie within the rows.
    package func rows(_ range: Range<Int>) -> LazyTensor {
        if case .source(let tensor, let view) = expression, let part = view.sliced(rows: range) {
            return LazyTensor(rows: range.count, columns: columns, dtype: dtype, expression: .source(tensor, part))
        }
        if case .quantised(let tensor, let view) = expression, let part = view.sliced(rows: range) {
            return LazyTensor(rows: range.count, columns: columns, dtype: dtype, expression: .quantised(tensor, part))
        }
        return LazyTensor(
            rows: range.count, columns: columns, dtype: dtype,
            expression: .picked(expression, .rows, .fixed(Array(range)), columns: columns))
    }

    /// Columns `range`: a view where the tensor is one. The range must lie within the columns.
    package func columns(_ range: Range<Int>) -> LazyTensor {
        if case .source(let tensor, let view) = expression, let part = view.sliced(columns: range) {
            return LazyTensor(rows: rows, columns: range.count, dtype: dtype, expression: .source(tensor, part))
        }
        if case .quantised(let tensor, let view) = expression, let part = view.sliced(columns: range) {
            return LazyTensor(rows: rows, columns: range.count, dtype: dtype, expression: .quantised(tensor, part))
        }
        return LazyTensor(
            rows: rows, columns: range.count, dtype: dtype,
            expression: .picked(expression, .columns, .fixed(Array(range)), columns: columns))
    }

    /// Rows or columns by number.
    package func picking(_ indices: [Int], _ axis: Selection.Axis) -> LazyTensor {
        let count = axis == .rows ? rows : columns
        if indices == Array(0..<count) { return self }
        return LazyTensor(
            rows: axis == .rows ? indices.count : rows, columns: axis == .columns ? indices.count : columns,
            dtype: dtype, expression: .picked(expression, axis, .fixed(indices), columns: columns))
    }

    /// Matrices one below the other (`rows`) or side by side (`columns`), in the dtype of the first; one alone stays
    /// what it is.
    package static func concatenated(_ parts: [LazyTensor], _ axis: Selection.Axis) -> LazyTensor {
        guard parts.count != 1, let first = parts.first else {
            return parts.first ?? LazyTensor(rows: 0, columns: 0, dtype: .f32, expression: .constant(0))
        }
        return LazyTensor(
            rows: axis == .rows ? parts.reduce(0) { $0 + $1.rows } : first.rows,
            columns: axis == .columns ? parts.reduce(0) { $0 + $1.columns } : first.columns,
            dtype: first.dtype,
            expression: .concatenated(axis, parts.map { ($0.expression, axis == .rows ? $0.rows : $0.columns) }))
    }
}
