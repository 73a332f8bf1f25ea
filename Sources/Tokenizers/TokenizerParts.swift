import Safetensors

/// Why a tokenizer cannot be used.
public struct TokenizerError: Error, Sendable, CustomStringConvertible {
    /// The file that it is about.
    public let file: String
    /// What is wrong, and what to do.
    public let message: String

    public var description: String { "\(escaped(file)): \(message)" }
}

/// What is done to text before it is cut into words.
enum Normalization: Sendable {
    case canonicalComposition
    case prepend([UInt8])
    case replace([UInt8], with: [UInt8])

    func applied(to text: [UInt8]) -> [UInt8] {
        switch self {
        case .canonicalComposition:
            if text.allSatisfy({ $0 < 0x80 }) { return text }
            return Array(composed(String(decoding: text, as: UTF8.self)).utf8)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let old, let new): return replacing(old, with: new, in: text)
        }
    }
}

/// Every occurrence of some bytes replaced, from the left.
func replacing(_ old: [UInt8], with new: [UInt8], in text: [UInt8]) -> [UInt8] {
    guard let first = old.first else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 4)
    var index = 0
    while index < text.count {
        if text[index] == first, index + old.count <= text.count,
            text[index..<index + old.count].elementsEqual(old)
        {
            result += new
            index += old.count
        } else {
            result.append(text[index])
            index += 1
        }
    }
    return result
}

/// How text is cut and spelled before the model.
enum PreTokenization: Sendable {
    /// Words of a pattern, each by itself.
    case words(WordPattern)
    /// Bytes are the symbols; with a space in front where asked for.
    case byteLevel(addsSpace: Bool)
    /// Spaces become a letter, which is put in front as well: always, or at the beginning of the text alone.
    case metaspace([UInt8], prepends: Prepending)

    enum Prepending: String, Sendable { case first, always, never }
}

/// How tokens become text.
enum Decoding: Sendable {
    case byteLevel
    case replace([UInt8], with: [UInt8])
    case byteFallback
    case fuse
    case strip([UInt8], start: Int, stop: Int)
    case metaspace([UInt8], stripsFirst: Bool)

    func applied(to tokens: [[UInt8]]) -> [[UInt8]] {
        switch self {
        case .byteLevel: return [tokens.flatMap { Self.bytes($0) }]
        case .replace(let old, let new): return tokens.map { replacing(old, with: new, in: $0) }
        case .byteFallback: return Self.fallback(tokens)
        case .fuse: return [tokens.flatMap { $0 }]
        case .strip(let content, let start, let stop):
            return tokens.map { token in
                var token = token[...]
                for _ in 0..<start where token.starts(with: content) { token = token.dropFirst(content.count) }
                for _ in 0..<stop where token.suffix(content.count).elementsEqual(content) {
                    token = token.dropLast(content.count)
                }
                return Array(token)
            }
        case .metaspace(let letter, let stripsFirst):
            return tokens.enumerated().map { index, token in
                let text = replacing(letter, with: [0x20], in: token)
                return index == 0 && stripsFirst && text.first == 0x20 ? Array(text.dropFirst()) : text
            }
        }
    }

    /// The bytes that a token of the byte alphabet spells; its own where it has other characters.
    private static func bytes(_ token: [UInt8]) -> [UInt8] {
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

    /// Runs of `<0xNN>` are the bytes they name where these are UTF-8, and replacement characters otherwise.
    private static func fallback(_ tokens: [[UInt8]]) -> [[UInt8]] {
        var result: [[UInt8]] = []
        var pending: [UInt8] = []
        func flush() {
            guard !pending.isEmpty else { return }
            if String(validating: pending, as: UTF8.self) != nil {
                result.append(pending)
            } else {
                result += pending.map { _ in [0xEF, 0xBF, 0xBD] }
            }
            pending = []
        }
        for token in tokens {
            if let byte = fallbackByte(token) {
                pending.append(byte)
            } else {
                flush()
                result.append(token)
            }
        }
        flush()
        return result
    }
}

/// The byte that a token `<0xNN>` stands for.
func fallbackByte(_ token: [UInt8]) -> UInt8? {
    guard token.count == 6, token.starts(with: [0x3C, 0x30, 0x78]), token[5] == 0x3E else { return nil }
    return UInt8(String(decoding: token[3...4], as: UTF8.self), radix: 16)
}
