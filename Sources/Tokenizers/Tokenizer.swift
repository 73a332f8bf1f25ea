import Safetensors

/// A tokenizer as Hugging Face's `tokenizer.json` describes it: byte-pair encoding, unigram, WordPiece or whole words, with
/// the library's normalizers, pre-tokenizers, post-processors and decoders.
///
/// ```swift
/// let tokenizer = try Tokenizer(contentsOf: "model/tokenizer.json")
/// let ids = try tokenizer.encode("Hello", addsSpecialTokens: true)
/// ```
public struct Tokenizer: Sendable {
    let model: TokenModel
    let normalizations: [Normalization]
    let preTokenizer: PreTokenizer
    let decodings: [Decoding]
    /// Found before normalisation, and after it.
    private(set) var rawTokens: AddedTokens
    var normalizedTokens: AddedTokens
    /// What the template puts before and after a text.
    let prefix: [Int32]
    let suffix: [Int32]
    /// The bytes of each token; nil for ids that have none.
    let tokens: [[UInt8]?]
    /// The tokens beside the model's.
    let added: AddedVocabulary
    /// The tokens that tokenizer_config.json says begin and end a text.
    package internal(set) var beginning: Int32?
    package internal(set) var end: Int32?
    /// What messages call it.
    let file: String

    /// - Parameter findsTokens: whether added tokens are looked for in text.
    init(
        model: TokenModel, normalizations: [Normalization], preTokenizer: PreTokenizer,
        decodings: [Decoding], template: (prefix: [Int32], suffix: [Int32]), added: AddedVocabulary, file: String,
        findsTokens: Bool = true
    ) throws {
        self.model = model
        self.normalizations = normalizations
        self.preTokenizer = preTokenizer
        self.decodings = decodings
        (prefix, suffix) = template
        self.added = added
        self.file = file
        (rawTokens, normalizedTokens) =
            findsTokens
            ? try added.patterns { try normalizations.applied(to: $0, file: file).text }
            : (AddedTokens([]), AddedTokens([]))
        var tokens: [[UInt8]?] = []
        func set(_ id: Int32, _ bytes: [UInt8]) {
            if Int(id) >= tokens.count { tokens += [[UInt8]?](repeating: nil, count: Int(id) + 1 - tokens.count) }
            tokens[Int(id)] = bytes
        }
        if case .unigram = model {
            // A token that is there twice has both ids.
            for (id, key) in model.order.enumerated() { set(Int32(id), key.bytes) }
        } else {
            for key in model.order.reversed() { if let id = model.vocabulary[key] { set(id, key.bytes) } }
        }
        for (id, token) in added.tokens {
            // As in tokenizers 0.23, whose text of a token is what it is found as; 0.22 has it as it was added.
            set(id, token.isNormalized ? try normalizations.applied(to: token.content, file: file).text : token.content)
        }
        self.tokens = tokens
    }

    /// One more than the largest id.
    public var vocabularySize: Int { tokens.count }

    /// The id of a special token by its name; nil where there is none.
    package func id(of special: String) -> Int? {
        let content = Array(special.utf8)
        return added.specialContents.contains(content) ? added.id(of: content).map(Int.init) : nil
    }

    /// The tokens of a text.
    ///
    /// - Parameter addsSpecialTokens: put what the tokenizer's template asks for before and after it.
    /// - Throws: `TokenizerError` for a text with characters that are unknown where there is no token for them, and one that
    ///   normalisation makes too long.
    public func encode(_ text: String, addsSpecialTokens: Bool = false) throws -> [Int32] {
        try encode(Array(text.utf8), addsSpecialTokens: addsSpecialTokens)
    }

    /// The tokens of a text in UTF-8; what is not UTF-8 is taken for replacement characters.
    ///
    /// - Throws: as for a string.
    public func encode(_ text: [UInt8], addsSpecialTokens: Bool = false) throws -> [Int32] {
        var out: [Int32] = addsSpecialTokens ? prefix : []
        var cache = WordCache()
        try encode(text, &cache, into: &out) { _, _, _ in }
        if addsSpecialTokens { out += suffix }
        return out
    }

    /// Appends the tokens of a text to `out`, and calls `body` after each part of it: an added token, or what is between
    /// two of them, with how many bytes more than those of the text were put in front of it.
    func encode(
        _ text: [UInt8], _ cache: inout WordCache, into out: inout [Int32],
        _ body: (_ byteCount: Int, _ part: EncodedPart, _ out: [Int32]) -> Void
    ) throws {
        let text =
            String(validating: text, as: UTF8.self) == nil ? Array(String(decoding: text, as: UTF8.self).utf8) : text
        if rawTokens.isEmpty {
            let prefixed = try encodePiece(text[...], isFirst: true, &cache, into: &out)
            body(text.count, .words(prefixed: prefixed), out)
        } else {
            try rawTokens.split(text[...]) { piece, token in
                if let token {
                    out.append(token)
                    body(piece.count, .addedToken, out)
                } else {
                    let prefixed = try encodePiece(piece, isFirst: piece.startIndex == 0, &cache, into: &out)
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
    ) throws -> Int {
        var prefixed = 0
        var text = piece
        var isFirst = isFirst
        if !normalizations.isEmpty {
            for case .prepend(let prefix) in normalizations where !piece.isEmpty { prefixed += unspelled(prefix).count }
            let (normalized, keepsStart) = try normalizations.applied(to: Array(piece), file: file)
            text = normalized[...]
            isFirst = isFirst && keepsStart
        }
        guard !normalizedTokens.isEmpty else {
            return try prefixed + encodeWords(text, isFirst: isFirst, &cache, into: &out)
        }
        let start = text.startIndex
        try normalizedTokens.split(text) { part, token in
            if let token {
                out.append(token)
            } else {
                prefixed += try encodeWords(part, isFirst: isFirst && part.startIndex == start, &cache, into: &out)
            }
        }
        return prefixed
    }

    /// Returns how many bytes were put in front.
    private func encodeWords(
        _ text: ArraySlice<UInt8>, isFirst: Bool, _ cache: inout WordCache, into out: inout [Int32]
    ) throws -> Int {
        guard !text.isEmpty else { return 0 }
        var prefixed = 0
        var untilCheck = Self.bytesBetweenChecks
        do {
            try text.withUnsafeBufferPointer { bytes in
                try preTokenizer.forEachWord(in: bytes, isFirst: isFirst, prefixed: &prefixed) { word in
                    untilCheck -= word.count
                    if untilCheck < 0 {
                        try Interruption.check()
                        untilCheck = Self.bytesBetweenChecks
                    }
                    try cache.encode(word, into: &out) {
                        try model.encode($0, isByteLevel: preTokenizer.isByteLevel, into: &$1)
                    }
                }
            }
        } catch let error as PatternError {
            throw TokenizerError(.unencodable, file: file, message: "its pre-tokenizer cannot take \(error.message)")
        }
        return prefixed
    }

    private static let bytesBetweenChecks = 1 << 16

    /// The text of tokens.
    ///
    /// - Parameter skipsSpecialTokens: leave out special tokens, as `tokenizers` does by default. Ids that stand for no
    ///   token are left out.
    public func decode(_ ids: [Int32], skipsSpecialTokens: Bool = true) -> String {
        var decoder = StreamingDecoder(self, skipsSpecialTokens: skipsSpecialTokens)
        var text = ""
        for id in ids { text += decoder.add(id) }
        return text + decoder.finish()
    }
}

/// Words whose tokens are known already: text repeats itself.
struct WordCache {
    private static let capacity = 1 << 16
    private static let longest = 32

    private var known: [BytePairModel.Key: [Int32]] = [:]

    mutating func encode(
        _ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32],
        _ make: (UnsafeBufferPointer<UInt8>, inout [Int32]) throws -> Void
    ) rethrows {
        guard word.count <= Self.longest else {
            try make(word, &out)
            return
        }
        let key = BytePairModel.Key(bytes: Array(word))
        if let tokens = known[key] {
            out += tokens
            return
        }
        var tokens: [Int32] = []
        try make(word, &tokens)
        out += tokens
        if known.count < Self.capacity { known[key] = tokens }
    }
}
