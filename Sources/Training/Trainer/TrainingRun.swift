import Checkpoints
package import Models
import Numerics
package import Safetensors

/// The mean cross-entropy of a held-out domain's predictions.
public struct HeldOutLoss: Sendable, Equatable {
    /// The domain's name.
    public let domain: String
    /// Nats a token.
    public let loss: Double

    package init(domain: String, loss: Double) {
        self.domain = domain
        self.loss = loss
    }
}

/// A training run from its first step, or the one it was interrupted at, to its last: metrics, held-out evaluations,
/// saved states, early stopping.
///
/// The state lies in `OUT.state.safetensors` beside the output, is replaced by one rename each time, and is removed when
/// the output is there. A run that is interrupted and resumed gives the same bytes as one that is not.
package final class TrainingRun {
    package struct Options: Sendable {
        /// Steps of the whole run.
        package var steps = 100
        /// Stop after so many seconds of training, if that is earlier; nil for not.
        package var seconds: Double?
        /// Steps between held-out evaluations; nil for one at the end only.
        package var evaluateEvery: Int?
        /// Stop after so many evaluations without a lower mean loss, and keep the parameters of the lowest; nil for not.
        package var patience: Int?
        /// Seconds between saved states.
        package var saveEvery = 600.0
        package var tensorBoard: String?

        package init() {}
    }

    /// How a run ended.
    package enum Outcome: Sendable, Equatable {
        case finished
        /// No lower held-out loss for a while.
        case stoppedEarly
        /// Asked to stop; the state is saved.
        case interrupted
    }

    package let trainer: Trainer
    package let statePath: String
    package let metricsPath: String
    package var onEvent: (TrainingEvent) -> Void = { _ in }
    package var isCancelled: () -> Bool = { false }
    /// Held-out losses and what else belongs into a line of metrics; nil where nothing is held out.
    package var evaluate: ((Decoder) throws -> (losses: [HeldOutLoss], details: JSONObject))?
    /// The last held-out losses.
    package private(set) var lastLosses: [HeldOutLoss] = []

    private var source: any BatchSource
    private let options: Options
    private let identity: JSONObject
    private var bestLoss: Double?
    private var evaluationsSinceBest = 0
    /// Whether the evaluation after the last step is still to be made.
    private var isEvaluationDue = false
    /// The parameters of the lowest held-out loss, where a run may end early.
    private let best: [NamedMatrix]
    private let lock: FileLock
    private let lockPath: String
    /// What is at the output and may be replaced.
    package let replaces: String?
    private var metrics: MetricsWriter
    private var board: TensorBoardWriter?

    /// Begins a run, or goes on with one.
    ///
    /// - Parameters:
    ///   - output: the checkpoint that the run is for; state and metrics lie beside it.
    ///   - identity: all that the result depends on, to refuse to resume with anything else.
    ///   - overwrites: whether a checkpoint at the output may be replaced.
    /// - Throws: `CheckpointError` where another run works on the same output, where there is a state and neither
    ///   `resumes` nor `restarts` is set, or the state is of another run.
    package init(
        _ trainer: Trainer, _ source: any BatchSource, output: String, _ options: Options, identity: JSONObject,
        resumes: Bool, restarts: Bool, overwrites: Bool = false
    ) throws {
        self.trainer = trainer
        self.source = source
        self.options = options
        self.identity = identity
        let target = try OutputPath(output)
        try target.checkInputs()
        statePath = target.path + ".state.safetensors"
        metricsPath = target.path + ".metrics.jsonl"
        lockPath = target.path + ".state.lock"
        best =
            options.patience == nil
            ? []
            : trainer.parameters.map { NamedMatrix(name: "best \($0.role)", matrix: $0.values.copy()) }
        guard let lock = try FileLock.take(lockPath) else {
            throw CheckpointError(.usage, file: output, message: "another process trains for this output: wait for it")
        }
        self.lock = lock
        do {
            let present = try WorkFolder.mark(of: target.path)
            let hasState = try fileExists(statePath)
            if hasState, !restarts {
                guard resumes else {
                    throw CheckpointError(
                        .usage, file: statePath,
                        message:
                            "an unfinished run left its state here: continue it with `resume`, or start over with `overwrite`"
                    )
                }
                let path = statePath
                let saved = try InputLog.pausing { try SavedTrainingState(at: path) }
                try saved.state.require(options: identity, file: statePath)
                let agreed = overwrites || (present != nil && saved.state.replaces == present)
                try target.checkReplacing(.checkpoint, overwrite: agreed)
                replaces = present
                try trainer.restore(saved, extras: best)
                try self.source.restore(saved.state.position)
                bestLoss = saved.state.bestLoss
                evaluationsSinceBest = saved.state.evaluationsSinceBest
                isEvaluationDue = saved.state.isEvaluationDue
                let metrics = try OutputFile(metricsPath, .metrics, overwrite: true)
                let step = trainer.step
                self.metrics = try InputLog.pausing { try MetricsWriter(resuming: metrics.path, at: step) }
                board = try options.tensorBoard.map { try TensorBoardWriter(folder: $0, resumedStep: saved.state.step) }
            } else {
                try target.checkReplacing(.checkpoint, overwrite: overwrites)
                if hasState { try OutputPath(statePath).checkReplacing(.trainingState, overwrite: true) }
                replaces = present
                // A run that was killed before it saved a state leaves metrics alone.
                let metrics = try OutputFile(metricsPath, .metrics, overwrite: restarts || resumes)
                self.metrics = try MetricsWriter(startingAt: metrics.path)
                board = try options.tensorBoard.map { try TensorBoardWriter(folder: $0) }
            }
        } catch {
            if (try? fileExists(statePath)) == false { try? PosixFile.unlink(lockPath) }
            throw error
        }
    }

    /// Removes what an earlier run left beside an output that it had finished.
    ///
    /// - Throws: `CheckpointError` where another run is at work on the output.
    package static func discard(_ output: String) throws {
        let target = try OutputPath(output)
        let lockPath = target.path + ".state.lock"
        let statePath = target.path + ".state.safetensors"
        guard try [lockPath, statePath, TrainingState.growingPath(statePath)].contains(where: fileExists) else {
            return
        }
        guard let lock = try FileLock.take(lockPath) else {
            throw CheckpointError(.usage, file: output, message: "another process trains for this output: wait for it")
        }
        try withExtendedLifetime(lock) {
            if try fileExists(statePath) { try OutputPath(statePath).checkReplacing(.trainingState, overwrite: true) }
            try remove(statePath, lockPath)
        }
    }

    /// Trains to the end.
    ///
    /// - Throws: `CheckpointError` where a loss or gradient is not finite: the state of the step before is then saved.
    package func run() throws -> Outcome {
        let started = monotonicSeconds()
        var lastSave = started
        let resumedStep = isEvaluationDue ? trainer.step : nil
        if isEvaluationDue, try !evaluateUnlessInterrupted() { return .interrupted }
        while trainer.step < options.steps {
            if let patience = options.patience, evaluationsSinceBest >= patience {
                try finish()
                return .stoppedEarly
            }
            if isCancelled() {
                try save()
                return .interrupted
            }
            if let limit = options.seconds, monotonicSeconds() - started >= limit { break }
            // What was drawn and not trained on must be drawn again after a failure.
            let position = source.position
            guard let parts = try source.next() else { break }
            let step: StepMetrics
            do {
                step = try trainer.step(parts)
            } catch is InterruptionError {
                // The step changed nothing: it is made again.
                try save(position: position)
                return .interrupted
            } catch {
                do { try save(position: position) } catch { onEvent(.notSaved(step: trainer.step, error)) }
                throw error
            }
            try metrics.append(step)
            board?.add(scalars(of: step), step: step.step)
            onEvent(.step(step, of: options.steps))
            if let every = options.evaluateEvery, trainer.step % every == 0, trainer.step < options.steps {
                if try !evaluateUnlessInterrupted() { return .interrupted }
            }
            if monotonicSeconds() - lastSave >= options.saveEvery {
                // A full disk may have room again at the next save, and the state before stays: ending here would lose
                // more than going on.
                do { try save() } catch { onEvent(.notSaved(step: trainer.step, error)) }
                lastSave = monotonicSeconds()
            }
        }
        if trainer.step != resumedStep, try !evaluateUnlessInterrupted() { return .interrupted }
        try finish()
        return .finished
    }

    /// Removes what only an unfinished run needs; the output is there.
    package func clean() throws { try Self.remove(statePath, lockPath) }

    private static func remove(_ statePath: String, _ lockPath: String) throws {
        // The lock goes last, and with it the right to remove the rest.
        for path in [
            statePath, TrainingState.growingPath(statePath), FileLock.ownerPath(lockPath), lockPath,
        ] where try fileExists(path) { try PosixFile.unlink(path) }
    }

    private func finish() throws {
        // With early stopping the parameters of the lowest held-out loss are the result.
        if bestLoss != nil {
            for (parameter, kept) in zip(trainer.parameters, best) {
                parameter.values.values.update(from: kept.matrix.values, count: parameter.count)
            }
        }
        try metrics.sync()
        try board?.flush()
    }

    /// Evaluates; false where that was interrupted, and the state says that it is to be made up for.
    private func evaluateUnlessInterrupted() throws -> Bool {
        do {
            isEvaluationDue = true
            try evaluateNow()
            isEvaluationDue = false
            return true
        } catch is InterruptionError {
            try save()
            return false
        }
    }

    private func evaluateNow() throws {
        guard let evaluate else { return }
        let (losses, details) = try evaluate(trainer.student)
        lastLosses = losses
        let mean = losses.reduce(0) { $0 + $1.loss } / Double(max(losses.count, 1))
        if mean < bestLoss ?? .infinity {
            bestLoss = mean
            evaluationsSinceBest = 0
            for (parameter, kept) in zip(trainer.parameters, best) {
                kept.matrix.values.update(from: parameter.values.values, count: parameter.count)
            }
        } else {
            evaluationsSinceBest += 1
        }
        var line: JSONObject = ["step": JSON(max(trainer.step - 1, 0))]
        var domains = JSONObject()
        for loss in losses { domains[loss.domain] = JSON(loss.loss) }
        line["heldout"] = .object(domains)
        line["heldout_mean"] = JSON(mean)
        for key in details.keys { line[key] = details[key] }
        try metrics.append(line)
        board?.add(
            losses.map { ("heldout/\($0.domain)", Float($0.loss)) } + [("heldout/mean", Float(mean))],
            step: trainer.step)
        onEvent(.evaluated(step: trainer.step, losses))
    }

    private func scalars(of step: StepMetrics) -> [(tag: String, value: Float)] {
        var result: [(tag: String, value: Float)] = [
            ("train/loss", Float(step.loss)), ("train/grad_norm", Float(step.gradientNorm)),
            ("train/lr", Float(step.learningRate)), ("train/tokens_per_second", Float(step.tokensPerSecond)),
        ]
        if let aux = step.aux { result.append(("train/aux", Float(aux))) }
        if let z = step.z { result.append(("train/z", Float(z))) }
        if let kl = step.kl { result.append(("train/kl", Float(kl))) }
        return result
    }

    /// Replaces the saved state; that of a run that has ended lets its result be written by resuming it.
    ///
    /// - Parameter position: where the data are read next; nil for where the source is.
    package func save(position: [Int]? = nil) throws {
        var state = TrainingState(
            step: trainer.step, position: position ?? source.position, seed: trainer.options.seed, bestLoss: bestLoss,
            evaluationsSinceBest: evaluationsSinceBest, options: identity, replaces: replaces)
        state.isEvaluationDue = isEvaluationDue
        try Interruption.protecting {
            try state.save(to: statePath, trainer.optimizer, extras: trainer.extras + best)
        }
        try metrics.sync()
        try board?.flush()
        onEvent(.saved(step: trainer.step, path: statePath))
    }
}
