import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// Other gatings of mixtral's fixture, against torch code that follows the papers (`Tests/Fixtures/statistics/make.py`).
@Suite struct GatingTests {
    private let expected: JSONObject

    init() throws {
        let path = Fixtures.file("statistics/gatings.json")
        expected = try JSON(parsing: contents(path), file: path).object ?? [:]
    }

    /// The losses of each sequence, which is a domain of its own.
    private func losses(
        _ text: String, model: String = "mixtral", seed: UInt64 = 0, observer: (any ForwardObserver)? = nil
    ) throws -> [[Float]] {
        let (decoder, batch) = try fixture(model)
        let mixture = try #require(decoder.configuration.mixture)
        let gating = try GatingChoice(parsing: text).gating(
            mixture, topK: decoder.topK, domainExperts: [0, 1, 2, 3], seed: seed)
        return try batch.sequences.enumerated().map { domain, sequence in
            gating?.begins(BatchContext(batch: sequence, domain: domain, firstToken: 0))
            return try decoder.losses(decoder.forward(sequence, observer: observer, gating: gating), sequence)
        }
    }

    @Test(arguments: ["token-choice", "dense", "expert-choice", "domain", "smear", "lory:8"])
    func lossesAreTheReferences(_ gating: String) throws {
        let all = try losses(gating).flatMap { $0 }
        let mean = all.reduce(0) { $0 + Double($1) } / Double(all.count)
        #expect(abs(mean - (expected[gating]?.double ?? .nan)) < 2e-5)
    }

    @Test func anotherTopKIsTheReferences() throws {
        let (decoder, batch) = try fixture("mixtral", topK: 3)
        let all = try decoder.losses(decoder.forward(batch), batch)
        let mean = all.reduce(0) { $0 + Double($1) } / Double(all.count)
        #expect(abs(mean - (expected["top-3"]?.double ?? .nan)) < 2e-5)
    }

    @Test func sequencesOfOneBatchAreGatedByThemselves() throws {
        for text in ["expert-choice", "smear", "lory:8", "dense", "hash"] {
            let (decoder, batch) = try fixture("mixtral")
            let mixture = try #require(decoder.configuration.mixture)
            let gating = try GatingChoice(parsing: text).gating(mixture, topK: 2, domainExperts: [0, 1, 2, 3], seed: 0)
            gating?.begins(BatchContext(batch: batch))
            let together = try decoder.losses(decoder.forward(batch, gating: gating), batch)
            let apart = try losses(text).flatMap { $0 }
            #expect(zip(together, apart).allSatisfy { abs($0 - $1) < 1e-4 }, "\(text)")
        }
    }

    @Test func noiseOfNoDeviationChangesNothing() throws {
        for model in ["mixtral", "qwen2-moe", "deepseek-v3", "gpt-oss", "deepseek-v2"] {
            #expect(try losses("noisy-top-k:0", model: model) == losses("token-choice", model: model), "\(model)")
        }
    }

    @Test func noiseIsTheSeedsAndGatesAreOfTheLogitsWithoutIt() throws {
        let recorder = DecisionRecorder()
        let first = try losses("noisy-top-k:2", seed: 1, observer: recorder)
        #expect(try losses("noisy-top-k:2", seed: 1) == first)
        #expect(try losses("noisy-top-k:2", seed: 2) != first)
        for decision in recorder.decisions {
            for token in 0..<decision.tokens {
                let slots = decision.starts[token]..<decision.starts[token + 1]
                let (a, b) = (slots.lowerBound, slots.upperBound - 1)
                let difference =
                    decision.logits[token, Int(decision.selected[a])]
                    - decision.logits[token, Int(decision.selected[b])]
                // Mixtral: the softmax of two logits.
                #expect(abs(decision.gates[a] / decision.gates[b] / exp(difference) - 1) < 1e-4)
            }
        }
    }

    @Test func hashGoesByTheTokenAlone() throws {
        let recorder = DecisionRecorder()
        _ = try losses("hash", seed: 3, observer: recorder)
        let (_, batch) = try fixture("mixtral")
        var table: [Int32: [Int32]] = [:]
        // Two layers of each of two sequences.
        for (index, decision) in recorder.decisions.enumerated() {
            #expect(decision.gates.allSatisfy { $0 == 0.5 })
            for token in 0..<decision.tokens {
                let found = Array(decision.selected[decision.starts[token]..<decision.starts[token + 1]])
                #expect(Set(found).count == 2)
                let id = batch.ids[index / 2 * 24 + token]
                #expect(table[id, default: found] == found)
                table[id] = found
            }
        }
        #expect(Set(table.values).count > 2)
    }

    @Test func expertsTakeTheirShareOfEachWindow() throws {
        let recorder = DecisionRecorder()
        _ = try losses("expert-choice:1", observer: recorder)
        for decision in recorder.decisions {
            // 24 tokens, 4 experts, c = 1.
            for expert in 0..<4 { #expect(decision.selected.count { $0 == expert } == 6) }
        }
    }

    /// What DEMix's and BTM's mixtures are made of: four experts by themselves.
    @Test func posteriorAndUniformMixturesAreTheReferences() throws {
        let (decoder, batch) = try fixture("mixtral")
        let gating = try GatingChoice(parsing: "domain").gating(
            try #require(decoder.configuration.mixture), topK: 2, domainExperts: [0, 1, 2, 3], seed: 0)
        let members = try (0..<4).map { expert -> [Float] in
            gating?.begins(BatchContext(batch: batch, domain: expert))
            return try decoder.losses(decoder.forward(batch, gating: gating), batch)
        }
        let means = members.map { $0.reduce(0) { $0 + Double($1) } / Double($0.count) }
        for (found, value) in zip(means, expected["experts"]?.array ?? []) {
            #expect(abs(found - (value.double ?? .nan)) < 2e-5)
        }
        for (weights, name) in [(MixedPredictions.Weights.uniform, "uniform"), (.posterior, "domain:posterior")] {
            let mixed = MixedPredictions.losses(members, predictions: 23, weights: weights)
            let mean = mixed.reduce(0) { $0 + Double($1) } / Double(mixed.count)
            #expect(abs(mean - (expected[name]?.double ?? .nan)) < 2e-5, "\(name)")
        }
    }

    /// Two members, two windows of two predictions, probabilities of 1/2 and 1/4, 1/8 and 1/2.
    @Test func mixtureByHand() {
        let (half, quarter, eighth) = (Float(0.693_147_2), Float(1.386_294_4), Float(2.079_441_5))
        let members = [[half, quarter, half, quarter], [eighth, half, eighth, half]]
        let uniform = MixedPredictions.losses(members, predictions: 2, weights: .uniform)
        #expect(zip(uniform, [0.3125, 0.375, 0.3125, 0.375]).allSatisfy { abs(exp(-$0) - $1) < 1e-5 })
        // After the first token the weights are 4/5 and 1/5; the second window begins anew.
        let posterior = MixedPredictions.losses(members, predictions: 2, weights: .posterior)
        #expect(zip(posterior, [0.3125, 0.3, 0.3125, 0.3]).allSatisfy { abs(exp(-$0) - $1) < 1e-5 })
    }

    @Test func whatDoesNotFitIsRefused() throws {
        for text in ["", "dence", "lory:0", "lory:x", "noisy-top-k:-1", "expert-choice:0", "domain:prior", "dense:2"] {
            #expect(throws: CheckpointError.self, "\(text)") { try GatingChoice(parsing: text) }
        }
        let (decoder, _) = try fixture("phimoe")
        let mixture = try #require(decoder.configuration.mixture)
        #expect(throws: CheckpointError.self, "a sparse mixer") {
            try GatingChoice.noisyTopK(deviation: 1).gating(mixture, topK: 2, domainExperts: [0, 1, 2, 3], seed: 0)
        }
    }
}

private final class DecisionRecorder: ForwardObserver {
    var decisions: [RoutingDecision] = []
    func routed(_ record: MixtureRecord) { decisions.append(record.decision) }
}
