import Checkpoints
import Safetensors

/// The tokens of a model, by their strings, as its tokenizer.json has them.
struct Vocabulary {
    /// The rows of the embedding.
    let rows: Int
    let ids: [ExactText: Int]
    /// Tokens by row; nil where a row stands for none.
    let tokens: [ExactText?]
    /// The content of tokenizer.json; nil where the model has none.
    let json: JSONObject?
    /// How the tokens are written; nil where they are not known.
    let spelling: TokenSpelling?

    static let fileName = "tokenizer.json"

    init(_ checkpoint: Checkpoint) throws {
        rows = try checkpoint.description.size("vocab")
        var ids: [ExactText: Int] = [:]
        var json: JSONObject?
        let companion = checkpoint.companions.first { $0.name == Self.fileName }
        if let companion {
            let bytes: [UInt8]
            var path = Self.fileName
            switch companion.content {
            case .file(let file):
                path = file
                bytes = try PosixFile.contents(file, limit: 512 << 20)
            case .bytes(let content): bytes = content
            }
            guard let object = try JSON(parsing: bytes, file: path).object else {
                throw CheckpointError(.malformed, file: path, message: "expected a JSON object")
            }
            json = object
            func add(_ text: String, _ id: Int?) throws {
                guard let id, id >= 0, id < 1 << 31 else {
                    throw CheckpointError(
                        .malformed, file: path, message: "the token \"\(escaped(text))\" has no proper id")
                }
                ids[ExactText(text)] = id
            }
            let model = object["model"]?.object
            if let vocabulary = model?["vocab"]?.object {
                for key in vocabulary.keys { try add(key, vocabulary[key]?.int) }
            } else {
                for (id, entry) in (model?["vocab"]?.array ?? []).enumerated() {
                    if let text = entry.array?.first?.string { try add(text, id) }
                }
            }
            for entry in object["added_tokens"]?.array ?? [] {
                if let text = entry.object?["content"]?.string { try add(text, entry.object?["id"]?.int) }
            }
        }
        var spelling: TokenSpelling? = json == nil ? nil : .text
        if json == nil, let other = try VocabularyFiles.tokens(checkpoint) { (spelling, ids) = other }
        self.ids = ids
        self.json = json
        self.spelling = spelling
        var tokens = [ExactText?](repeating: nil, count: rows)
        for (token, id) in ids where id >= 0 && id < rows { tokens[id] = token }
        self.tokens = tokens
    }
}

/// Models' vocabularies brought together, and the embeddings' rows with them.
struct VocabularyMerge {
    /// What is not an error, and should be known.
    private(set) var warnings: [String] = []
    /// The files beside the weights.
    private(set) var companions: [Companion]

    /// Nil where the vocabularies are the same.
    private var plan: Plan?

    private struct Plan {
        let size: Int
        /// For each checkpoint, by its configuration file, the row of each row of the result; -1 for none.
        let rows: [String: [Int32]]
        let order: [Checkpoint]
        /// The ids of the reference's tokens in the result, where they change.
        let newIDs: [Int: Int]?
    }

    /// - Parameter all: the reference, whose tokenizer goes with the result, and the others.
    /// - Throws: `CheckpointError` where the vocabularies differ and no choice was made.
    init(_ all: [Checkpoint], _ choice: VocabularyChoice?, requiresTokenizer: Bool) throws {
        let reference = all[0]
        companions = reference.companions
        let without = all.filter { checkpoint in
            !checkpoint.companions.contains { $0.isTokenizer && $0.name != "tokenizer_config.json" }
        }
        if !without.isEmpty {
            let names = without.map(\.name).joined(separator: ", ")
            guard !requiresTokenizer else {
                throw CheckpointError(
                    .incompatible, message: "`requireTokenizer`: there are no tokenizer files in \(names)")
            }
            warnings.append("no tokenizer files in \(names): that its vocabulary is the same cannot be checked")
        }
        let vocabularies = try all.map { try Vocabulary($0) }
        let first = vocabularies[0]
        var differences: [String] = []
        var incomparable: [String] = []
        for (checkpoint, vocabulary) in zip(all, vocabularies).dropFirst() {
            if vocabulary.rows != first.rows {
                differences.append(
                    "\(checkpoint.name) has \(vocabulary.rows) rows and \(reference.name) \(first.rows)")
            }
            guard vocabulary.spelling != nil, vocabulary.spelling == first.spelling else {
                let isSaid = without.contains { [checkpoint.name, reference.name].contains($0.name) }
                if try !isSaid && !Self.hasSameFiles(checkpoint, reference) {
                    incomparable.append(checkpoint.name)
                }
                continue
            }
            guard vocabulary.ids != first.ids else { continue }
            guard (vocabulary.json == nil) == (first.json == nil) else {
                // Two kinds of file need not have the same added tokens.
                let other = zip(vocabulary.tokens, first.tokens).enumerated().filter { _, pair in
                    pair.0 != nil && pair.1 != nil && pair.0 != pair.1
                }
                if let place = other.first?.offset {
                    differences.append("\(checkpoint.name) has other tokens for \(other.count) ids, \(place) the first")
                }
                continue
            }
            let more = vocabulary.ids.keys.filter { first.ids[$0] == nil }
            let fewer = first.ids.keys.filter { vocabulary.ids[$0] == nil }
            let moved = first.ids.filter { entry in vocabulary.ids[entry.key].map { $0 != entry.value } ?? false }
            func list(_ tokens: [ExactText]) -> String {
                let shown = tokens.map(\.text).sorted(by: utf8Precedes).prefix(3)
                return shown.map { "\"\(escaped($0))\"" }.joined(separator: ", ") + (tokens.count > 3 ? ", …" : "")
            }
            var parts: [String] = []
            if !more.isEmpty { parts.append("\(more.count) tokens that \(reference.name) has not (\(list(more)))") }
            if !fewer.isEmpty { parts.append("lacks \(fewer.count) that it has (\(list(fewer)))") }
            if !moved.isEmpty { parts.append("\(moved.count) under other ids (\(list(Array(moved.keys))))") }
            differences.append("\(checkpoint.name) has " + parts.joined(separator: ", "))
        }
        if !incomparable.isEmpty {
            let text =
                "the tokenizer files of \(incomparable.joined(separator: ", ")) and those of \(reference.name) cannot be compared"
            guard !requiresTokenizer else {
                throw CheckpointError(
                    .incompatible,
                    message: "`requireTokenizer`: \(text): transformers' save_pretrained of a fast tokenizer writes a "
                        + "tokenizer.json, which can be")
            }
            warnings.append("\(text): that the vocabularies are the same is not known")
        }
        guard !differences.isEmpty else {
            plan = nil
            return
        }
        guard let choice else {
            throw CheckpointError(
                .incompatible,
                message: "the vocabularies differ: " + differences.joined(separator: "; ")
                    + "; reconcile them with `vocab` base, union or intersect")
        }
        let lacking = zip(all, vocabularies).filter { $0.1.json == nil }.map(\.0.name)
        guard lacking.isEmpty else {
            throw CheckpointError(
                .incompatible,
                message: "`vocab` \(choice.rawValue) needs every model's tokenizer.json, and there is none in "
                    + lacking.joined(separator: ", ") + ": transformers' save_pretrained of a fast tokenizer writes it")
        }
        self = try Self(all, vocabularies, choice, warnings)
    }

    /// Whether two checkpoints have the same files of a vocabulary, byte for byte.
    private static func hasSameFiles(_ one: Checkpoint, _ other: Checkpoint) throws -> Bool {
        func contents(_ checkpoint: Checkpoint) throws -> [String: [UInt8]] {
            var result: [String: [UInt8]] = [:]
            for companion in checkpoint.companions
            where companion.isTokenizer && companion.name != "tokenizer_config.json" {
                switch companion.content {
                case .file(let path): result[companion.name] = try PosixFile.contents(path, limit: 512 << 20)
                case .bytes(let bytes): result[companion.name] = bytes
                }
            }
            return result
        }
        let files = try contents(one)
        return try !files.isEmpty && files == contents(other)
    }

    private init(
        _ all: [Checkpoint], _ vocabularies: [Vocabulary], _ choice: VocabularyChoice, _ warnings: [String]
    ) throws {
        self.warnings = warnings
        let first = vocabularies[0]
        // The rows of the result: a token, or a row of the reference that stands for none.
        var result: [(token: ExactText?, row: Int)] = first.tokens.enumerated().map { ($0.element, $0.offset) }
        var added: [ExactText] = []
        switch choice {
        case .base: break
        case .union:
            var known = Set(first.ids.keys)
            for vocabulary in vocabularies.dropFirst() {
                for token in vocabulary.tokens.compactMap({ $0 }) where known.insert(token).inserted {
                    added.append(token)
                }
            }
            result += added.map { ($0, -1) }
        case .intersect:
            result = result.filter { entry in
                guard let token = entry.token else { return false }
                return vocabularies.allSatisfy { $0.ids[token] != nil }
            }
            guard !result.isEmpty else {
                throw CheckpointError(.incompatible, message: "`vocab` intersect: no token is in all vocabularies")
            }
        }
        var rows: [String: [Int32]] = [:]
        for (checkpoint, vocabulary) in zip(all, vocabularies) {
            rows[checkpoint.description.config.file] = result.map { token, row in
                guard let token else {
                    // A row without a token is the same one in a model that has it without a token as well.
                    return row < vocabulary.rows && vocabulary.tokens[row] == nil ? Int32(row) : -1
                }
                guard let id = vocabulary.ids[token], id < vocabulary.rows else { return -1 }
                return Int32(id)
            }
        }
        var newIDs: [Int: Int]?
        if choice == .intersect {
            newIDs = Dictionary(result.enumerated().map { ($0.element.row, $0.offset) }) { first, _ in first }
        }
        plan = Plan(size: result.count, rows: rows, order: all, newIDs: newIDs)
        guard let json = first.json else {
            companions = all[0].companions
            return
        }
        let writer = TokenizerRewriter(ids: newIDs, added: added, firstNewID: first.rows)
        companions = try writer.rewrite(
            all[0].companions, json, others: vocabularies.dropFirst().compactMap(\.json))
    }

    /// A tensor with a row for each token of the result.
    ///
    /// A row that a model does not have is the mean of those of the models that have it.
    func aligned(_ tensor: LazyTensor, of model: Checkpoint, _ role: Role) -> LazyTensor {
        guard let plan else { return tensor }
        let having = plan.order.filter { $0.table[role] != nil }
        guard let own = having.firstIndex(where: { $0.description.config.file == model.description.config.file }) else {
            return tensor
        }
        let alignment = RowAlignment(
            sources: having.compactMap { $0.table[role]?.expression },
            weights: Array(repeating: 1, count: having.count),
            rows: having.map { plan.rows[$0.description.config.file] ?? [] })
        return LazyTensor(
            rows: plan.size, columns: tensor.columns, dtype: tensor.dtype, expression: .aligned(alignment, own: own))
    }

    /// The configuration with the new size, and the new ids of special tokens.
    func configuration(_ config: ModelConfig) throws -> ModelConfig {
        guard let plan else { return config }
        var config = config
        config.object["vocab_size"] = JSON(plan.size)
        if let ids = plan.newIDs {
            for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
                config.object[key] = TokenizerRewriter.mapped(config.object[key], ids)
            }
        }
        return config
    }
}
