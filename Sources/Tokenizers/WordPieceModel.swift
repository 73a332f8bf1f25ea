import Safetensors

/// Words cut into the longest tokens, from the left (Schuster and Nakajima 2012).
struct WordPieceModel: Sendable {
    let order: [BytePairModel.Key]
    let vocabulary: [BytePairModel.Key: Int32]
    let unknown: Int32?
    /// What tokens inside of a word begin with.
    let prefix: [UInt8]
    private let unknownName: String
    private let longestWord: Int
    private let beginnings: ByteTrie
    private let continuations: ByteTrie
    private let file: String

    init(
        order: [BytePairModel.Key], vocabulary: [BytePairModel.Key: Int32], unknown: String, prefix: [UInt8],
        longestWord: Int, file: String
    ) {
        (self.order, self.vocabulary, self.prefix, self.longestWord) = (order, vocabulary, prefix, longestWord)
        self.file = file
        unknownName = unknown
        self.unknown = vocabulary[BytePairModel.Key(bytes: Array(unknown.utf8))]
        var (beginnings, continuations) = (ByteTrie(), ByteTrie())
        for (key, id) in vocabulary where !key.bytes.isEmpty {
            beginnings.insert(key.bytes, id)
            if key.bytes.count > prefix.count, key.bytes.starts(with: prefix) {
                continuations.insert(key.bytes.dropFirst(prefix.count), id)
            }
        }
        (self.beginnings, self.continuations) = (beginnings, continuations)
    }

    /// - Throws: `TokenizerError` for a word that is unknown where there is no token for it.
    func encode(_ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
        let count = out.count
        var start = 0
        let isLong = word.count > longestWord && word.reduce(0) { $0 + ($1 & 0xC0 != 0x80 ? 1 : 0) } > longestWord
        while !isLong, start < word.count {
            let trie = start == 0 ? beginnings : continuations
            var (node, end) = (Int32(0), start)
            var best: (token: Int32, end: Int)?
            while end < word.count, let next = trie.child(node, word[end]) {
                node = next
                end += 1
                if trie.value(node) >= 0 { best = (trie.value(node), end) }
            }
            guard let best else { break }
            out.append(best.token)
            start = best.end
        }
        guard isLong || start < word.count else { return }
        out.removeLast(out.count - count)
        guard let unknown else { throw TokenizerError.missingUnknown(unknownName, word, file: file) }
        out.append(unknown)
    }
}

/// Words that are tokens as a whole.
struct WordLevelModel: Sendable {
    let order: [BytePairModel.Key]
    let vocabulary: [BytePairModel.Key: Int32]
    let unknown: Int32?
    private let unknownName: String
    private let file: String

    init(order: [BytePairModel.Key], vocabulary: [BytePairModel.Key: Int32], unknown: String, file: String) {
        (self.order, self.vocabulary, unknownName, self.file) = (order, vocabulary, unknown, file)
        self.unknown = vocabulary[BytePairModel.Key(bytes: Array(unknown.utf8))]
    }

    /// - Throws: `TokenizerError` for a word that is unknown where there is no token for it.
    func encode(_ word: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
        guard let token = vocabulary[BytePairModel.Key(bytes: Array(word))] ?? unknown else {
            throw TokenizerError.missingUnknown(unknownName, word, file: file)
        }
        out.append(token)
    }
}

extension TokenizerError {
    /// For what is unknown where the token for it is not in the vocabulary.
    static func missingUnknown(_ name: String, _ text: UnsafeBufferPointer<UInt8>, file: String) -> TokenizerError {
        TokenizerError(
            .unencodable, file: file,
            message:
                "it has no token for \"\(escaped(String(decoding: text.prefix(200), as: UTF8.self)))\", and unk_token, "
                + "\"\(escaped(name))\", is not in its vocabulary: add it there, or leave such text out")
    }
}
