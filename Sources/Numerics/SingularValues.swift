import Glibc
import Safetensors

/// The best approximation of a matrix of a given rank in the Frobenius norm (Eckart and Young 1936): its leading singular
/// directions, from the eigenvectors of its Gram matrix on the smaller side, in F64.
///
/// Once an interruption is requested the result is of no use: the caller asks for that.
///
/// - Returns: `[rows, columns]`, row by row.
package func leadingDirections(_ matrix: [Float], rows: Int, columns: Int, rank: Int) -> [Double] {
    let isWide = columns > rows
    let size = min(rows, columns)
    let values = matrix.map(Double.init)
    guard size > 0, rank < size else { return values }
    var gram = [Double](repeating: 0, count: size * size)
    if isWide {
        for a in 0..<size where !Interruption.isRequested {
            for b in 0...a {
                var sum = 0.0
                for k in 0..<columns { sum += values[a * columns + k] * values[b * columns + k] }
                gram[a * size + b] = sum
                gram[b * size + a] = sum
            }
        }
    } else {
        for row in 0..<rows where !Interruption.isRequested {
            for a in 0..<size {
                let left = values[row * columns + a]
                for b in 0..<size { gram[a * size + b] += left * values[row * columns + b] }
            }
        }
    }
    let vectors = symmetricEigenvectors(gram, size: size).prefix(rank)
    // The projection onto the leading vectors.
    var result = [Double](repeating: 0, count: rows * columns)
    for vector in vectors where !Interruption.isRequested {
        if isWide {
            var weights = [Double](repeating: 0, count: columns)
            for row in 0..<rows { for k in 0..<columns { weights[k] += vector[row] * values[row * columns + k] } }
            for row in 0..<rows { for k in 0..<columns { result[row * columns + k] += vector[row] * weights[k] } }
        } else {
            for row in 0..<rows {
                var weight = 0.0
                for k in 0..<columns { weight += values[row * columns + k] * vector[k] }
                for k in 0..<columns { result[row * columns + k] += weight * vector[k] }
            }
        }
    }
    return result
}

/// The eigenvectors of a symmetric matrix, the largest eigenvalue first: Jacobi's rotations until nothing is left off the
/// diagonal.
func symmetricEigenvectors(_ matrix: [Double], size: Int) -> [[Double]] {
    var a = matrix
    var v = [Double](repeating: 0, count: size * size)
    for i in 0..<size { v[i * size + i] = 1 }
    let scale = a.reduce(0) { $0 + $1 * $1 }
    for _ in 0..<60 {
        var off = 0.0
        for i in 0..<size { for j in 0..<i { off += a[i * size + j] * a[i * size + j] } }
        if off <= scale * 1e-30 { break }
        for p in 0..<size where !Interruption.isRequested {
            for q in p + 1..<size {
                let apq = a[p * size + q]
                guard abs(apq) > 1e-300 else { continue }
                let theta = (a[q * size + q] - a[p * size + p]) / (2 * apq)
                let t = (theta < 0 ? -1.0 : 1.0) / (abs(theta) + (theta * theta + 1).squareRoot())
                let c = 1 / (t * t + 1).squareRoot()
                let s = t * c
                for k in 0..<size {
                    let (x, y) = (a[k * size + p], a[k * size + q])
                    a[k * size + p] = c * x - s * y
                    a[k * size + q] = s * x + c * y
                }
                for k in 0..<size {
                    let (x, y) = (a[p * size + k], a[q * size + k])
                    a[p * size + k] = c * x - s * y
                    a[q * size + k] = s * x + c * y
                }
                // Rows of v are the vectors.
                for k in 0..<size {
                    let (x, y) = (v[p * size + k], v[q * size + k])
                    v[p * size + k] = c * x - s * y
                    v[q * size + k] = s * x + c * y
                }
            }
        }
    }
    let order = (0..<size).sorted { a[$0 * size + $0] > a[$1 * size + $1] }
    return order.map { Array(v[$0 * size..<($0 + 1) * size]) }
}
