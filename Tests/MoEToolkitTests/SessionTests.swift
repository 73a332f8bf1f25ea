import Foundation
import MoEToolkit
import TestSupport
import Testing

/// What a build script does, with nothing imported but the face.
@Suite("The public face")
struct SessionTests {
    private let folder: TemporaryFolder
    /// 512 ids below 96 as a domain of tokens.
    private let data: String

    init() throws {
        folder = try TemporaryFolder()
        let ids = try folder.write("ids.bin", (0..<512).flatMap { [UInt8($0 * 37 % 89), 0] })
        data = "ids=\(ids):uint16"
    }

    private var mixtral: Checkpoint { get throws { try Checkpoint(at: Fixtures.model("mixtral")) } }

    private func evaluation(_ length: Int = 32) -> EvaluationSession {
        var options = EvaluationOptions(data: [data])
        options.length = length
        return EvaluationSession(options)
    }

    @Test("a checkpoint that was not written is evaluated as the one it was made of")
    func upcycledIsTheDenseModel() async throws {
        let dense = try Checkpoint(at: Fixtures.model("llama"))
        let (mixture, preservation) = try dense.upcycled(UpcycleOptions(experts: 4))
        #expect(preservation.degree == .exact)
        let result = try await evaluation().run([("dense", dense), ("mixture", mixture)])
        #expect(result.models.map(\.scores.model) == ["dense", "mixture"])
        let losses = result.models.map(\.scores.loss)
        #expect(abs(losses[0] - losses[1]) < 1e-5)
        // Random weights predict as chance does: ln of the vocabulary, give or take.
        #expect(losses[0] > 1 && losses[0] < 12)
        #expect(result.models[0].routing == nil)
        let routing = try #require(result.models[1].routing)
        #expect(routing.experts == 4 && routing.topK == 2 && routing.domains == ["ids"])
        let shares = try #require(routing.layers[0]).measures.share
        #expect(abs(shares.reduce(0, +) - 2) < 1e-12)
        let comparison = try await ModelComparison(("a", dense), ("b", mixture), on: [data], length: 32)
        #expect(comparison.all.maximumDifference < 1e-3 && comparison.all.agreement == 1)
    }

    @Test("routers that are tuned lower the loss on what they are tuned on, and are written with their record")
    func training() async throws {
        var settings = TrainingSettings(data: [data])
        settings.heldOut = [data]
        settings.steps = 6
        settings.length = 32
        settings.batchTokens = 128
        settings.learningRate = 1e-2
        let output = folder.path + "/tuned"
        var session = TrainingSession(try mixtral, settings, output: output)
        let steps = Recorder()
        session.event = { if case .step(let step, _) = $0 { steps.add(step.step) } }
        let result = try await session.run()
        #expect(result.outcome == .finished && result.steps == 6)
        #expect(steps.all == [0, 1, 2, 3, 4, 5])
        let (before, after) = try (#require(result.before.first), #require(result.after.first))
        #expect(after.loss < before.loss)
        // What was written is what was held in memory.
        let written = try await evaluation().run([("tuned", Checkpoint(at: output))])
        #expect(abs(written.models[0].scores.loss - after.loss) < 1e-5)
        // The session refuses to take its place.
        await #expect(throws: CheckpointError.self) { try await session.run() }
        try Report(result, of: "mixtral", trained: "router").write(to: folder.path + "/training.html")
        #expect(folder.names.contains("training.html") && folder.names.contains("training.json"))
    }

    @Test("experts are measured and pruned by what was measured")
    func pruning() async throws {
        let mixture = try mixtral
        let statistics = try await mixture.expertStatistics(on: [data], length: 32)
        let scores = try statistics.expertStatistics()
        #expect(!scores.isEmpty)
        // Every token goes to two experts.
        for layer in scores.values { #expect(layer.frequency.reduce(0, +) == 2 * 512) }
        let pruned = try mixture.pruned(PruneOptions(size: .experts(2), choice: statistics.choice(by: .reap)))
        let path = folder.path + "/pruned"
        try await pruned.write(to: path)
        #expect(try inspect(path).model?.experts?.count == 2)
        let merged = try mixture.pruned(
            PruneOptions(size: .experts(2), choice: statistics.choice(merging: .hc, to: .experts(2))))
        #expect(merged.isMixture)
        try statistics.write(to: folder.path + "/statistics.safetensors")
        let again = try ExpertStatisticsFile(path: folder.path + "/statistics.safetensors")
        #expect(try again.usage() == statistics.usage())
    }

    @Test("a task that is cancelled ends the work with the error that says so")
    func cancellation() async throws {
        let session = evaluation()
        let model = try mixtral
        let task = Task { () -> CheckpointError? in
            // Waits until it is cancelled: what starts then must see it.
            while !Task.isCancelled { await Task.yield() }
            do {
                _ = try await session.run([("mixtral", model)])
                return nil
            } catch { return error as? CheckpointError }
        }
        task.cancel()
        #expect(await task.value?.code == .cancelled)
        let output = folder.path + "/copy"
        let writing = Task { () -> CheckpointError? in
            while !Task.isCancelled { await Task.yield() }
            do {
                try await model.write(to: output)
                return nil
            } catch { return error as? CheckpointError }
        }
        writing.cancel()
        #expect(await writing.value?.code == .cancelled)
        #expect(!FileManager.default.fileExists(atPath: output))
    }

    @Test("text comes piece by piece, and a pass gives every tensor")
    func generationAndForward() async throws {
        let pass = try await ForwardPass(of: mixtral, tokens: [[1, 2, 3, 4], [5, 6, 7, 8]])
        #expect(pass.sequences == 2 && pass.length == 4 && pass.loss > 0)
        var options = ForwardPass.Options()
        options.gradients = true
        let gradients = try await ForwardPass(of: mixtral, tokens: [[1, 2, 3, 4]], options)
        #expect(gradients.loss > 0)
        await #expect(throws: CheckpointError.self) {
            try await ForwardPass(of: mixtral, tokens: [[1, 2], [3]])
        }
        // There is no tokenizer beside the fixture, and it knows less than 256 ids.
        var generation = GenerationOptions()
        generation.tokenizer = .bytes
        let session = GenerationSession(try mixtral, generation)
        await #expect(throws: CheckpointError.self) {
            for try await _ in session.pieces(after: "a") {}
        }
    }

    @Test("plans are values, and their documents are those of the command line")
    func plans() throws {
        // Hoffmann et al. 2022, 2203.15556, section D.3, with the digits of its source (Besiroglu et al. 2024, 2404.10102).
        var selection = LawSelection()
        selection.law = "chinchilla"
        let law = try ChosenLaw(selection)
        let prediction = try LossPrediction(law, parameters: 1e9, tokens: 1e10)
        let expected = 406.4 / pow(1e9, 0.3392) + 410.7 / pow(1e10, 0.2849) + 1.6934
        #expect(abs(prediction.loss - expected) < 1e-9)
        #expect(prediction.json["loss"]?.double == prediction.loss)
        let models = try OptimalModels(law, BudgetOptions(flops: 1e21))
        #expect(models.json["models"]?.array?.count == 1)
        let cost = try ServingCost(parameters: 7e9, ServingOptions())
        #expect(cost.dollarsPerMillionTokens > 0 && cost.devices >= 1)
        #expect(throws: CheckpointError.self) { try LossPrediction(law, parameters: 1e9) }
    }
}

/// What was told, in its order.
private final class Recorder: @unchecked Sendable {
    // Every access takes the lock.
    private let lock = NSLock()
    private var values: [Int] = []

    func add(_ value: Int) { lock.withLock { values.append(value) } }
    var all: [Int] { lock.withLock { values } }
}
