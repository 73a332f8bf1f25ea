/// The tokens that were added to a model's vocabulary, with their ids, as the Hugging Face library gives them.
///
/// The ids in a file are not what counts: a token that the model has keeps the model's id, and each other one gets the next
/// that is free after the model's and those before it.
struct AddedVocabulary: Sendable {
    private let modelIDs: [BytePairModel.Key: Int32]
    private var ids: [[UInt8]: Int32] = [:]
    /// Tokens as they were added last.
    private(set) var tokens: [Int32: AddedTokens.Token] = [:]
    private var special: [AddedTokens.Token] = []
    private var others: [AddedTokens.Token] = []
    private var largest: Int32?
    /// The contents of special tokens.
    private(set) var specialContents: Set<[UInt8]> = []

    private let modelSize: Int

    init(_ model: TokenModel) { (modelIDs, modelSize) = (model.vocabulary, model.size) }

    /// The id of a token, added or the model's own.
    func id(of content: [UInt8]) -> Int32? { ids[content] ?? modelIDs[BytePairModel.Key(bytes: content)] }

    mutating func add(_ token: AddedTokens.Token) {
        guard !token.content.isEmpty else { return }
        if token.isSpecial, specialContents.insert(token.content).inserted { special.append(token) }
        let known = id(of: token.content)
        if let known, tokens[known] == token { return }
        let size = Int32(clamping: modelSize)
        let new = known ?? largest.map { $0 >= size || size == 0 ? $0 + 1 : size } ?? size
        ids[token.content] = new
        largest = max(largest ?? new, new)
        tokens[new] = token
        if !specialContents.contains(token.content) { others.append(token) }
    }

    /// Adds a special token whose id is known.
    mutating func place(_ token: AddedTokens.Token, _ id: Int32) {
        if specialContents.insert(token.content).inserted { special.append(token) }
        ids[token.content] = id
        largest = max(largest ?? id, id)
        tokens[id] = token
    }

    /// What is looked for in text before normalisation, and after it.
    func patterns(
        _ normalize: ([UInt8]) throws -> [UInt8]
    ) rethrows -> (raw: AddedTokens, normalized: AddedTokens) {
        var (raw, normalized): ([AddedTokens.Pattern], [AddedTokens.Pattern]) = ([], [])
        for token in special + others {
            guard let id = id(of: token.content), let last = tokens[id] else { continue }
            if token.isNormalized {
                let content = try normalize(token.content)
                normalized.append(AddedTokens.Pattern(content: content, id: id, token: last))
            } else {
                raw.append(AddedTokens.Pattern(content: token.content, id: id, token: last))
            }
        }
        return (AddedTokens(raw), AddedTokens(normalized))
    }
}
