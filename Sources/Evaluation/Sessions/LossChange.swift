package import Checkpoints
package import Safetensors
import Synchronization

/// The loss on text before a transform and after it: the source is scored first, the result before it is published.
package final class LossChange: Sendable {
    private struct State {
        var measurement: LossMeasurement
        var after: ModelScores?
        var warnings: [String] = []
    }
    package let before: ModelScores
    private let state: Mutex<State>
    /// Told what is measured, and how far it has come.
    private let progress: @Sendable (_ what: String, EvaluationProgress) -> Void

    /// Scores the source.
    ///
    /// - Parameters:
    ///   - text: how it is read; `tokenLimit` is of each domain.
    ///   - window: tokens of the windows of another measurement on the same text, which must have one of them too.
    ///   - progress: told what is measured, and how far it has come.
    /// - Throws: as `EvaluationSession.run(_:)`.
    package init(
        _ source: Checkpoint, on data: [String], text: TextOptions, window: Int? = nil, compute: ComputeOptions,
        progress: @escaping @Sendable (_ what: String, EvaluationProgress) -> Void
    ) async throws {
        let measured = try await runningOnThread {
            let (sources, encoder) = (try DataSource.parse(data), try text.encoder(source))
            let measurement = try LossMeasurement(
                source, sources, encoder, options: text.data, workers: compute.workers(), memory: compute.memory
            ) { try Interruption.check() }
            if let window {
                let length = max(2, min(window, try source.description.positions ?? window))
                try DomainText.check(sources, length: length, options: text.data, encoder: encoder)
            }
            return (
                measurement, try Self.scores(measurement, source) { progress("the loss before", $0) }
            )
        }
        before = measured.1
        self.progress = progress
        state = Mutex(State(measurement: measured.0))
    }

    private static func scores(
        _ measurement: LossMeasurement, _ checkpoint: Checkpoint, _ progress: @escaping (EvaluationProgress) -> Void
    ) throws -> ModelScores {
        try measurement.scores(checkpoint, isCancelled: { Interruption.isRequested }, progress: progress)
    }

    /// Refuses what there is no memory for, before anything is made.
    package func checkMemory(_ made: Checkpoint) throws {
        try state.withLock { state in
            // A family that is not computed is said after the writing.
            do { try state.measurement.checkMemory(made) } catch let error as CheckpointError {
                if error.code != .incompatible { throw error }
            }
        }
    }

    /// Scores the result.
    package func run(_ made: Checkpoint) throws {
        try state.withLock { state in
            do {
                state.after = try Self.scores(state.measurement, made) { [progress] in progress("the loss after", $0) }
            } catch let error as CheckpointError where error.code == .incompatible {
                state.warnings.append("the loss after it was not measured: \(error)")
            }
        }
    }

    package var after: ModelScores? { state.withLock { $0.after } }
    package var warnings: [String] { state.withLock { $0.warnings } }

    package var json: JSON {
        func json(_ scores: ModelScores) -> JSON {
            var domains = JSONObject()
            for domain in scores.domains { domains[domain.name] = JSON(domain.loss) }
            return .object(["loss": JSON(scores.loss), "domains": .object(domains)])
        }
        return .object([
            "before": json(before), "after": after.map(json) ?? .null,
            "change": after.map { JSON($0.loss - before.loss) } ?? .null, "tokens": JSON(before.tokens),
        ])
    }
}
