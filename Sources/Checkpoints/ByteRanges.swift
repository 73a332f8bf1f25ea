/// A set of byte offsets, kept as ascending ranges that do not touch.
package struct ByteRanges: Sendable, Equatable {
    package private(set) var ranges: [Range<Int>] = []

    package init() {}

    /// Adds `range`, merging it with what it touches.
    package mutating func insert(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        var low = index(ofFirstEndingAtOrAfter: range.lowerBound)
        let first = low
        var merged = range
        while low < ranges.count, ranges[low].lowerBound <= merged.upperBound {
            merged = min(merged.lowerBound, ranges[low].lowerBound)..<max(merged.upperBound, ranges[low].upperBound)
            low += 1
        }
        ranges.replaceSubrange(first..<low, with: CollectionOfOne(merged))
    }

    /// Whether every offset of `range` is in the set.
    package func contains(_ range: Range<Int>) -> Bool {
        if range.isEmpty { return true }
        let index = index(ofFirstEndingAtOrAfter: range.upperBound)
        return index < ranges.count && ranges[index].lowerBound <= range.lowerBound
    }

    package var count: Int { ranges.reduce(0) { $0 + $1.count } }

    private func index(ofFirstEndingAtOrAfter offset: Int) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < offset { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
