/// What the pre-tokenizers' usual patterns ask of a character.
enum CharacterClass {
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 4

    /// The classes of a scalar: `\p{L}`, `\p{N}` and `\s`.
    @inline(__always)
    static func of(_ scalar: UInt32, _ table: UnsafePointer<UInt8>) -> UInt8 {
        scalar <= ScalarSet.largest ? table[Int(scalar)] : 0
    }

    /// The classes of every scalar, worked out once.
    static let table: [UInt8] = {
        var result = [UInt8](repeating: 0, count: Int(ScalarSet.largest) + 1)
        let sets = [(UnicodeData.letter, letter), (UnicodeData.number, number), (UnicodeData.whiteSpace, space)]
        for (set, kind) in sets {
            for span in set.spans {
                for scalar in Int(span.first)...Int(span.last) { result[scalar] |= kind }
            }
        }
        return result
    }()
}

/// Reads a scalar of well-formed UTF-8, and how many bytes it has.
@inline(__always)
func scalar(_ bytes: UnsafeBufferPointer<UInt8>, at index: Int) -> (value: UInt32, length: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 { return (first, 1) }
    func tail(_ offset: Int) -> UInt32 {
        index + offset < bytes.count ? UInt32(bytes[index + offset] & 0x3F) : 0
    }
    if first < 0xE0 { return ((first & 0x1F) << 6 | tail(1), min(2, bytes.count - index)) }
    if first < 0xF0 { return ((first & 0x0F) << 12 | tail(1) << 6 | tail(2), min(3, bytes.count - index)) }
    return ((first & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), min(4, bytes.count - index))
}
