/// What makes tokens of words.
enum TokenModel: Sendable {
    case bytePair(BytePairModel)
    case unigram(UnigramModel)
    case wordPiece(WordPieceModel)
    case wordLevel(WordLevelModel)

    /// The tokens as the file has them: of several with one id the first is what it stands for.
    var order: [BytePairModel.Key] {
        switch self {
        case .bytePair(let model): model.order
        case .unigram(let model): model.order
        case .wordPiece(let model): model.order
        case .wordLevel(let model): model.order
        }
    }

    var vocabulary: [BytePairModel.Key: Int32] {
        switch self {
        case .bytePair(let model): model.vocabulary
        case .unigram(let model): model.vocabulary
        case .wordPiece(let model): model.vocabulary
        case .wordLevel(let model): model.vocabulary
        }
    }

    /// How many tokens the model counts; the ids of added ones follow.
    var size: Int {
        if case .unigram(let model) = self { return model.order.count }
        return vocabulary.count
    }

    /// The token for what is unknown; nil where there is none.
    var unknown: Int32? {
        switch self {
        case .bytePair(let model): model.unknown
        case .unigram(let model): model.unknown
        case .wordPiece(let model): model.unknown
        case .wordLevel(let model): model.unknown
        }
    }

    var fallsBackToBytes: Bool {
        switch self {
        case .bytePair(let model): model.fallsBackToBytes
        case .unigram(let model): model.fallsBackToBytes
        case .wordPiece, .wordLevel: false
        }
    }

    /// A token without the letters that say where in a word it is.
    func unmarked(_ token: [UInt8]) -> [UInt8] {
        let (prefix, suffix): ([UInt8], [UInt8]) =
            switch self {
            case .bytePair(let model): (model.affixes.prefix, model.affixes.suffix)
            case .wordPiece(let model): (model.prefix, [])
            case .unigram, .wordLevel: ([], [])
            }
        var token = token[...]
        if !prefix.isEmpty, token.starts(with: prefix) { token = token.dropFirst(prefix.count) }
        if !suffix.isEmpty, token.suffix(suffix.count).elementsEqual(suffix) { token = token.dropLast(suffix.count) }
        return Array(token)
    }

    /// The tokens of a word.
    ///
    /// - Parameter isByteLevel: whether its bytes are still to be spelled in the byte alphabet.
    /// - Throws: `TokenizerError` for what is unknown where there is no token for it.
    func encode(_ word: UnsafeBufferPointer<UInt8>, isByteLevel: Bool, into out: inout [Int32]) throws {
        if case .bytePair(let model) = self, isByteLevel { return try model.encodeBytes(word, into: &out) }
        if isByteLevel {
            return try ByteAlphabet.spelled(word).withUnsafeBufferPointer {
                try encode($0, isByteLevel: false, into: &out)
            }
        }
        switch self {
        case .bytePair(let model): try model.encodeCharacters(word, into: &out)
        case .unigram(let model): try model.encode(word, into: &out)
        case .wordPiece(let model): try model.encode(word, into: &out)
        case .wordLevel(let model): try model.encode(word, into: &out)
        }
    }
}
