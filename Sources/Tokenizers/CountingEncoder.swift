/// Encodes one text after another, and says how many bytes of it each token stands for.
///
/// The counts of a text's tokens add up to its bytes, whatever the tokenizer does to it: a byte-level token has the bytes
/// that it spells, another one those of its characters before normalisation and pre-tokenisation wrote them otherwise
/// (`▁` is a space, `<0xNN>` a byte), and an added token what it was found as, with the spaces that it takes along. What
/// then differs, between two added tokens, is settled there: a space that the tokenizer put in front is taken off the
/// first token; bytes that no token spells (characters that are unknown, or that normalisation made shorter) go to the
/// tokens for what is unknown in equal parts, or else to the last one. Only a text of which no token is left has bytes
/// that nothing counts.
package struct CountingEncoder {
    private let tokenizer: Tokenizer
    private let byteCounts: [Int32]
    /// Kept between texts: it is worth most where they are short.
    private var cache = WordCache()

    package init(_ tokenizer: Tokenizer) {
        self.tokenizer = tokenizer
        byteCounts = tokenizer.byteCounts()
    }

    /// Appends the tokens of a text in UTF-8, without special tokens around it, and the bytes of each.
    ///
    /// - Throws: as `Tokenizer.encode`.
    package mutating func encode(_ text: [UInt8], ids: inout [Int32], byteCounts counts: inout [Int32]) throws {
        let (byteCounts, unknown) = (byteCounts, tokenizer.model.unknown)
        var start = ids.count
        try tokenizer.encode(text, &cache, into: &ids) { total, part, ids in
            switch part {
            case .addedToken: counts.append(Int32(clamping: total))
            case .words(let prefixed):
                let first = counts.count
                for id in ids[start...] { counts.append(byteCounts[Int(id)]) }
                guard first < counts.count else { break }
                Self.take(prefixed, from: &counts, first)
                let difference = total - counts[first...].reduce(0) { $0 + Int($1) }
                if difference < 0 {
                    Self.take(-difference, from: &counts, first)
                } else if difference > 0 {
                    let places = zip(first..., ids[start...]).compactMap { $1 == unknown ? $0 : nil }
                    Self.give(difference, to: &counts, places.isEmpty ? [counts.count - 1] : places)
                }
            }
            start = ids.count
        }
    }

    /// Takes bytes off the first counts from `first` on that have some.
    private static func take(_ bytes: Int, from counts: inout [Int32], _ first: Int) {
        var excess = bytes
        for index in first..<counts.count where excess > 0 {
            let taken = min(excess, Int(counts[index]))
            counts[index] -= Int32(clamping: taken)
            excess -= taken
        }
    }

    /// Adds bytes to some counts in equal parts, the first ones getting what is over.
    private static func give(_ bytes: Int, to counts: inout [Int32], _ places: [Int]) {
        for (index, place) in places.enumerated() {
            let share = bytes / places.count + (index < bytes % places.count ? 1 : 0)
            counts[place] += Int32(clamping: share)
        }
    }
}

extension Tokenizer {
    /// The bytes of text that each id stands for where its surroundings are not known: none for special tokens, for the
    /// one of what is unknown and for ids without a token.
    ///
    /// - Complexity: O(bytes of the vocabulary).
    package func byteCounts() -> [Int32] {
        tokens.indices.map { index in
            let id = Int32(truncatingIfNeeded: index)
            guard let token = tokens[index] else { return 0 }
            // Some files mark these as special.
            if model.fallsBackToBytes, fallbackByte(token) != nil { return 1 }
            if id == model.unknown || added.specialContents.contains(token) { return 0 }
            return Int32(
                clamping: rawTokens.byteCounts[id] ?? normalizedTokens.byteCounts[id] ?? unspelled(token).count)
        }
    }

    /// Undoes what encoding does to the letters of a text.
    func unspelled(_ token: [UInt8]) -> [UInt8] {
        var text = model.unmarked(token)
        for step in preTokenizer.steps.reversed() {
            switch step {
            case .split, .scripts, .fixedLength: continue
            case .byteLevel: text = Decoding.bytes(text)
            case .metaspace(let letter, _, _): text = replacing(letter, with: [0x20], in: text)
            }
        }
        for normalization in normalizations.reversed() {
            switch normalization {
            case .replace(let old, let new): text = replacing(new, with: old, in: text)
            case .byteLevel: text = Decoding.bytes(text)
            default: continue
            }
        }
        return text
    }
}
