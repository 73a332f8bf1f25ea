import ArgumentParser
import Checkpoints
import Evaluation
import Glibc
import Models
import Numerics
import Reports
import Safetensors
import Training

/// What a command that trains wants, and how it is carried out and shown.
struct TrainingSession {
    /// Where text's tokenizer is, and the name that messages have for the model.
    let model: String
    let student: Decoder
    var teacher: Decoder?
    let selection: ParameterSelection
    let training: TrainingArguments
    let data: DataArguments
    let writing: WritingOptions
    let common: CommonOptions
    let output: String
    /// How it is computed within --memory.
    let plan: TrainingPlan
    /// The command's own part of what the result depends on.
    let identity: JSONObject
    var distillation: TrainingOptions.Distillation?
    /// Where figures of the run go.
    var reportFile: ReportFile?

    /// Refuses what is plain before a model is loaded.
    static func check(_ output: String, _ training: TrainingArguments, _ writing: WritingOptions) throws {
        // What is resumed may be finished, or have leave to replace what is there.
        if !writing.resume { try OutputPath(output).checkReplacing(.checkpoint, overwrite: writing.force) }
        if training.batches == nil {
            guard !training.data.isEmpty else { throw ValidationError("--data: give text to train on") }
            _ = try DataSource.parse(training.data)
        }
        _ = try DataSource.parse(training.heldout)
    }

    /// Trains, and writes the checkpoint.
    ///
    /// - Returns: the held-out losses before and after.
    @discardableResult
    func run() async throws -> (before: [TrainingRun.HeldOutLoss], after: [TrainingRun.HeldOutLoss]) {
        let target = try OutputPath(output)
        try Self.check(output, training, writing)
        let (source, steps, held) = try training.source({ try data.encoder(model, student.checkpoint) }, data)
        var options = training.options(selection, steps: steps)
        options.distillation = distillation
        if training.lrSweep, !writing.dryRun { options.schedule = try sweep(options, source) }
        let trainer = try Trainer(student, teacher: teacher, options)
        let heldOut =
            try training.heldout.isEmpty
            ? held.isEmpty ? nil : HeldOut(held, tokensAtOnce: plan.partTokens) : heldOut()
        let count = trainer.parameters.reduce(0) { $0 + $1.count }
        let all = student.checkpoint.parameterCount
        say("Training \(countText(count)) of \(countText(all)) parameters for \(steps) steps of \(batchText).")
        if student.isStreamed {
            say(
                "What is frozen stays on disk and is read in each pass: it does not fit --memory \(writing.trainingMemory.description) in F32."
            )
        }
        if options.checkpointsActivations {
            say("Layers are computed a second time for their gradients (activation checkpointing).")
        }
        if writing.dryRun { return ([], []) }
        let identity = try fullIdentity(steps, source, heldOut)
        if writing.resume, try Self.digest(identity) == Checkpoint.trainingRun(in: target.path) {
            try TrainingRun.discard(target.path)
            try WorkFolder.discard(target.path)
            say("\(target.path) is complete: an earlier run had finished it.")
            try standardOutput(path: target.path)
            return ([], [])
        }
        var runOptions = TrainingRun.Options()
        runOptions.steps = steps
        runOptions.seconds = training.minutes.map { $0 * 60 }
        runOptions.evaluateEvery = training.evalEvery
        runOptions.patience = training.patience
        runOptions.saveEvery = training.saveEvery * 60
        runOptions.tensorBoard = training.tensorboard
        let run = try TrainingRun(
            trainer, source, output: target.path, runOptions, identity: identity, resumes: writing.resume,
            restarts: writing.force && !writing.resume, overwrites: writing.force)
        let before = try heldOut?.losses(student).losses ?? []
        if !before.isEmpty { say("Held out before: \(before.text).") }
        let display = TrainingDisplay(isQuiet: common.quiet, first: trainer.step)
        run.isCancelled = { receivedSignal != 0 }
        run.onEvent = { display.show($0) }
        if let heldOut { run.evaluate = { try heldOut.losses($0) } }
        let outcome: TrainingRun.Outcome
        do { outcome = try run.run() } catch {
            display.finish()
            if !common.quiet, fileExists(run.statePath) {
                standardError("moe-tool: the state of the last good step is kept in \(run.statePath)\n")
            }
            throw error
        }
        display.finish()
        if outcome == .interrupted {
            throw CheckpointError(
                .cancelled, message: "interrupted at step \(trainer.step); the state is saved, and --resume continues")
        }
        if outcome == .stoppedEarly {
            say("Stopped early at step \(trainer.step): the parameters are those of the lowest held-out loss.")
        }
        let after = outcome == .stoppedEarly ? try heldOut?.losses(student).losses ?? [] : run.lastLosses
        if !after.isEmpty { say("Held out after:  \(after.text).") }
        do {
            if writing.resume { try WorkFolder.discard(target.path) }
            try await writeResult(trainer, before, after, run: Self.digest(identity), replaces: run.replaces != nil)
        } catch {
            if try Self.digest(identity) == Checkpoint.trainingRun(in: target.path) {
                // The result is in place, and only telling of it failed.
                clean(run)
                throw error
            }
            // First, for the state needs the room. An interrupted writing keeps its work, as its message says.
            if (error as? CheckpointError)?.code != .cancelled { try? WorkFolder.discard(target.path) }
            let isKept = (try? run.save()) != nil
            display.finish()
            if !common.quiet, isKept || fileExists(run.statePath) {
                standardError(
                    isKept
                        ? "moe-tool: the training is done and its state is saved: --resume writes the result\n"
                        : "moe-tool: the state saved before is kept in \(run.statePath)\n")
            }
            throw error
        }
        clean(run)
        return (before, after)
    }

    private func clean(_ run: TrainingRun) {
        do { try run.clean() } catch {
            standardError(
                "warning: \(output) is complete, and what is left of the training could not be removed: \(error)\n")
        }
    }

    private func writeResult(
        _ trainer: Trainer, _ before: [TrainingRun.HeldOutLoss], _ after: [TrainingRun.HeldOutLoss], run: String,
        replaces: Bool
    ) async throws {
        var record = identity
        record["run"] = .string(run)
        record["options"] = .object(training.identity)
        record["steps"] = JSON(trainer.step)
        func json(_ losses: [TrainingRun.HeldOutLoss]) -> JSON {
            var object = JSONObject()
            for loss in losses { object[loss.domain] = JSON(loss.loss) }
            return .object(object)
        }
        // Writing does not go on with a training's state.
        var writing = writing
        writing.resume = false
        writing.force = replaces
        // What the training keeps is there while the result is written.
        writing.memoryLimit = ByteCount(bytes: max(96 << 20, writing.trainingMemory.bytes - plan.retained))
        try await write(
            trainer.result(recording: record), to: output, writing: writing, common: common, remarks: [],
            details: ["steps": JSON(trainer.step), "heldout_before": json(before), "heldout_after": json(after)])
    }

    /// The schedule with the best of some rates.
    private func sweep(_ options: TrainingOptions, _ source: any BatchSource) throws -> LearningRateSchedule {
        let rates = LearningRateSweep.factors.map { options.schedule.peak * $0 }
        say(
            "Trying \(rates.count) learning rates, \(training.lrSweepSteps) steps each, on the loss of the batches after:"
        )
        let trials = try LearningRateSweep.run(
            student, teacher: teacher, options, source, steps: training.lrSweepSteps, rates: rates
        ) { trial in
            if receivedSignal != 0 { throw ExitStatus(code: 128 + receivedSignal) }
            say("  \(numberText(trial.rate)): \(trial.loss.isFinite ? fixedText(trial.loss, digits: 4) : "diverges")")
        }
        guard let best = trials.min(by: { $0.loss < $1.loss }), best.loss.isFinite else {
            throw CheckpointError(
                .incompatible, message: "--lr-sweep: training diverges at every rate that was tried: give a lower --lr")
        }
        let isEdge = best.rate == rates.first || best.rate == rates.last
        say(
            "Taking \(numberText(best.rate))\(isEdge ? ", the last that was tried: a sweep around it may find better" : "")."
        )
        var schedule = options.schedule
        schedule.peak = best.rate
        schedule.minimum = training.minimumRate.map { min($0, best.rate) } ?? best.rate / 10
        return schedule
    }

    /// The held-out windows.
    func heldOut() throws -> HeldOut {
        if training.heldout.isEmpty {
            let held = try training.source({ try data.encoder(model, student.checkpoint) }, data).heldOut
            return HeldOut(held, tokensAtOnce: plan.partTokens)
        }
        var options = data.options
        options.tokenLimit = training.heldoutTokens
        return try HeldOut(
            DataSource.parse(training.heldout), length: training.length, options: options,
            encoder: data.encoder(model, student.checkpoint), tokensAtOnce: plan.partTokens)
    }

    /// All that decides the result: options, and models and text by their content.
    private func fullIdentity(_ steps: Int, _ source: any BatchSource, _ heldOut: HeldOut?) throws -> JSONObject {
        var all = identity
        for key in training.identity.keys { all[key] = training.identity[key] }
        all["steps"] = JSON(steps)
        all["tokenizer"] = .string(data.text.tokenizer)
        all["text-field"] = .string(data.textField)
        func digest(_ checkpoint: Checkpoint) throws -> JSON {
            var identity = RunIdentity()
            try identity.add(checkpoint)
            return .string(identity.digest)
        }
        all["content of the model"] = try digest(student.checkpoint)
        if let teacher { all["content of the teacher"] = try digest(teacher.checkpoint) }
        all["content of the text"] = .string(source.digest)
        if let heldOut { all["content of the held-out text"] = .string(heldOut.digest) }
        return all
    }

    private static func digest(_ identity: JSONObject) -> String {
        var digest = RunIdentity()
        digest.add(ToolVersion.current)
        digest.add(JSON.object(identity).line)
        return digest.digest
    }

    private var batchText: String {
        training.batches == nil
            ? "\(max(1, training.batchTokens / training.length) * training.length) tokens" : "the batches given"
    }

    private func say(_ text: String) {
        if !common.quiet { standardError(text + "\n") }
    }
}

extension [TrainingRun.HeldOutLoss] {
    /// "law 3.1, code 2.2, mean 2.65", with four digits.
    fileprivate var text: String {
        let mean = reduce(0) { $0 + $1.loss } / Double(Swift.max(count, 1))
        return map { "\($0.domain) \(fixedText($0.loss, digits: 4))" }.joined(separator: ", ")
            + ", mean \(fixedText(mean, digits: 4))"
    }
}

/// Shows a training run on standard error.
struct TrainingDisplay {
    private let line: StatusLine
    private let isQuiet: Bool
    private let first: Int
    private let started = monotonicSeconds()

    init(isQuiet: Bool, first: Int) {
        self.isQuiet = isQuiet
        self.first = first
        line = StatusLine(isQuiet: isQuiet)
    }

    func show(_ event: TrainingRun.Event) {
        switch event {
        case .step(let step, let total): show(step, total)
        case .evaluated(let step, let losses): say("step \(step): held out \(losses.text)")
        case .saved(let step, let path): say("step \(step): state saved in \(path)")
        case .notSaved(let step, let error):
            say("step \(step): the state could not be saved, training goes on and saves again later: \(error)")
        }
    }

    private func show(_ step: StepMetrics, _ total: Int) {
        let done = step.step + 1
        let left = (monotonicSeconds() - started) / Double(max(done - first, 1)) * Double(total - done)
        var text = ProgressText(parts: ["step \(done) of \(total)", "loss \(fixedText(step.loss, digits: 4))"])
        if let aux = step.aux { text.parts.append("balance \(fixedText(aux, digits: 3))") }
        if let kl = step.kl { text.parts.append("kl \(fixedText(kl, digits: 3))") }
        text.parts += ["\(Int(saturating: step.tokensPerSecond)) tokens/s", "\(durationText(left)) left"]
        line.show(text, share: Double(done) / Double(max(total, 1)), isLast: done == total)
    }

    private func say(_ text: String) {
        guard !isQuiet else { return }
        line.finish()
        standardError(text + "\n")
    }

    /// Removes the line.
    func finish() { line.finish() }
}
