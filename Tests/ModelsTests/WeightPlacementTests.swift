import Checkpoints
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// Weights that stay on disk, a block of a few rows in memory at a time: transformers' numbers as well.
@Suite struct WeightPlacementTests {
    private static var rows: WeightPlacement {
        var placement = WeightPlacement(weights: .rows)
        // A few rows of the fixtures' matrices, and two rows of logits.
        placement.blockBytes = 1000
        placement.logitBytes = 1000
        return placement
    }

    @Test(arguments: Fixtures.dense + Fixtures.mixtures)
    func blocksOfRowsGiveTransformersNumbers(_ name: String) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(
            Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 2), placement: Self.rows)
        #expect(decoder.isStreamed)
        try golden.check(decoder)
    }

    /// What is trained is in memory, and gradients pass through what is not.
    @Test(
        arguments: [
            "llama", "gemma2", "mixtral", "qwen2-moe", "deepseek-v3", "gpt-oss", "granitemoe", "lfm2-moe", "qwen3-next",
            "qwen3-5-text", "granitemoehybrid-mamba", "nemotron-h",
        ], [false, true])
    func gradientsPassThroughBlocks(_ name: String, checkpoints: Bool) throws {
        let golden = try Golden(name)
        let decoder = try Decoder(
            Checkpoint(at: Fixtures.model(name)), workers: Workers(threads: 2), placement: Self.rows)
        // Of the lowest layer and the router, so that every kind of layer above carries a gradient down.
        let parameters = try decoder.train {
            $0.kind == .router || ($0.layer == 0 && [.query, .mixerIn].contains($0.kind))
        }
        let tape = try decoder.forwardKeeping(golden.batch, checkpoints: checkpoints)
        let predictions = golden.batch.count * (golden.batch.length - 1)
        let (_, slope) = try decoder.lossesBackward(tape.states, golden.batch, scale: 1 / Float(predictions))
        try decoder.backward(tape, slope)
        var compared = 0
        for (name, _, values) in try decoder.namedGradients(parameters) {
            guard let expected = try golden.values("grad.\(name)") else { continue }
            #expect(relativeDifference(values, expected) <= golden.gradientTolerance, "\(name)")
            compared += 1
        }
        #expect(compared > 0)
    }
}

/// What is planned within an amount of memory, before anything is loaded.
@Suite struct MemoryPlanTests {
    private static func planner(_ name: String, memory: Int, length: Int = 64) throws -> MemoryPlanner {
        let model = try ModelMemory(Checkpoint(at: Fixtures.model(name)), .forward(slots: 0))
        return MemoryPlanner(memory: memory, threads: 2, models: [model], length: length)
    }

    @Test func weightsAreCountedInF32() throws {
        let checkpoint = try Checkpoint(at: Fixtures.model("llama"))
        let memory = try ModelMemory(checkpoint, .forward(slots: 0))
        #expect(memory.weights == 4 * checkpoint.parameterCount)
        #expect(memory.logitRow == 4 * (try checkpoint.description.size("vocab")))
    }

    @Test(arguments: ["llama", "mixtral", "deepseek-v3"])
    func theLeastThatARefusalNamesIsEnough(_ name: String) throws {
        var planner = try Self.planner(name, memory: 1 << 20)
        planner.shares = [.text, .samples]
        let error = try #require(throws: CheckpointError.self) { try planner.plan() }
        #expect(error.code == .usage)
        let words = error.message.split(separator: " ")
        let least = try #require(words.firstIndex(of: "takes").flatMap { Int(words[$0 + 1]) })
        planner.memory = least << 20
        let plan = try planner.plan()
        #expect(plan.tokens >= 64)
        #expect(plan.bytes <= planner.memory)
        planner.memory = (least - 1) << 20
        #expect(throws: CheckpointError.self) { try planner.plan() }
    }

    @Test func moreMemoryIsNeverSlower() throws {
        var last = Int.max
        for megabytes in stride(from: 60, through: 400, by: 10) {
            var planner = try Self.planner("mixtral", memory: megabytes << 20, length: 16)
            planner.tokens = 1024
            guard let plan = try? planner.plan() else { continue }
            #expect(plan.rank <= last)
            #expect(plan.bytes <= planner.memory)
            last = plan.rank
        }
        #expect(last == 0)
    }

    /// Whatever is asked for at once is planned, and refused where it is too much: no overflow, no attempt.
    @Test(arguments: [1 << 24, 1 << 40, Int.max / 2])
    func hugeBatchesAreRefused(_ tokens: Int) throws {
        var planner = try Self.planner("llama", memory: 4 << 30)
        planner.tokens = tokens
        planner.isExact = true
        let error = try #require(throws: CheckpointError.self) { try planner.plan(advice: "lower `batchTokens`") }
        #expect(error.message.contains("lower `batchTokens`"))
    }

    /// AdamW by hand: a gradient and two moments of each parameter, and the result's values, in F32.
    @Test func trainingTakesGradientsAndMoments() throws {
        let checkpoint = try Checkpoint(at: Fixtures.model("llama"))
        var plans: [Int] = []
        for parameters in [0, 1_000_000] {
            let memory = try ModelMemory(
                checkpoint, .training(parameters: parameters, copies: 0, checkpoints: false))
            plans.append(
                try MemoryPlanner(memory: 4 << 30, threads: 1, models: [memory], length: 64).plan().bytes)
        }
        #expect(plans[1] - plans[0] == 16_000_000)
    }
}
