package import Numerics
import Synchronization

/// The mean and standard deviation of a matrix, or of some of its rows or columns: a value that a table names and that
/// is computed once, when the first element that needs it is written.
package final class DeferredMoments: Sendable {
    package let expression: TensorExpression
    package let rows: Int
    package let columns: Int
    /// What to take the moments of; nil for the whole matrix.
    package let selection: Selection?
    private let value = Mutex<Moments?>(nil)

    package init(of tensor: LazyTensor, selection: Selection? = nil) {
        self.expression = tensor.expression
        self.rows = tensor.rows
        self.columns = tensor.columns
        self.selection = selection
    }

    /// The moments, computed by the first caller while others wait.
    package func resolve(_ loaded: LoadedSources) throws -> Moments {
        try value.withLock { known in
            if let known { return known }
            let computed = try compute(loaded)
            known = computed
            return computed
        }
    }

    private func compute(_ loaded: LoadedSources) throws -> Moments {
        var accumulator = MomentAccumulator()
        let block = max(1, Evaluator.elementsPerBlock / max(1, columns))
        var selectedRows: Set<Int>?
        var selectedColumns: [Int]?
        switch selection?.axis {
        case .rows: selectedRows = Set(selection?.indices ?? [])
        case .columns: selectedColumns = selection?.indices ?? []
        case nil: break
        }
        let evaluator = Evaluator(loaded: loaded)
        try withScratch(of: Float.self, count: min(block, max(rows, 1)) * columns) { values in
            try withScratch(of: Float.self, count: selectedColumns?.count ?? 0) { picked in
                for start in stride(from: 0, to: rows, by: block) {
                    let range = start..<min(start + block, rows)
                    let part = UnsafeMutableBufferPointer(rebasing: values[0..<range.count * columns])
                    try evaluator.evaluate(expression, rows: range, columns: columns, into: part)
                    if selectedRows == nil, selectedColumns == nil {
                        accumulator.add(UnsafeBufferPointer(part))
                        continue
                    }
                    for row in range {
                        let offset = (row - start) * columns
                        if let selectedRows {
                            guard selectedRows.contains(row) else { continue }
                            accumulator.add(UnsafeBufferPointer(rebasing: part[offset..<offset + columns]))
                        } else if let selectedColumns {
                            for (index, column) in selectedColumns.enumerated() {
                                picked[index] = part[offset + column]
                            }
                            accumulator.add(UnsafeBufferPointer(picked))
                        }
                    }
                }
            }
        }
        return accumulator.moments
    }
}
