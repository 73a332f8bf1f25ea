/// A table of normalisations as SentencePiece compiles it (`precompiled_charsmap`): a double array of strings, and what each
/// becomes.
struct PrecompiledMap: Sendable {
    private let units: [UInt32]
    private let texts: [UInt8]

    /// - Returns: nil for bytes that are no such table.
    init?(_ bytes: [UInt8]) {
        func number(_ offset: Int) -> UInt32 {
            bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
        }
        guard bytes.count >= 8 else { return nil }
        let size = Int(number(0))
        guard size % 4 == 0, size >= 4, size <= bytes.count - 4 else { return nil }
        units = stride(from: 4, to: 4 + size, by: 4).map(number)
        texts = Array(bytes[(4 + size)...])
        guard String(validating: texts, as: UTF8.self) != nil else { return nil }
    }

    /// What a text becomes; nil where the table does not have it.
    ///
    /// As in the library it is what the shortest beginning of it becomes that the table has.
    private func replacement(_ text: some Collection<UInt8>) -> ArraySlice<UInt8>? {
        var found: ArraySlice<UInt8>?
        forEachBeginning(text) { _, new in
            found = new
            return false
        }
        return found
    }

    /// The longest beginning of a text that the table has, and what it becomes, as SentencePiece has it.
    func longest(_ text: some Collection<UInt8>) -> (length: Int, ArraySlice<UInt8>)? {
        var found: (Int, ArraySlice<UInt8>)?
        forEachBeginning(text) { length, new in
            found = (length, new)
            return true
        }
        return found
    }

    /// Calls `body` with each beginning of a text that the table has, from the shortest on, until it answers with false.
    private func forEachBeginning(_ text: some Collection<UInt8>, _ body: (Int, ArraySlice<UInt8>) -> Bool) {
        guard var unit = units.first else { return }
        var (place, length) = (Self.offset(unit), 0)
        for byte in text {
            if byte == 0 { return }
            place ^= Int(byte)
            guard place < units.count else { return }
            unit = units[place]
            guard unit & (1 << 31 | 0xFF) == UInt32(byte) else { return }
            place ^= Self.offset(unit)
            length += 1
            guard unit >> 8 & 1 == 1 else { continue }
            guard place < units.count else { return }
            let start = Int(units[place] & (1 << 31 - 1))
            // A place inside of a character is one of a broken table.
            guard start < texts.count, texts[start] & 0xC0 != 0x80 else { return }
            guard body(length, texts[start...].prefix { $0 != 0 }) else { return }
        }
    }

    private static func offset(_ unit: UInt32) -> Int { Int(unit >> 10) << Int((unit & 1 << 9) >> 6) }

    /// Characters as readers see them are replaced as a whole where they are short, and otherwise each scalar by itself.
    func applied(to text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var position = 0
        func isSimple(_ index: Int) -> Bool {
            text[index] < 0x80 && text[index] != 0x0D && (index + 1 == text.count || text[index + 1] < 0x80)
        }
        while position < text.count {
            if isSimple(position) {
                let byte = text[position...position]
                result += replacement(byte) ?? byte
                position += 1
                continue
            }
            // A break is between two ASCII characters but within CR LF.
            var end = position + 1
            while end < text.count, text[end - 1] >= 0x80 || text[end] >= 0x80 || text[end - 1] == 0x0D { end += 1 }
            for character in String(decoding: text[position..<end], as: UTF8.self) {
                if character.utf8.count < 6, let new = replacement(Array(character.utf8)) {
                    result += new
                    continue
                }
                for scalar in character.unicodeScalars {
                    let bytes = Array(String(scalar).utf8)
                    result += replacement(bytes) ?? bytes[...]
                }
            }
            position = end
        }
        return result
    }
}
