import Checkpoints
import Evaluation
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Transforms

@Suite struct ModelEvaluatorTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// The fixtures' 48 ids as a file of tokens: two windows of 24.
    private func text(_ decoder: Decoder, _ batch: TokenBatch, length: Int = 24, name: String = "ids") throws
        -> DomainText
    {
        let bytes = batch.ids.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let path = try folder.write("\(name).bin", bytes)
        let encoder = try TextEncoder(
            .none, vocabularySize: decoder.configuration.vocabulary, beginning: nil, end: nil)
        return try DomainText(
            DataSource(name: name, path: path, tokens: .uint16), length: length, options: DataOptions(),
            encoder: encoder)
    }

    private func transformersLoss(_ name: String) throws -> Double {
        let file = try SafetensorsFile(path: Fixtures.model(name) + "/expected.safetensors")
        return try file.doubles(try #require(file.info("loss")))[0]
    }

    @Test(arguments: ["llama", "mixtral", "deepseek-v3"], [1, 48])
    func lossIsTransformers(_ name: String, batchTokens: Int) throws {
        let (decoder, batch) = try fixture(name)
        var evaluator = ModelEvaluator(decoder)
        evaluator.batchTokens = batchTokens
        let result = try evaluator.evaluate([text(decoder, batch)], name: name)
        let score = result.scores.domains[0]
        #expect(abs(score.loss - (try transformersLoss(name))) < 1e-4)
        #expect(score.tokens == 46)
        #expect(score.bitsPerByte == nil, "nobody knows what bytes the ids stand for")
        #expect(abs(score.perplexity - exp(score.loss)) < 1e-9)
        #expect((result.routing == nil) == (name == "llama"))
        #expect(result.routing?.layers.values.allSatisfy { $0.total.tokens == 48 } ?? true)
    }

    @Test func streamedWeightsScoreTheSame() throws {
        let (decoder, batch) = try fixture("mixtral")
        let streamed = try Decoder(
            Checkpoint(at: Fixtures.model("mixtral")), workers: Workers(threads: 2), memory: 1)
        let kept = try ModelEvaluator(decoder).evaluate([text(decoder, batch)], name: "a").scores
        let read = try ModelEvaluator(streamed).evaluate([text(decoder, batch)], name: "a").scores
        #expect(kept.loss == read.loss)
    }

    @Test func domainPosteriorRunsEveryExpertAndMixesThem() throws {
        let (decoder, batch) = try fixture("mixtral")
        var evaluator = ModelEvaluator(decoder)
        evaluator.gating = .domainPosterior
        let texts = try ["a", "b", "c", "d"].map { try text(decoder, batch, name: $0) }
        let result = try evaluator.evaluate(texts, name: "m")
        // gatings.json: "domain:posterior".
        for score in result.scores.domains { #expect(abs(score.loss - 5.228_376_865) < 2e-5) }
        #expect(result.routing == nil)
        // Every expert scores a domain, however many domains there are.
        #expect(try abs(evaluator.evaluate([texts[0]], name: "m").scores.loss - 5.228_376_865) < 2e-5)
    }

    @Test func bytesOfThePredictedTokensAreCounted() throws {
        let (decoder, _) = try fixture("llama")
        // A vocabulary of 96 knows no bytes above; a text of digits has ids below.
        #expect(throws: CheckpointError.self) {
            try TextEncoder(.bytes, vocabularySize: 96, beginning: nil, end: nil)
        }
        let path = try folder.write("digits.txt", Array(repeating: UInt8(ascii: "7"), count: 25))
        let encoder = try TextEncoder(.bytes, vocabularySize: 256, beginning: 1, end: nil)
        let text = try DomainText(
            DataSource(name: "digits", path: path), length: 13, options: DataOptions(), encoder: encoder)
        let score = try ModelEvaluator(decoder).evaluate([text], name: "llama").scores.domains[0]
        // Twenty-six tokens are two windows of thirteen; of each all but the first are predicted, a byte each.
        #expect(score.tokens == 24 && score.bytes == 24)
        #expect(abs((score.bitsPerByte ?? 0) - score.loss / log(2)) < 1e-9)
    }

    @Test func cancellingEndsItBetweenLayers() throws {
        let (decoder, batch) = try fixture("llama")
        var evaluator = ModelEvaluator(decoder)
        var asked = 0
        evaluator.isCancelled = {
            asked += 1
            return asked > 1
        }
        let text = try text(decoder, batch)
        #expect(throws: CheckpointError.self) { try evaluator.evaluate([text], name: "a") }
        #expect(asked == 2)
    }

    @Test func progressGoesUpToTheEnd() throws {
        let (decoder, batch) = try fixture("llama")
        var evaluator = ModelEvaluator(decoder)
        evaluator.batchTokens = 24
        var seen: [Int] = []
        evaluator.progress = { progress in
            #expect(progress.total == 96)
            seen.append(progress.done)
        }
        _ = try evaluator.evaluate([text(decoder, batch, name: "a"), text(decoder, batch, name: "b")], name: "m")
        #expect(seen == seen.sorted() && seen.first == 0 && seen.last == 96)
    }

    @Test func ensembleTakesTheSameTokensOnly() throws {
        let (decoder, batch) = try fixture("llama")
        var evaluator = ModelEvaluator(decoder)
        evaluator.keepsLosses = true
        let whole = try text(decoder, batch)
        let result = try evaluator.evaluate([whole], name: "a")
        var ensemble = Ensemble()
        try ensemble.add(result, [whole], vocabulary: 96)
        #expect(ensemble.scores(.uniform) == nil, "one model is no ensemble")
        try ensemble.add(result, [whole], vocabulary: 96)
        // A model and itself: the model.
        for weights in MixedPredictions.Weights.allCases {
            #expect(abs(try #require(ensemble.scores(weights)).loss - result.scores.loss) < 1e-6)
        }
        let other = try text(decoder, TokenBatch(ids: batch.ids.reversed(), length: 24), name: "other")
        #expect(throws: CheckpointError.self) {
            try ensemble.add(evaluator.evaluate([other], name: "b"), [other], vocabulary: 96)
        }
        #expect(throws: CheckpointError.self) { try ensemble.add(result, [whole], vocabulary: 97) }
    }

    /// Against PyTorch's gradients, one sequence after the other (`Tests/Fixtures/statistics/make.py`).
    @Test func fisherInformationIsTheReferences() throws {
        let (decoder, batch) = try fixture("mixtral")
        var information = try FisherInformation(decoder)
        try information.add(batch)
        var file = TensorFile()
        try information.add(to: &file)
        let path = folder.path + "/fisher.safetensors"
        try file.write(to: path)
        let found = try SafetensorsFile(path: path)
        let reference = Fixtures.file("statistics/fisher.json")
        let expected = try #require(try JSON(parsing: contents(reference), file: reference).object)
        #expect(Set(found.header.tensors.map(\.name)) == Set(expected.keys))
        for tensor in found.header.tensors {
            let values = try found.doubles(tensor)
            let sum = expected[tensor.name]?.object?["sum"]?.double ?? .nan
            let one = expected[tensor.name]?.object?["at_3_5"]?.double ?? .nan
            #expect(abs(values.reduce(0, +) / sum - 1) < 1e-3, "\(tensor.name)")
            #expect(abs(values[3 * tensor.shape.dimensions[1] + 5] - one) <= 1e-3 * one + 1e-6, "\(tensor.name)")
        }
        #expect(throws: CheckpointError.self) { try FisherInformation(fixture("llama").0) }
        // densify finds every expert's information under the name that it looks for.
        var options = DensifyOptions()
        options.method = .fisher(path)
        #expect(try !Checkpoint(at: Fixtures.model("mixtral")).densified(options).checkpoint.isMixture)
    }
}
