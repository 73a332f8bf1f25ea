import Safetensors
import TestSupport
import Testing
import Tokenizers

@Suite("Training a byte-level BPE")
struct BytePairTrainerTests {
    private func texts() throws -> [String] {
        let lines = try contents(Fixtures.file("tokenizers/trained/text.jsonl")).split(separator: 0x0A)
        return try lines.map { line in
            try #require(try JSON(parsing: Array(line), file: "text.jsonl").object?["text"]?.string)
        }
    }

    private func trained(
        _ words: BytePairTrainer.Words, size: Int, minimumFrequency: Int,
        special: [String] = ["<|endoftext|>", "<|pad|>"]
    ) throws -> BytePairVocabulary {
        var trainer = BytePairTrainer(words)
        for text in try texts() { trainer.add(Array(text.utf8)) }
        return try trainer.vocabulary(size: size, minimumFrequency: minimumFrequency, specialTokens: special)
    }

    @Test("The merges are those of the Hugging Face library", arguments: BytePairTrainer.Words.allCases)
    func merges(_ words: BytePairTrainer.Words) throws {
        let expected = try JSON(parsing: contents(Fixtures.file("tokenizers/trained/merges.json")), file: "merges.json")
        for (name, size, frequency) in [(words.rawValue, 520, 3), (words.rawValue + "-all", 100_000, 2)] {
            let found = try trained(words, size: size, minimumFrequency: frequency)
            let merges = try #require(found.json.object?["model"]?.object?["merges"]?.array)
            #expect(merges.count > 100)
            #expect(merges == expected.object?[name]?.array)
        }
    }

    @Test("What it writes is read, and gives every text back", arguments: BytePairTrainer.Words.allCases)
    func roundTrip(_ words: BytePairTrainer.Words) throws {
        let vocabulary = try trained(words, size: 400, minimumFrequency: 2)
        let tokenizer = try Tokenizer(parsing: Array(vocabulary.json.serialized().utf8), file: "tokenizer.json")
        #expect(tokenizer.vocabularySize == 400)
        #expect(tokenizer.id(of: "<|endoftext|>") == 0 && tokenizer.id(of: "<|pad|>") == 1)
        var count = 0
        for text in try texts() + ["", "\u{0}\u{1F600} \u{301}", "日本"] {
            let ids = try tokenizer.encode(text)
            #expect(tokenizer.decode(ids) == text)
            count += ids.count
        }
        let others = try tokenizer.encode("\u{0}\u{1F600} \u{301}").count + tokenizer.encode("日本").count
        #expect(vocabulary.tokenCount == count - others, "the trainer knows how many tokens its text is of")
    }

    @Test("A pair that spells a special token is not a second token of that name")
    func special() throws {
        // "ab" is the most frequent pair; with "ab" special the library too gives the pair that token's id.
        var trainer = BytePairTrainer(.gpt2)
        trainer.add(Array("ab ab ab ab abc abc".utf8))
        let found = try trainer.vocabulary(size: 300, minimumFrequency: 1, specialTokens: ["ab"])
        #expect(Set(found.tokens).count == found.tokens.count)
        #expect(found.json.object?["model"]?.object?["vocab"]?.object?["ab"]?.int == 0)
    }

    @Test("What has no room is refused")
    func refusals() {
        #expect(BytePairVocabulary.problem(size: 256, specialTokens: ["a"]) != nil)
        #expect(BytePairVocabulary.problem(size: 257, specialTokens: ["a"]) == nil)
        #expect(BytePairVocabulary.problem(size: 300, specialTokens: ["a", "a"]) != nil)
        #expect(throws: TokenizerError.self) {
            _ = try BytePairTrainer(.gpt2).vocabulary(size: 3, minimumFrequency: 1, specialTokens: [])
        }
    }
}
