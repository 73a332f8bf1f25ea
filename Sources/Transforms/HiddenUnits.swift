import Checkpoints
import Glibc
import Numerics
import Safetensors

/// The hidden units of a gated network: a row of gate, a row of up and a column of down each. Their order does not change
/// what the network computes.
struct HiddenUnits {
    let gate: LazyTensor
    let up: LazyTensor
    let down: LazyTensor

    private var count: Int { gate.rows }
    private var length: Int { gate.columns + up.columns + down.rows }

    /// The squared norms of each unit's three vectors together.
    func squaredNorms(_ evaluator: Evaluator) throws -> [Double] {
        var squares = [Double](repeating: 0, count: gate.rows)
        for rows in [gate, up] {
            try evaluator.forEachBlock(of: rows) { range, values in
                for row in range {
                    let start = (row - range.lowerBound) * rows.columns
                    for i in start..<start + rows.columns { squares[row] += Double(values[i]) * Double(values[i]) }
                }
            }
        }
        try evaluator.forEachBlock(of: down) { range, values in
            for row in 0..<range.count {
                for unit in 0..<down.columns {
                    let value = Double(values[row * down.columns + unit])
                    squares[unit] += value * value
                }
            }
        }
        return squares
    }

    /// For each unit of `target`, the unit here that takes its place: the permutation with the largest sum of inner
    /// products (Git Re-Basin's weight matching, Ainsworth et al. 2023, 2209.04836).
    func order(matching target: HiddenUnits) -> Deferred<[Int]> {
        let count = count
        let length = length
        return Deferred(workspace: 2 * count * length * 4 + count * count * 4) { evaluator in
            var own = try self.vectors(evaluator)
            var other = try target.vectors(evaluator)
            // Costs are negative inner products, computed on this thread: the same whatever the number of threads.
            useSingleThreadedBLAS()
            var costs = [Float](repeating: 0, count: count * count)
            try Interruption.check()
            own.withUnsafeMutableBufferPointer { own in
                other.withUnsafeMutableBufferPointer { other in
                    costs.withUnsafeMutableBufferPointer { costs in
                        guard let own = own.baseAddress, let other = other.baseAddress, let costs = costs.baseAddress
                        else { return }
                        multiply(
                            MatrixSpan(other, rows: count, columns: length, stride: length),
                            MatrixSpan(own, rows: count, columns: length, stride: length), .second,
                            into: MatrixSpan(costs, rows: count, columns: count, stride: count), alpha: -1)
                    }
                }
            }
            let order = linearAssignment(costs, count: count)
            try Interruption.check()
            return order
        }
    }

    /// A row for each unit: gate, up and down one after the other.
    private func vectors(_ evaluator: Evaluator) throws -> [Float] {
        var result = [Float](repeating: 0, count: count * length)
        var offset = 0
        for matrix in [gate, up] {
            try evaluator.forEachBlock(of: matrix) { range, values in
                for row in range {
                    let start = (row - range.lowerBound) * matrix.columns
                    for i in 0..<matrix.columns { result[row * length + offset + i] = values[start + i] }
                }
            }
            offset += matrix.columns
        }
        try evaluator.forEachBlock(of: down) { range, values in
            for row in range {
                let start = (row - range.lowerBound) * down.columns
                for unit in 0..<down.columns { result[unit * length + offset + row] = values[start + unit] }
            }
        }
        return result
    }
}
