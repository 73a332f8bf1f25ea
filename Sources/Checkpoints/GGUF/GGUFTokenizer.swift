import Safetensors

/// What a GGUF file says of a tokenizer, from the files beside a checkpoint's weights.
package struct GGUFTokenizer {
    package private(set) var metadata = GGUFMetadata()
    private let files: [String: Companion]
    private let config: ModelConfig

    /// - Parameters:
    ///   - rows: of the embedding: ids that the tokenizer does not have are filled up to it.
    ///   - pre: llama.cpp's name of the pre-tokenizer, where it was given.
    /// - Throws: `CheckpointError` for a tokenizer that llama.cpp has no kind for.
    package init(_ companions: [Companion], _ config: ModelConfig, rows: Int, pre: String?) throws {
        files = Dictionary(companions.map { ($0.name, $0) }) { first, _ in first }
        self.config = config
        guard let root = try json("tokenizer.json") else {
            guard
                files.keys.allSatisfy({ !$0.hasPrefix("tokenizer.model") && $0 != "tekken.json" && $0 != "vocab.json" })
            else {
                throw CheckpointError(
                    .incompatible, file: config.file,
                    message:
                        "there is a tokenizer and no tokenizer.json, which a GGUF file's tokenizer is made of: save it "
                        + "with transformers first")
            }
            metadata["tokenizer.ggml.model"] = .string("none")
            return
        }
        let settings = try json("tokenizer_config.json") ?? JSONObject()
        try addVocabulary(root, rows: rows, pre: pre)
        try addSpecialTokens(root, settings)
        if let template = settings["chat_template"]?.string {
            metadata["tokenizer.chat_template"] = .string(template)
        } else if let template = files["chat_template.jinja"] {
            metadata["tokenizer.chat_template"] = .string(String(decoding: try bytes(template), as: UTF8.self))
        }
    }

    private func bytes(_ file: Companion) throws -> [UInt8] {
        switch file.content {
        case .bytes(let bytes): bytes
        case .file(let path): try PosixFile.contents(path, limit: 256 << 20)
        }
    }

    private func json(_ name: String) throws -> JSONObject? {
        guard let file = files[name] else { return nil }
        guard let object = try JSON(parsing: bytes(file), file: name).object else {
            throw CheckpointError(.malformed, file: name, message: "it is not a JSON object")
        }
        return object
    }

    private func failure(_ message: String) -> CheckpointError {
        CheckpointError(.incompatible, file: "tokenizer.json", message: message)
    }

    private mutating func addVocabulary(_ root: JSONObject, rows: Int, pre: String?) throws {
        guard let model = root["model"]?.object, model["type"]?.string ?? "BPE" == "BPE",
            let vocabulary = model["vocab"]?.object
        else {
            let type = root["model"]?.object?["type"]?.string ?? "none"
            throw failure("its model is \(escaped(type)): byte-pair encoding can be written to a GGUF file")
        }
        var tokens = (0..<rows).map { "[PAD\($0)]" }
        var types = [Int32](repeating: 5, count: rows)
        let isSentencePiece = model["byte_fallback"]?.bool ?? false
        func place(_ text: String, _ id: Int?, _ type: Int32) throws {
            guard let id, id >= 0, id < rows else {
                throw failure("the id of \(escaped(text)) is not one of the embedding's \(rows) rows")
            }
            tokens[id] = text
            types[id] = type
        }
        for text in vocabulary.keys {
            let isByte = isSentencePiece && text.utf8.count == 6 && text.hasPrefix("<0x") && text.hasSuffix(">")
            try place(text, vocabulary[text]?.int, isByte ? 6 : 1)
        }
        if let unknown = model["unk_token"]?.string, let id = vocabulary[unknown]?.int, id >= 0, id < rows {
            types[id] = 2
        }
        for token in root["added_tokens"]?.array ?? [] {
            guard let token = token.object, let text = token["content"]?.string else { continue }
            let isUnknown = text == model["unk_token"]?.string
            try place(text, token["id"]?.int, isUnknown ? 2 : token["special"]?.bool ?? false ? 3 : 4)
        }
        let merges: [(String, String)] = try (model["merges"]?.array ?? []).map { merge in
            if let pair = merge.array, pair.count == 2, let a = pair[0].string, let b = pair[1].string { return (a, b) }
            let parts = merge.string?.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false) ?? []
            guard parts.count == 2 else { throw failure("a merge is not two tokens") }
            return (String(parts[0]), String(parts[1]))
        }
        metadata["tokenizer.ggml.model"] = .string(isSentencePiece ? "llama" : "gpt2")
        if isSentencePiece {
            metadata["tokenizer.ggml.pre"] = .string(pre ?? "default")
        } else {
            metadata["tokenizer.ggml.pre"] = .string(try pre ?? PreTokenizerNames.name(root, model))
        }
        metadata["tokenizer.ggml.tokens"] = .strings(tokens)
        if isSentencePiece {
            // The highest score is merged first: the rank of the merge that makes a token decides.
            var scores = [Float](repeating: -1000, count: rows)
            for (id, type) in types.enumerated() where type == 1 { scores[id] = -Float(merges.count + id) }
            for (rank, merge) in merges.enumerated().reversed() {
                if let id = vocabulary[merge.0 + merge.1]?.int, id >= 0, id < rows { scores[id] = -Float(rank) }
            }
            for (id, type) in types.enumerated() where type == 2 || type == 3 || type == 6 { scores[id] = 0 }
            metadata["tokenizer.ggml.scores"] = .float32s(scores)
        }
        metadata["tokenizer.ggml.token_type"] = .int32s(types)
        guard !isSentencePiece else { return }
        // A space within a token cannot stand in the list, which has one between the two.
        func spelled(_ text: String) -> String { text.replacing(" ", with: "\u{120}") }
        metadata["tokenizer.ggml.merges"] = .strings(merges.map { spelled($0.0) + " " + spelled($0.1) })
    }

    private mutating func addSpecialTokens(_ root: JSONObject, _ settings: JSONObject) throws {
        var ids: [String: Int] = [:]
        for token in root["added_tokens"]?.array ?? [] {
            if let token = token.object, let text = token["content"]?.string { ids[text] = token["id"]?.int }
        }
        let vocabulary = root["model"]?.object?["vocab"]?.object
        func single(_ key: String) -> [String] {
            let processor = root["post_processor"]?.object
            let all = (processor?["processors"]?.array ?? processor.map { [.object($0)] } ?? []).compactMap(\.object)
            let template = all.first { $0["type"]?.string == "TemplateProcessing" }
            return (template?[key]?.array ?? []).map { $0.object?["SpecialToken"]?.object?["id"]?.string ?? "" }
        }
        let template = single("single")
        for (kind, name) in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")] {
            let entry = settings["\(kind)_token"]
            // Where the settings name none, what the template puts around a text is what begins and ends it.
            let around = kind == "bos" ? template.first : kind == "eos" && template.count > 1 ? template.last : nil
            let text = entry?.string ?? entry?.object?["content"]?.string ?? around
            let configured = config.object["\(kind)_token_id"]
            let id =
                text.flatMap { ids[$0] ?? vocabulary?[$0]?.int } ?? configured?.int ?? configured?.array?.first?.int
            if let id, let value = UInt32(exactly: id) { metadata["tokenizer.ggml.\(name)_token_id"] = .uint32(value) }
        }
        let begins = settings["add_bos_token"]?.bool ?? (template.first.map { !$0.isEmpty } ?? false)
        let ends = settings["add_eos_token"]?.bool ?? (template.last.map { !$0.isEmpty && template.count > 1 } ?? false)
        metadata["tokenizer.ggml.add_bos_token"] = .bool(begins)
        metadata["tokenizer.ggml.add_eos_token"] = .bool(ends)
        if metadata["tokenizer.ggml.model"] == .string("llama") {
            let normalizers = root["normalizer"]?.object.map { $0["normalizers"]?.array ?? [.object($0)] } ?? []
            let prepends =
                normalizers.contains { $0.object?["type"]?.string == "Prepend" }
                || ["always", "first"].contains(root["pre_tokenizer"]?.object?["prepend_scheme"]?.string ?? "never")
            metadata["tokenizer.ggml.add_space_prefix"] = .bool(prepends)
        }
    }
}

/// llama.cpp's names of pre-tokenizers, by what they do.
enum PreTokenizerNames {
    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let ending = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
    private static let words = "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
    private static let cased =
        "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+@"
        + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*@|\\p{N}"
    private static let casedEnding = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

    /// What is done in order, whether a word that is a token stays whole, and the name.
    private static let known: [(steps: [String], wholeWords: Bool?, name: String)] = [
        (["gpt2"], false, "gpt-2"),
        (["digits", "gpt2"], false, "refact"),
        ([contractions + words + "\\p{N}{1,3}" + ending], true, "llama-bpe"),
        ([contractions + words + "\\p{N}{1,3}" + ending], false, "smaug-bpe"),
        ([contractions + words + "\\p{N}" + ending], false, "qwen2"),
        (
            [
                contractions + "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
                    + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
            ], false, "qwen35"
        ),
        ([cased.replacing("@", with: contractions + "?") + "{1,3}" + casedEnding], false, "gpt-4o"),
        ([cased.replacing("@", with: "") + casedEnding], true, "tekken"),
    ]

    /// - Throws: `CheckpointError` for what llama.cpp has no name for here.
    static func name(_ root: JSONObject, _ model: JSONObject) throws -> String {
        let steps = try steps(root["pre_tokenizer"])
        let wholeWords = model["ignore_merges"]?.bool ?? false
        if let found = known.first(where: { $0.steps == steps && ($0.wholeWords ?? wholeWords) == wholeWords }) {
            return found.name
        }
        throw CheckpointError(
            .incompatible, file: "tokenizer.json",
            message: "llama.cpp's name of the pre-tokenizer \(escaped(steps.joined(separator: ", ")))"
                + "\(wholeWords ? " with ignore_merges" : "") is not known: give it as `preTokenizer`")
    }

    private static func steps(_ value: JSON?) throws -> [String] {
        guard let object = value?.object else { return [] }
        switch object["type"]?.string {
        case "Sequence": return try (object["pretokenizers"]?.array ?? []).flatMap { try steps($0) }
        case "ByteLevel": return object["use_regex"]?.bool ?? true ? ["gpt2"] : []
        case "Digits": return [object["individual_digits"]?.bool ?? false ? "digits" : "numbers"]
        case "Split":
            let pattern = object["pattern"]?.object
            let text = pattern?["Regex"]?.string ?? pattern?["String"]?.string ?? ""
            return text == "\\p{N}" || text == "\\d" ? ["digits"] : [text]
        default: return [object["type"]?.string ?? "?"]
        }
    }
}
