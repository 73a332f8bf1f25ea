import Numerics

extension LazyTensor {
    /// Whether every value of some matrices is zero; it stops at the first that is not.
    package static func areZero(_ tensors: [LazyTensor]) throws -> Bool {
        let evaluator = Evaluator(loaded: LoadedSources())
        for tensor in tensors {
            var start = 0
            var step = 1
            while start < tensor.rows {
                let rows = start..<min(start + step, tensor.rows)
                let hasValue = try withScratch(of: Float.self, count: rows.count * tensor.columns) { values in
                    try evaluator.evaluate(tensor.expression, rows: rows, columns: tensor.columns, into: values)
                    return values.contains { $0 != 0 }
                }
                if hasValue { return false }
                start = rows.upperBound
                step = min(step * 8, max(1, Evaluator.elementsPerBlock / max(1, tensor.columns)))
            }
        }
        return true
    }
}
