import Safetensors

extension Tokenizer {
    private static let maximumSize = 512 << 20

    /// Reads a `tokenizer.json` by itself, a SentencePiece model (`*.model`) or a `tekken.json`.
    ///
    /// - Throws: `SafetensorsError` where it cannot be read or is not JSON; `TokenizerError` for a model or component that
    ///   is not supported, by name.
    public init(contentsOf path: String) throws {
        let name = path.split(separator: "/").last.map(String.init) ?? path
        try self.init(named: name, PosixFile.contents(path, limit: Self.maximumSize), file: path)
    }

    /// Reads the bytes of a file whose name tells what it is; a link may lead to another name.
    private init(named name: String, _ bytes: [UInt8], file: String) throws {
        // Mistral numbers its own: tokenizer.model.v3, tekken_240911.json.
        if Self.isSentencePiece(name) {
            try self.init(sentencePiece: bytes, file: file)
        } else if name.hasPrefix("tekken"), name.hasSuffix(".json") {
            try self.init(tekken: bytes, file: file)
        } else {
            try self.init(parsing: bytes, file: file)
        }
    }

    /// Whether a path is that of a SentencePiece model, by its name.
    package static func isSentencePiece(_ path: String) -> Bool {
        let name = path.split(separator: "/").last ?? ""
        return name.hasSuffix(".model") || name.contains(".model.v")
    }

    /// The file of a folder's tokenizer, the first that is there: what `init(inFolder:)` reads.
    package static let fileNames = ["tokenizer.json", "tekken.json", "tokenizer.model"]

    /// Reads the tokenizer in a folder as transformers' AutoTokenizer does: `tokenizer.json`, and what
    /// tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json say of it. Where there is none a
    /// tekken.json or tokenizer.model is read by itself.
    ///
    /// - Throws: as `init(contentsOf:)`.
    public init(inFolder folder: String) throws {
        for name in Self.fileNames {
            guard let path = try PosixFile.pathIfPresent(of: name, inFolder: folder) else { continue }
            if name == "tokenizer.json" { break }
            try self.init(named: name, PosixFile.contents(path, limit: Self.maximumSize), file: path)
            return
        }
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

/// Reads the parts of a tokenizer.json.
struct TokenizerParser {
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
        let normalizations = try self.normalizations(object["normalizer"])
        let model = try self.model(modelObject)
        var added = AddedVocabulary(model)
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
            preTokenizer: PreTokenizer(preTokenizations(object["pre_tokenizer"])),
            decodings: decodings(object["decoder"]),
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
}
