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
    /// The command's own part of what the result depends on.
    let identity: JSONObject
    var distillation: TrainingOptions.Distillation?
    /// Where figures of the run go.
    var reportFile: ReportFile?

    /// Trains, and writes the checkpoint.
    ///
    /// - Returns: the held-out losses before and after.
    @discardableResult
    func run() async throws -> (before: [TrainingRun.HeldOutLoss], after: [TrainingRun.HeldOutLoss]) {
        let target = try OutputPath(output)
        // Before the text is read; what is resumed may be finished, or have leave to replace what is there.
        if !writing.resume { try target.checkReplacing(.checkpoint, overwrite: writing.force) }
        let (source, steps) = try training.source({ try data.encoder(model, student) }, data)
        var options = training.options(selection, steps: steps)
        options.distillation = distillation
        if !options.checkpointsActivations { options.checkpointsActivations = needsCheckpoints }
        let trainer = try Trainer(student, teacher: teacher, options)
        let heldOut = try training.heldout.isEmpty ? nil : heldOut()
        let count = trainer.parameters.reduce(0) { $0 + $1.count }
        let all = student.checkpoint.parameterCount
        say("Training \(countText(count)) of \(countText(all)) parameters for \(steps) steps of \(batchText).")
        if student.isStreamed {
            say(
                "What is frozen stays on disk and is read in each pass: it does not fit --memory \(writing.memory.description) in F32."
            )
        }
        if options.checkpointsActivations {
            say("Layers are computed a second time for their gradients (activation checkpointing).")
        }
        if writing.dryRun { return ([], []) }
        let identity = try fullIdentity(steps, source, heldOut)
        if writing.resume, Self.digest(identity) == Checkpoint.trainingRun(in: target.path) {
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
        do { try run.clean() } catch {
            standardError(
                "warning: \(target.path) is complete, and what is left of the training could not be removed: \(error)\n"
            )
        }
        return (before, after)
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
        try await write(
            trainer.result(recording: record), to: output, writing: writing, common: common, remarks: [],
            details: ["steps": JSON(trainer.step), "heldout_before": json(before), "heldout_after": json(after)])
    }

    /// The held-out windows.
    func heldOut() throws -> HeldOut {
        var options = data.options
        options.tokenLimit = training.heldoutTokens
        return try HeldOut(
            DataSource.parse(training.heldout), length: training.length, options: options,
            encoder: data.encoder(model, student), tokensAtOnce: training.partTokens)
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

    /// Whether what layers keep for their gradients would not fit beside the weights.
    private var needsCheckpoints: Bool {
        let configuration = student.configuration
        let inner = max(
            configuration.inner ?? 0,
            (configuration.mixture.map { $0.expertInner * student.topK + ($0.sharedInner ?? 0) }) ?? 0)
        let perToken = configuration.layers * (8 * configuration.hidden + 4 * configuration.mixerValues + 3 * inner) * 4
        return perToken * min(training.partTokens, training.batchTokens) > max(writing.memory.bytes, 1 << 30)
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
