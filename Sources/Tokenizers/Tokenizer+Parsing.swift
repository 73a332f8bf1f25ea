import Safetensors

extension Tokenizer {
    private static let maximumSize = 512 << 20

    /// Reads a `tokenizer.json` by itself.
    ///
    /// - Throws: `SafetensorsError` where it cannot be read or is not JSON; `TokenizerError` for a model or component that
    ///   is not supported, by name.
    public init(contentsOf path: String) throws {
        try self.init(parsing: PosixFile.contents(path, limit: Self.maximumSize), file: path)
    }

    /// Reads the tokenizer in a folder as transformers' AutoTokenizer does: `tokenizer.json`, and what
    /// tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json say of it.
    ///
    /// - Throws: as `init(contentsOf:)`.
    public init(inFolder folder: String) throws {
        let settings = try TokenizerSettings { name in
            guard let path = try PosixFile.pathIfPresent(of: name, inFolder: folder) else { return nil }
            return try JSON(parsing: PosixFile.contents(path, limit: 64 << 20), file: path).object
        }
        let path = try PosixFile.path(of: "tokenizer.json", inFolder: folder)
        try self.init(parsing: PosixFile.contents(path, limit: Self.maximumSize), file: path, settings)
    }

    /// Reads the bytes of a `tokenizer.json`; `file` is what messages call it.
    ///
    /// - Throws: as `init(contentsOf:)`.
    package init(parsing bytes: [UInt8], file: String, _ settings: TokenizerSettings = TokenizerSettings()) throws {
        guard let object = try JSON(parsing: bytes, file: file).object else {
            throw TokenizerError(.malformed, file: file, message: "expected a JSON object")
        }
        self = try TokenizerParser(file: file).tokenizer(object, settings)
    }
}

private struct TokenizerParser {
    let file: String

    func refuse(_ what: String) -> TokenizerError {
        TokenizerError(
            .unsupported, file: file,
            message: "\(what) is not supported: give text as files of its tokens (.bin:uint16, .bin:uint32), made with "
                + "transformers; what does not read text works as it is")
    }

    func malformed(_ what: String) -> TokenizerError {
        TokenizerError(.malformed, file: file, message: "\(what) is missing or not what it should be")
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

    func tokenizer(_ file: JSONObject, _ settings: TokenizerSettings) throws -> Tokenizer {
        let kind = settings.tokenizerClass(isByteLevel: hasByteLevel(file))
        let object = settings.rebuilt(file, kind)
        guard let modelObject = object["model"]?.object else { throw malformed("the model") }
        let type = modelObject["type"]?.string ?? (modelObject["merges"] == nil ? "without a type" : "BPE")
        guard type == "BPE" else { throw refuse("a model of type \(escaped(type))") }
        let normalizations = try self.normalizations(object["normalizer"])
        let model = try self.model(modelObject)
        var added = AddedVocabulary(model.vocabulary)
        for entry in try list(object["added_tokens"], "added_tokens") {
            guard let entry = entry.object, entry["id"]?.int != nil, let content = entry["content"]?.string else {
                throw malformed("an added token")
            }
            added.add(try addedToken(entry, content))
        }
        let ends =
            settings.isEmpty
            ? (nil, nil)
            : try settings.addTokens(kind, file, to: &added) { entry, isSpecial in
                guard let content = entry["content"]?.string else { throw malformed("a special token") }
                var token = try addedToken(entry, content)
                if let isSpecial { token.isSpecial = isSpecial }
                return token
            }
        var result = try Tokenizer(
            model: model, normalizations: normalizations,
            preTokenizations: preTokenizations(object["pre_tokenizer"]), decodings: decodings(object["decoder"]),
            template: template(object["post_processor"]), added: added, file: self.file)
        (result.beginning, result.end) = ends
        return result
    }

    /// Whether a component is ByteLevel.
    private func hasByteLevel(_ file: JSONObject) -> Bool {
        func has(_ value: JSON?) -> Bool {
            switch value {
            case .object(let object): object["type"]?.string == "ByteLevel" || object.keys.contains { has(object[$0]) }
            case .array(let list): list.contains { has($0) }
            default: false
            }
        }
        return ["normalizer", "pre_tokenizer", "post_processor", "decoder"].contains { has(file[$0]) }
    }

    /// A list; empty where there is none.
    func list(_ value: JSON?, _ what: String) throws -> [JSON] {
        guard let value, !value.isNull else { return [] }
        guard let array = value.array else { throw malformed(what) }
        return array
    }

    /// A choice of yes and no, and what it is where it is not there.
    func flag(_ object: JSONObject, _ key: String, _ absent: Bool) throws -> Bool {
        guard let value = object[key], !value.isNull else { return absent }
        guard let flag = value.bool else { throw malformed(key) }
        return flag
    }

    func addedToken(_ entry: JSONObject, _ content: String) throws -> AddedTokens.Token {
        let isSpecial = try flag(entry, "special", false)
        return try AddedTokens.Token(
            content: Array(content.utf8), isSpecial: isSpecial, isSingleWord: flag(entry, "single_word", false),
            stripsLeft: flag(entry, "lstrip", false), stripsRight: flag(entry, "rstrip", false),
            isNormalized: flag(entry, "normalized", !isSpecial))
    }

    func normalizations(_ value: JSON?) throws -> [Normalization] {
        try components(value, "the normalizer", members: "normalizers").map { object in
            switch try type(object, "the normalizer") {
            case "NFC": return .canonicalComposition
            case "Prepend":
                guard let text = object["prepend"]?.string else { throw malformed("Prepend's text") }
                try checkInsertion(text)
                return .prepend(Array(text.utf8))
            case "Replace":
                let (old, new) = try replacement(object)
                try checkInsertion(String(decoding: new, as: UTF8.self))
                return .replace(old, with: new)
            case let other: throw refuse("the normalizer \(escaped(other))")
            }
        }
    }

    func checkInsertion(_ text: String) throws {
        guard text.utf8.count <= Normalization.longestInsertion else {
            throw refuse("a normalizer that puts in more than \(Normalization.longestInsertion) bytes")
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
                let level = PreTokenization.byteLevel(addsSpace: try flag(object, "add_prefix_space", true))
                return try flag(object, "use_regex", true) ? [level, .words(.gpt2)] : [level]
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
            guard parts.count == 2, entry.array?.count ?? 2 == 2,
                let left = vocabulary[BytePairModel.Key(bytes: parts[0])],
                let right = vocabulary[BytePairModel.Key(bytes: parts[1])],
                let made = vocabulary[BytePairModel.Key(bytes: parts[0] + parts[1])], rank < 1 << 31
            else { throw malformed("merge \(index) (\(escaped(entry.serialized())))") }
            // A pair that is there again has its last rank.
            merges[BytePairModel.pair(left, right)] = rank << 32 | UInt64(UInt32(bitPattern: made))
            rank += 1
        }
        var byteTokens = [Int32](repeating: -1, count: 256)
        var fallbackTokens = byteTokens
        for byte in 0..<256 {
            let letter = [UInt8(byte)].withUnsafeBufferPointer { ByteAlphabet.spelled($0) }
            byteTokens[byte] = vocabulary[BytePairModel.Key(bytes: letter)] ?? -1
        }
        for byte in 0..<256 {
            let digits = String(byte, radix: 16, uppercase: true)
            let name = "<0x" + (digits.utf8.count < 2 ? "0" : "") + digits + ">"
            fallbackTokens[byte] = vocabulary[BytePairModel.Key(bytes: Array(name.utf8))] ?? -1
        }
        let unknownName = object["unk_token"]?.string
        let unknown = unknownName.flatMap { vocabulary[BytePairModel.Key(bytes: Array($0.utf8))] }
        return try BytePairModel(
            vocabulary: vocabulary, order: order, merges: merges, unknown: unknown,
            missingUnknown: unknown == nil ? unknownName : nil, fusesUnknown: flag(object, "fuse_unk", false),
            fallsBackToBytes: flag(object, "byte_fallback", false), ignoresMerges: flag(object, "ignore_merges", false),
            byteTokens: byteTokens, fallbackTokens: fallbackTokens, file: file,
            hasAllBytes: byteTokens.allSatisfy { $0 >= 0 })
    }
}
