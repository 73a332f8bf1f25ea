public import Checkpoints
public import Evaluation
import Models
import Numerics
public import Safetensors

/// Trains a checkpoint's routers, or more of it, on text, and writes the result.
///
/// ```swift
/// var settings = TrainingSettings(data: ["code=code.jsonl", "law=law.jsonl"])
/// settings.steps = 200
/// let session = TrainingSession(try Checkpoint(at: "code+law"), settings, output: "tuned")
/// let result = try await session.run()
/// ```
///
/// With PyTorch's numbers, in F32; what is frozen may stay on disk. The run's state lies beside the output until that is
/// there: with `writing.resume` an interrupted run goes on to the same bytes. `OUT.metrics.jsonl` has a line for each step.
public struct TrainingSession: Sendable {
    /// What a student learns from besides the text: the loss is (1 - alpha) CE + alpha T² KL(teacher || student).
    public struct Distillation: Sendable {
        /// The model to learn from; it shares the student's vocabulary.
        public var teacher: Checkpoint
        /// The share of the teacher's term in the loss, from 0 to 1; the rest is the text's own.
        public var alpha = 0.25
        /// What logits are divided by before teacher and student are compared, above 0.
        public var temperature = 1.0
        /// The weight of the mean squared difference between the streams of both, from 0 up.
        public var hiddenWeight = 0.0
        /// What the gain is counted from; nil for the student before it is trained.
        public var base: Checkpoint?
        /// Measure teacher and base on the held-out text.
        public var measuresGain = true

        /// - Parameter teacher: the model to learn from.
        public init(teacher: Checkpoint) { self.teacher = teacher }

        var options: TrainingOptions.Distillation {
            var options = TrainingOptions.Distillation()
            options.alpha = alpha
            options.temperature = temperature
            options.hidden = hiddenWeight
            return options
        }
    }

    /// The checkpoint that is trained.
    public var student: Checkpoint
    /// What is trained of it.
    public var selection = ParameterSelection.router
    /// On what, for how long and how.
    public var settings: TrainingSettings
    /// How text is read.
    public var text = TextOptions()
    /// Memory of the process, 4 GiB by default, and threads.
    public var compute = ComputeOptions()
    /// Experts a token is routed to, if not as the checkpoint says.
    public var topK: Int?
    /// Begin with routers' rows along what they see of each expert's domain.
    public var initializesRouters = false
    /// The first domain is the first expert's, and so on, whatever they are called.
    public var domainsInOrder = false
    /// A teacher; nil for none.
    public var distillation: Distillation?
    /// The folder to write.
    public var output: String
    /// The dtype of the result; nil for the student's.
    public var dtype: DType?
    /// How the result is written; `overwrite` and `resume` are for the training as well. Its `memory` and `threads` are not
    /// used.
    public var writing = WriteOptions()
    /// Only say what would be done.
    public var isPlanOnly = false
    /// Told what happens, from the thread that computes.
    public var event: (@Sendable (TrainingEvent) -> Void)?

    /// What made the result, for its record, and what a run that is resumed must have in common with it.
    package var identity = JSONObject()
    /// Writes the result in the session's place.
    package var publish: (@Sendable (Checkpoint, Publication) async throws -> Void)?

    /// How a result is to be written.
    package struct Publication: Sendable {
        /// Whether what is at the output is replaced.
        package let replaces: Bool
        /// Bytes that are left for it.
        package let memory: Int
        package let result: TrainingResult
    }

    /// - Parameters:
    ///   - student: the checkpoint that is trained.
    ///   - settings: on what, for how long and how.
    ///   - output: the folder to write.
    public init(_ student: Checkpoint, _ settings: TrainingSettings, output: String) {
        self.student = student
        self.settings = settings
        self.output = output
    }

    /// Trains, and writes the checkpoint.
    ///
    /// - Throws: `CheckpointError`: `.usage` for settings that do not fit, for an output that is not to be replaced and where
    ///   the memory does not do; `.incompatible` for a model that is not computed or text that does not fit it; `.cancelled`
    ///   when the task is cancelled: the state is then saved. `SafetensorsError` for files that cannot be read or written.
    @discardableResult
    public func run() async throws -> TrainingResult {
        let work: Work
        switch try await runningOnThread({ try train() }) {
        case .done(let result): return result
        case .trained(let trained): work = trained
        }
        var result = work.result
        do {
            if writing.resume { try WorkFolder.discard(work.target.path) }
            result.report = try await writeResult(work)
        } catch {
            if try work.digest == Checkpoint.trainingRun(in: work.target.path) {
                // The result is in place, and only telling of it failed.
                clean(work)
                throw error
            }
            // First, for the state needs the room. An interrupted writing keeps its work, as its message says.
            if (error as? CheckpointError)?.code != .cancelled { try? WorkFolder.discard(work.target.path) }
            let isKept = (try? work.run.save()) != nil
            if isKept || (try? fileExists(work.run.statePath)) != false {
                event?(
                    .kept(
                        isKept
                            ? "the training is done and its state is saved: `resume` writes the result"
                            : "the state saved before is kept in \(work.run.statePath)"))
            }
            throw error
        }
        clean(work)
        guard let distillation, distillation.measuresGain, let heldOut = work.heldOut, !result.after.isEmpty else {
            return result
        }
        let losses = try await runningOnThread { try others(distillation, heldOut, work.teacher, work.plan) }
        (result.teacher, result.base) = (losses.teacher, losses.base)
        return result
    }

    private func clean(_ work: Work) {
        do { try work.run.clean() } catch {
            event?(
                .warning(
                    "\(work.target.path) is complete, and what is left of the training could not be removed: \(error)"))
        }
    }

    /// What is kept between the training and the writing.
    private struct Work {
        let run: TrainingRun
        let target: OutputPath
        let plan: TrainingPlan
        let made: Checkpoint
        /// Of all that decides the result.
        let digest: String
        let result: TrainingResult
        let heldOut: HeldOut?
        let teacher: Decoder?
    }

    private enum Training {
        case done(TrainingResult)
        case trained(Work)
    }

    /// Refuses what is plain before a model is loaded.
    package func check() throws {
        // What is resumed may be finished, or have leave to replace what is there.
        if !writing.resume {
            let target = try OutputPath(output)
            try target.checkReplacing(.checkpoint, overwrite: writing.overwrite)
            // Of an unfinished run its state is told of, not its metrics.
            if try fileExists(target.path + ".state.safetensors") { return try settings.check() }
            try OutputPath(target.path + ".metrics.jsonl").checkReplacing(.metrics, overwrite: writing.overwrite)
        }
        try settings.check()
    }

    private func train() throws -> Training {
        let target = try OutputPath(output)
        try check()
        let workers = compute.workers()
        let plan = try settings.plan(
            student, teacher: distillation?.teacher, selection, topK: topK,
            comparesStreams: (distillation?.hiddenWeight ?? 0) > 0, compute)
        let settings = settings.planned(plan, selection)
        let encoder = { try text.encoder(student) }
        // Text that is broken or too short is found before anything is computed.
        let (source, steps, held) = try settings.source(encoder, text)
        let heldOut = try heldOut(held, settings, plan)
        let teacher = try distillation.map { try Decoder($0.teacher, workers: workers, placement: plan.teacher) }
        var decoder = try Decoder(student, workers: workers, placement: plan.student, topK: topK)
        if initializesRouters {
            let rows = try routerRows(decoder, settings, plan)
            decoder = try Decoder(
                student.replacingRouters(rows), workers: workers, placement: plan.student, topK: topK)
        }
        var options = settings.options(selection, steps: steps)
        options.distillation = distillation?.options
        if settings.sweepsRates, !isPlanOnly {
            options.schedule = try sweep(options, decoder, teacher, source, settings)
        }
        let trainer = try Trainer(decoder, teacher: teacher, options)
        describe(trainer, decoder, options, steps, settings)
        func done(_ outcome: TrainingResult.Outcome) -> Training {
            .done(TrainingResult(outcome: outcome, output: target.path, steps: trainer.step, before: [], after: []))
        }
        if isPlanOnly { return done(.planned) }
        let identity = try fullIdentity(steps, settings, source, decoder, heldOut)
        if writing.resume, try Self.digest(identity) == Checkpoint.trainingRun(in: target.path) {
            try TrainingRun.discard(target.path)
            try WorkFolder.discard(target.path)
            event?(.note("\(target.path) is complete: an earlier run had finished it."))
            return done(.wasComplete)
        }
        let run = try makeRun(trainer, source, target, steps, settings, identity)
        let before = try heldOut?.losses(decoder).losses ?? []
        if !before.isEmpty { event?(.note("Held out before: \(before.text).")) }
        run.isCancelled = { Interruption.isRequested }
        run.onEvent = { event?($0) }
        if let heldOut { run.evaluate = { try heldOut.losses($0) } }
        let outcome: TrainingRun.Outcome
        do { outcome = try run.run() } catch {
            if (try? fileExists(run.statePath)) != false {
                event?(.kept("the state of the last good step is kept in \(run.statePath)"))
            }
            throw error
        }
        if outcome == .interrupted {
            throw CheckpointError(
                .cancelled, message: "interrupted at step \(trainer.step); the state is saved, and `resume` continues")
        }
        if outcome == .stoppedEarly {
            event?(
                .note("Stopped early at step \(trainer.step): the parameters are those of the lowest held-out loss."))
        }
        let after = outcome == .stoppedEarly ? try heldOut?.losses(decoder).losses ?? [] : run.lastLosses
        if !after.isEmpty { event?(.note("Held out after:  \(after.text).")) }
        var record = ownIdentity
        record["run"] = .string(Self.digest(identity))
        record["options"] = .object(settings.identity)
        record["steps"] = JSON(trainer.step)
        let result = TrainingResult(
            outcome: outcome == .stoppedEarly ? .stoppedEarly : .finished, output: target.path, steps: trainer.step,
            before: before, after: after)
        return .trained(
            Work(
                run: run, target: target, plan: plan, made: trainer.result(recording: record),
                digest: Self.digest(identity), result: result,
                heldOut: heldOut, teacher: teacher))
    }

    private func makeRun(
        _ trainer: Trainer, _ source: any BatchSource, _ target: OutputPath, _ steps: Int,
        _ settings: TrainingSettings, _ identity: JSONObject
    ) throws -> TrainingRun {
        var options = TrainingRun.Options()
        options.steps = steps
        options.seconds = settings.minutes.map { $0 * 60 }
        options.evaluateEvery = settings.evaluateEvery
        options.patience = settings.patience
        options.saveEvery = settings.saveEvery * 60
        options.tensorBoard = settings.tensorBoard
        return try TrainingRun(
            trainer, source, output: target.path, options, identity: identity, resumes: writing.resume,
            restarts: writing.overwrite && !writing.resume, overwrites: writing.overwrite)
    }

    /// Writes the result; what the training keeps is there meanwhile.
    private func writeResult(_ work: Work) async throws -> WriteReport? {
        let memory = max(96 << 20, compute.memory - work.plan.retained)
        if let publish {
            try await publish(
                work.made, Publication(replaces: work.run.replaces != nil, memory: memory, result: work.result))
            return nil
        }
        var options = writing
        // Writing does not go on with a training's state.
        options.resume = false
        options.overwrite = work.run.replaces != nil
        options.memory = memory
        options.threads = compute.threads
        let made = try dtype.map { try work.made.converted(to: $0) } ?? work.made
        return try await made.write(to: output, options: options)
    }
}
