import Safetensors

extension Tokenizer {
    private static let maximumSize = 512 << 20

    /// Reads a `tokenizer.json`.
    ///
    /// - Throws: `SafetensorsError` where it cannot be read or is not JSON; `TokenizerError` for a model or component that
    ///   is not supported, by name.
    public init(contentsOf path: String) throws {
        try self.init(parsing: PosixFile.contents(path, limit: Self.maximumSize), file: path)
    }

    /// Reads the bytes of a `tokenizer.json`; `file` is what messages call it.
    ///
    /// - Throws: as `init(contentsOf:)`.
    package init(parsing bytes: [UInt8], file: String) throws {
        guard let object = try JSON(parsing: bytes, file: file).object else {
            throw TokenizerError(file: file, message: "expected a JSON object")
        }
        self = try TokenizerParser(file: file).tokenizer(object)
    }
}

private struct TokenizerParser {
    let file: String

    func refuse(_ what: String) -> TokenizerError {
        TokenizerError(file: file, message: "\(what) is not supported")
    }

    func malformed(_ what: String) -> TokenizerError {
        TokenizerError(file: file, message: "\(what) is missing or not what it should be")
    }

    func type(_ object: JSONObject, _ what: String) throws -> String {
        guard let type = object["type"]?.string else { throw malformed("the type of \(what)") }
        return type
    }

    /// A component, or the components of a `Sequence`, in order.
    func components(_ value: JSON?, _ what: String, members: String) throws -> [JSONObject] {
        guard let value, !value.isNull else { return [] }
        guard let object = value.object else { throw malformed(what) }
        guard try type(object, what) == "Sequence" else { return [object] }
        return try (object[members]?.array ?? []).flatMap { try components($0, what, members: members) }
    }

    func tokenizer(_ object: JSONObject) throws -> Tokenizer {
        guard let modelObject = object["model"]?.object else { throw malformed("the model") }
        let kind = modelObject["type"]?.string ?? (modelObject["merges"] == nil ? "without a type" : "BPE")
        guard kind == "BPE" else { throw refuse("a model of type \(escaped(kind))") }
        var added: [AddedTokens.Token] = []
        for entry in object["added_tokens"]?.array ?? [] {
            guard let entry = entry.object, let id = entry["id"]?.int, let content = entry["content"]?.string,
                let number = Int32(exactly: id), number >= 0, number < 1 << 24
            else { throw malformed("an added token") }
            added.append(
                AddedTokens.Token(
                    id: number, content: Array(content.utf8), isSpecial: entry["special"]?.bool ?? false,
                    isSingleWord: entry["single_word"]?.bool ?? false, stripsLeft: entry["lstrip"]?.bool ?? false,
                    stripsRight: entry["rstrip"]?.bool ?? false, isNormalized: entry["normalized"]?.bool ?? true))
        }
        let normalizations = try self.normalizations(object["normalizer"])
        let model = try self.model(modelObject)
        var tokens: [[UInt8]?] = []
        func set(_ id: Int32, _ bytes: [UInt8]) {
            while tokens.count <= Int(id) { tokens.append(nil) }
            tokens[Int(id)] = bytes
        }
        for (key, id) in model.vocabulary { set(id, key.bytes) }
        for token in added { set(token.id, token.content) }
        let normalized = added.filter(\.isNormalized).map { token in
            var content = token.content
            for normalization in normalizations { content = normalization.applied(to: content) }
            return AddedTokens.Token(
                id: token.id, content: content, isSpecial: token.isSpecial, isSingleWord: token.isSingleWord,
                stripsLeft: token.stripsLeft, stripsRight: token.stripsRight, isNormalized: true)
        }
        let (prefix, suffix) = try template(object["post_processor"])
        return Tokenizer(
            model: model, normalizations: normalizations,
            preTokenizations: try preTokenizations(object["pre_tokenizer"]),
            decodings: try decodings(object["decoder"]), rawTokens: AddedTokens(added.filter { !$0.isNormalized }),
            normalizedTokens: AddedTokens(normalized), prefix: prefix, suffix: suffix, tokens: tokens,
            specialIDs: Set(added.filter(\.isSpecial).map(\.id)))
    }

    func normalizations(_ value: JSON?) throws -> [Normalization] {
        try components(value, "the normalizer", members: "normalizers").map { object in
            switch try type(object, "the normalizer") {
            case "NFC": return .canonicalComposition
            case "Prepend":
                guard let text = object["prepend"]?.string else { throw malformed("Prepend's text") }
                return .prepend(Array(text.utf8))
            case "Replace":
                let (old, new) = try replacement(object)
                return .replace(old, with: new)
            case let other: throw refuse("the normalizer \(escaped(other))")
            }
        }
    }

    func replacement(_ object: JSONObject) throws -> ([UInt8], [UInt8]) {
        guard let pattern = object["pattern"]?.object?["String"]?.string, let content = object["content"]?.string else {
            throw refuse("Replace with a pattern that is not a string")
        }
        return (Array(pattern.utf8), Array(content.utf8))
    }

    func preTokenizations(_ value: JSON?) throws -> [PreTokenization] {
        try components(value, "the pre-tokenizer", members: "pretokenizers").flatMap { object -> [PreTokenization] in
            switch try type(object, "the pre-tokenizer") {
            case "ByteLevel":
                let level = PreTokenization.byteLevel(addsSpace: object["add_prefix_space"]?.bool ?? true)
                return object["use_regex"]?.bool ?? true ? [level, .words(.gpt2)] : [level]
            case "Split":
                guard let text = object["pattern"]?.object?["Regex"]?.string, let pattern = WordPattern(text),
                    object["behavior"]?.string == "Isolated", object["invert"]?.bool != true
                else {
                    throw refuse(
                        "the pre-tokenizer Split with the pattern \(escaped(object["pattern"]?.serialized() ?? "none"))"
                    )
                }
                return [.words(pattern)]
            case "Metaspace":
                guard object["split"]?.bool == false else { throw refuse("the pre-tokenizer Metaspace that splits") }
                let letter = Array((object["replacement"]?.string ?? "\u{2581}").utf8)
                let scheme = object["prepend_scheme"]?.string ?? "always"
                guard let prepends = PreTokenization.Prepending(rawValue: scheme) else {
                    throw refuse("Metaspace's prepend_scheme \(escaped(scheme))")
                }
                return [.metaspace(letter, prepends: prepends)]
            case let other: throw refuse("the pre-tokenizer \(escaped(other))")
            }
        }
    }

    func decodings(_ value: JSON?) throws -> [Decoding] {
        try components(value, "the decoder", members: "decoders").map { object in
            switch try type(object, "the decoder") {
            case "ByteLevel": return .byteLevel
            case "ByteFallback": return .byteFallback
            case "Fuse": return .fuse
            case "Replace":
                let (old, new) = try replacement(object)
                return .replace(old, with: new)
            case "Strip":
                guard let content = object["content"]?.string, let start = object["start"]?.int,
                    let stop = object["stop"]?.int, (0...1024).contains(start), (0...1024).contains(stop),
                    !content.isEmpty
                else { throw malformed("the decoder Strip") }
                return .strip(Array(content.utf8), start: start, stop: stop)
            case "Metaspace":
                return .metaspace(
                    Array((object["replacement"]?.string ?? "\u{2581}").utf8),
                    stripsFirst: object["prepend_scheme"]?.string != "never")
            case let other: throw refuse("the decoder \(escaped(other))")
            }
        }
    }

    /// The special tokens around a single text.
    func template(_ value: JSON?) throws -> (prefix: [Int32], suffix: [Int32]) {
        var (prefix, suffix): ([Int32], [Int32]) = ([], [])
        for object in try components(value, "the post-processor", members: "processors") {
            switch try type(object, "the post-processor") {
            case "ByteLevel": continue
            case "TemplateProcessing":
                var isBefore = true
                for part in object["single"]?.array ?? [] {
                    if part.object?["Sequence"] != nil {
                        isBefore = false
                        continue
                    }
                    guard let name = part.object?["SpecialToken"]?.object?["id"]?.string,
                        let ids = object["special_tokens"]?.object?[name]?.object?["ids"]?.array
                    else { throw malformed("the post-processor's template") }
                    let numbers = ids.compactMap { $0.int.flatMap { Int32(exactly: $0) } }
                    if isBefore { prefix += numbers } else { suffix += numbers }
                }
            case let other: throw refuse("the post-processor \(escaped(other))")
            }
        }
        return (prefix, suffix)
    }

    func model(_ object: JSONObject) throws -> BytePairModel {
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let text = object[key]?.string, !text.isEmpty { throw refuse("BPE with \(key)") }
        }
        if let dropout = object["dropout"]?.double, dropout != 0 { throw refuse("BPE with dropout") }
        guard let entries = object["vocab"]?.object else { throw malformed("the vocabulary") }
        var vocabulary: [BytePairModel.Key: Int32] = [:]
        vocabulary.reserveCapacity(entries.keys.count)
        for key in entries.keys {
            guard let id = entries[key]?.int.flatMap({ Int32(exactly: $0) }), id >= 0, id < 1 << 24 else {
                throw malformed("the id of the token \"\(escaped(key))\"")
            }
            vocabulary[BytePairModel.Key(bytes: Array(key.utf8))] = id
        }
        var merges: [UInt64: UInt64] = [:]
        for (rank, entry) in (object["merges"]?.array ?? []).enumerated() {
            let parts: [[UInt8]]
            if let text = entry.string {
                parts = Array(text.utf8).split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
            } else {
                parts = (entry.array ?? []).compactMap { $0.string.map { Array($0.utf8) } }
            }
            guard parts.count == 2, let left = vocabulary[BytePairModel.Key(bytes: parts[0])],
                let right = vocabulary[BytePairModel.Key(bytes: parts[1])],
                let made = vocabulary[BytePairModel.Key(bytes: parts[0] + parts[1])], rank < 1 << 31
            else { throw malformed("merge \(rank) (\(escaped(entry.serialized())))") }
            let pair = BytePairModel.pair(left, right)
            if merges[pair] == nil { merges[pair] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: made)) }
        }
        var byteTokens = [Int32](repeating: -1, count: 256)
        var fallbackTokens = byteTokens
        for byte in 0..<256 {
            let letter = [UInt8(byte)].withUnsafeBufferPointer { ByteAlphabet.spelled($0) }
            byteTokens[byte] = vocabulary[BytePairModel.Key(bytes: letter)] ?? -1
        }
        for (key, id) in vocabulary { if let byte = fallbackByte(key.bytes) { fallbackTokens[Int(byte)] = id } }
        let unknown = object["unk_token"]?.string.flatMap { vocabulary[BytePairModel.Key(bytes: Array($0.utf8))] }
        return BytePairModel(
            vocabulary: vocabulary, merges: merges, unknown: unknown, fusesUnknown: object["fuse_unk"]?.bool ?? false,
            fallsBackToBytes: object["byte_fallback"]?.bool ?? false,
            ignoresMerges: object["ignore_merges"]?.bool ?? false, byteTokens: byteTokens,
            fallbackTokens: fallbackTokens)
    }
}
