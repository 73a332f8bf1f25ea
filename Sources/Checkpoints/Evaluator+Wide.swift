import Numerics
import Safetensors

extension Evaluator {
    /// Rows of a matrix that are computed at a time.
    static func rowsPerBlock(of matrix: LazyTensor) -> Int {
        if case .encoded(let encoded, let part) = matrix.expression { return encoded.rowsPerPart(of: part) }
        return max(1, elementsPerBlock / max(1, matrix.columns))
    }

    /// Rows of a tensor that is computed in F64, rounded once to its dtype.
    func withWideBytes<R>(
        of matrix: LazyTensor, rows: Range<Int>, _ body: (UnsafeRawBufferPointer, Int) throws -> R
    ) throws -> R {
        let width = matrix.columns * (matrix.dtype.bits / 8)
        return try withScratch(of: UInt8.self, count: rows.count * width) { bytes in
            let raw = UnsafeMutableRawBufferPointer(bytes)
            var overflowed = 0
            let step = max(1, Self.wideElementsPerBlock / max(1, matrix.columns))
            try withScratch(of: Double.self, count: min(step, max(rows.count, 1)) * matrix.columns) { values in
                for start in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
                    let range = start..<min(start + step, rows.upperBound)
                    let part = UnsafeMutableBufferPointer(rebasing: values[0..<range.count * matrix.columns])
                    try evaluateWide(matrix.expression, rows: range, columns: matrix.columns, into: part)
                    let offset = (start - rows.lowerBound) * width
                    overflowed += try narrow(
                        UnsafeBufferPointer(part), to: matrix.dtype,
                        into: UnsafeMutableRawBufferPointer(rebasing: raw[offset..<offset + range.count * width]))
                }
            }
            return try body(UnsafeRawBufferPointer(raw), overflowed)
        }
    }

    /// Writes rows `rows` of the matrix, `[rows.count, columns]`, in F64.
    package func evaluateWide(
        _ expression: TensorExpression, rows: Range<Int>, columns: Int, into out: UnsafeMutableBufferPointer<Double>
    ) throws {
        switch expression {
        case .source(let tensor, let view):
            try withNumbers(of: tensor, view, rows: rows) { try widen($0, tensor.info.dtype, into: out) }
        case .scaled(let x, let factor):
            try evaluateWide(x, rows: rows, columns: columns, into: out)
            for i in out.indices { out[i] *= Double(factor) }
        case .combined(let inputs, let rule, let total):
            try combine(inputs, rule, total, rows: rows, columns: columns, into: out)
        case .concatenated(let axis, let parts):
            try concatenate(parts, axis, rows: rows, columns: columns, into: out) {
                try evaluateWide($0, rows: $1, columns: $2, into: $3)
            }
        case .picked(let x, let axis, let order, let width):
            try pick(x, axis, order, width: width, rows: rows, columns: columns, into: out) {
                try evaluateWide($0, rows: $1, columns: $2, into: $3)
            }
        case .lowRank(let x, let a, let b, let rank, let scale):
            try evaluateWide(x, rows: rows, columns: columns, into: out)
            try addProduct(b, a, rank: rank, scale: scale, rows: rows, columns: columns, to: out)
        case .aligned(let alignment, let own):
            try align(alignment, own, rows: rows, columns: columns, into: out)
        case .quantised, .constant, .random, .values, .whole, .perturbed, .redrawn, .encoded:
            try withScratch(of: Float.self, count: out.count) { values in
                try evaluate(expression, rows: rows, columns: columns, into: values)
                for i in out.indices { out[i] = Double(values[i]) }
            }
        }
    }

    private func combine(
        _ inputs: [TensorExpression], _ rule: any Combining, _ total: Int, rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>
    ) throws {
        if columns == 1, rule.needsWholeVectors, rows.count < total {
            // A vector is a row of its own where rows are ranked or normalised.
            try withScratch(of: Double.self, count: total) { whole in
                try combine(inputs, rule, total, rows: 0..<total, columns: columns, into: whole)
                for (index, row) in rows.enumerated() { out[index] = whole[row] }
            }
            return
        }
        let count = out.count
        try withScratch(of: Double.self, count: count * inputs.count) { scratch in
            var values: [UnsafeBufferPointer<Double>] = []
            for (index, input) in inputs.enumerated() {
                let part = UnsafeMutableBufferPointer(rebasing: scratch[index * count..<(index + 1) * count])
                try evaluateWide(input, rows: rows, columns: columns, into: part)
                values.append(UnsafeBufferPointer(part))
            }
            try rule.combine(values, rows: rows, columns: columns, into: out, self)
        }
    }

    func copy(
        _ values: [Float], rows: Range<Int>, columns: Int, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let range = rows.lowerBound * columns..<rows.upperBound * columns
        guard range.upperBound <= values.count else {
            throw CheckpointError(
                .internalFailure, message: "\(values.count) values were computed where \(range.upperBound) are needed")
        }
        for (index, position) in range.enumerated() { out[index] = values[position] }
    }

    /// One below the other, or side by side.
    func concatenate<T: BitwiseCopyable>(
        _ parts: [(expression: TensorExpression, extent: Int)], _ axis: Selection.Axis, rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<T>,
        _ evaluate: (TensorExpression, Range<Int>, Int, UnsafeMutableBufferPointer<T>) throws -> Void
    ) throws {
        var start = 0
        for (expression, extent) in parts {
            defer { start += extent }
            switch axis {
            case .rows:
                let own = rows.clamped(to: start..<start + extent)
                guard !own.isEmpty else { continue }
                let offset = (own.lowerBound - rows.lowerBound) * columns
                let part = UnsafeMutableBufferPointer(rebasing: out[offset..<offset + own.count * columns])
                try evaluate(expression, own.lowerBound - start..<own.upperBound - start, columns, part)
            case .columns:
                try withScratch(of: T.self, count: rows.count * extent) { part in
                    try evaluate(expression, rows, extent, part)
                    for row in 0..<rows.count {
                        let target = UnsafeMutableBufferPointer(
                            rebasing: out[row * columns + start..<row * columns + start + extent])
                        _ = target.update(fromContentsOf: part[row * extent..<(row + 1) * extent])
                    }
                }
            }
        }
    }

    func pick<T: BitwiseCopyable>(
        _ x: TensorExpression, _ axis: Selection.Axis, _ order: TensorExpression.Order, width: Int, rows: Range<Int>,
        columns: Int, into out: UnsafeMutableBufferPointer<T>,
        _ evaluate: (TensorExpression, Range<Int>, Int, UnsafeMutableBufferPointer<T>) throws -> Void
    ) throws {
        let order: [Int] =
            switch order {
            case .fixed(let order): order
            case .deferred(let deferred): try deferred.resolve(self)
            }
        switch axis {
        case .rows:
            try forEachRun(rows.map { order[$0] }) { index, run in
                let part = UnsafeMutableBufferPointer(
                    rebasing: out[index * columns..<(index + run.count) * columns])
                try evaluate(x, run, columns, part)
            }
        case .columns:
            try withScratch(of: T.self, count: rows.count * width) { all in
                try evaluate(x, rows, width, all)
                for row in 0..<rows.count {
                    for column in 0..<columns { out[row * columns + column] = all[row * width + order[column]] }
                }
            }
        }
    }

    /// Calls `body` with each run of consecutive numbers and where it begins.
    private func forEachRun(_ numbers: [Int], _ body: (Int, Range<Int>) throws -> Void) rethrows {
        var index = 0
        while index < numbers.count {
            var end = index + 1
            while end < numbers.count, numbers[end] == numbers[end - 1] + 1 { end += 1 }
            try body(index, numbers[index]..<numbers[index] + (end - index))
            index = end
        }
    }

    /// `out + scale * b a`, summed over the rank in F32.
    private func addProduct(
        _ b: TensorExpression, _ a: TensorExpression, rank: Int, scale: Float, rows: Range<Int>, columns: Int,
        to out: UnsafeMutableBufferPointer<Double>
    ) throws {
        try withScratch(of: Float.self, count: rank * columns) { right in
            try evaluate(a, rows: 0..<rank, columns: columns, into: right)
            try withScratch(of: Float.self, count: rows.count * rank) { left in
                try evaluate(b, rows: rows, columns: rank, into: left)
                withScratch(of: Float.self, count: columns) { sum in
                    for row in 0..<rows.count {
                        sum.update(repeating: 0)
                        for k in 0..<rank {
                            addScaled(
                                sum, UnsafeBufferPointer(rebasing: right[k * columns..<(k + 1) * columns]),
                                left[row * rank + k])
                        }
                        for column in 0..<columns { out[row * columns + column] += Double(scale * sum[column]) }
                    }
                }
            }
        }
    }

    /// The row that the own matrix has, or the weighted mean of those that the others have.
    private func align(
        _ alignment: RowAlignment, _ own: Int, rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>
    ) throws {
        let map = alignment.rows[own]
        var index = rows.lowerBound
        while index < rows.upperBound {
            let row = Int(map[index])
            var end = index + 1
            if row >= 0 {
                while end < rows.upperBound, Int(map[end]) == row + (end - index) { end += 1 }
                let part = UnsafeMutableBufferPointer(
                    rebasing: out[
                        (index - rows.lowerBound) * columns..<(end - rows.lowerBound) * columns])
                try evaluateWide(alignment.sources[own], rows: row..<row + (end - index), columns: columns, into: part)
            } else {
                let part = UnsafeMutableBufferPointer(
                    rebasing: out[
                        (index - rows.lowerBound) * columns..<(end - rows.lowerBound) * columns])
                part.update(repeating: 0)
                var total = 0.0
                try withScratch(of: Double.self, count: columns) { values in
                    for (source, expression) in alignment.sources.enumerated() {
                        let other = Int(alignment.rows[source][index])
                        guard other >= 0 else { continue }
                        try evaluateWide(expression, rows: other..<other + 1, columns: columns, into: values)
                        total += alignment.weights[source]
                        for column in 0..<columns { part[column] += alignment.weights[source] * values[column] }
                    }
                }
                if total != 0 { for column in 0..<columns { part[column] /= total } }
            }
            index = end
        }
    }
}
