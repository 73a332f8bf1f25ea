/// What a pattern finds where case does not count: Unicode's case folding, also where one character is like several (ß and ss).
enum CaseFolding {
    private static let simple = UnicodeData.mapping(UnicodeMappings.foldings)
    private static let long = UnicodeData.decompositions(UnicodeMappings.longFoldings)

    /// The characters that fold to the same one.
    private static let classes: [UInt32: [UInt32]] = {
        var result: [UInt32: [UInt32]] = [:]
        for (scalar, folded) in simple { result[folded, default: [folded]].append(scalar) }
        return result
    }()

    /// The characters that fold to the same several, by the first of those.
    private static let sequences: [UInt32: [(folded: [UInt32], scalars: [UInt32])]] = {
        var scalars: [[UInt32]: [UInt32]] = [:]
        for (scalar, folded) in long { scalars[folded, default: []].append(scalar) }
        var result: [UInt32: [(folded: [UInt32], scalars: [UInt32])]] = [:]
        for (folded, list) in scalars.sorted(by: { $0.key.count > $1.key.count }) {
            if let first = folded.first { result[first, default: []].append((folded, list)) }
        }
        return result
    }()

    private static func same(_ scalar: UInt32) -> ScalarSet {
        let folded = simple[scalar] ?? scalar
        return ScalarSet(([scalar] + (classes[folded] ?? [])).map { .init(first: $0, last: $0) })
    }

    /// The set with every character that only case tells from one of it.
    static func closure(_ set: ScalarSet) -> ScalarSet {
        var spans = set.spans
        for (folded, scalars) in classes where set.contains(folded) || scalars.contains(where: set.contains) {
            spans += (scalars + [folded]).map { .init(first: $0, last: $0) }
        }
        return ScalarSet(spans)
    }

    /// What matches letters, whatever their case.
    static func nodes(_ letters: [UInt32]) -> [PatternNode] {
        let folded = letters.flatMap { long[$0] ?? [simple[$0] ?? $0] }
        var result: [PatternNode] = []
        var index = 0
        while index < folded.count {
            let found = (sequences[folded[index]] ?? []).first { folded[index...].starts(with: $0.folded) }
            if let found {
                let apart = PatternNode.sequence(found.folded.map { .set(same($0)) })
                result.append(.alternation([apart] + found.scalars.map { .set(ScalarSet($0)) }))
                index += found.folded.count
            } else {
                result.append(.set(same(folded[index])))
                index += 1
            }
        }
        return result
    }
}
