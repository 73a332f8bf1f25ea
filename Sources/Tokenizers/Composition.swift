@_spi(_Unicode) import Swift

/// The text in Unicode's normalisation form C (UAX 15), with the standard library's tables.
///
/// - Complexity: O(bytes). The standard library's own is quadratic in the marks that follow one character, so that text
///   with a long run of them is composed here.
package func composed(_ text: String) -> String {
    guard hasLongRun(text.unicodeScalars) else {
        var result = String.UnicodeScalarView()
        for scalar in text._nfc { result.append(scalar) }
        return String(result)
    }
    var composer = Composer()
    for scalar in text.unicodeScalars { composer.add(scalar) }
    return composer.finish()
}

/// More marks after one character than any writing system has.
private let longestRun = 32

private func hasLongRun(_ scalars: String.UnicodeScalarView) -> Bool {
    var run = 0
    for scalar in scalars {
        // Nothing below the first combining mark is one.
        run = scalar.value >= 0x300 && scalar.properties.canonicalCombiningClass != .notReordered ? run + 1 : 0
        if run > longestRun { return true }
    }
    return false
}

/// Decomposes, orders and composes characters one after another.
private struct Composer {
    private var result = String.UnicodeScalarView()
    /// What a character that nothing was composed with yet is followed by, and the marks after it, by class.
    private var starter: Unicode.Scalar?
    private var marks: [(scalar: Unicode.Scalar, order: UInt8)] = []
    private var pairs: [UInt64: Unicode.Scalar?] = [:]
    private var decompositions: [Unicode.Scalar: [Unicode.Scalar]] = [:]

    mutating func add(_ scalar: Unicode.Scalar) {
        if scalar.value < 0xC0 {
            append(scalar, order: 0)
            return
        }
        let parts: [Unicode.Scalar]
        if let known = decompositions[scalar] {
            parts = known
        } else {
            parts = Array(String(Character(scalar))._nfd)
            decompositions[scalar] = parts
        }
        for part in parts { append(part, order: part.properties.canonicalCombiningClass.rawValue) }
    }

    mutating func finish() -> String {
        flush()
        return String(result)
    }

    private mutating func append(_ scalar: Unicode.Scalar, order: UInt8) {
        guard order == 0 else {
            marks.append((scalar, order))
            return
        }
        guard marks.isEmpty else {
            // A mark that nothing takes in keeps what follows from the character before it.
            let kept = composeMarks()
            if kept.isEmpty, let first = starter, let both = pair(first, scalar) {
                starter = both
                return
            }
            write(kept)
            starter = scalar
            return
        }
        if let first = starter, let both = pair(first, scalar) {
            starter = both
        } else {
            write([])
            starter = scalar
        }
    }

    private mutating func flush() {
        write(composeMarks())
        starter = nil
    }

    private mutating func write(_ marks: [Unicode.Scalar]) {
        if let starter { result.append(starter) }
        for mark in marks { result.append(mark) }
    }

    /// Composes the marks with the character before them, and returns those that are left, in canonical order.
    private mutating func composeMarks() -> [Unicode.Scalar] {
        guard !marks.isEmpty else { return [] }
        var byOrder = [[Unicode.Scalar]](repeating: [], count: 256)
        for mark in marks { byOrder[Int(mark.order)].append(mark.scalar) }
        marks.removeAll(keepingCapacity: true)
        var kept: [Unicode.Scalar] = []
        for group in byOrder {
            // A mark of the same class that stayed is between the character and the rest of its class.
            var isBlocked = false
            for mark in group {
                if !isBlocked, let first = starter, let both = pair(first, mark) {
                    starter = both
                } else {
                    kept.append(mark)
                    isBlocked = true
                }
            }
        }
        return kept
    }

    /// The one character that two compose to.
    private mutating func pair(_ first: Unicode.Scalar, _ second: Unicode.Scalar) -> Unicode.Scalar? {
        guard second.value >= 0x300 else { return nil }
        let key = UInt64(first.value) << 32 | UInt64(second.value)
        if let known = pairs[key] { return known }
        var text = String.UnicodeScalarView([first])
        text.append(second)
        let both = Array(String(text)._nfc)
        let found = both.count == 1 ? both.first : nil
        pairs[key] = .some(found)
        return found
    }
}
