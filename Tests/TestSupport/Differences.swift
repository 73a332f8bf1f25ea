/// The largest absolute difference between two lists of numbers; infinite where nothing can be said to agree: lists of
/// other lengths, empty ones, no list, and where a difference is NaN, which `max` would pass over.
public func largestDifference<T: BinaryFloatingPoint>(_ found: [T], _ expected: [T]?) -> T {
    guard let expected, found.count == expected.count, !found.isEmpty else { return .infinity }
    var largest: T = 0
    for (a, b) in zip(found, expected) {
        let distance = abs(a - b)
        guard distance <= .greatestFiniteMagnitude else { return .infinity }
        largest = max(largest, distance)
    }
    return largest
}

/// The norm of the difference over the norm of what is expected; the largest difference, a hundredfold, where what is
/// expected is next to nothing. Infinite where `largestDifference` is.
public func relativeDifference(_ found: [Float], _ expected: [Float]) -> Double {
    let largest = largestDifference(found, expected)
    guard largest.isFinite else { return .infinity }
    var (difference, norm, size) = (0.0, 0.0, 0.0)
    for (a, b) in zip(found, expected) {
        difference += Double(a - b) * Double(a - b)
        norm += Double(b) * Double(b)
        size = max(size, Double(abs(b)))
    }
    if size < 1e-6 { return Double(largest) * 100 }
    return (difference / norm).squareRoot()
}
