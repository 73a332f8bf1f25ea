import Checkpoints
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing
import Training

/// Runs of PyTorch (`Tests/Fixtures/training/runs`): twenty steps each of transformers' models with torch's AdamW.
@Suite struct TrainerTests {
    private static func trainer(_ name: String, memory: Int? = nil, checkpoints: Bool = false, threads: Int = 2) throws
        -> (Trainer, ExplicitBatches, SafetensorsFile)
    {
        let folder = Fixtures.file("training/runs")
        let file = "\(folder)/\(name).json"
        let settings = try JSON(parsing: contents(file), file: file).object ?? JSONObject()
        func number(_ key: String) -> Double { settings[key]?.double ?? 0 }
        var options = TrainingOptions()
        options.selection = settings["train"]?.string == "all" ? .all : .router
        options.optimizer = AdamWOptions(
            beta1: settings["betas"]?.array?.first?.double ?? 0, beta2: settings["betas"]?.array?.last?.double ?? 0,
            epsilon: number("eps"), weightDecay: number("weight_decay"))
        options.clip = number("clip")
        options.schedule = LearningRateSchedule(
            shape: .cosine, peak: number("lr"), minimum: number("min_lr"), warmup: Int(number("warmup")), steps: 20)
        options.checkpointsActivations = checkpoints
        if settings["aux"] != nil {
            options.balance = Balance(.hf, weight: number("aux"))
            options.zLoss = number("z")
        }
        let workers = Workers(threads: threads)
        func decoder(_ name: String) throws -> Decoder {
            try Decoder(Checkpoint(at: Fixtures.model(name)), workers: workers, memory: memory)
        }
        var teacher: Decoder?
        if let name = settings["teacher"]?.string {
            teacher = try decoder(name)
            var distillation = TrainingOptions.Distillation()
            distillation.alpha = number("kl")
            distillation.temperature = number("temperature")
            options.distillation = distillation
        }
        let trainer = try Trainer(
            decoder(try #require(settings["student"]?.string)), teacher: teacher, options)
        let path = "\(folder)/\(name).safetensors"
        return (trainer, try ExplicitBatches(path: path), try SafetensorsFile(path: path))
    }

    private static func values(_ file: SafetensorsFile, _ name: String) throws -> [Float] {
        try file.bytes(name).withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    @Test(
        arguments: [
            "dense-all", "moe-all", "moe-router", "shared-expert-router", "distill", "gemma3-all", "convolution-all",
            "delta-mixture-all",
        ], [false, true])
    func everyStepIsPyTorchs(_ name: String, checkpoints: Bool) throws {
        let (trainer, source, file) = try Self.trainer(name, checkpoints: checkpoints)
        var batches = source
        var steps: [StepMetrics] = []
        while let parts = batches.next() { steps.append(try trainer.step(parts)) }
        // A Gated DeltaNet's first token gives its value's direction times the sign of one product, so that gradients are
        // large where that is near zero: PyTorch's own run of delta-mixture-all in F64 has norms up to 5e-3 from those in
        // F32, and with thirty times the learning rate losses that are a twentieth apart at the end.
        let normTolerance = name.hasPrefix("delta") ? 1e-2 : 1e-4
        func check(_ key: String, tolerance: Double = 1e-4, _ value: (StepMetrics) -> Double?) throws {
            guard file.info(key) != nil else { return }
            for (step, expected) in zip(steps, try Self.values(file, key)) {
                let found = try #require(value(step))
                #expect(
                    abs(found - Double(expected)) <= tolerance * abs(Double(expected)), "\(key) of step \(step.step)")
            }
        }
        #expect(steps.count == 20)
        try check("loss") { $0.loss }
        try check("aux") { $0.aux }
        try check("z") { $0.z }
        try check("kl") { $0.kl }
        try check("grad_norm", tolerance: normTolerance) { $0.gradientNorm }
        var compared = 0
        for (name, _, found) in try trainer.student.namedValues(trainer.parameters) {
            let expected = try Self.values(file, "final.\(name)")
            #expect(largestDifference(found, expected) <= 1e-4, "\(name)")
            compared += 1
        }
        #expect(compared == file.header.tensors.filter { $0.name.hasPrefix("final.") }.count)
    }

    @Test(arguments: ["moe-router", "moe-all"])
    func frozenWeightsThatStreamAndThreadsChangeNoBit(_ name: String) throws {
        var results: [[[Float]]] = []
        for (memory, threads) in [(nil, 2), (1, 1)] as [(Int?, Int)] {
            let made = try Self.trainer(name, memory: memory, threads: threads)
            let trainer = made.0
            var batches = made.1
            #expect(trainer.student.isStreamed == (memory != nil))
            for _ in 0..<3 {
                guard let parts = batches.next() else { break }
                _ = try trainer.step(parts)
            }
            results.append(trainer.parameters.map { $0.values.array })
        }
        #expect(results[0] == results[1])
    }

    @Test func partsOfAStepAddUp() throws {
        let made = try Self.trainer("dense-all")
        let whole = made.0
        var batches = made.1
        let (parted, _, _) = try Self.trainer("dense-all")
        let first = batches.next()
        let batch = try #require(first?.first).batch
        let half = batch.ids.count / 2
        let a = try whole.step([MicroBatch(batch)])
        let b = try parted.step([
            MicroBatch(TokenBatch(ids: Array(batch.ids[..<half]), length: batch.length)),
            MicroBatch(TokenBatch(ids: Array(batch.ids[half...]), length: batch.length)),
        ])
        #expect(abs(a.loss - b.loss) < 1e-6)
        #expect(abs(a.gradientNorm - b.gradientNorm) < 1e-5 * a.gradientNorm)
    }

    @Test func aResumedRunGivesTheSameBytes() throws {
        let folder = try TemporaryFolder()
        func run(_ output: String, steps: Int, resumes: Bool = false, stopAt: Int? = nil) throws -> [[Float]] {
            let (trainer, batches, _) = try Self.trainer("moe-all")
            var options = TrainingRun.Options()
            options.steps = steps
            let run = try TrainingRun(
                trainer, batches, output: folder.path + "/" + output, options, identity: ["steps": JSON(steps)],
                resumes: resumes, restarts: false)
            run.isCancelled = { trainer.step == stopAt }
            #expect(try run.run() == (stopAt == nil ? .finished : .interrupted))
            return trainer.parameters.map { $0.values.array }
        }
        let whole = try run("whole", steps: 12)
        _ = try run("parts", steps: 12, stopAt: 5)
        #expect(throws: CheckpointError.self) { try run("parts", steps: 12) }
        #expect(throws: CheckpointError.self) { try run("parts", steps: 13, resumes: true) }
        #expect(try run("parts", steps: 12, resumes: true) == whole)
        func lines(_ name: String) throws -> [String] {
            String(decoding: try contents(folder.path + "/\(name).metrics.jsonl"), as: UTF8.self).split(separator: "\n")
                .map { $0.split(separator: ", \"tokens_per_second\"")[0].description }
        }
        #expect(try lines("parts") == lines("whole"))
        #expect(try lines("whole").count == 12)
    }

    @Test func aRateThatDivergesStopsWithTheLastGoodState() throws {
        let folder = try TemporaryFolder()
        let (source, batches, _) = try Self.trainer("dense-all")
        var options = source.options
        options.schedule = LearningRateSchedule(shape: .constant, peak: 1e30, steps: 20)
        let trainer = try Trainer(source.student, options)
        let run = try TrainingRun(
            trainer, batches, output: folder.path + "/out", TrainingRun.Options(), identity: [:], resumes: false,
            restarts: false)
        let error = #expect(throws: CheckpointError.self) { try run.run() }
        #expect(error?.message.contains("at step 1") == true, "\(String(describing: error))")
        #expect(error?.message.contains("`learningRate`") == true)
        #expect(try SavedTrainingState(at: run.statePath).state.step == 1)
    }

    @Test func selectionsAreRoles() throws {
        let (trainer, _, _) = try Self.trainer("moe-router")
        #expect(trainer.parameters.map(\.role.kind) == [.router, .router])
        let norms = try #require(ParameterSelection("norm.*,router"))
        #expect(norms.contains(Role(.inputNorm, layer: 0)))
        #expect(norms.contains(Role(.router, layer: 0)))
        #expect(!norms.contains(Role(.query, layer: 0)))
        #expect(ParameterSelection("rooter") == nil)
        #expect(!ParameterSelection.all.contains(Role(.routerCorrectionBias, layer: 0)))
        let attention = ParameterSelection.routerAndAttention
        #expect(attention.contains(Role(.keyValueUp, layer: 1)))
        #expect(!attention.contains(Role(.expertUp, layer: 1, expert: 0)))
    }

    @Test(arguments: ["jitter", "noise", "learned", "gumbel", "skywork"])
    func perturbedRoutersHaveTheSlopesOfTheirLoss(_ kind: String) throws {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model("mixtral")), workers: Workers(threads: 1))
        var options = TrainingOptions()
        options.clip = nil
        // A step of nothing, so that the gradient can be read off.
        options.schedule = LearningRateSchedule(shape: .constant, peak: 1e-30, steps: 1)
        options.optimizer.weightDecay = 0
        options.zLoss = 0.1
        switch kind {
        case "jitter": options.perturbations.jitter = 0.2
        case "noise": options.perturbations.noise = 0.01
        case "learned":
            options.perturbations.learnsNoise = true
            options.balance = Balance(.importanceLoad, weight: 0.1)
        case "gumbel": options.perturbations.gumbelRate = 1e-4
        default: options.perturbations.normalization = 2
        }
        let ids = (0..<48).map { Int32(($0 * 37 + 11) % 96) }
        let batch = MicroBatch(TokenBatch(ids: ids, length: 24))
        func total() throws -> (Double, Trainer) {
            let trainer = try Trainer(decoder, options)
            let step = try trainer.step([batch])
            return (step.loss + 0.1 * (step.z ?? 0) + options.balance.weight * (step.aux ?? 0), trainer)
        }
        let (_, trainer) = try total()
        let parameter = trainer.parameters[1]
        let slopes = parameter.gradient.array
        let index = try #require(slopes.indices.max { abs(slopes[$0]) < abs(slopes[$1]) })
        let value = parameter.values.values[index]
        let step: Float = 1e-3
        parameter.values.values[index] = value + step
        let above = try total().0
        parameter.values.values[index] = value - step
        let below = try total().0
        let found = (above - below) / Double(2 * step)
        #expect(abs(found - Double(slopes[index])) <= 0.03 * abs(found) + 2e-4, "\(found) \(slopes[index])")
    }
}
