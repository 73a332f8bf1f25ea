/// A normalisation form of Unicode (UAX 15), with the tables of the Hugging Face library.
package enum NormalizationForm: Sendable {
    case composed, decomposed, compatibilityComposed, compatibilityDecomposed

    private var composes: Bool { self == .composed || self == .compatibilityComposed }
    private var isCompatible: Bool { self == .compatibilityComposed || self == .compatibilityDecomposed }

    /// The text in this form.
    ///
    /// - Complexity: O(bytes).
    package func applied(to text: [UInt8]) -> [UInt8] {
        if text.allSatisfy({ $0 < 0x80 }) { return text }
        let data = NormalizationData.shared
        let active =
            isCompatible ? (composes ? data.activeKC : data.activeKD) : (composes ? data.activeC : data.activeD)
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 8)
        var segment: [NormalizationData.Part] = []
        text.withUnsafeBufferPointer { text in
            var (position, copied) = (0, 0)
            while position < text.count {
                if text[position] < 0x80, position + 1 == text.count || text[position + 1] < 0x80 {
                    position += 1
                    continue
                }
                let (value, length) = scalar(text, at: position)
                var end = position + length
                // A character that stays, with those after it that may join it.
                let isActive = active.contains(value)
                while end < text.count {
                    let (next, length) = scalar(text, at: end)
                    guard active.contains(next) else { break }
                    end += length
                }
                if !isActive, end == position + length {
                    position = end
                    continue
                }
                result += text[copied..<position]
                segment.removeAll(keepingCapacity: true)
                var place = position
                while place < end {
                    let (value, length) = scalar(text, at: place)
                    data.decompose(value, isCompatible, into: &segment)
                    place += length
                }
                data.order(&segment)
                if composes { data.compose(&segment) }
                for part in segment { append(part.scalar, to: &result) }
                (position, copied) = (end, end)
            }
            result += text[copied...]
        }
        return result
    }
}

/// What normalisation needs to know of characters.
private struct NormalizationData: Sendable {
    struct Part {
        var scalar: UInt32
        var order: UInt8
    }

    static let shared = NormalizationData()

    private let canonical: [UInt32: [UInt32]]
    private let compatible: [UInt32: [UInt32]]
    private let orders: [UInt32: UInt8]
    private let pairs: [UInt64: UInt32]
    /// Characters that a form may change, alone or with what is before them.
    let activeC: ScalarLookup
    let activeD: ScalarLookup
    let activeKC: ScalarLookup
    let activeKD: ScalarLookup

    private static let syllables: ClosedRange<UInt32> = 0xAC00...0xD7A3

    private init() {
        canonical = UnicodeData.decompositions(UnicodeMappings.canonicalDecompositions)
        compatible = UnicodeData.decompositions(UnicodeMappings.compatibilityDecompositions)
        var orders: [UInt32: UInt8] = [:]
        for (scalar, order) in UnicodeData.values(UnicodeMappings.combiningClasses) {
            orders[scalar] = UInt8(truncatingIfNeeded: order)
        }
        self.orders = orders
        var pairs: [UInt64: UInt32] = [:]
        var composites: Set<UInt32> = []
        let numbers = UnicodeData.numbers(UnicodeMappings.compositions)
        var scalar = 0
        for index in stride(from: 0, to: numbers.count - 2, by: 3) {
            scalar += numbers[index]
            pairs[UInt64(numbers[index + 1]) << 32 | UInt64(numbers[index + 2])] = UInt32(scalar)
            composites.insert(UInt32(scalar))
        }
        self.pairs = pairs
        func set(_ scalars: some Sequence<UInt32>) -> ScalarSet {
            ScalarSet(scalars.map { .init(first: $0, last: $0) })
        }
        let marks = set(orders.keys)
        let hangul = ScalarSet(Self.syllables)
        let decomposing = set(canonical.keys).union(hangul).union(marks)
        let seconds = set(pairs.keys.map { UInt32(truncatingIfNeeded: $0) })
        // Vowels and final consonants of Hangul, which join what is before them.
        let joining = marks.union(seconds).union(ScalarSet(0x1161...0x1175)).union(ScalarSet(0x11A8...0x11C2))
        let changing = set(canonical.keys.filter { !composites.contains($0) }).union(joining)
        activeD = ScalarLookup(decomposing)
        activeC = ScalarLookup(changing)
        activeKD = ScalarLookup(decomposing.union(set(compatible.keys)))
        activeKC = ScalarLookup(changing.union(set(compatible.keys)))
    }

    func decompose(_ scalar: UInt32, _ isCompatible: Bool, into parts: inout [Part]) {
        if scalar < 0xA0 {
            parts.append(Part(scalar: scalar, order: 0))
        } else if Self.syllables.contains(scalar) {
            let index = scalar - 0xAC00
            parts.append(Part(scalar: 0x1100 + index / 588, order: 0))
            parts.append(Part(scalar: 0x1161 + index % 588 / 28, order: 0))
            if index % 28 > 0 { parts.append(Part(scalar: 0x11A7 + index % 28, order: 0)) }
        } else if let list = (isCompatible ? compatible[scalar] : nil) ?? canonical[scalar] {
            for part in list { parts.append(Part(scalar: part, order: orders[part] ?? 0)) }
        } else {
            parts.append(Part(scalar: scalar, order: orders[scalar] ?? 0))
        }
    }

    /// Puts marks that follow one another in the order of their classes.
    func order(_ parts: inout [Part]) {
        var index = 0
        while index < parts.count {
            guard parts[index].order > 0 else {
                index += 1
                continue
            }
            var end = index + 1
            var isOrdered = true
            while end < parts.count, parts[end].order > 0 {
                if parts[end].order < parts[end - 1].order { isOrdered = false }
                end += 1
            }
            if !isOrdered {
                // Their number has no bound, that of classes has.
                var byOrder = [[Part]](repeating: [], count: 256)
                for part in parts[index..<end] { byOrder[Int(part.order)].append(part) }
                parts.replaceSubrange(index..<end, with: byOrder.joined())
            }
            index = end
        }
    }

    func compose(_ parts: inout [Part]) {
        var (starter, last, kept): (Int?, UInt8, Int) = (nil, 0, 0)
        for part in parts {
            // A mark of the same class or a higher one that stayed is between it and the character, and so is any before a
            // character without a class.
            if let place = starter, last < part.order || kept == place + 1,
                let both = pair(parts[place].scalar, part.scalar)
            {
                parts[place].scalar = both
                continue
            }
            if part.order == 0 {
                (starter, last) = (kept, 0)
            } else {
                last = part.order
            }
            parts[kept] = part
            kept += 1
        }
        parts.removeLast(parts.count - kept)
    }

    private func pair(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (0x1100...0x1112).contains(first), (0x1161...0x1175).contains(second) {
            return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28
        }
        if Self.syllables.contains(first), (first - 0xAC00) % 28 == 0, (0x11A8...0x11C2).contains(second) {
            return first + second - 0x11A7
        }
        return pairs[UInt64(first) << 32 | UInt64(second)]
    }
}

/// Appends a scalar in UTF-8.
@inline(__always)
func append(_ value: UInt32, to bytes: inout [UInt8]) {
    if value < 0x80 {
        bytes.append(UInt8(value))
    } else if value < 0x800 {
        bytes.append(UInt8(0xC0 | value >> 6))
        bytes.append(UInt8(0x80 | value & 0x3F))
    } else if value < 0x10000 {
        bytes.append(UInt8(0xE0 | value >> 12))
        bytes.append(UInt8(0x80 | value >> 6 & 0x3F))
        bytes.append(UInt8(0x80 | value & 0x3F))
    } else {
        bytes.append(UInt8(truncatingIfNeeded: 0xF0 | value >> 18))
        bytes.append(UInt8(0x80 | value >> 12 & 0x3F))
        bytes.append(UInt8(0x80 | value >> 6 & 0x3F))
        bytes.append(UInt8(0x80 | value & 0x3F))
    }
}
