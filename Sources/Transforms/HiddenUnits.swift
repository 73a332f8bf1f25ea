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

    /// The units with the largest norms of their three vectors together, ascending; the first of equal ones.
    func largest(_ kept: Int) -> Deferred<[Int]> {
        let (gate, up, down) = (gate, up, down)
        return Deferred { evaluator in
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
            let order = squares.indices.sorted { squares[$0] != squares[$1] ? squares[$0] > squares[$1] : $0 < $1 }
            return order.prefix(kept).sorted()
        }
    }

    /// For each unit of `target`, the unit here that takes its place: the permutation with the largest sum of inner
    /// products (Git Re-Basin's weight matching, Ainsworth et al. 2023, 2209.04836).
    func order(matching target: HiddenUnits) -> Deferred<[Int]> {
        let count = count
        let length = length
        return Deferred(workspace: 2 * count * length * 4 + count * count * 4) { evaluator in
            let own = try self.vectors(evaluator)
            let other = try target.vectors(evaluator)
            // Costs are negative inner products.
            var costs = [Float](repeating: 0, count: count * count)
            for row in 0..<count {
                try Interruption.check()
                for column in 0..<count {
                    costs[row * count + column] = -product(
                        other, row * length, own, column * length, count: length)
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

private func product(_ a: [Float], _ i: Int, _ b: [Float], _ j: Int, count: Int) -> Float {
    a.withUnsafeBufferPointer { a in
        b.withUnsafeBufferPointer { b in
            var sums = SIMD8<Float>.zero
            var k = 0
            while k + 8 <= count {
                var (x, y) = (SIMD8<Float>.zero, SIMD8<Float>.zero)
                for lane in 0..<8 {
                    x[lane] = a[i + k + lane]
                    y[lane] = b[j + k + lane]
                }
                sums += x * y
                k += 8
            }
            var sum = sums.sum()
            while k < count {
                sum += a[i + k] * b[j + k]
                k += 1
            }
            return sum
        }
    }
}
