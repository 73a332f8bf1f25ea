import Safetensors

/// A tokenizer as Hugging Face's `tokenizer.json` describes it: byte-pair encoding, by bytes (GPT-2, Llama 3, Qwen) or by
/// characters with byte fallback (Llama 2, Mistral).
///
/// ```swift
/// let tokenizer = try Tokenizer(contentsOf: "model/tokenizer.json")
/// let ids = tokenizer.encode("Hello", addsSpecialTokens: true)
/// ```
public struct Tokenizer: Sendable {
    let model: BytePairModel
    let normalizations: [Normalization]
    let preTokenizations: [PreTokenization]
    let decodings: [Decoding]
    /// Found before normalisation, and after it.
    let rawTokens: AddedTokens
    let normalizedTokens: AddedTokens
    /// What the template puts before and after a text.
    let prefix: [Int32]
    let suffix: [Int32]
    /// The bytes of each token; nil for ids that have none.
    let tokens: [[UInt8]?]
    let specialIDs: Set<Int32>

    /// One more than the largest id.
    public var vocabularySize: Int { tokens.count }

    /// The id of a special token by its name; nil where there is none.
    package func id(of special: String) -> Int? {
        specialIDs.map(Int.init).first { tokens[$0].map { $0 == Array(special.utf8) } ?? false }
    }

    /// The tokens of a text.
    ///
    /// - Parameter addsSpecialTokens: put what the tokenizer's template asks for before and after it.
    public func encode(_ text: String, addsSpecialTokens: Bool = false) -> [Int32] {
        encode(Array(text.utf8), addsSpecialTokens: addsSpecialTokens)
    }

    /// The tokens of a text in UTF-8; what is not UTF-8 is taken for replacement characters.
    public func encode(_ text: [UInt8], addsSpecialTokens: Bool = false) -> [Int32] {
        var out: [Int32] = addsSpecialTokens ? prefix : []
        var cache = WordCache()
        encode(text, &cache, into: &out) { _, _, _ in }
        if addsSpecialTokens { out += suffix }
        return out
    }

    /// Appends the tokens of a text to `out`, and calls `body` after each part of it: an added token, or what is between
    /// two of them, with how many bytes more than those of the text were put in front of it.
    func encode(
        _ text: [UInt8], _ cache: inout WordCache, into out: inout [Int32],
        _ body: (_ byteCount: Int, _ part: EncodedPart, _ out: [Int32]) -> Void
    ) {
        let text =
            String(validating: text, as: UTF8.self) == nil ? Array(String(decoding: text, as: UTF8.self).utf8) : text
        if rawTokens.isEmpty {
            let prefixed = encodePiece(text[...], isFirst: true, &cache, into: &out)
            body(text.count, .words(prefixed: prefixed), out)
        } else {
            rawTokens.split(text[...]) { piece, token in
                if let token {
                    out.append(token)
                    body(piece.count, .addedToken, out)
                } else {
                    let prefixed = encodePiece(piece, isFirst: piece.startIndex == 0, &cache, into: &out)
                    body(piece.count, .words(prefixed: prefixed), out)
                }
            }
        }
    }

    /// What a part of a text was encoded as.
    enum EncodedPart {
        case addedToken
        /// Words, with so many bytes, spaces for example, put in front that the text does not have.
        case words(prefixed: Int)
    }

    /// Returns how many bytes were put in front.
    private func encodePiece(
        _ piece: ArraySlice<UInt8>, isFirst: Bool, _ cache: inout WordCache, into out: inout [Int32]
    ) -> Int {
        var text = normalizations.isEmpty ? piece : Array(piece)[...]
        var prefixed = 0
        for normalization in normalizations {
            if case .prepend(let prefix) = normalization, !text.isEmpty { prefixed += unspelled(prefix).count }
            text = normalization.applied(to: Array(text))[...]
        }
        guard !normalizedTokens.isEmpty else {
            return prefixed + encodeWords(text, isFirst: isFirst, &cache, into: &out)
        }
        let start = text.startIndex
        normalizedTokens.split(text) { part, token in
            if let token {
                out.append(token)
            } else {
                prefixed += encodeWords(part, isFirst: isFirst && part.startIndex == start, &cache, into: &out)
            }
        }
        return prefixed
    }

    /// Returns how many bytes were put in front.
    private func encodeWords(
        _ text: ArraySlice<UInt8>, isFirst: Bool, _ cache: inout WordCache, into out: inout [Int32]
    ) -> Int {
        guard !text.isEmpty else { return 0 }
        var whole = text
        var prefixed = 0
        var pattern: WordPattern?
        var isByteLevel = false
        for step in preTokenizations {
            switch step {
            case .words(let words): pattern = words
            case .byteLevel(let addsSpace):
                isByteLevel = true
                if addsSpace, whole.first != 0x20 {
                    whole = ([0x20] + whole)[...]
                    prefixed += 1
                }
            case .metaspace(let letter, let prepending):
                var spelled = replacing([0x20], with: letter, in: Array(whole))
                let prepends = prepending == .always || (prepending == .first && isFirst)
                if prepends, !spelled.starts(with: letter) {
                    spelled = letter + spelled
                    prefixed += 1
                }
                whole = spelled[...]
            }
        }
        whole.withUnsafeBufferPointer { bytes in
            guard let pattern else {
                if isByteLevel {
                    model.encodeBytes(bytes, into: &out)
                } else {
                    model.encodeCharacters(bytes, into: &out)
                }
                return
            }
            pattern.forEachWord(in: bytes) { range in
                let word = UnsafeBufferPointer(rebasing: bytes[range])
                cache.encode(word, into: &out) {
                    isByteLevel ? model.encodeBytes($0, into: &$1) : model.encodeCharacters($0, into: &$1)
                }
            }
        }
        return prefixed
    }

    /// The text of tokens.
    ///
    /// - Parameter skipsSpecialTokens: leave out special tokens, as `tokenizers` does by default. Ids that stand for no
    ///   token are left out.
    public func decode(_ ids: [Int32], skipsSpecialTokens: Bool = true) -> String {
        var parts: [[UInt8]] = []
        for id in ids {
            guard id >= 0, Int(id) < tokens.count, let token = tokens[Int(id)] else { continue }
            if skipsSpecialTokens, specialIDs.contains(id) { continue }
            parts.append(token)
        }
        for decoding in decodings { parts = decoding.applied(to: parts) }
        if decodings.isEmpty { return parts.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ") }
        return String(decoding: parts.flatMap { $0 }, as: UTF8.self)
    }
}

/// Words whose tokens are known already: text repeats itself.
struct WordCache {
    private static let capacity = 1 << 16
    private static let longest = 32

    private var known: [BytePairModel.Key: [Int32]] = [:]

    mutating func encode(
        _ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32],
        _ make: (UnsafeBufferPointer<UInt8>, inout [Int32]) -> Void
    ) {
        guard word.count <= Self.longest else {
            make(word, &out)
            return
        }
        let key = BytePairModel.Key(bytes: Array(word))
        if let tokens = known[key] {
            out += tokens
            return
        }
        var tokens: [Int32] = []
        make(word, &tokens)
        out += tokens
        if known.count < Self.capacity { known[key] = tokens }
    }
}
