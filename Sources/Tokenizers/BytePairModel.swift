import Safetensors

/// Byte-pair encoding (Sennrich et al. 2016, 1508.07909): symbols are joined in the order in which training joined them.
struct BytePairModel: Sendable {
    /// Bytes as a dictionary key.
    struct Key: Hashable, Sendable {
        let bytes: [UInt8]
    }

    let vocabulary: [Key: Int32]
    /// The tokens as the file has them: of several with one id the first is what it stands for.
    let order: [Key]
    /// For a pair of tokens, its rank and the token that it makes.
    let merges: [UInt64: UInt64]
    /// The token for what is unknown, where the file names one that the vocabulary has.
    let unknown: Int32?
    /// The name of the token for what is unknown where the vocabulary does not have it.
    let missingUnknown: String?
    let fusesUnknown: Bool
    let fallsBackToBytes: Bool
    let ignoresMerges: Bool
    /// The token of each single byte of a byte-level vocabulary; -1 where there is none.
    let byteTokens: [Int32]
    /// The token `<0xNN>` of each byte; -1 where there is none.
    let fallbackTokens: [Int32]
    /// What messages call it.
    let file: String
    /// What a symbol within a word begins with, and the last one of a word ends with.
    var affixes: (prefix: [UInt8], suffix: [UInt8]) = ([], [])
    /// Whether each byte of a byte-level vocabulary has a token of its own.
    let hasAllBytes: Bool

    /// A text without words is one of any length.
    private static let stepsBetweenChecks = 1 << 16

    static func pair(_ a: Int32, _ b: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: a)) << 32 | UInt64(UInt32(bitPattern: b))
    }

    /// The tokens of a word whose symbols are bytes.
    ///
    /// - Throws: as `encodeCharacters`.
    func encodeBytes(_ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
        guard hasAllBytes, affixes.prefix.isEmpty, affixes.suffix.isEmpty else {
            try ByteAlphabet.spelled(word).withUnsafeBufferPointer { try encodeCharacters($0, into: &out) }
            return
        }
        if ignoresMerges, let whole = vocabulary[Key(bytes: ByteAlphabet.spelled(word))] {
            out.append(whole)
            return
        }
        var symbols = word.map { byteTokens[Int($0)] }
        try join(&symbols)
        out += symbols
    }

    /// The tokens of a text whose symbols are characters.
    ///
    /// - Throws: `TokenizerError` for a character that is unknown where the token for it is not in the vocabulary.
    func encodeCharacters(_ text: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
        if ignoresMerges, let whole = vocabulary[Key(bytes: Array(text))] {
            out.append(whole)
            return
        }
        var symbols: [Int32] = []
        symbols.reserveCapacity(text.count)
        var position = 0
        // The library puts the token for what is unknown in front of the next character that is known: bytes that stand
        // for one come before it.
        var isPending = false
        var untilCheck = Self.stepsBetweenChecks
        while position < text.count {
            untilCheck -= 1
            if untilCheck == 0 {
                try Interruption.check()
                untilCheck = Self.stepsBetweenChecks
            }
            let length = max(scalar(text, at: position).length, 1)
            var bytes = Array(text[position..<position + length])
            if position > 0, !affixes.prefix.isEmpty { bytes = affixes.prefix + bytes }
            position += length
            if position == text.count { bytes += affixes.suffix }
            if let token = vocabulary[Key(bytes: bytes)] {
                if isPending, let unknown { symbols.append(unknown) }
                isPending = false
                symbols.append(token)
            } else if fallsBackToBytes, bytes.allSatisfy({ fallbackTokens[Int($0)] >= 0 }) {
                symbols += bytes.map { fallbackTokens[Int($0)] }
            } else if let unknown {
                if isPending, !fusesUnknown { symbols.append(unknown) }
                isPending = true
            } else if let missingUnknown {
                throw TokenizerError(
                    .unencodable, file: file,
                    message:
                        "it has no token for \"\(escaped(String(decoding: bytes, as: UTF8.self)))\", and unk_token, "
                        + "\"\(escaped(missingUnknown))\", is not in its vocabulary: add it there, or leave such text out"
                )
            }
        }
        if isPending, let unknown { symbols.append(unknown) }
        try join(&symbols)
        out += symbols
    }

    /// Joins pairs, the lowest rank first and of equal ranks the leftmost.
    private func join(_ symbols: inout [Int32]) throws {
        guard symbols.count > 1 else { return }
        if symbols.count <= 24 { joinShort(&symbols) } else { try joinLong(&symbols) }
    }

    private func joinShort(_ symbols: inout [Int32]) {
        while symbols.count > 1 {
            var best = UInt64.max
            var place = -1
            for i in 0..<symbols.count - 1 {
                guard let merge = merges[Self.pair(symbols[i], symbols[i + 1])] else { continue }
                if merge >> 32 < best >> 32 || place < 0 {
                    best = merge
                    place = i
                }
            }
            guard place >= 0 else { return }
            symbols[place] = Int32(truncatingIfNeeded: best & 0xFFFF_FFFF)
            symbols.remove(at: place + 1)
        }
    }

    /// A list of symbols and a heap of the pairs that can be joined.
    private func joinLong(_ symbols: inout [Int32]) throws {
        let count = symbols.count
        var previous = (0..<count).map { $0 - 1 }
        var next = (0..<count).map { $0 + 1 < count ? $0 + 1 : -1 }
        var heap = PriorityQueue<RankedPair>()
        func push(_ left: Int, _ heap: inout PriorityQueue<RankedPair>) {
            guard left >= 0, next[left] >= 0,
                let merge = merges[Self.pair(symbols[left], symbols[next[left]])]
            else { return }
            heap.push(
                RankedPair(
                    rank: UInt32(truncatingIfNeeded: merge >> 32), position: UInt32(left), left: symbols[left],
                    right: symbols[next[left]], made: Int32(truncatingIfNeeded: merge & 0xFFFF_FFFF)))
        }
        for i in 0..<count - 1 { push(i, &heap) }
        var untilCheck = Self.stepsBetweenChecks
        while let entry = heap.pop() {
            untilCheck -= 1
            if untilCheck == 0 {
                try Interruption.check()
                untilCheck = Self.stepsBetweenChecks
            }
            let left = Int(entry.position)
            // The pair may have been joined to something else meanwhile.
            guard symbols[left] == entry.left, next[left] >= 0, symbols[next[left]] == entry.right else { continue }
            let right = next[left]
            symbols[left] = entry.made
            symbols[right] = -1
            next[left] = next[right]
            if next[right] >= 0 { previous[next[right]] = left }
            push(left, &heap)
            push(previous[left], &heap)
        }
        symbols.removeAll { $0 < 0 }
    }
}

/// Pairs by rank, then by position.
private struct RankedPair: Prioritized {
    let rank: UInt32
    let position: UInt32
    let left: Int32
    let right: Int32
    let made: Int32

    @inline(__always)
    private var order: UInt64 { UInt64(rank) << 32 | UInt64(position) }

    @inline(__always)
    func precedes(_ other: RankedPair) -> Bool { order < other.order }
}

/// GPT-2's letters for bytes: the printable ones stand for themselves, the others for characters from U+0100 on.
enum ByteAlphabet {
    /// The character of each byte.
    static let characters: [UInt32] = {
        var result = [UInt32](repeating: 0, count: 256)
        var extra: UInt32 = 256
        for byte in 0..<256 {
            let isPrintable = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
            result[byte] = isPrintable ? UInt32(byte) : extra
            if !isPrintable { extra += 1 }
        }
        return result
    }()

    /// The byte of each character; -1 for those that stand for none.
    static let bytes: [Int16] = {
        var result = [Int16](repeating: -1, count: 512)
        for (byte, character) in characters.enumerated() { result[Int(character)] = Int16(byte) }
        return result
    }()

    /// The token `<0xNN>` of each byte; -1 where there is none.
    static func fallbackTokens(_ id: (BytePairModel.Key) -> Int32?) -> [Int32] {
        (0..<256).map { byte in
            let digits = String(byte, radix: 16, uppercase: true)
            let name = "<0x" + (digits.utf8.count < 2 ? "0" : "") + digits + ">"
            return id(BytePairModel.Key(bytes: Array(name.utf8))) ?? -1
        }
    }

    /// The UTF-8 of bytes spelled in the alphabet.
    static func spelled(_ word: UnsafeBufferPointer<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(word.count + 8)
        for byte in word {
            let character = characters[Int(byte)]
            if character < 0x80 {
                result.append(UInt8(character))
            } else {
                result.append(UInt8(0xC0 | character >> 6))
                result.append(UInt8(0x80 | character & 0x3F))
            }
        }
        return result
    }
}
