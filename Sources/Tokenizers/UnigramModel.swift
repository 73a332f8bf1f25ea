import Safetensors

/// A unigram language model (Kudo 2018, 1804.10959): of all ways to write a text in its tokens the most likely.
struct UnigramModel: Sendable {
    /// What a character that no token begins with costs beyond the least likely token.
    private static let unknownPenalty = 10.0
    private static let charactersBetweenChecks = 1 << 16

    let order: [BytePairModel.Key]
    let vocabulary: [BytePairModel.Key: Int32]
    let unknown: Int32?
    let fallsBackToBytes: Bool
    private let scores: [Double]
    private let unknownScore: Double
    private let isSingle: Bool
    private let trie: ByteTrie
    /// The token `<0xNN>` of each byte; -1 where there is none.
    private let fallbackTokens: [Int32]
    private let file: String

    /// - Parameters:
    ///   - isFound: for each token whether it is looked for in text; by default all are.
    ///   - isSingle: whether scores are added in single precision, as SentencePiece does.
    init(
        _ pieces: [(token: [UInt8], score: Double)], unknown: Int32?, fallsBackToBytes: Bool, file: String,
        isFound: [Bool]? = nil, isSingle: Bool = false
    ) {
        order = pieces.map { BytePairModel.Key(bytes: $0.token) }
        scores = pieces.map(\.score)
        var (trie, vocabulary) = (ByteTrie(), [BytePairModel.Key: Int32](minimumCapacity: pieces.count))
        for (id, key) in order.enumerated() {
            vocabulary[key] = Int32(id)
            // A token of nothing is never found.
            if !key.bytes.isEmpty, isFound?[id] ?? true { trie.insert(key.bytes, Int32(id)) }
        }
        (self.trie, self.vocabulary) = (trie, vocabulary)
        self.unknown = unknown
        self.fallsBackToBytes = fallsBackToBytes
        let found = scores.indices.filter { isFound?[$0] ?? true }.map { pieces[$0].score }
        unknownScore = found.reduce(.infinity) { $1 < $0 ? $1 : $0 } - Self.unknownPenalty
        self.isSingle = isSingle
        fallbackTokens = ByteAlphabet.fallbackTokens { vocabulary[$0] }
        self.file = file
    }

    /// The best way to a position: its last token, and where that begins; -1 for none.
    private struct Step {
        var score = 0.0
        var token: Int32 = 0
        var start: Int32 = -1
    }

    /// - Throws: `TokenizerError` for a character that is unknown where there is no token for it.
    /// - Complexity: O(bytes) times the longest token.
    func encode(_ text: UnsafeBufferPointer<UInt8>, into out: inout [Int32]) throws {
        guard text.count < Int32.max else {
            throw TokenizerError(.unencodable, file: file, message: "a text of \(text.count) bytes: cut it into parts")
        }
        var steps = [Step](repeating: Step(), count: text.count + 1)
        try steps.withUnsafeMutableBufferPointer { steps in
            try fill(steps, text)
            try trace(steps, text, into: &out)
        }
    }

    private func fill(_ steps: UnsafeMutableBufferPointer<Step>, _ text: UnsafeBufferPointer<UInt8>) throws {
        func take(_ start: Int, _ end: Int, _ token: Int32, _ score: Double) {
            let score = isSingle ? Double(Float(score)) : score
            if steps[end].start < 0 || score > steps[end].score {
                steps[end] = Step(score: score, token: token, start: Int32(truncatingIfNeeded: start))
            }
        }
        var (start, untilCheck) = (0, Self.charactersBetweenChecks)
        while start < text.count {
            untilCheck -= 1
            if untilCheck == 0 {
                try Interruption.check()
                untilCheck = Self.charactersBetweenChecks
            }
            let before = steps[start].score
            let length = max(scalar(text, at: start).length, 1)
            var hasSingle = false
            var (node, end) = (Int32(0), start)
            while end < text.count, let next = trie.child(node, text[end]) {
                node = next
                end += 1
                let token = trie.value(node)
                guard token >= 0 else { continue }
                take(start, end, token, scores[Int(token)] + before)
                if end - start == length { hasSingle = true }
            }
            if !hasSingle {
                guard let unknown else {
                    let character = String(decoding: text[start..<start + length], as: UTF8.self)
                    throw TokenizerError(
                        .unencodable, file: file,
                        message: "it has no token for \"\(escaped(character))\" and no unk_id: add one, or leave such "
                            + "text out")
                }
                take(start, start + length, unknown, unknownScore + before)
            }
            start += length
        }
    }

    private func trace(
        _ steps: UnsafeMutableBufferPointer<Step>, _ text: UnsafeBufferPointer<UInt8>, into out: inout [Int32]
    ) throws {
        var ids: [Int32] = []
        var end = text.count
        while end > 0 {
            let step = steps[end]
            var start = Int(step.start)
            guard start >= 0 else { return }
            if step.token == unknown {
                // What is unknown one after another is one token, or the bytes of it.
                while start > 0, steps[start].token == unknown, steps[start].start >= 0 {
                    start = Int(steps[start].start)
                }
                ids += unknownTokens(UnsafeBufferPointer(rebasing: text[start..<end])).reversed()
            } else {
                ids.append(step.token)
            }
            end = start
        }
        out += ids.reversed()
    }

    private func unknownTokens(_ text: UnsafeBufferPointer<UInt8>) -> [Int32] {
        if let token = vocabulary[BytePairModel.Key(bytes: Array(text))] { return [token] }
        if fallsBackToBytes, text.allSatisfy({ fallbackTokens[Int($0)] >= 0 }) {
            return text.map { fallbackTokens[Int($0)] }
        }
        return unknown.map { [$0] } ?? []
    }
}
