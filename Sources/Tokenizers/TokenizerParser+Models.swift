import Safetensors

extension TokenizerParser {
    func model(_ object: JSONObject) throws -> TokenModel {
        let type = try modelType(object)
        switch type {
        case "BPE": return .bytePair(try bytePair(object))
        case "Unigram": return .unigram(try unigram(object))
        case "WordPiece":
            let (vocabulary, order) = try vocabulary(object)
            guard let unknown = object["unk_token"]?.string, let prefix = object["continuing_subword_prefix"]?.string,
                let longest = object["max_input_chars_per_word"]?.int, longest >= 0
            else {
                throw malformed("WordPiece's unk_token, continuing_subword_prefix or max_input_chars_per_word")
            }
            return .wordPiece(
                WordPieceModel(
                    order: order, vocabulary: vocabulary, unknown: unknown, prefix: Array(prefix.utf8),
                    longestWord: longest, file: file))
        case "WordLevel":
            let (vocabulary, order) = try vocabulary(object)
            guard let unknown = object["unk_token"]?.string else { throw malformed("WordLevel's unk_token") }
            return .wordLevel(WordLevelModel(order: order, vocabulary: vocabulary, unknown: unknown, file: file))
        default: throw refuse("a model of type \(escaped(type))")
        }
    }

    /// The type; older files do not say it.
    private func modelType(_ object: JSONObject) throws -> String {
        if let type = object["type"], !type.isNull {
            guard let name = type.string else { throw malformed("the model's type") }
            return name
        }
        if object["merges"] != nil { return "BPE" }
        if object["vocab"]?.array != nil { return "Unigram" }
        return object["continuing_subword_prefix"] == nil ? "WordLevel" : "WordPiece"
    }

    private func vocabulary(_ object: JSONObject) throws -> ([BytePairModel.Key: Int32], order: [BytePairModel.Key]) {
        guard let entries = object["vocab"]?.object else { throw malformed("the vocabulary") }
        var vocabulary: [BytePairModel.Key: Int32] = [:]
        vocabulary.reserveCapacity(entries.keys.count)
        var order: [BytePairModel.Key] = []
        order.reserveCapacity(entries.keys.count)
        for key in entries.keys {
            guard let id = entries[key]?.int.flatMap({ Int32(exactly: $0) }), id >= 0, id < 1 << 24 else {
                throw malformed("the id of the token \"\(escaped(key))\"")
            }
            let token = BytePairModel.Key(bytes: Array(key.utf8))
            vocabulary[token] = id
            order.append(token)
        }
        return (vocabulary, order)
    }

    private func unigram(_ object: JSONObject) throws -> UnigramModel {
        guard let entries = object["vocab"]?.array, entries.count < 1 << 24 else { throw malformed("the vocabulary") }
        var pieces: [(token: [UInt8], score: Double)] = []
        pieces.reserveCapacity(entries.count)
        for (id, entry) in entries.enumerated() {
            guard let pair = entry.array, pair.count == 2, let token = pair[0].string, let score = pair[1].double,
                score.isFinite
            else {
                throw malformed("token \(id) of the vocabulary (\(escaped(String(entry.serialized().prefix(100)))))")
            }
            pieces.append((Array(token.utf8), score))
        }
        var unknown: Int32?
        if let value = object["unk_id"], !value.isNull {
            guard let id = value.int, pieces.indices.contains(id) else { throw malformed("unk_id") }
            unknown = Int32(id)
        }
        return UnigramModel(
            pieces, unknown: unknown, fallsBackToBytes: try flag(object, "byte_fallback", false), file: file)
    }

    private func bytePair(_ object: JSONObject) throws -> BytePairModel {
        if let dropout = object["dropout"]?.double, dropout != 0 {
            throw refuse("BPE with dropout \(dropout), which is for training (set it to null in the file)")
        }
        let affixes = (
            prefix: Array((object["continuing_subword_prefix"]?.string ?? "").utf8),
            suffix: Array((object["end_of_word_suffix"]?.string ?? "").utf8)
        )
        let (vocabulary, order) = try vocabulary(object)
        var merges: [UInt64: UInt64] = [:]
        var rank: UInt64 = 0
        for (index, entry) in try list(object["merges"], "merges").enumerated() {
            let parts: [[UInt8]]
            if let text = entry.string {
                // The first line of a merges.txt.
                if text.hasPrefix("#version") { continue }
                parts = Array(text.utf8).split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
            } else {
                parts = (entry.array ?? []).compactMap { $0.string.map { Array($0.utf8) } }
            }
            guard parts.count == 2, entry.array?.count ?? 2 == 2, parts[1].count >= affixes.prefix.count,
                let left = vocabulary[BytePairModel.Key(bytes: parts[0])],
                let right = vocabulary[BytePairModel.Key(bytes: parts[1])],
                let made = vocabulary[BytePairModel.Key(bytes: parts[0] + parts[1].dropFirst(affixes.prefix.count))],
                rank < 1 << 31
            else { throw malformed("merge \(index) (\(escaped(entry.serialized())))") }
            // A pair that is there again has its last rank.
            merges[BytePairModel.pair(left, right)] = rank << 32 | UInt64(UInt32(bitPattern: made))
            rank += 1
        }
        var byteTokens = [Int32](repeating: -1, count: 256)
        for byte in 0..<256 {
            let letter = [UInt8(byte)].withUnsafeBufferPointer { ByteAlphabet.spelled($0) }
            byteTokens[byte] = vocabulary[BytePairModel.Key(bytes: letter)] ?? -1
        }
        let unknownName = object["unk_token"]?.string
        let unknown = unknownName.flatMap { vocabulary[BytePairModel.Key(bytes: Array($0.utf8))] }
        return try BytePairModel(
            vocabulary: vocabulary, order: order, merges: merges, unknown: unknown,
            missingUnknown: unknown == nil ? unknownName : nil, fusesUnknown: flag(object, "fuse_unk", false),
            fallsBackToBytes: flag(object, "byte_fallback", false), ignoresMerges: flag(object, "ignore_merges", false),
            byteTokens: byteTokens, fallbackTokens: ByteAlphabet.fallbackTokens { vocabulary[$0] }, file: file,
            affixes: affixes, hasAllBytes: byteTokens.allSatisfy { $0 >= 0 })
    }
}
