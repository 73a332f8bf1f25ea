import Safetensors

extension TokenizerParser {
    // MARK: - Values

    private func text(_ object: JSONObject, _ key: String, _ what: String) throws -> String {
        guard let text = object[key]?.string else { throw malformed("\(key) of \(what)") }
        return text
    }

    /// One character; a default where there is none.
    private func character(_ object: JSONObject, _ key: String, _ absent: String?, _ what: String) throws -> [UInt8] {
        guard let text = object[key]?.string ?? absent, text.unicodeScalars.count == 1 else {
            throw malformed("\(key) of \(what), one character,")
        }
        return Array(text.utf8)
    }

    private func pattern(_ text: String, _ what: String) throws -> Pattern {
        do {
            return try Pattern(text)
        } catch {
            let place = "\(what) with the pattern \"\(escaped(text))\""
            guard error.isMalformed else { throw refuse("\(place): \(escaped(error.message)), which") }
            throw TokenizerError(.malformed, file: file, message: "\(place): \(escaped(error.message))")
        }
    }

    private enum Sought {
        case literal([UInt8])
        case pattern(String)
    }

    /// `{"String": ...}` or `{"Regex": ...}`.
    private func sought(_ object: JSONObject, _ what: String) throws -> Sought {
        let value = object["pattern"]?.object
        if let text = value?["String"]?.string { return text.isEmpty ? .pattern("") : .literal(Array(text.utf8)) }
        if let text = value?["Regex"]?.string { return .pattern(text) }
        throw malformed("the pattern of \(what)")
    }

    // MARK: - Normalizers

    func normalizations(_ value: JSON?) throws -> [Normalization] {
        try components(value, "the normalizer", members: "normalizers").map { object in
            let type = try type(object, "the normalizer")
            switch type {
            case "NFC": return .form(.composed)
            case "NFD": return .form(.decomposed)
            case "NFKC": return .form(.compatibilityComposed)
            case "NFKD": return .form(.compatibilityDecomposed)
            case "Lowercase": return .lowercase
            case "Strip":
                return .strip(left: try flag(object, "strip_left", true), right: try flag(object, "strip_right", true))
            case "StripAccents": return .stripAccents
            case "BertNormalizer", "Bert":
                let lowercases = try flag(object, "lowercase", true)
                return .bert(
                    BertNormalization(
                        cleansText: try flag(object, "clean_text", true),
                        spacesChinese: try flag(object, "handle_chinese_chars", true),
                        stripsAccents: try flag(object, "strip_accents", lowercases), lowercases: lowercases))
            case "Prepend":
                let prefix = try text(object, "prepend", type)
                try checkInsertion(prefix)
                return .prepend(Array(prefix.utf8))
            case "Replace":
                let content = try text(object, "content", type)
                try checkInsertion(content)
                switch try sought(object, type) {
                case .literal(let bytes): return .replace(bytes, with: Array(content.utf8))
                case .pattern(let text):
                    return .replacePattern(try pattern(text, "the normalizer Replace"), with: Array(content.utf8))
                }
            case "ByteLevel": return .byteLevel
            case "Nmt": return .nmt
            case "Precompiled":
                let table = object["precompiled_charsmap"]?.string
                guard let map = table.flatMap(Self.base64).flatMap(PrecompiledMap.init) else {
                    throw malformed("precompiled_charsmap")
                }
                return .precompiled(map)
            default: throw refuse("the normalizer \(escaped(type))")
            }
        }
    }

    private func checkInsertion(_ text: String) throws {
        guard text.utf8.count <= Normalization.longestInsertion else {
            throw refuse("a normalizer that puts in more than \(Normalization.longestInsertion) bytes")
        }
    }

    /// The bytes of base64; nil for a text that is none.
    static func base64(_ text: String) -> [UInt8]? {
        var result: [UInt8] = []
        var (bits, count, ends) = (UInt32(0), 0, 0)
        for byte in text.utf8 {
            let digit: UInt32
            switch byte {
            case 0x41...0x5A: digit = UInt32(byte) - 0x41
            case 0x61...0x7A: digit = UInt32(byte) - 0x61 + 26
            case 0x30...0x39: digit = UInt32(byte) - 0x30 + 52
            case 0x2B: digit = 62
            case 0x2F: digit = 63
            case 0x3D:
                ends += 1
                continue
            default: return nil
            }
            guard ends == 0 else { return nil }
            bits = bits << 6 | digit
            count += 6
            if count >= 8 {
                count -= 8
                result.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return count < 6 && ends <= 2 ? result : nil
    }

    // MARK: - Pre-tokenizers

    func preTokenizations(_ value: JSON?) throws -> [PreTokenization] {
        try components(value, "the pre-tokenizer", members: "pretokenizers").flatMap { object -> [PreTokenization] in
            let type = try type(object, "the pre-tokenizer")
            switch type {
            case "ByteLevel":
                return [
                    .byteLevel(
                        addsSpace: try flag(object, "add_prefix_space", true),
                        splits: try flag(object, "use_regex", true))
                ]
            case "Split":
                return [
                    .split(
                        try splitter(object), try behavior(object, nil, type),
                        isInverted: try flag(object, "invert", false))
                ]
            case "Metaspace": return [try metaspace(object)]
            case "Digits":
                let isIndividual = try flag(object, "individual_digits", false)
                return [Self.split(UnicodeData.numeric, isIndividual ? .isolated : .contiguous)]
            case "Punctuation":
                return [Self.split(UnicodeData.punctuation, try behavior(object, .isolated, type))]
            case "Whitespace": return [.split(.wordRuns, .removed, isInverted: true)]
            case "WhitespaceSplit": return [Self.split(UnicodeData.whiteSpace, .removed)]
            case "BertPreTokenizer":
                return [
                    Self.split(UnicodeData.whiteSpace, .removed), Self.split(UnicodeData.punctuation, .isolated),
                ]
            case "CharDelimiterSplit", "Delimiter":
                return [
                    .split(.literal(try character(object, "delimiter", nil, type)), .removed, isInverted: false)
                ]
            case "UnicodeScripts": return [.scripts]
            case "FixedLength":
                let length = object["length"].map(\.int) ?? 5
                guard let length, length > 0 else { throw malformed("length of FixedLength") }
                return [.fixedLength(length)]
            default: throw refuse("the pre-tokenizer \(escaped(type))")
            }
        }
    }

    private static func split(_ set: ScalarSet, _ behavior: PreTokenization.Behavior) -> PreTokenization {
        .split(.scalars(ScalarLookup(set)), behavior, isInverted: false)
    }

    private func splitter(_ object: JSONObject) throws -> Splitter {
        switch try sought(object, "Split") {
        case .literal(let bytes): .literal(bytes)
        case .pattern(let text):
            if let words = WordPattern(text) {
                .words(words)
            } else {
                .pattern(try pattern(text, "the pre-tokenizer Split"))
            }
        }
    }

    private func behavior(
        _ object: JSONObject, _ absent: PreTokenization.Behavior?, _ what: String
    ) throws -> PreTokenization.Behavior {
        guard let value = object["behavior"], !value.isNull else {
            guard let absent else { throw malformed("behavior of \(what)") }
            return absent
        }
        guard let name = value.string, let behavior = PreTokenization.Behavior(rawValue: name) else {
            throw refuse("\(what)'s behavior \(escaped(value.serialized()))")
        }
        return behavior
    }

    private func metaspace(_ object: JSONObject) throws -> PreTokenization {
        let scheme = object["prepend_scheme"]?.string ?? "always"
        guard var prepends = PreTokenization.Prepending(rawValue: scheme) else {
            throw refuse("Metaspace's prepend_scheme \(escaped(scheme))")
        }
        // Older files have this alone.
        if object["add_prefix_space"]?.bool == false {
            guard object["prepend_scheme"] == nil || prepends == .never else {
                throw malformed("Metaspace, whose add_prefix_space is false and prepend_scheme \(scheme),")
            }
            prepends = .never
        }
        return .metaspace(
            try character(object, "replacement", nil, "Metaspace"), prepends: prepends,
            splits: try flag(object, "split", true))
    }

    // MARK: - Decoders

    func decodings(_ value: JSON?) throws -> [Decoding] {
        try components(value, "the decoder", members: "decoders").map { object in
            let type = try type(object, "the decoder")
            switch type {
            case "ByteLevel": return .byteLevel
            case "ByteFallback": return .byteFallback
            case "Fuse": return .fuse
            case "Replace":
                let content = Array(try text(object, "content", type).utf8)
                switch try sought(object, type) {
                case .literal(let bytes): return .replace(bytes, with: content)
                case .pattern(let text):
                    return .replacePattern(try pattern(text, "the decoder Replace"), with: content)
                }
            case "Strip":
                guard let start = object["start"]?.int, let stop = object["stop"]?.int, (0...1024).contains(start),
                    (0...1024).contains(stop)
                else { throw malformed("the decoder Strip") }
                return .strip(try character(object, "content", nil, "Strip"), start: start, stop: stop)
            case "Metaspace":
                guard case .metaspace(let letter, let prepends, _) = try metaspace(object) else {
                    throw malformed("the decoder Metaspace")
                }
                return .metaspace(letter, stripsFirst: prepends != .never)
            case "WordPiece":
                return .wordPiece(
                    prefix: Array(try text(object, "prefix", type).utf8), cleans: try flag(object, "cleanup", true))
            case "BPEDecoder": return .wordEnds(Array(try text(object, "suffix", type).utf8))
            case "CTC":
                return .ctc(
                    pad: Array(try text(object, "pad_token", type).utf8),
                    delimiter: Array(try text(object, "word_delimiter_token", type).utf8),
                    cleans: try flag(object, "cleanup", true))
            default: throw refuse("the decoder \(escaped(type))")
            }
        }
    }

    // MARK: - Post-processors

    /// The special tokens around a single text.
    func template(_ value: JSON?) throws -> (prefix: [Int32], suffix: [Int32]) {
        var (prefix, suffix): ([Int32], [Int32]) = ([], [])
        for object in try components(value, "the post-processor", members: "processors") {
            let type = try type(object, "the post-processor")
            switch type {
            case "ByteLevel": continue
            case "BertProcessing", "RobertaProcessing":
                func token(_ key: String) throws -> Int32 {
                    guard let pair = object[key]?.array, pair.count == 2,
                        let id = pair[1].int.flatMap({ Int32(exactly: $0) }), id >= 0
                    else { throw malformed("\(key) of \(type)") }
                    return id
                }
                prefix = [try token("cls")] + prefix
                suffix.append(try token("sep"))
            case "TemplateProcessing":
                var (before, after): ([Int32], [Int32]) = ([], [])
                var sequences = 0
                for part in try list(object["single"], "the post-processor's template") {
                    if let sequence = part.object?["Sequence"]?.object {
                        guard sequence["id"]?.string ?? "A" == "A" else { throw malformed("the template of one text") }
                        sequences += 1
                        continue
                    }
                    guard let name = part.object?["SpecialToken"]?.object?["id"]?.string,
                        let ids = object["special_tokens"]?.object?[name]?.object?["ids"]?.array
                    else { throw malformed("the post-processor's template") }
                    let numbers = ids.compactMap { $0.int.flatMap { Int32(exactly: $0) } }
                    guard numbers.count == ids.count, numbers.allSatisfy({ $0 >= 0 }) else {
                        throw malformed("the ids of \"\(escaped(name))\" in the post-processor's template")
                    }
                    if sequences == 0 { before += numbers } else { after += numbers }
                }
                guard sequences == 1 else { throw refuse("a template that has the text \(sequences) times") }
                // What comes later is around what is there.
                prefix = before + prefix
                suffix += after
            default: throw refuse("the post-processor \(escaped(type))")
            }
        }
        return (prefix, suffix)
    }
}
