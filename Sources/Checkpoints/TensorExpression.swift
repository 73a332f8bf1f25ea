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
/// tensor on disk, so that an expression never knows how its operands are stored. Arithmetic is in F32 and rounded once,
/// to the tensor's dtype, when it is written.
package indirect enum TensorExpression: Sendable {
    /// A view of a tensor on disk.
    case source(SourceTensor, MatrixView)
    /// The same value everywhere.
    case constant(Float)
    /// Draws of a keyed generator: the value at `[r, c]` is its draw number `(r / repeating) * columns + c`, so that
    /// `repeating` consecutive rows are the same.
    case random(KeyedRandom, Distribution, repeating: Int)
    /// `factor * x`.
    case scaled(TensorExpression, by: Float)
    /// `x + relative * std(x) * n` with n standard normal: the standard deviation is that of `moments`.
    case perturbed(TensorExpression, relative: Float, moments: DeferredMoments, key: KeyedRandom)
    /// `x` with the rows or columns of `selection` drawn anew from a normal distribution that has the mean and the
    /// standard deviation of what is replaced.
    case redrawn(TensorExpression, selection: Selection, moments: DeferredMoments, key: KeyedRandom)

    package enum Distribution: Sendable, Hashable {
        /// Mean zero, the given standard deviation.
        case normal(std: Float)
        /// Uniform about zero with the given standard deviation: on ±std·√3.
        case uniform(std: Float)
    }

    /// The tensors on disk that the values depend on, each with the view taken of it.
    package var sources: [(tensor: SourceTensor, view: MatrixView)] {
        switch self {
        case .source(let tensor, let view): [(tensor, view)]
        case .constant, .random: []
        case .scaled(let x, _), .perturbed(let x, _, _, _), .redrawn(let x, _, _, _): x.sources
        }
    }

    /// The values that must be known before any element is.
    package var deferred: DeferredMoments? {
        switch self {
        case .source, .constant, .random: nil
        case .scaled(let x, _): x.deferred
        case .perturbed(_, _, let moments, _), .redrawn(_, _, let moments, _): moments
        }
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

    /// Rows `range` of a tensor that is still a view of a source; nil otherwise.
    package func slicedRows(_ range: Range<Int>) -> LazyTensor? {
        guard case .source(let tensor, let view) = expression, let part = view.sliced(rows: range) else { return nil }
        return LazyTensor(
            rows: range.count, columns: columns, dtype: dtype, expression: .source(tensor, part))
    }

    /// Columns `range` of a tensor that is still a view of a source; nil otherwise.
    package func slicedColumns(_ range: Range<Int>) -> LazyTensor? {
        guard case .source(let tensor, let view) = expression, let part = view.sliced(columns: range) else {
            return nil
        }
        return LazyTensor(
            rows: rows, columns: range.count, dtype: dtype, expression: .source(tensor, part))
    }
}
