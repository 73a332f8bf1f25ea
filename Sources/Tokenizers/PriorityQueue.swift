/// What a `PriorityQueue` can hold.
protocol Prioritized {
    /// Whether this one is to come out before the other.
    func precedes(_ other: Self) -> Bool
}

/// A binary heap: the entry that precedes all others comes out first.
struct PriorityQueue<Entry: Prioritized> {
    private var entries: [Entry] = []

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].precedes(entries[parent]) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    mutating func pop() -> Entry? {
        guard let first = entries.first else { return nil }
        let last = entries.removeLast()
        guard !entries.isEmpty else { return first }
        entries[0] = last
        var parent = 0
        while true {
            var best = 2 * parent + 1
            guard best < entries.count else { break }
            if best + 1 < entries.count, entries[best + 1].precedes(entries[best]) { best += 1 }
            guard entries[best].precedes(entries[parent]) else { break }
            entries.swapAt(parent, best)
            parent = best
        }
        return first
    }
}
