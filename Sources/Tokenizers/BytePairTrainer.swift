/// Makes a byte-level BPE vocabulary of text (Sennrich et al. 2016, 1508.07909; bytes as in GPT-2).
///
/// Again and again the pair of neighbouring tokens that occurs most often in words becomes a token, of pairs that occur as
/// often the one with the lower ids: the order of the Hugging Face library's `BpeTrainer`, whose merges are the same.
public struct BytePairTrainer {
    /// How text is cut into words that tokens do not cross.
    public enum Words: String, Sendable, CaseIterable {
        /// As GPT-2: letters, digits and the rest each by themselves.
        case gpt2
        /// As Llama 3: up to three digits together.
        case llama3
        /// As Qwen 2: each digit alone.
        case qwen2

        var pattern: WordPattern {
            switch self {
            case .gpt2: .gpt2
            case .llama3: .llama3(digits: 3)
            case .qwen2: .llama3(digits: 1)
            }
        }
    }

    package let words: Words
    private let pattern: WordPattern
    private var counts = WordCounts()
    /// Bytes of text so far.
    package private(set) var byteCount = 0

    package init(_ words: Words) {
        self.words = words
        pattern = words.pattern
    }

    /// Counts the words of a text.
    ///
    /// - Parameter text: UTF-8. What is not becomes words of some kind, and is counted too.
    package mutating func add(_ text: [UInt8]) {
        byteCount += text.count
        text.withUnsafeBufferPointer { text in
            pattern.forEachWord(in: text) { range in counts.add(UnsafeBufferPointer(rebasing: text[range])) }
        }
    }

    /// - Parameters:
    ///   - size: tokens at most: special ones, 256 bytes and merged ones.
    ///   - minimumFrequency: how often a pair must occur to become a token.
    ///   - specialTokens: tokens that no text is encoded to; they get the first ids.
    /// - Throws: `TokenizerError` for what `BytePairVocabulary.problem` tells of.
    package func vocabulary(
        size: Int, minimumFrequency: Int, specialTokens: [String]
    ) throws(TokenizerError) -> BytePairVocabulary {
        if let problem = BytePairVocabulary.problem(size: size, specialTokens: specialTokens) {
            throw TokenizerError(.malformed, file: "the tokenizer to be trained", message: problem)
        }
        var result = BytePairVocabulary(words: words, specialTokens: specialTokens)
        var merger = PairMerger(counts, alphabet: result.idsOfBytes)
        while result.tokens.count < size, let best = merger.mostFrequent(), best.count >= max(minimumFrequency, 1) {
            let id = result.merge(best.left, best.right)
            merger.replace(best.left, best.right, by: id)
        }
        result.tokenCount = merger.symbolCount
        return result
    }
}

/// Words as lists of tokens, and how often which two are neighbours.
private struct PairMerger {
    /// A word's place in `symbols`, its tokens there, and how often it occurs.
    private struct Word {
        let start: Int
        var length: Int
        let count: Int
    }

    private struct Pair {
        var count = 0
        /// Words that have it, or had it.
        var words: [Int32] = []
    }

    private var words: [Word] = []
    private var symbols: [Int32] = []
    private var pairs: [UInt64: Pair] = [:]
    private var heap = PriorityQueue<CountedPair>()

    /// Tokens that the counted text is of.
    var symbolCount: Int { words.reduce(0) { $0 + $1.length * $1.count } }

    init(_ counts: WordCounts, alphabet: [Int32]) {
        symbols = counts.bytes.map { alphabet[Int($0)] }
        words = counts.words.map { Word(start: $0.start, length: $0.length, count: $0.count) }
        for place in words.indices { change(place, by: 1) { _, _ in true } }
        for (key, pair) in pairs { heap.push(.init(count: pair.count, key: key)) }
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// Adds or takes away a word's pairs.
    private mutating func change(_ place: Int, by sign: Int, remembers: (Int32, Int32) -> Bool) {
        let word = words[place]
        guard word.length > 1 else { return }
        for index in word.start..<word.start + word.length - 1 {
            let (left, right) = (symbols[index], symbols[index + 1])
            let key = Self.key(left, right)
            pairs[key, default: Pair()].count += sign * word.count
            if sign > 0, remembers(left, right), pairs[key]?.words.last != Int32(place) {
                pairs[key]?.words.append(Int32(place))
            }
        }
    }

    /// The pair that occurs most often, and of such the one of the lowest ids.
    mutating func mostFrequent() -> (left: Int32, right: Int32, count: Int)? {
        while let top = heap.pop() {
            let count = pairs[top.key]?.count ?? 0
            guard count > 0 else { continue }
            // Counts fall while an entry waits.
            guard count == top.count else {
                heap.push(.init(count: count, key: top.key))
                continue
            }
            return (
                Int32(truncatingIfNeeded: top.key >> 32), Int32(truncatingIfNeeded: top.key & 0xFFFF_FFFF), count
            )
        }
        return nil
    }

    mutating func replace(_ left: Int32, _ right: Int32, by made: Int32) {
        var touched: Set<UInt64> = []
        for place in pairs.removeValue(forKey: Self.key(left, right))?.words ?? [] {
            let place = Int(place)
            guard contains(place, left, right) else { continue }
            change(place, by: -1) { _, _ in false }
            join(place, left, right, made)
            change(place, by: 1) { $0 == made || $1 == made }
            let word = words[place]
            for index in word.start..<word.start + max(word.length - 1, 0)
            where symbols[index] == made || symbols[index + 1] == made {
                touched.insert(Self.key(symbols[index], symbols[index + 1]))
            }
        }
        // Taking the pairs of words away left an entry for this one.
        pairs.removeValue(forKey: Self.key(left, right))
        for key in touched { heap.push(.init(count: pairs[key]?.count ?? 0, key: key)) }
    }

    private func contains(_ place: Int, _ left: Int32, _ right: Int32) -> Bool {
        let word = words[place]
        guard word.length > 1 else { return false }
        return (word.start..<word.start + word.length - 1).contains {
            symbols[$0] == left && symbols[$0 + 1] == right
        }
    }

    private mutating func join(_ place: Int, _ left: Int32, _ right: Int32, _ made: Int32) {
        let word = words[place]
        var (read, write) = (word.start, word.start)
        let end = word.start + word.length
        while read < end {
            let isPair = read + 1 < end && symbols[read] == left && symbols[read + 1] == right
            symbols[write] = isPair ? made : symbols[read]
            read += isPair ? 2 : 1
            write += 1
        }
        words[place].length = write - word.start
    }
}

/// A pair and how often it occurs; by falling count, then by rising ids.
private struct CountedPair: Prioritized {
    let count: Int
    let key: UInt64

    func precedes(_ other: CountedPair) -> Bool { count != other.count ? count > other.count : key < other.key }
}
