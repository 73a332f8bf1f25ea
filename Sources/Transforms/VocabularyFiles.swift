import Checkpoints
import Safetensors

/// How the tokens of a vocabulary file are written: those of one spelling can be compared.
enum TokenSpelling: Sendable {
    /// As in tokenizer.json, vocab.json and SentencePiece's pieces.
    case text
    /// Bytes in base64, as tiktoken has them.
    case ranks
    /// Bytes in base64, as tekken.json has them.
    case tekken
}

/// Vocabularies in files other than tokenizer.json.
enum VocabularyFiles {
    /// The tokens of the first of a checkpoint's files that can be read as a vocabulary; nil where none can.
    static func tokens(_ checkpoint: Checkpoint) throws -> (spelling: TokenSpelling, ids: [ExactText: Int])? {
        func content(_ name: String) throws -> [UInt8]? {
            guard let companion = checkpoint.companions.first(where: { $0.name == name }) else { return nil }
            switch companion.content {
            case .file(let path): return try PosixFile.contents(path, limit: 512 << 20)
            case .bytes(let bytes): return bytes
            }
        }
        for name in ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model"] {
            guard let bytes = try content(name) else { continue }
            if let pieces = pieces(bytes) {
                var ids = numbered(pieces)
                if let bytes = try content("added_tokens.json") {
                    let added = try JSON(parsing: bytes, file: "added_tokens.json").object ?? JSONObject()
                    for key in added.keys { ids[ExactText(key)] = added[key]?.int }
                }
                return (.text, ids)
            }
            if let ids = ranks(bytes) { return (.ranks, ids) }
        }
        if let bytes = try content("tekken.json"), let ids = try tekken(bytes) { return (.tekken, ids) }
        if let bytes = try content("vocab.json") {
            guard let object = try JSON(parsing: bytes, file: "vocab.json").object else { return nil }
            var ids: [ExactText: Int] = [:]
            for key in object.keys { ids[ExactText(key)] = object[key]?.int }
            return ids.isEmpty ? nil : (.text, ids)
        }
        return nil
    }

    private static func numbered(_ tokens: [String]) -> [ExactText: Int] {
        Dictionary(tokens.enumerated().map { (ExactText($0.element), $0.offset) }) { first, _ in first }
    }

    /// The pieces of a SentencePiece model: field 1 of each field 1 of its protocol buffer; nil where it is none.
    static func pieces(_ bytes: [UInt8]) -> [String]? {
        var pieces: [String] = []
        var message = WireReader(bytes[...])
        while let field = message.next() {
            guard field.number == 1, let body = field.bytes else { continue }
            var piece = WireReader(body)
            var text: String?
            while let part = piece.next() {
                if part.number == 1, let content = part.bytes { text = String(validating: content, as: UTF8.self) }
            }
            guard let text, !piece.isBroken else { return nil }
            pieces.append(text)
        }
        return message.isBroken || pieces.isEmpty ? nil : pieces
    }

    /// Lines of a token in base64 and its rank; nil where the file is none.
    private static func ranks(_ bytes: [UInt8]) -> [ExactText: Int]? {
        var ids: [ExactText: Int] = [:]
        for line in bytes.split(separator: 0x0A) {
            let parts = line.split(separator: 0x20)
            guard parts.count == 2, let token = String(validating: parts[0], as: UTF8.self),
                let rank = Int(String(decoding: parts[1], as: UTF8.self))
            else { return nil }
            ids[ExactText(token)] = rank
        }
        return ids.isEmpty ? nil : ids
    }

    private static func tekken(_ bytes: [UInt8]) throws -> [ExactText: Int]? {
        guard let object = try JSON(parsing: bytes, file: "tekken.json").object,
            let vocabulary = object["vocab"]?.array
        else { return nil }
        var ids: [ExactText: Int] = [:]
        for entry in vocabulary {
            guard let token = entry.object?["token_bytes"]?.string, let rank = entry.object?["rank"]?.int else {
                return nil
            }
            ids[ExactText(token)] = rank
        }
        for entry in object["special_tokens"]?.array ?? [] {
            guard let token = entry.object?["token_str"]?.string else { continue }
            // No base64 begins with a colon.
            ids[ExactText(":" + token)] = entry.object?["rank"]?.int
        }
        return ids.isEmpty ? nil : ids
    }
}

/// Reads the fields of a protocol buffer's message.
private struct WireReader {
    private var rest: ArraySlice<UInt8>
    /// Whether what was read is no message.
    private(set) var isBroken = false

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// The next field, and its bytes where it has a length; nil at the end.
    mutating func next() -> (number: UInt64, bytes: ArraySlice<UInt8>?)? {
        guard !rest.isEmpty, !isBroken else { return nil }
        guard let tag = varint() else { return broken() }
        switch tag & 7 {
        case 0: return varint() == nil ? broken() : (tag >> 3, nil)
        case 1: return take(8) == nil ? broken() : (tag >> 3, nil)
        case 5: return take(4) == nil ? broken() : (tag >> 3, nil)
        case 2:
            guard let count = varint(), let size = Int(exactly: count), let bytes = take(size) else { return broken() }
            return (tag >> 3, bytes)
        default: return broken()
        }
    }

    private mutating func broken() -> (number: UInt64, bytes: ArraySlice<UInt8>?)? {
        isBroken = true
        return nil
    }

    private mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count <= rest.count else { return nil }
        let bytes = rest.prefix(count)
        rest = rest.dropFirst(count)
        return bytes
    }

    private mutating func varint() -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }
}
