package import Numerics
import Safetensors
import Synchronization

/// A value that a table names and that is computed once, when the first element that needs it is written.
package final class Deferred<Value: Sendable>: Sendable {
    /// Bytes that computing and keeping it takes, beside the blocks that are streamed.
    package let workspace: Int
    private let compute: @Sendable (Evaluator) throws -> Value
    fileprivate let known = Mutex<Value?>(nil)

    package init(workspace: Int = 0, _ compute: @escaping @Sendable (Evaluator) throws -> Value) {
        self.workspace = workspace
        self.compute = compute
    }

    /// The value, computed by the first caller while others wait.
    package func resolve(_ evaluator: Evaluator) throws -> Value {
        try known.withLock { known in
            if let known { return known }
            let value = try compute(evaluator)
            known = value
            return value
        }
    }
}

/// The mean and standard deviation of a matrix, or of some of its rows or columns.
package func deferredMoments(of tensor: LazyTensor, selection: Selection? = nil) -> Deferred<Moments> {
    let selectedRows = selection.flatMap { $0.axis == .rows ? Set($0.indices) : nil }
    let selectedColumns = selection.flatMap { $0.axis == .columns ? $0.indices : nil }
    let columns = tensor.columns
    return Deferred { evaluator in
        var accumulator = MomentAccumulator()
        try withScratch(of: Float.self, count: selectedColumns?.count ?? 0) { picked in
            try evaluator.forEachBlock(of: tensor) { (range: Range<Int>, values: UnsafeBufferPointer<Float>) in
                if selectedRows == nil, selectedColumns == nil {
                    accumulator.add(values)
                    return
                }
                for row in range {
                    let offset = (row - range.lowerBound) * columns
                    if let selectedRows {
                        guard selectedRows.contains(row) else { continue }
                        accumulator.add(UnsafeBufferPointer(rebasing: values[offset..<offset + columns]))
                    } else if let selectedColumns {
                        for (index, column) in selectedColumns.enumerated() {
                            picked[index] = values[offset + column]
                        }
                        accumulator.add(UnsafeBufferPointer(picked))
                    }
                }
            }
        }
        return accumulator.moments
    }
}

extension Deferred {
    /// Lets go of the value; it is computed again if it is asked for again.
    func release() { known.withLock { $0 = nil } }
}

extension Evaluator {
    /// Gives the rows of a matrix in F32, a block at a time.
    package func forEachBlock(
        of tensor: LazyTensor, _ body: (Range<Int>, UnsafeBufferPointer<Float>) throws -> Void
    ) throws {
        let step = max(1, Self.elementsPerBlock / max(1, tensor.columns))
        try withScratch(of: Float.self, count: min(step, max(tensor.rows, 1)) * tensor.columns) { values in
            for start in stride(from: 0, to: tensor.rows, by: step) {
                try Interruption.check()
                let range = start..<min(start + step, tensor.rows)
                let part = UnsafeMutableBufferPointer(rebasing: values[0..<range.count * tensor.columns])
                try evaluate(tensor.expression, rows: range, columns: tensor.columns, into: part)
                try body(range, UnsafeBufferPointer(part))
            }
        }
    }

    /// Gives the rows of several matrices of the same sizes in F64, a block at a time.
    ///
    /// - Parameter whole: give all rows as one block.
    package func forEachWideBlock(
        of expressions: [TensorExpression], rows: Int, columns: Int, whole: Bool = false,
        _ body: (Range<Int>, [UnsafeBufferPointer<Double>]) throws -> Void
    ) throws {
        let step = whole ? max(rows, 1) : max(1, Self.wideElementsPerBlock / max(1, columns))
        let size = min(step, max(rows, 1)) * columns
        try withScratch(of: Double.self, count: size * expressions.count) { values in
            for start in stride(from: 0, to: rows, by: step) {
                try Interruption.check()
                let range = start..<min(start + step, rows)
                let count = range.count * columns
                var parts: [UnsafeBufferPointer<Double>] = []
                for (index, expression) in expressions.enumerated() {
                    let part = UnsafeMutableBufferPointer(rebasing: values[index * size..<index * size + count])
                    try evaluateWide(expression, rows: range, columns: columns, into: part)
                    parts.append(UnsafeBufferPointer(part))
                }
                try body(range, parts)
            }
        }
    }

    /// A whole matrix in F32, row by row.
    package func values(of tensor: LazyTensor) throws -> [Float] {
        try [Float](unsafeUninitializedCapacity: tensor.rows * tensor.columns) { buffer, count in
            let out = UnsafeMutableBufferPointer(rebasing: buffer[0..<tensor.rows * tensor.columns])
            try evaluate(tensor.expression, rows: 0..<tensor.rows, columns: tensor.columns, into: out)
            count = out.count
        }
    }
}
