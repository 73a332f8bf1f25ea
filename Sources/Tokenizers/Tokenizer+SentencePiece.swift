import Safetensors

extension Tokenizer {
    /// Reads the bytes of a SentencePiece model (tokenizer.model): unigram and BPE; ids are SentencePiece's own, without
    /// special tokens around a text, which the file does not tell of.
    ///
    /// - Throws: `TokenizerError` for what is not such a model, and for one of words or characters.
    init(sentencePiece bytes: [UInt8], file: String) throws {
        let parser = TokenizerParser(file: file)
        guard let model = SentencePieceFile(bytes), !model.pieces.isEmpty, model.pieces.count < 1 << 24,
            model.pieces.allSatisfy({ $0.score.isFinite })
        else { throw parser.malformed("the SentencePiece model") }
        guard model.type == 1 || model.type == 2 else {
            throw parser.refuse("a SentencePiece model of \(model.type == 3 ? "words" : "characters")")
        }
        guard !model.pieces.contains(where: { $0.kind == .unused }) else {
            throw parser.refuse("a SentencePiece model with unused pieces")
        }
        let order = model.pieces.map { BytePairModel.Key(bytes: $0.text) }
        let unknown = model.pieces.firstIndex { $0.kind == .unknown }.map { Int32($0) }
        let made: TokenModel
        if model.type == 1 {
            made = .unigram(
                UnigramModel(
                    model.pieces.map { ($0.text, Double($0.score)) }, unknown: unknown,
                    fallsBackToBytes: model.fallsBackToBytes, file: file,
                    isFound: model.pieces.map { $0.kind == .normal }, isSingle: true))
        } else {
            // Pieces of one score are joined from the left.
            let scores = Set(model.pieces.map(\.score)).sorted(by: >)
            let ranks = Dictionary(uniqueKeysWithValues: scores.enumerated().map { ($1, UInt32($0)) })
            let normal = model.pieces.enumerated().filter { $1.kind == .normal && !$1.text.isEmpty }
            var vocabulary: [BytePairModel.Key: Int32] = [:]
            for (id, key) in order.enumerated() { vocabulary[key] = Int32(id) }
            made = .bytePair(
                BytePairModel(
                    vocabulary: vocabulary, order: order,
                    merges: rankedMerges(
                        normal.map { ($0.element.text, Int32($0.offset), ranks[$0.element.score] ?? 0) }),
                    unknown: unknown,
                    missingUnknown: nil, fusesUnknown: true, fallsBackToBytes: model.fallsBackToBytes,
                    ignoresMerges: false, byteTokens: [Int32](repeating: -1, count: 256),
                    fallbackTokens: ByteAlphabet.fallbackTokens { vocabulary[$0] }, file: file, hasAllBytes: false))
        }
        var map: PrecompiledMap?
        if !model.charsMap.isEmpty {
            map = PrecompiledMap(model.charsMap)
            if map == nil { throw parser.malformed("precompiled_charsmap") }
        }
        var added = AddedVocabulary(made)
        var symbols = ByteTrie()
        for (id, piece) in model.pieces.enumerated() where !piece.text.isEmpty {
            switch piece.kind {
            case .control, .unknown:
                added.place(.init(content: piece.text, isSpecial: true, isNormalized: false), Int32(id))
            case .userDefined: symbols.insert(piece.text, Int32(id))
            case .normal, .byte, .unused: break
            }
        }
        let letter = Array("\u{2581}".utf8)
        try self.init(
            model: made,
            normalizations: [
                .sentencePiece(
                    SentencePieceNormalizer(
                        map: map, symbols: symbols, addsPrefix: model.addsPrefix, joinsSpaces: model.joinsSpaces,
                        escapesSpaces: model.escapesSpaces, endsWithSpace: model.endsWithSpace))
            ],
            preTokenizer: PreTokenizer([]),
            decodings: [.replace(letter, with: [0x20]), .byteFallback, .fuse]
                + (model.addsPrefix && !model.endsWithSpace ? [.strip([0x20], start: 1, stop: 0)] : []),
            template: ([], []), added: added, file: file, findsTokens: false)
        normalizedTokens = AddedTokens(
            model.pieces.enumerated().filter { $1.kind == .userDefined && !$1.text.isEmpty }.map { id, piece in
                let content = model.escapesSpaces ? replacing([0x20], with: letter, in: piece.text) : piece.text
                return AddedTokens.Pattern(content: content, id: Int32(id), token: .init(content: content))
            })
        func id(_ name: String) -> Int32? { model.pieces.firstIndex { $0.text == Array(name.utf8) }.map { Int32($0) } }
        (beginning, end) = (id("<s>") ?? id("<bos>"), id("</s>") ?? id("<eos>"))
    }
}

/// What a SentencePiece model says, of the protocol buffer that it is (sentencepiece_model.proto).
private struct SentencePieceFile {
    enum Kind: Int {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    struct Piece {
        var text: [UInt8] = []
        var score: Float = 0
        var kind = Kind.normal
    }

    var pieces: [Piece] = []
    /// 1 is a unigram, 2 a BPE.
    var type = 1
    var fallsBackToBytes = false
    var endsWithSpace = false
    var charsMap: [UInt8] = []
    var addsPrefix = true
    var joinsSpaces = true
    var escapesSpaces = true

    /// - Returns: nil for bytes that are no such message.
    init?(_ bytes: [UInt8]) {
        let isWhole = Self.forEachField(bytes[...]) { field, value in
            switch (field, value) {
            case (1, .bytes(let bytes)):
                var piece = Piece()
                let isPiece = Self.forEachField(bytes) { field, value in
                    switch (field, value) {
                    case (1, .bytes(let text)): piece.text = Array(text)
                    case (2, .fixed(let bits)): piece.score = Float(bitPattern: bits)
                    case (3, .number(let number)):
                        guard let kind = Kind(rawValue: Int(truncatingIfNeeded: number)) else { return false }
                        piece.kind = kind
                    default: break
                    }
                    return true
                }
                pieces.append(piece)
                return isPiece && String(validating: piece.text, as: UTF8.self) != nil
            case (2, .bytes(let bytes)):
                return Self.forEachField(bytes) { field, value in
                    guard case .number(let number) = value else { return true }
                    switch field {
                    case 3: type = Int(truncatingIfNeeded: number)
                    case 24: endsWithSpace = number != 0
                    case 35: fallsBackToBytes = number != 0
                    default: break
                    }
                    return true
                }
            case (3, .bytes(let bytes)):
                return Self.forEachField(bytes) { field, value in
                    switch (field, value) {
                    case (2, .bytes(let map)): charsMap = Array(map)
                    case (3, .number(let number)): addsPrefix = number != 0
                    case (4, .number(let number)): joinsSpaces = number != 0
                    case (5, .number(let number)): escapesSpaces = number != 0
                    default: break
                    }
                    return true
                }
            default: return true
            }
        }
        guard isWhole else { return nil }
    }

    private enum Value {
        case number(UInt64)
        case fixed(UInt32)
        case bytes(ArraySlice<UInt8>)
        case other
    }

    /// Calls `body` with the fields of a message until it answers with false.
    ///
    /// - Returns: whether all of it was read.
    private static func forEachField(_ bytes: ArraySlice<UInt8>, _ body: (Int, Value) -> Bool) -> Bool {
        var rest = bytes
        func number() -> UInt64? {
            var (value, shift) = (UInt64(0), UInt64(0))
            while let byte = rest.popFirst(), shift < 64 {
                value |= UInt64(byte & 0x7F) << shift
                if byte < 0x80 { return value }
                shift += 7
            }
            return nil
        }
        func take(_ count: UInt64) -> ArraySlice<UInt8>? {
            guard count <= UInt64(rest.count) else { return nil }
            defer { rest = rest.dropFirst(Int(count)) }
            return rest.prefix(Int(count))
        }
        while !rest.isEmpty {
            guard let key = number() else { return false }
            let value: Value
            switch key & 7 {
            case 0:
                guard let read = number() else { return false }
                value = .number(read)
            case 1:
                guard take(8) != nil else { return false }
                value = .other
            case 2:
                guard let count = number(), let read = take(count) else { return false }
                value = .bytes(read)
            case 5:
                guard let read = take(4) else { return false }
                value = .fixed(read.reversed().reduce(0) { $0 << 8 | UInt32($1) })
            default: return false
            }
            guard body(Int(truncatingIfNeeded: key >> 3), value) else { return false }
        }
        return true
    }
}
