/// A regular expression as it is read.
indirect enum PatternNode: Sendable, Hashable {
    /// One character of a set.
    case set(ScalarSet)
    case sequence([PatternNode])
    /// The first that leads to a match.
    case alternation([PatternNode])
    case repetition(PatternNode, Repetition)
    case look(PatternNode, isAhead: Bool, isNegative: Bool)
    /// A group that is not entered again once it has matched.
    case atomic(PatternNode)
    case assertion(Assertion)

    struct Repetition: Sendable, Hashable {
        enum Kind: Sendable, Hashable { case greedy, lazy, possessive }

        var least: Int
        /// Nil without an upper bound.
        var most: Int?
        var kind: Kind
    }

    enum Assertion: Int32, Sendable, Hashable {
        case lineStart, lineEnd, textStart, textEnd, textEndOrLineEnd, wordBoundary, notWordBoundary
    }

    static let empty = PatternNode.sequence([])

    /// Whether it can match nothing.
    var isNullable: Bool {
        switch self {
        case .set: false
        case .sequence(let nodes): nodes.allSatisfy(\.isNullable)
        case .alternation(let nodes): nodes.contains(where: \.isNullable)
        case .repetition(let node, let repetition): repetition.least == 0 || node.isNullable
        case .look, .assertion: true
        case .atomic(let node): node.isNullable
        }
    }

    /// How many characters every match of it has; nil where they differ.
    var fixedLength: Int? {
        switch self {
        case .set: return 1
        case .sequence(let nodes):
            var sum = 0
            for node in nodes {
                guard let length = node.fixedLength, length <= 1 << 16 else { return nil }
                sum += length
            }
            return sum
        case .alternation(let nodes):
            let lengths = Set(nodes.map(\.fixedLength))
            return lengths.count == 1 ? lengths.first ?? nil : nil
        case .repetition(let node, let repetition):
            guard repetition.least == repetition.most, let length = node.fixedLength else { return nil }
            let (product, overflows) = length.multipliedReportingOverflow(by: repetition.least)
            return overflows ? nil : product
        case .look, .assertion: return 0
        case .atomic(let node): return node.fixedLength
        }
    }

    /// The ASCII characters that a match can begin with, and whether other ones, or nothing at all, can be what it begins with.
    var first: (ascii: UInt128, hasOthers: Bool, isNullable: Bool) {
        switch self {
        case .set(let set):
            var bits: UInt128 = 0
            for span in set.spans where span.first < 0x80 {
                for value in span.first...min(span.last, 0x7F) { bits |= 1 << UInt128(value) }
            }
            return (bits, (set.spans.last?.last ?? 0) >= 0x80, false)
        case .sequence(let nodes):
            var (ascii, hasOthers): (UInt128, Bool) = (0, false)
            for node in nodes {
                let first = node.first
                ascii |= first.ascii
                hasOthers = hasOthers || first.hasOthers
                if !first.isNullable { return (ascii, hasOthers, false) }
            }
            return (ascii, hasOthers, true)
        case .alternation(let nodes):
            return nodes.reduce((0, false, false)) { sum, node in
                let first = node.first
                return (sum.0 | first.ascii, sum.1 || first.hasOthers, sum.2 || first.isNullable)
            }
        case .repetition(let node, let repetition):
            let first = node.first
            return (first.ascii, first.hasOthers, first.isNullable || repetition.least == 0)
        case .look, .assertion: return (0, false, true)
        case .atomic(let node): return node.first
        }
    }
}

/// Why a pattern cannot be used.
package struct PatternError: Error, Sendable {
    package let message: String
    /// Whether no regular expression is written so; otherwise it is one that is not supported.
    var isMalformed = false
}
