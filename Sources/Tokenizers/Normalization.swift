import Safetensors

/// One step of what is done to text before it is cut into words.
enum Normalization: Sendable {
    case form(NormalizationForm)
    case lowercase
    case strip(left: Bool, right: Bool)
    case stripAccents
    case bert(BertNormalization)
    case prepend([UInt8])
    case replace([UInt8], with: [UInt8])
    case replacePattern(Pattern, with: [UInt8])
    /// Bytes as letters of the byte alphabet.
    case byteLevel
    /// What SentencePiece's nmt_nfkc does beside NFKC.
    case nmt
    case precompiled(PrecompiledMap)
    case sentencePiece(SentencePieceNormalizer)

    /// What Prepend and Replace may put in: they are for letters that stand for spaces.
    static let longestInsertion = 1024

    private static let spaces = ScalarLookup(UnicodeData.whiteSpace)
    private static let marks = ScalarLookup(UnicodeData.combiningMark)

    /// - Parameter limit: about where a text that has become longer is cut.
    fileprivate func applied(to text: [UInt8], limit: Int) throws -> [UInt8] {
        switch self {
        case .form(let form): return form.applied(to: text)
        case .lowercase: return Lowercase.applied(to: text)
        case .strip(let left, let right): return Self.stripped(text, left, right)
        case .stripAccents:
            if text.allSatisfy({ $0 < 0x80 }) { return text }
            return mapScalars(text) { value, out in if !Self.marks.contains(value) { append(value, to: &out) } }
        case .bert(let normalization): return normalization.applied(to: text)
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let old, let new): return replacing(old, with: new, in: text, limit: limit)
        case .replacePattern(let pattern, let new): return try replacing(pattern, with: new, in: text, limit: limit)
        case .byteLevel: return text.withUnsafeBufferPointer { ByteAlphabet.spelled($0) }
        case .nmt: return mapScalars(text, Self.nmt)
        case .precompiled(let map): return map.applied(to: text)
        case .sentencePiece(let normalizer): return normalizer.applied(to: text)
        }
    }

    /// Whether the beginning of a text is that of the text before it, as the library's offsets have it; nil where the step has
    /// no part in that.
    fileprivate func keepsStart(of text: [UInt8]) throws -> Bool? {
        guard !text.isEmpty else { return nil }
        let (first, length) = text.withUnsafeBufferPointer { scalar($0, at: 0) }
        switch self {
        case .strip(let left, _): return left && Self.spaces.contains(first) ? false : nil
        case .stripAccents: return Self.marks.contains(first) ? false : nil
        case .nmt:
            var kept: [UInt8] = []
            Self.nmt(first, &kept)
            return kept.isEmpty ? false : nil
        case .bert(let normalization): return normalization.takesOut(first) ? false : nil
        case .replace(let old, let new):
            guard text.starts(with: old) else { return nil }
            return !new.isEmpty && old.count == length ? nil : false
        case .replacePattern(let pattern, let new):
            let end = try text.withUnsafeBufferPointer { try pattern.endOfMatch(atStartOf: $0) }
            guard let end else { return nil }
            if end == 0 { return new.isEmpty ? nil : true }
            return !new.isEmpty && end == length ? nil : false
        case .form, .lowercase, .prepend, .byteLevel, .precompiled, .sentencePiece: return nil
        }
    }

    private static func stripped(_ text: [UInt8], _ left: Bool, _ right: Bool) -> [UInt8] {
        var (start, end) = (0, text.count)
        text.withUnsafeBufferPointer { text in
            while left, start < end {
                let (value, length) = scalar(text, at: start)
                guard spaces.contains(value) else { break }
                start += length
            }
            while right, start < end {
                var place = end - 1
                while place > start, text[place] & 0xC0 == 0x80 { place -= 1 }
                guard spaces.contains(scalar(text, at: place).value) else { break }
                end = place
            }
        }
        return start == 0 && end == text.count ? text : Array(text[start..<end])
    }

    private static func nmt(_ value: UInt32, _ out: inout [UInt8]) {
        switch value {
        case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: break
        case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD: out.append(0x20)
        default: append(value, to: &out)
        }
    }
}

/// Lower case, each character by itself.
enum Lowercase {
    private static let mapping = UnicodeData.mapping(UnicodeMappings.lowercase)

    static func applied(to text: [UInt8]) -> [UInt8] {
        if text.allSatisfy({ $0 < 0x80 }) { return text.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 } }
        return mapScalars(text) { value, out in
            if value < 0x80 {
                out.append(value >= 0x41 && value <= 0x5A ? UInt8(value) | 0x20 : UInt8(value))
            } else if value == 0x130 {
                out += [0x69, 0xCC, 0x87]
            } else {
                append(mapping[value] ?? value, to: &out)
            }
        }
    }
}

/// What BertNormalizer does.
struct BertNormalization: Sendable {
    let cleansText: Bool
    let spacesChinese: Bool
    let stripsAccents: Bool
    let lowercases: Bool

    private static let unclean = ScalarLookup(UnicodeData.unclean)
    private static let spaces = ScalarLookup(UnicodeData.whiteSpace)
    private static let accents = ScalarLookup(UnicodeData.accent)

    func applied(to text: [UInt8]) -> [UInt8] {
        var text = text
        if cleansText {
            text = mapScalars(text) { value, out in
                if Self.unclean.contains(value) { return }
                append(Self.spaces.contains(value) ? 0x20 : value, to: &out)
            }
        }
        if spacesChinese, !text.allSatisfy({ $0 < 0x80 }) {
            text = mapScalars(text) { value, out in
                let isChinese = Self.isChinese(value)
                if isChinese { out.append(0x20) }
                append(value, to: &out)
                if isChinese { out.append(0x20) }
            }
        }
        if stripsAccents, !text.allSatisfy({ $0 < 0x80 }) {
            text = mapScalars(NormalizationForm.decomposed.applied(to: text)) { value, out in
                if !Self.accents.contains(value) { append(value, to: &out) }
            }
        }
        return lowercases ? Lowercase.applied(to: text) : text
    }

    /// Whether a character is none of the result.
    func takesOut(_ value: UInt32) -> Bool {
        cleansText && Self.unclean.contains(value) || stripsAccents && Self.accents.contains(value)
    }

    private static func isChinese(_ value: UInt32) -> Bool {
        switch value {
        case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
            0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}

extension [Normalization] {
    /// The text after all of them, and whether it begins with what the text began with: a letter that is put at the beginning
    /// of a text is not put where that was taken out.
    ///
    /// - Parameter file: the tokenizer's, for messages.
    /// - Throws: for a text that becomes many times as long: one replacement after another doubles it without bound.
    func applied(to text: [UInt8], file: String) throws -> (text: [UInt8], keepsStart: Bool) {
        let limit = (1 << 16) + 32 * text.count
        var (result, keepsStart) = (text, true)
        for normalization in self {
            try Interruption.check()
            do {
                keepsStart = try normalization.keepsStart(of: result) ?? keepsStart
                result = try normalization.applied(to: result, limit: limit)
            } catch let error as PatternError {
                throw TokenizerError(.unencodable, file: file, message: "its normalizer cannot take \(error.message)")
            }
            guard result.count <= limit else {
                throw TokenizerError(
                    .unencodable, file: file,
                    message:
                        "its normalizer makes more than \(limit) bytes of a text of \(text.count): Replace and Prepend are "
                        + "for the letters that stand for spaces")
            }
        }
        return (result, keepsStart)
    }
}

/// Every scalar of a text by what it becomes.
func mapScalars(_ text: [UInt8], _ body: (UInt32, inout [UInt8]) -> Void) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 8)
    text.withUnsafeBufferPointer { text in
        var position = 0
        while position < text.count {
            let (value, length) = scalar(text, at: position)
            body(value, &result)
            position += length
        }
    }
    return result
}

/// Every occurrence of some bytes replaced, from the left.
///
/// - Parameter limit: about where a text that has become longer is cut.
func replacing(_ old: [UInt8], with new: [UInt8], in text: [UInt8], limit: Int = .max) -> [UInt8] {
    guard let first = old.first else { return text }
    var result: [UInt8] = []
    result.reserveCapacity(text.count + text.count / 4)
    var index = 0
    while index < text.count, result.count <= limit {
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

/// Everything that a pattern finds replaced.
///
/// - Parameter limit: about where a text that has become longer is cut.
func replacing(_ pattern: Pattern, with new: [UInt8], in text: [UInt8], limit: Int = .max) throws -> [UInt8] {
    // The library looks for nothing in nothing.
    if text.isEmpty { return text }
    var result: [UInt8] = []
    var last = 0
    try text.withUnsafeBufferPointer { buffer in
        try pattern.forEachMatch(in: buffer) { match in
            guard result.count <= limit else { return }
            result += text[last..<match.lowerBound]
            result += new
            last = match.upperBound
        }
    }
    return result + text[last...]
}
