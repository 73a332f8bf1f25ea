package import Safetensors

/// Tokens and merges of a byte-level BPE, and the tokenizer.json they make.
package struct BytePairVocabulary: Sendable {
    let words: BytePairTrainer.Words
    private let specialTokens: [String]
    /// Each token's bytes.
    package private(set) var tokens: [[UInt8]] = []
    private var ids: [[UInt8]: Int32] = [:]
    package private(set) var merges: [(left: Int32, right: Int32)] = []
    /// The id of each byte.
    private(set) var idsOfBytes = [Int32](repeating: 0, count: 256)
    /// Tokens that the text it was made of has.
    package internal(set) var tokenCount = 0

    /// What is wrong with a size or special tokens; nil where nothing is.
    package static func problem(size: Int, specialTokens: [String]) -> String? {
        if specialTokens.contains("") { return "a special token is empty" }
        if Set(specialTokens).count < specialTokens.count { return "a special token is there twice" }
        let least = 256 + specialTokens.count
        if size < least { return "a vocabulary of \(size): bytes and special tokens are \(least) already" }
        return size > 1 << 24 ? "a vocabulary of \(size): at most \(1 << 24) tokens are made" : nil
    }

    init(words: BytePairTrainer.Words, specialTokens: [String]) {
        self.words = words
        self.specialTokens = specialTokens
        for token in specialTokens { _ = id(of: Self.bytes(of: token)) }
        for byte in (0..<256).sorted(by: { ByteAlphabet.characters[$0] < ByteAlphabet.characters[$1] }) {
            idsOfBytes[byte] = id(of: [UInt8(byte)])
        }
    }

    /// What a special token would stand for if it were none: a pair that spells its name must not be another token of it.
    private static func bytes(of token: String) -> [UInt8] {
        var bytes: [UInt8] = []
        for character in token.unicodeScalars {
            guard character.value < 512, let byte = UInt8(exactly: ByteAlphabet.bytes[Int(character.value)]) else {
                return Array(token.utf8)
            }
            bytes.append(byte)
        }
        return bytes
    }

    /// The id of the token of these bytes, which is made where there is none.
    private mutating func id(of bytes: [UInt8]) -> Int32 {
        if let id = ids[bytes] { return id }
        let id = Int32(tokens.count)
        ids[bytes] = id
        tokens.append(bytes)
        return id
    }

    /// Makes one token of two.
    ///
    /// - Returns: its id: that of a token of the same bytes where there is one.
    mutating func merge(_ left: Int32, _ right: Int32) -> Int32 {
        merges.append((left, right))
        return id(of: tokens[Int(left)] + tokens[Int(right)])
    }

    /// The token as tokenizer.json spells it.
    private func spelled(_ id: Int) -> String {
        if id < specialTokens.count { return specialTokens[id] }
        return tokens[id].withUnsafeBufferPointer { String(decoding: ByteAlphabet.spelled($0), as: UTF8.self) }
    }

    /// tokenizer.json as the Hugging Face library reads and writes it.
    package var json: JSON {
        var vocabulary = JSONObject()
        for id in tokens.indices { vocabulary[spelled(id)] = JSON(id) }
        let added = specialTokens.enumerated().map { id, token -> JSON in
            .object([
                "id": JSON(id), "content": .string(token), "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            ])
        }
        func bytes(usesPattern: Bool) -> JSON {
            .object([
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": .bool(usesPattern),
            ])
        }
        let split: JSON = .object([
            "type": "Split", "pattern": .object(["Regex": .string(words.pattern.text)]), "behavior": "Isolated",
            "invert": false,
        ])
        return .object([
            "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": .null,
            "pre_tokenizer": words == .gpt2
                ? bytes(usesPattern: true)
                : .object(["type": "Sequence", "pretokenizers": .array([split, bytes(usesPattern: false)])]),
            "post_processor": .null,
            "decoder": .object([
                "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true,
            ]),
            "model": .object([
                "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
                "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
                "vocab": .object(vocabulary),
                "merges": .array(
                    merges.map { .array([.string(spelled(Int($0.left))), .string(spelled(Int($0.right)))]) }),
            ]),
        ])
    }
}
