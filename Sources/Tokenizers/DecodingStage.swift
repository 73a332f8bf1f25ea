/// How tokens become text.
enum Decoding: Sendable {
    case byteLevel
    case replace([UInt8], with: [UInt8])
    case byteFallback
    case fuse
    case strip([UInt8], start: Int, stop: Int)
    case metaspace([UInt8], stripsFirst: Bool)
    case replacePattern(Pattern, with: [UInt8])
    /// Tokens that continue a word begin with a prefix; the others have a space in front.
    case wordPiece(prefix: [UInt8], cleans: Bool)
    /// Tokens that end a word end with a suffix, which becomes a space but in the last one.
    case wordEnds([UInt8])
    /// Tokens that repeat are one, padding is none, and a delimiter is a space.
    case ctc(pad: [UInt8], delimiter: [UInt8], cleans: Bool)
    /// Bytes of UTF-8 to text.
    case utf8
    /// A space between tokens.
    case separate

    /// Whether one text comes of all tokens.
    var joins: Bool {
        switch self {
        case .byteLevel, .fuse, .utf8: true
        default: false
        }
    }

    /// The bytes that a token of the byte alphabet spells; its own where it has other characters.
    static func bytes(_ token: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        return token.withUnsafeBufferPointer { buffer in
            var index = 0
            while index < buffer.count {
                let (value, length) = scalar(buffer, at: index)
                guard value < 512, ByteAlphabet.bytes[Int(value)] >= 0 else { return token }
                result.append(UInt8(ByteAlphabet.bytes[Int(value)]))
                index += max(length, 1)
            }
            return result
        }
    }
}

/// One step of a decoder, which takes tokens one after another and holds back what a later one can change.
struct DecodingStage: Sendable {
    private let decoding: Decoding
    /// Whether what comes are the pieces of one text, after a step that made one of all tokens.
    private let isJoined: Bool
    private var held: [UInt8] = []
    /// Whether nothing came before.
    private var isFirst = true
    /// What may still be stripped at the beginning of a text.
    private var toStrip: Int
    /// Whether a text is longer than the name of a byte.
    private var isLong = false
    /// Whether `held` is a token, if only an empty one.
    private var hasHeld = false

    init(_ decoding: Decoding, isJoined: Bool) {
        self.decoding = decoding
        self.isJoined = isJoined
        toStrip = if case .strip(_, let start, _) = decoding { start } else { 0 }
    }

    mutating func add(_ token: [UInt8], _ out: inout [[UInt8]]) {
        defer { isFirst = false }
        switch decoding {
        case .fuse: out.append(token)
        case .replacePattern, .wordPiece, .wordEnds, .ctc:
            addToken(token, &out)
        case .separate:
            if !isFirst { out.append([0x20]) }
            out.append(token)
        case .metaspace(let letter, let stripsFirst):
            // The library leaves out every letter of the first token.
            let isStripped = stripsFirst && (isFirst || isJoined)
            out.append(replacing(letter, with: isStripped ? [] : [0x20], in: token))
        case .utf8, .byteLevel:
            if case .byteLevel = decoding, isJoined {
                // Whether the text is of the byte alphabet is known at its end.
                held += token
            } else {
                if case .byteLevel = decoding { held += Decoding.bytes(token) } else { held += token }
                giveCharacters(&out)
            }
        case .byteFallback:
            addFallback(token, &out)
        case .replace(let old, let new):
            if isJoined {
                addReplacing(token, old, new, &out)
            } else {
                out.append(replacing(old, with: new, in: token))
            }
        case .strip(let content, let start, let stop):
            if isJoined {
                addStripping(token, content, stop, &out)
            } else {
                out.append(Self.stripped(token, content, start, stop))
            }
        }
    }

    mutating func finish(_ out: inout [[UInt8]]) {
        defer {
            held = []
            hasHeld = false
            isFirst = true
        }
        if case .wordEnds(let suffix) = decoding, hasHeld {
            return out.append(replacing(suffix, with: [], in: held))
        }
        if case .ctc = decoding, !isJoined { return }
        if isJoined, !held.isEmpty, let whole = Self.whole(held, decoding) { return out.append(whole) }
        guard !held.isEmpty else { return }
        switch decoding {
        case .utf8: out.append(Self.repaired(held))
        case .byteLevel: out.append(Self.repaired(isJoined ? Decoding.bytes(held) : held))
        case .byteFallback:
            if isJoined {
                guard let byte = fallbackByte(held) else { return out.append(held) }
                held = [byte]
            }
            giveRun(&out)
        case .strip(let content, _, let stop): out.append(Self.stripped(held, content, toStrip, stop))
        default: out.append(held)
        }
    }

    // MARK: - Whole tokens

    /// A token where tokens come, or a part of the one text, which is not settled before its end.
    private mutating func addToken(_ token: [UInt8], _ out: inout [[UInt8]]) {
        if isJoined {
            if case .wordEnds = decoding { hasHeld = true }
            held += token
            return
        }
        switch decoding {
        case .wordPiece(let prefix, let cleans):
            var text = token
            if !isFirst { text = token.starts(with: prefix) ? Array(token.dropFirst(prefix.count)) : [0x20] + token }
            out.append(cleans ? Self.cleaned(text) : text)
        case .wordEnds(let suffix):
            if hasHeld { out.append(replacing(suffix, with: [0x20], in: held)) }
            (held, hasHeld) = (token, true)
        case .ctc:
            if !isFirst, held == token { return }
            held = token
            if let whole = Self.whole(token, decoding), !whole.isEmpty { out.append(whole) }
        default:
            if let whole = Self.whole(token, decoding) { out.append(whole) }
        }
    }

    /// What becomes of a token that stands by itself; nil for a step that has no part in it.
    private static func whole(_ token: [UInt8], _ decoding: Decoding) -> [UInt8]? {
        switch decoding {
        case .replacePattern(let pattern, let new):
            // What takes too much memory, or is to end, stays as it is.
            return (try? replacing(pattern, with: new, in: token)) ?? token
        case .wordPiece(_, let cleans): return cleans ? cleaned(token) : token
        case .ctc(let pad, let delimiter, let cleans):
            let text = replacing(pad, with: [], in: token)
            return cleans ? replacing(delimiter, with: [0x20], in: cleaned(text)) : text
        default: return nil
        }
    }

    /// English as it is written.
    private static func cleaned(_ text: [UInt8]) -> [UInt8] {
        guard text.contains(0x20) else { return text }
        return cleanings.reduce(text) { replacing($1.0, with: $1.1, in: $0) }
    }

    private static let cleanings: [([UInt8], [UInt8])] = [
        (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
        (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
    ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

    // MARK: - Bytes

    private static func repaired(_ bytes: [UInt8]) -> [UInt8] { Array(String(decoding: bytes, as: UTF8.self).utf8) }

    /// Gives all but the bytes of a character that lacks some.
    private mutating func giveCharacters(_ out: inout [[UInt8]]) {
        var rest = 0
        for back in 1...3 where back <= held.count {
            let byte = held[held.count - back]
            if byte & 0xC0 == 0x80 { continue }
            let length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1
            if length > back { rest = back }
            break
        }
        guard held.count > rest else { return }
        out.append(Self.repaired(Array(held.dropLast(rest))))
        held = Array(held.suffix(rest))
    }

    // MARK: - Byte fallback

    private mutating func addFallback(_ token: [UInt8], _ out: inout [[UInt8]]) {
        if isJoined {
            // One token `<0xNN>` is a byte, and a longer text is none.
            guard !isLong else { return out.append(token) }
            held += token
            if held.count > 6 {
                out.append(held)
                held = []
                isLong = true
            }
        } else if let byte = fallbackByte(token) {
            held.append(byte)
        } else {
            if !held.isEmpty { giveRun(&out) }
            out.append(token)
        }
    }

    /// A run of bytes is UTF-8 as a whole, or a replacement character for each.
    private mutating func giveRun(_ out: inout [[UInt8]]) {
        if String(validating: held, as: UTF8.self) != nil {
            out.append(held)
        } else {
            out += held.map { _ in [0xEF, 0xBF, 0xBD] }
        }
        held = []
    }

    // MARK: - Replace and strip

    private mutating func addReplacing(_ piece: [UInt8], _ old: [UInt8], _ new: [UInt8], _ out: inout [[UInt8]]) {
        guard let first = old.first else { return out.append(piece) }
        held += piece
        var result: [UInt8] = []
        var index = 0
        while index < held.count {
            let left = held[index...].prefix(old.count)
            if held[index] == first, old.starts(with: left) {
                guard left.count == old.count else { break }
                result += new
                index += old.count
            } else {
                result.append(held[index])
                index += 1
            }
        }
        held.removeFirst(index)
        if !result.isEmpty { out.append(result) }
    }

    private mutating func addStripping(_ piece: [UInt8], _ content: [UInt8], _ stop: Int, _ out: inout [[UInt8]]) {
        held += piece
        while toStrip > 0 {
            if held.starts(with: content) {
                held.removeFirst(content.count)
                toStrip -= 1
            } else if content.starts(with: held) {
                return
            } else {
                toStrip = 0
            }
        }
        // What may be stripped at the end stays, in whole characters.
        var end = max(held.count - stop * content.count, 0)
        while end > 0, end < held.count, held[end] & 0xC0 == 0x80 { end -= 1 }
        guard end > 0 else { return }
        out.append(Array(held[..<end]))
        held.removeFirst(end)
    }

    private static func stripped(_ token: [UInt8], _ content: [UInt8], _ start: Int, _ stop: Int) -> [UInt8] {
        var token = token[...]
        for _ in 0..<start where token.starts(with: content) { token = token.dropFirst(content.count) }
        for _ in 0..<stop where token.suffix(content.count).elementsEqual(content) {
            token = token.dropLast(content.count)
        }
        return Array(token)
    }
}

/// The byte that a token `<0xNN>` stands for.
func fallbackByte(_ token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: [0x3C, 0x30, 0x78]), token[5] == 0x3E else { return nil }
    return UInt8(String(decoding: token[3...4], as: UTF8.self), radix: 16)
}
