import Safetensors

extension Tokenizer {
    /// Reads the bytes of a tekken.json, as Mistral's own tokenizers are written; ids are mistral-common's.
    ///
    /// Special tokens are not looked for in text. The template is `<s>` before it.
    ///
    /// - Throws: `SafetensorsError` for what is not JSON; `TokenizerError` for what is not as it should be.
    init(tekken bytes: [UInt8], file: String) throws {
        let parser = TokenizerParser(file: file)
        guard let object = try JSON(parsing: bytes, file: file).object, let config = object["config"]?.object else {
            throw parser.malformed("config")
        }
        guard let size = config["default_vocab_size"]?.int, let special = config["default_num_special_tokens"]?.int,
            special >= 0, size > special, size < 1 << 24, let pattern = config["pattern"]?.string
        else { throw parser.malformed("default_vocab_size, default_num_special_tokens or pattern") }
        var tokens: [(bytes: [UInt8], id: Int32, rank: UInt32)] = []
        for (index, entry) in try parser.list(object["vocab"], "vocab").prefix(size - special).enumerated() {
            guard let rank = entry.object?["rank"]?.int, rank == index,
                let bytes = entry.object?["token_bytes"]?.string.flatMap(TokenizerParser.base64), !bytes.isEmpty
            else { throw parser.malformed("token \(index) of vocab") }
            tokens.append((bytes, Int32(index + special), UInt32(index)))
        }
        guard tokens.count >= 256, tokens.prefix(256).allSatisfy({ $0.bytes.count == 1 }) else {
            throw parser.malformed("vocab, whose first 256 tokens are the bytes,")
        }
        var (vocabulary, order): ([BytePairModel.Key: Int32], [BytePairModel.Key]) = ([:], [])
        var byteTokens = [Int32](repeating: -1, count: 256)
        for token in tokens {
            let key = BytePairModel.Key(bytes: token.bytes.withUnsafeBufferPointer { ByteAlphabet.spelled($0) })
            vocabulary[key] = token.id
            order.append(key)
            if token.bytes.count == 1 { byteTokens[Int(token.bytes[0])] = token.id }
        }
        let model = BytePairModel(
            vocabulary: vocabulary, order: order, merges: rankedMerges(tokens), unknown: nil, missingUnknown: nil,
            fusesUnknown: false, fallsBackToBytes: false, ignoresMerges: true, byteTokens: byteTokens,
            fallbackTokens: [Int32](repeating: -1, count: 256), file: file,
            hasAllBytes: byteTokens.allSatisfy { $0 >= 0 })
        var names = (0..<special).map { "<SPECIAL_\($0)>" }
        for (index, name) in ["<unk>", "<s>", "</s>"].enumerated() where index < special { names[index] = name }
        for entry in try parser.list(object["special_tokens"], "special_tokens") {
            guard let rank = entry.object?["rank"]?.int, names.indices.contains(rank),
                let name = entry.object?["token_str"]?.string
            else { throw parser.malformed("special_tokens") }
            names[rank] = name
        }
        let split: JSON = .object([
            "type": "Split", "pattern": .object(["Regex": .string(pattern)]), "behavior": "Isolated", "invert": false,
        ])
        var added = AddedVocabulary(.bytePair(model))
        for (id, name) in names.enumerated() {
            added.place(
                AddedTokens.Token(content: Array(name.utf8), isSpecial: true, isNormalized: false), Int32(id))
        }
        let beginning = names.firstIndex(of: "<s>").map { Int32($0) }
        try self.init(
            model: .bytePair(model), normalizations: [],
            preTokenizer: PreTokenizer(
                parser.preTokenizations(split) + [.byteLevel(addsSpace: false, splits: false)]),
            decodings: [.byteLevel], template: (beginning.map { [$0] } ?? [], []), added: added, file: file,
            findsTokens: false)
        self.beginning = beginning
        end = names.firstIndex(of: "</s>").map { Int32($0) }
    }
}
