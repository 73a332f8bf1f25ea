import Checkpoints
import Safetensors

/// Rewrites a tokenizer's files for a vocabulary that was extended or cut.
struct TokenizerRewriter {
    /// New ids of tokens that are kept; nil where all keep theirs.
    let ids: [Int: Int]?
    /// Tokens that are appended.
    let added: [ExactText]
    /// The id of the first of them.
    let firstNewID: Int

    /// A token id, or a list of them, under its new number; null where it is gone.
    static func mapped(_ value: JSON?, _ ids: [Int: Int]) -> JSON? {
        guard let value else { return nil }
        if let id = value.int { return ids[id].map { JSON($0) } ?? .null }
        if let list = value.array { return .array(list.compactMap { $0.int.flatMap { ids[$0] }.map { JSON($0) } }) }
        return value
    }

    /// - Parameters:
    ///   - json: the reference's tokenizer.json; `others` those of the other models, for their merges.
    func rewrite(_ companions: [Companion], _ json: JSONObject, others: [JSONObject]) throws -> [Companion] {
        guard ids != nil || !added.isEmpty else { return companions }
        var tokenizer = json
        guard var model = json["model"]?.object, let type = model["type"]?.string ?? inferredType(model) else {
            throw CheckpointError(
                .incompatible, file: Vocabulary.fileName, message: "its model has no type: it cannot be rewritten")
        }
        guard type == "BPE", let vocabulary = model["vocab"]?.object else {
            throw CheckpointError(
                .incompatible, file: Vocabulary.fileName,
                message: "a vocabulary of type \(escaped(type)) cannot be reconciled; BPE can")
        }
        let special = Set(
            (others + [json]).flatMap { $0["added_tokens"]?.array ?? [] }.compactMap { $0.object?["content"]?.string }
                .map { ExactText($0) })
        var kept: [ExactText: Int] = [:]
        for key in vocabulary.keys {
            guard let id = vocabulary[key]?.int else { continue }
            if let new = ids.map({ $0[id] }) ?? id { kept[ExactText(key)] = new }
        }
        for (index, token) in added.enumerated() where !special.contains(token) { kept[token] = firstNewID + index }
        var entries = JSONObject()
        for (token, id) in kept.sorted(by: { $0.value < $1.value }) { entries[token.text] = JSON(id) }
        model["vocab"] = .object(entries)
        model["merges"] = .array(merges(model, others, kept))
        tokenizer["model"] = .object(model)
        tokenizer["added_tokens"] = .array(addedTokens(json, others))
        if let ids, let post = json["post_processor"] { tokenizer["post_processor"] = processor(post, ids) }
        var result: [Companion] = []
        for companion in companions {
            switch companion.name {
            case Vocabulary.fileName:
                let text = JSON.object(tokenizer).serialized() + "\n"
                result.append(Companion(name: companion.name, content: .bytes(Array(text.utf8))))
            case "tokenizer_config.json", "generation_config.json":
                result.append(try settings(companion))
            // Other forms of the same vocabulary would contradict the new one.
            case "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model", "spiece.model",
                "sentencepiece.bpe.model", "tekken.json":
                continue
            default: result.append(companion)
            }
        }
        return result
    }

    private func inferredType(_ model: JSONObject) -> String? { model["merges"] == nil ? nil : "BPE" }

    /// The reference's merges whose tokens are there, then the others' that make tokens it did not have.
    private func merges(_ model: JSONObject, _ others: [JSONObject], _ kept: [ExactText: Int]) -> [JSON] {
        func pair(_ merge: JSON) -> (String, String)? {
            if let text = merge.string, let space = text.firstIndex(of: " ") {
                return (String(text[..<space]), String(text[text.index(after: space)...]))
            }
            if let parts = merge.array, parts.count == 2, let a = parts[0].string, let b = parts[1].string {
                return (a, b)
            }
            return nil
        }
        func exists(_ text: String) -> Bool { kept[ExactText(text)] != nil }
        let own = model["merges"]?.array ?? []
        let isList = own.first?.array != nil
        func written(_ a: String, _ b: String) -> JSON {
            isList ? .array([.string(a), .string(b)]) : .string(a + " " + b)
        }
        var result = own.filter { merge in
            pair(merge).map { exists($0) && exists($1) && exists($0 + $1) } ?? false
        }
        let new = Set(added)
        var seen: Set<ExactText> = []
        for other in others {
            for merge in other["model"]?.object?["merges"]?.array ?? [] {
                guard let (a, b) = pair(merge), new.contains(ExactText(a + b)), exists(a), exists(b),
                    seen.insert(ExactText(a + " " + b)).inserted
                else { continue }
                result.append(written(a, b))
            }
        }
        return result
    }

    private func addedTokens(_ json: JSONObject, _ others: [JSONObject]) -> [JSON] {
        var result: [JSON] = []
        for entry in json["added_tokens"]?.array ?? [] {
            guard var object = entry.object, let id = object["id"]?.int else { continue }
            if let ids {
                guard let new = ids[id] else { continue }
                object["id"] = JSON(new)
            }
            result.append(.object(object))
        }
        let numbers = Dictionary(added.enumerated().map { ($0.element, firstNewID + $0.offset) }) { first, _ in first }
        var done: Set<ExactText> = []
        for entry in others.flatMap({ $0["added_tokens"]?.array ?? [] }) {
            guard var object = entry.object, let text = object["content"]?.string,
                let id = numbers[ExactText(text)], done.insert(ExactText(text)).inserted
            else { continue }
            object["id"] = JSON(id)
            result.append(.object(object))
        }
        return result.sorted { ($0.object?["id"]?.int ?? 0) < ($1.object?["id"]?.int ?? 0) }
    }

    /// The ids in a template's special tokens, wherever the template lies.
    private func processor(_ value: JSON, _ ids: [Int: Int]) -> JSON {
        switch value {
        case .object(var object):
            for key in object.keys {
                guard let member = object[key] else { continue }
                object[key] = key == "ids" ? Self.mapped(member, ids) : processor(member, ids)
            }
            return .object(object)
        case .array(let elements): return .array(elements.map { processor($0, ids) })
        default: return value
        }
    }

    private func settings(_ companion: Companion) throws -> Companion {
        guard case .file(let path) = companion.content,
            var object = try JSON(parsing: PosixFile.contents(path, limit: 64 << 20), file: path).object
        else { return companion }
        if companion.name == "tokenizer_config.json" {
            // It repeats the added tokens by id; a fast tokenizer takes them from tokenizer.json.
            object["added_tokens_decoder"] = nil
        } else if let ids {
            for key in ["bos_token_id", "eos_token_id", "pad_token_id"] {
                object[key] = Self.mapped(object[key], ids)
            }
        }
        let text = JSON.object(object).serialized() + "\n"
        return Companion(name: companion.name, content: .bytes(Array(text.utf8)))
    }
}
