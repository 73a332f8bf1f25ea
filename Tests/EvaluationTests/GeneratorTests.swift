import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Tokenizers

@Suite("Generation")
struct GeneratorTests {
    private func ids(_ name: String) throws -> [Int32] {
        let file = try SafetensorsFile(path: Fixtures.model(name) + "/expected.safetensors")
        return try file.bytes("input_ids").withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) }.prefix(24)
            .map { Int32($0) }
    }

    /// transformers' logits of the first sequence, `[24, 96]`.
    private func logits(_ name: String) throws -> [Float] {
        let file = try SafetensorsFile(path: Fixtures.model(name) + "/expected.safetensors")
        return try file.bytes("logits").withUnsafeBytes { Array($0.bindMemory(to: Float.self).prefix(24 * 96)) }
    }

    @Test(
        "With keys and values kept, any pieces of a sequence give transformers' logits of the whole",
        arguments: Fixtures.dense + Fixtures.mixtures, [[24], [10, 1, 1, 1, 1, 1, 9], [1, 2, 3, 4, 5, 9]])
    func cache(_ name: String, pieces: [Int]) throws {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 2))
        let (ids, expected) = (try ids(name), try logits(name))
        // A capacity of 4 has to grow.
        let state = SequenceState(decoder.configuration, capacity: 4, length: ids.count)
        var found: [Float] = []
        for piece in pieces {
            let part = Array(ids[state.count..<state.count + piece])
            let states = try decoder.forward(TokenBatch(ids: part, length: piece), state: state)
            found += try decoder.logits(states.span).array
        }
        #expect(found.count == expected.count)
        let scale = max(1, expected.map(abs).max() ?? 1)
        #expect(largestDifference(found, expected) / scale <= 1e-4, "\(name) \(pieces)")
    }

    // phi3-longrope has other factors from its 17th token on.
    @Test(
        "Without a temperature each token is the likeliest after all before it",
        arguments: ["llama", "gpt-oss", "phi3-longrope", "gemma4-wide"])
    func greedy(_ name: String) throws {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 1))
        var sampling = Sampling()
        sampling.temperature = 0
        let prompt = Array(try ids(name).prefix(6))
        var tokens: [Generator.Token] = []
        let finish = try Generator(decoder, sampling: sampling).continue(prompt, atMost: 12) {
            tokens.append($0)
            return true
        }
        #expect(finish == .length)
        var text = prompt
        for token in tokens {
            let states = try decoder.forward(TokenBatch(ids: text, length: text.count))
            let row = try decoder.logits(states.span(rows: text.count - 1..<text.count)).array
            let likeliest = row.indices.max { row[$0] < row[$1] }
            #expect(likeliest == Int(token.id))
            let total = row.reduce(0.0) { $0 + exp(Double($1)) }
            #expect(abs(token.logProbability - log(exp(Double(row[Int(token.id)])) / total)) < 1e-5)
            text.append(token.id)
        }
    }

    @Test("A token that ends the text is the last; the caller may end it before")
    func ends() throws {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model("llama")), workers: Workers(threads: 1))
        var sampling = Sampling()
        sampling.temperature = 0
        let prompt = Array(try ids("llama").prefix(6))
        var tokens: [Int32] = []
        try Generator(decoder, sampling: sampling).continue(prompt, atMost: 8) {
            tokens.append($0.id)
            return true
        }
        let end = tokens[3]
        let first = try #require(tokens.firstIndex(of: end))
        var found: [Generator.Token] = []
        let finish = try Generator(decoder, sampling: sampling, ends: [end]).continue(prompt, atMost: 8) {
            found.append($0)
            return true
        }
        #expect(finish == .end)
        #expect(found.map(\.id) == Array(tokens[...first]))
        #expect(found.map(\.isEnd) == found.indices.map { $0 == first })
        #expect(try Generator(decoder, sampling: sampling).continue(prompt, atMost: 8) { _ in false } == .stopped)
        #expect(throws: CheckpointError.self) {
            try Generator(decoder, sampling: sampling).continue([], atMost: 1) { _ in true }
        }
        #expect(throws: CheckpointError.self) {
            try Generator(decoder, sampling: sampling).continue([96], atMost: 1) { _ in true }
        }
    }
}

@Suite("Sampling")
struct SamplingTests {
    /// ln 1 ... ln 4: probabilities of 0.1 to 0.4.
    private let logits: [Float] = [0, 0.693_147_2, 1.098_612_3, 1.386_294_4]

    private func counts(_ sampling: Sampling, draws: Int = 20_000) -> [Double] {
        var counts = [Double](repeating: 0, count: logits.count)
        logits.withUnsafeBufferPointer { for step in 0..<draws { counts[sampling.choose($0, step: step)] += 1 } }
        return counts.map { $0 / Double(draws) }
    }

    private func check(_ found: [Double], _ expected: [Double]) {
        // Four standard deviations of 20,000 draws are 0.014 at most.
        for (a, b) in zip(found, expected) { #expect(abs(a - b) < 0.015, "\(found)") }
    }

    @Test("Tokens are drawn with their probabilities")
    func probabilities() {
        var sampling = Sampling()
        sampling.temperature = 1
        check(counts(sampling), [0.1, 0.2, 0.3, 0.4])
        // exp(l / 0.5) is the square: 1, 4, 9 and 16 of 30.
        sampling.temperature = 0.5
        check(counts(sampling), [1.0 / 30, 4.0 / 30, 9.0 / 30, 16.0 / 30])
    }

    @Test("Tokens beyond the likeliest are never drawn")
    func filters() {
        var sampling = Sampling()
        sampling.temperature = 1
        sampling.topK = 2
        check(counts(sampling), [0, 0, 3.0 / 7, 4.0 / 7])
        sampling.topK = nil
        // 0.4 + 0.3 is the first sum of at least 0.65.
        sampling.topP = 0.65
        check(counts(sampling), [0, 0, 3.0 / 7, 4.0 / 7])
        // Of the two that are left, 4/7 is at least a half.
        sampling.topK = 2
        sampling.topP = 0.5
        #expect(counts(sampling) == [0, 0, 0, 1])
        sampling.topP = 1e-9
        sampling.topK = nil
        #expect(counts(sampling) == [0, 0, 0, 1])
    }

    @Test("Equally likely tokens at the edge all stay, as in transformers")
    func ties() {
        var sampling = Sampling()
        sampling.temperature = 1
        sampling.topK = 1
        let logits: [Float] = [1, 3, 3]
        let found = Set((0..<100).map { step in logits.withUnsafeBufferPointer { sampling.choose($0, step: step) } })
        #expect(found == [1, 2])
        sampling.temperature = 0
        #expect(logits.withUnsafeBufferPointer { sampling.choose($0, step: 0) } == 1)
    }

    @Test("A seed says every draw")
    func seeds() {
        var sampling = Sampling()
        let draws = { (seed: UInt64) in
            sampling.seed = seed
            return (0..<64).map { step in self.logits.withUnsafeBufferPointer { sampling.choose($0, step: step) } }
        }
        #expect(draws(1) == draws(1))
        #expect(draws(1) != draws(2))
    }

    @Test("Logits that are not numbers do not trap")
    func notNumbers() {
        for logits in [[Float.nan, .nan], [.infinity, 1], [-.infinity, -.infinity]] as [[Float]] {
            for temperature in [0.0, 1.0] {
                var sampling = Sampling()
                sampling.temperature = temperature
                sampling.topP = 0.5
                #expect((0..<2).contains(logits.withUnsafeBufferPointer { sampling.choose($0, step: 0) }))
            }
        }
    }
}

@Suite("Text as it comes")
struct TextStreamTests {
    private func pieces(_ text: [UInt8], after context: [UInt8] = []) -> [String] {
        var stream = TextStream(after: context.map { Int32($0) }, StreamingDecoder(nil))
        return text.map { stream.add(Int32($0)) } + [stream.finish()]
    }

    @Test("A character comes when its last byte does")
    func characters() {
        #expect(pieces(Array("aé€😀b".utf8)) == ["a", "", "é", "", "", "€", "", "", "", "😀", "b", ""])
    }

    @Test("Pieces are the whole text; what is broken becomes replacement characters")
    func broken() {
        for text in [[0xFF, 0x61], [0xE2, 0x82], [0x61, 0xE2, 0x62, 0xC3, 0xA9], [0xF0, 0x9F, 0x98]] as [[UInt8]] {
            #expect(pieces(text).joined() == String(decoding: text, as: UTF8.self))
        }
        let noise = [UInt8](repeating: 0xFF, count: 500)
        #expect(pieces(noise).joined() == String(decoding: noise, as: UTF8.self))
    }

    @Test("What came before is not given again")
    func context() {
        #expect(pieces(Array("lo".utf8), after: Array("hel".utf8)) == ["l", "o", ""])
    }

    @Test("The continuation is what the text of all tokens has beyond the prompt's", arguments: [0, 1, 2, 3, 4])
    func continuation(_ promptLength: Int) throws {
        let path = Fixtures.file("tokenizers/library/cases.json")
        let cases = try #require(try JSON(parsing: contents(path), file: path).array)
        let entry = try #require(cases.compactMap(\.object).first { $0["name"]?.string == "fallback" })
        let json = try #require(entry["tokenizer"]).serialized()
        let tokenizer = try Tokenizer(parsing: Array(json.utf8), file: "tokenizer.json")
        for item in entry["decoded"]?.array ?? [] {
            let ids = (item.object?["ids"]?.array ?? []).compactMap(\.int).compactMap { Int32(exactly: $0) }
            let whole = try #require(item.object?["text"]?.string).unicodeScalars
            let prompt = Array(ids.prefix(promptLength))
            var stream = TextStream(after: prompt, StreamingDecoder(tokenizer))
            let text = ids.dropFirst(promptLength).map { stream.add($0) }.joined() + stream.finish()
            let expected = whole.dropFirst(tokenizer.decode(prompt).unicodeScalars.count)
            #expect(Array(text.unicodeScalars) == Array(expected), "\(ids)")
        }
    }
}
