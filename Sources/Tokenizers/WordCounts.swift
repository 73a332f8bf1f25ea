/// How often each word of a text occurs. Words lie one after another in one array, whatever their number.
struct WordCounts {
    struct Word {
        let start: Int
        let length: Int
        var count: Int
    }

    private(set) var words: [Word] = []
    private(set) var bytes: [UInt8] = []
    /// Places in `words` and one more, at positions that follow from the bytes; 0 for none. Its size is a power of two.
    private var table = [Int32](repeating: 0, count: 1 << 12)

    mutating func add(_ word: UnsafeBufferPointer<UInt8>) {
        var position = Self.hash(word) & (table.count - 1)
        while table[position] != 0 {
            let place = Int(table[position]) - 1
            if matches(words[place], word) {
                words[place].count += 1
                return
            }
            position = (position + 1) & (table.count - 1)
        }
        // 2^31 different words do not fit the memory of a machine that would be asked for them.
        guard words.count < Int(Int32.max) - 1 else { return }
        words.append(Word(start: bytes.count, length: word.count, count: 1))
        bytes.append(contentsOf: word)
        table[position] = Int32(words.count)
        if words.count * 2 > table.count { grow() }
    }

    private func matches(_ found: Word, _ word: UnsafeBufferPointer<UInt8>) -> Bool {
        guard found.length == word.count else { return false }
        return bytes.withUnsafeBufferPointer { bytes in
            for index in 0..<word.count where bytes[found.start + index] != word[index] { return false }
            return true
        }
    }

    private mutating func grow() {
        table = [Int32](repeating: 0, count: table.count * 2)
        bytes.withUnsafeBufferPointer { bytes in
            for (place, word) in words.enumerated() {
                let text = UnsafeBufferPointer(rebasing: bytes[word.start..<word.start + word.length])
                var position = Self.hash(text) & (table.count - 1)
                while table[position] != 0 { position = (position + 1) & (table.count - 1) }
                table[position] = Int32(place + 1)
            }
        }
    }

    /// FNV-1a, its high bits folded in.
    private static func hash(_ word: UnsafeBufferPointer<UInt8>) -> Int {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in word { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int(truncatingIfNeeded: value ^ value >> 32) & Int.max
    }
}
