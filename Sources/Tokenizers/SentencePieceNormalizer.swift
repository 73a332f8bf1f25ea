/// How SentencePiece writes a text before it looks for pieces in it: by its table, spaces as one letter, with one in front.
struct SentencePieceNormalizer: Sendable {
    /// Nil where characters stay as they are.
    let map: PrecompiledMap?
    /// Pieces that stay as they are.
    let symbols: ByteTrie
    let addsPrefix: Bool
    let joinsSpaces: Bool
    let escapesSpaces: Bool
    let endsWithSpace: Bool

    private static let letter: [UInt8] = [0xE2, 0x96, 0x81]

    /// Where the longest symbol ends that begins at a position; nil where none does.
    private func symbolEnd(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> Int? {
        var (node, end): (Int32, Int) = (0, position)
        var found: Int?
        while end < text.count, let next = symbols.child(node, text[end]) {
            node = next
            end += 1
            if symbols.value(node) >= 0 { found = end }
        }
        return found
    }

    func applied(to text: [UInt8]) -> [UInt8] {
        let space = escapesSpaces ? Self.letter : [0x20]
        var result: [UInt8] = []
        result.reserveCapacity(text.count + text.count / 4)
        text.withUnsafeBufferPointer { text in
            var position = 0
            /// What the next characters become.
            func take() -> ArraySlice<UInt8> {
                let start = position
                if let end = symbolEnd(text, position) {
                    position = end
                } else if let map, let (length, new) = map.longest(UnsafeBufferPointer(rebasing: text[position...])) {
                    position += length
                    return new
                } else {
                    position += scalar(text, at: position).length
                }
                return Array(text[start..<position])[...]
            }
            var piece: ArraySlice<UInt8> = []
            // Spaces at the beginning are none.
            while position < text.count {
                piece = take()
                if !joinsSpaces || piece != [0x20] { break }
                piece = []
            }
            guard position < text.count || !piece.isEmpty else { return }
            if addsPrefix, !endsWithSpace { result += space }
            var isAfterSpace = joinsSpaces
            while true {
                if isAfterSpace { piece = piece.drop { $0 == 0x20 } }
                for byte in piece {
                    if byte == 0x20 { result += space } else { result.append(byte) }
                }
                if let last = piece.last { isAfterSpace = joinsSpaces && last == 0x20 }
                guard position < text.count else { break }
                piece = take()
            }
            if joinsSpaces {
                while result.count >= space.count, result.suffix(space.count).elementsEqual(space) {
                    result.removeLast(space.count)
                }
            }
            if addsPrefix, endsWithSpace { result += space }
        }
        return result
    }
}
