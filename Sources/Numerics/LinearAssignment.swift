import Safetensors

/// The assignment of rows to columns with the smallest sum of costs: shortest augmenting paths (Jonker and Volgenant
/// 1987), O(n³). Once an interruption is requested the result is of no use: the caller asks for that.
///
/// - Parameter costs: `[count, count]`, row by row.
/// - Returns: the column of each row.
package func linearAssignment(_ costs: [Float], count: Int) -> [Int] {
    guard count > 0, costs.count >= count * count else { return [] }
    var rowOf = [Int](repeating: -1, count: count)
    var rowPrices = [Double](repeating: 0, count: count)
    var columnPrices = [Double](repeating: 0, count: count)
    var distances = [Double](repeating: 0, count: count)
    var previous = [Int](repeating: 0, count: count)
    for start in 0..<count where !Interruption.isRequested {
        for column in 0..<count { distances[column] = .infinity }
        var isDone = [Bool](repeating: false, count: count)
        var row = start
        var shortest = 0.0
        var sink = -1
        var last = -1
        while sink < 0 {
            var nearest = -1
            var smallest = Double.infinity
            for column in 0..<count where !isDone[column] {
                let distance =
                    shortest + Double(costs[row * count + column]) - rowPrices[row] - columnPrices[column]
                if distance < distances[column] {
                    distances[column] = distance
                    previous[column] = last
                }
                if distances[column] < smallest {
                    smallest = distances[column]
                    nearest = column
                }
            }
            // Costs that are not numbers: any assignment is as good.
            guard nearest >= 0 else { return Array(0..<count) }
            shortest = smallest
            isDone[nearest] = true
            if rowOf[nearest] < 0 {
                sink = nearest
            } else {
                row = rowOf[nearest]
                last = nearest
            }
        }
        rowPrices[start] += shortest
        for column in 0..<count where isDone[column] && column != sink {
            let difference = shortest - distances[column]
            rowPrices[rowOf[column]] += difference
            columnPrices[column] -= difference
        }
        var column = sink
        while true {
            let before = previous[column]
            guard before >= 0 else {
                rowOf[column] = start
                break
            }
            rowOf[column] = rowOf[before]
            column = before
        }
    }
    var result = [Int](repeating: 0, count: count)
    for (column, row) in rowOf.enumerated() where row >= 0 { result[row] = column }
    return result
}
