/// A set of Unicode scalars, as ranges in order that do not touch.
struct ScalarSet: Sendable, Hashable {
    struct Span: Sendable, Hashable {
        var first: UInt32
        var last: UInt32
    }

    private(set) var spans: [Span]

    static let largest: UInt32 = 0x10FFFF
    static let all = ScalarSet(spans: [Span(first: 0, last: largest)])

    /// - Parameter spans: in any order; they may overlap.
    init(_ spans: [Span] = []) {
        var result: [Span] = []
        for span in spans.sorted(by: { $0.first < $1.first }) {
            if let last = result.last, span.first <= last.last &+ 1 {
                result[result.count - 1].last = max(last.last, span.last)
            } else {
                result.append(span)
            }
        }
        self.spans = result
    }

    private init(spans: [Span]) { self.spans = spans }

    init(_ scalar: UInt32) { spans = [Span(first: scalar, last: scalar)] }

    init(_ range: ClosedRange<UInt32>) { spans = [Span(first: range.lowerBound, last: range.upperBound)] }

    var isEmpty: Bool { spans.isEmpty }
    var count: Int { spans.reduce(0) { $0 + Int($1.last - $1.first) + 1 } }

    /// The one scalar of the set; nil for another number of them.
    var single: UInt32? {
        guard spans.count == 1, let span = spans.first, span.first == span.last else { return nil }
        return span.first
    }

    var inverted: ScalarSet {
        var result: [Span] = []
        var next: UInt32 = 0
        for span in spans {
            if span.first > next { result.append(Span(first: next, last: span.first - 1)) }
            next = span.last + 1
        }
        if next <= Self.largest { result.append(Span(first: next, last: Self.largest)) }
        return ScalarSet(spans: result)
    }

    func union(_ other: ScalarSet) -> ScalarSet { ScalarSet(spans + other.spans) }

    func intersection(_ other: ScalarSet) -> ScalarSet {
        inverted.union(other.inverted).inverted
    }

    func subtracting(_ other: ScalarSet) -> ScalarSet { intersection(other.inverted) }

    func contains(_ scalar: UInt32) -> Bool {
        var (low, high) = (0, spans.count)
        while low < high {
            let middle = (low + high) / 2
            if spans[middle].last < scalar { low = middle + 1 } else { high = middle }
        }
        return low < spans.count && spans[low].first <= scalar
    }
}

/// Sets as bits, for asking of one character after another: pages of 256 scalars, equal ones kept once.
struct ScalarTable: Sendable {
    /// For each set, the places of its pages.
    private(set) var places: [UInt16] = []
    /// Pages of four words; the first is empty, the second full.
    private(set) var words: [UInt64] = [0, 0, 0, 0, .max, .max, .max, .max]
    /// For each set what the first byte of a character says of it: 0 and 1 for ASCII that is not and is in it, 2 for the others.
    private(set) var firstBytes: [UInt8] = []
    private(set) var sets: [ScalarSet] = []

    static let pages = 0x1100

    /// The number of a set, which is added where it is not there.
    mutating func add(_ set: ScalarSet) -> Int {
        if let index = sets.firstIndex(of: set) { return index }
        var known: [[UInt64]: UInt16] = [:]
        var (page, bits) = (-1, [UInt64](repeating: 0, count: 4))
        var own = [UInt16](repeating: 0, count: Self.pages)
        func store() {
            guard page >= 0 else { return }
            if let place = known[bits] {
                own[page] = place
            } else {
                let place = UInt16(truncatingIfNeeded: words.count / 4)
                words += bits
                known[bits] = place
                own[page] = place
            }
        }
        for span in set.spans {
            var first = Int(span.first)
            while first <= Int(span.last) {
                let number = first >> 8
                if number != page {
                    store()
                    (page, bits) = (number, [0, 0, 0, 0])
                }
                if first & 0xFF == 0, Int(span.last) >= first + 0xFF {
                    own[number] = 1
                    page = -1
                    first += 0x100
                    continue
                }
                let last = min(Int(span.last), number << 8 | 0xFF)
                for value in first...last { bits[value >> 6 & 3] |= 1 << UInt64(value & 63) }
                first = last + 1
            }
        }
        store()
        places += own
        for byte in 0..<256 { firstBytes.append(byte >= 0x80 ? 2 : set.contains(UInt32(byte)) ? 1 : 0) }
        sets.append(set)
        return sets.count - 1
    }
}

/// One set as bits.
struct ScalarLookup: Sendable {
    private let places: [UInt16]
    private let words: [UInt64]

    init(_ set: ScalarSet) {
        var table = ScalarTable()
        _ = table.add(set)
        (places, words) = (table.places, table.words)
    }

    @inline(__always)
    func contains(_ value: UInt32) -> Bool {
        let page = Int(value >> 8)
        guard page < places.count else { return false }
        return words[Int(places[page]) << 2 | Int(value >> 6 & 3)] >> UInt64(value & 63) & 1 == 1
    }
}
