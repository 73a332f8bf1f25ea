import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors
import Synchronization

extension TrainingSession {
    /// Takes over what the arguments of a command say.
    mutating func apply(_ data: DataArguments, _ writing: WritingOptions) throws {
        try writing.checkFolder()
        text = data.options(tokenLimit: nil)
        compute = writing.trainingCompute
        dtype = try writing.parsedDType()
        self.writing.overwrite = writing.force
        self.writing.resume = writing.resume
        isPlanOnly = writing.dryRun
    }

    /// Trains and shows it; the result is written as other commands write theirs.
    ///
    /// - Parameters:
    ///   - model: the name that the report has for the model.
    ///   - page: where figures of the run go.
    @discardableResult
    func show(
        _ writing: WritingOptions, _ common: CommonOptions, model: String, _ page: ReportFile?
    ) async throws -> TrainingResult {
        var session = self
        let display = TrainingDisplay(isQuiet: common.quiet)
        defer { display.finish() }
        session.event = { display.show($0) }
        session.publish = { made, publication in
            display.finish()
            var writing = writing
            writing.resume = false
            writing.force = publication.replaces
            writing.memoryLimit = ByteCount(bytes: publication.memory)
            let result = publication.result
            try await write(
                made, to: output, writing: writing, common: common, remarks: [],
                details: [
                    "steps": JSON(result.steps), "heldout_before": result.before.json,
                    "heldout_after": result.after.json,
                ])
        }
        let result = try await session.run()
        if result.outcome == .wasComplete { try standardOutput(path: result.output) }
        if let page, !writing.dryRun {
            let report = try Report(result, of: model, trained: selection.text, isContinued: writing.resume)
            try page.write(report, common)
        }
        return result
    }
}

extension WritingOptions {
    /// Refuses a GGUF file as the place of a training's result, which goes on from a folder.
    func checkFolder() throws {
        guard gguf != nil else { return }
        throw ValidationError("--gguf: train into a folder, and make the file of it with moe-tool convert --gguf")
    }

    /// What a training may take.
    var trainingCompute: ComputeOptions { ComputeOptions(memory: trainingMemory.bytes, threads: threads) }
}

/// Shows a training run on standard error.
final class TrainingDisplay: Sendable {
    private let line: StatusLine
    private let isQuiet: Bool
    /// The first step of this run, and when what came before it was over.
    private let start = Mutex<(step: Int?, time: Double)>((nil, monotonicSeconds()))

    init(isQuiet: Bool) {
        self.isQuiet = isQuiet
        line = StatusLine(isQuiet: isQuiet)
    }

    func show(_ event: TrainingEvent) {
        switch event {
        case .note(let text): say(text)
        case .warning(let text):
            line.finish()
            standardError("warning: \(text)\n")
        case .kept(let text): say("moe-tool: \(text)")
        case .step(let step, let total): return show(step, total)
        case .evaluated(let step, let losses): say("step \(step): held out \(losses.text)")
        case .saved(let step, let path): say("step \(step): state saved in \(path)")
        case .notSaved(let step, let error):
            say("step \(step): the state could not be saved, training goes on and saves again later: \(error)")
        }
        start.withLock { if $0.step == nil { $0.time = monotonicSeconds() } }
    }

    private func show(_ step: StepMetrics, _ total: Int) {
        let done = step.step + 1
        let (first, time) = start.withLock { start in
            start.step = start.step ?? step.step
            return (start.step ?? step.step, start.time)
        }
        let left = (monotonicSeconds() - time) / Double(max(done - first, 1)) * Double(total - done)
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
