import Glibc

/// The columns of a matrix made orthonormal one after another, the one that is furthest from those before it first
/// (Gram–Schmidt with pivoting, orthogonalised twice): which columns say nothing of their own, and the inverse of what is
/// left.
///
/// Columns are scaled to length one, so that units do not matter.
struct PivotedColumns {
    /// Columns in the order that they were taken in; the first `rank` are independent.
    let order: [Int]
    let rank: Int
    /// Distance of each column, scaled, from those before it.
    let distances: [Double]
    /// `triangle[k][j]`: the part of column `order[j]` along direction k.
    private let triangle: [[Double]]
    private let lengths: [Double]

    /// - Parameter tolerance: a scaled column nearer than this to the others is taken to be one of their combinations.
    init(_ columns: [[Double]], tolerance: Double) {
        lengths = columns.map { Self.length($0) }
        var rest = zip(columns, lengths).map { column, length in length > 1e-200 ? column.map { $0 / length } : [] }
        var left = Array(columns.indices)
        var (order, distances): ([Int], [Double]) = ([], [])
        var parts: [[Int: Double]] = []
        var rank = 0
        while let next = left.max(by: { (Self.length(rest[$0]), $1) < (Self.length(rest[$1]), $0) }) {
            let distance = Self.length(rest[next])
            left.removeAll { $0 == next }
            order.append(next)
            distances.append(distance)
            guard distance > tolerance else { continue }
            let direction = rest[next].map { $0 / distance }
            var along = [next: distance]
            for column in left where !rest[column].isEmpty {
                for _ in 0..<2 {
                    let part = Self.dot(direction, rest[column])
                    for i in direction.indices { rest[column][i] -= part * direction[i] }
                    along[column, default: 0] += part
                }
            }
            parts.append(along)
            rank += 1
        }
        self.order = order
        self.rank = rank
        self.distances = distances
        triangle = parts.map { along in order.map { along[$0] ?? 0 } }
    }

    /// The columns that some combination of which vanishes.
    var dependent: [Int] {
        var result: Set<Int> = []
        for place in rank..<order.count {
            result.insert(order[place])
            guard lengths[order[place]] > 1e-200 else { continue }
            let coefficients = solve((0..<rank).map { triangle[$0][place] })
            let largest = coefficients.reduce(1) { max($0, abs($1)) }
            for (index, value) in coefficients.enumerated() where abs(value) > 1e-4 * largest {
                result.insert(order[index])
            }
        }
        return result.sorted()
    }

    /// The square roots of the diagonal of `(AᵀA)⁻¹`; infinite for columns that are not independent.
    var inverseLengths: [Double] {
        var result = [Double](repeating: .infinity, count: order.count)
        var squares = [Double](repeating: 0, count: rank)
        for k in 0..<rank {
            let column = solve((0..<rank).map { $0 == k ? 1 : 0 })
            for index in 0..<rank { squares[index] += column[index] * column[index] }
        }
        let unknown = Set(dependent)
        for index in 0..<rank where !unknown.contains(order[index]) {
            result[order[index]] = squares[index].squareRoot() / lengths[order[index]]
        }
        return result
    }

    /// The coefficients of the independent columns, scaled, whose sum has the given parts.
    private func solve(_ parts: [Double]) -> [Double] {
        var result = parts
        for row in (0..<rank).reversed() {
            for column in row + 1..<max(rank, row + 1) { result[row] -= triangle[row][column] * result[column] }
            result[row] /= triangle[row][row]
        }
        return result
    }

    private static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

    private static func length(_ column: [Double]) -> Double { dot(column, column).squareRoot() }
}
