import Safetensors

/// A special token that a configuration names: by its string, or with how it is found in text.
private enum NamedToken {
    case name(String)
    case token(AddedTokens.Token)

    var content: [UInt8] {
        switch self {
        case .name(let name): Array(name.utf8)
        case .token(let token): token.content
        }
    }
}

extension TokenizerSettings {
    private static let attributes = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Adds the tokens that the configuration names and the tokenizer does not have, in transformers' order.
    ///
    /// - Parameters:
    ///   - file: tokenizer.json as it is.
    ///   - read: an added token of its JSON.
    /// - Returns: the tokens that begin and end a text.
    func addTokens(
        _ kind: TokenizerClass, _ file: JSONObject, to added: inout AddedVocabulary,
        _ read: (JSONObject, _ isSpecial: Bool?) throws -> AddedTokens.Token
    ) throws -> (beginning: Int32?, end: Int32?) {
        var values = tokenizer ?? JSONObject()
        var listed: [(id: Int, token: AddedTokens.Token)] = []
        func list(_ id: Int?, _ entry: JSON?, _ isSpecial: Bool? = nil) throws {
            guard let id, let object = entry?.object else { return }
            let token = try read(object, isSpecial)
            if let index = listed.firstIndex(where: { $0.id == id }) {
                listed[index].token = token
            } else {
                listed.append((id, token))
            }
        }
        if let decoder = values["added_tokens_decoder"]?.object {
            for key in decoder.keys { try list(Int(key), decoder[key]) }
        } else {
            for key in specialTokens?.keys ?? [] {
                guard let value = specialTokens?[key] else { continue }
                if key == "extra_special_tokens" {
                    values[key] = .array((values[key]?.array ?? []) + (value.array ?? []))
                } else {
                    values[key] = value
                }
            }
            let names = Set(
                Self.attributes.compactMap { values[$0]?.string ?? values[$0]?.object?["content"]?.string }
                    + Self.extra(values).compactMap { $0.string ?? $0.object?["content"]?.string })
            for content in addedTokens?.keys ?? [] {
                let entry: JSONObject = ["content": .string(content), "special": .bool(names.contains(content))]
                try list(addedTokens?[content]?.int, .object(entry))
            }
            for entry in file["added_tokens"]?.array ?? [] { try list(entry.object?["id"]?.int, entry) }
        }
        let known = Dictionary(listed.map { ($0.token.content, $0.token) }) { $1 }
        func named(_ value: JSON?) throws -> NamedToken? {
            if let name = value?.string { return known[Array(name.utf8)].map { .token($0) } ?? .name(name) }
            guard let object = value?.object, object["content"]?.string != nil else { return nil }
            return .token(try read(object, specialTokens == nil ? nil : true))
        }
        var special: [(key: String, token: NamedToken)] = []
        for key in Self.attributes {
            let fallback = kind.defaultTokens.first { $0.key == key }?.content
            let value = values.keys.contains(key) ? values[key] : fallback.map { .string($0) }
            if let token = try named(value) { special.append((key, token)) }
        }
        for key in values.keys where key.hasSuffix("_token") && !Self.attributes.contains(key) {
            if let token = try named(values[key]) { special.append((key, token)) }
        }
        for key in values["extra_special_tokens"]?.object?.keys ?? [] {
            if let token = try named(values["extra_special_tokens"]?.object?[key]) { special.append((key, token)) }
        }
        let extra = try Self.extra(values).compactMap { value -> NamedToken? in
            if let name = value.string { return .name(name) }
            return try named(value)
        }
        // What is not there as it is comes first, then names that nothing has.
        var toAdd = listed.sorted { $0.id < $1.id }.map(\.token).filter { !added.tokens.values.contains($0) }
            .map { NamedToken.token($0) }
        var contents = Set(added.tokens.values.map(\.content) + toAdd.map(\.content))
        for token in special.map(\.token) + extra where contents.insert(token.content).inserted { toAdd.append(token) }
        let names = Set(special.map(\.token.content))
        for token in toAdd {
            switch token {
            case .name(let name): added.add(Self.special(Array(name.utf8)))
            case .token(var token):
                if names.contains(token.content) { token.isSpecial = true }
                added.add(token)
            }
        }
        if kind == .qwen2 {
            for token in special.map(\.token) + extra { added.add(Self.special(token.content)) }
        }
        func id(_ key: String) -> Int32? { special.first { $0.key == key }.flatMap { added.id(of: $0.token.content) } }
        return (id("bos_token"), id("eos_token"))
    }

    private static func special(_ content: [UInt8]) -> AddedTokens.Token {
        AddedTokens.Token(content: content, isSpecial: true, isNormalized: false)
    }

    /// Special tokens without a name; the older key counts where the newer has none.
    private static func extra(_ values: JSONObject) -> [JSON] {
        let own = values["extra_special_tokens"]
        if let list = own?.array, !list.isEmpty { return list }
        return values["additional_special_tokens"]?.array ?? []
    }
}
