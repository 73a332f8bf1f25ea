import Checkpoints
import Evaluation
import Safetensors
import Synchronization
import Transforms

/// The loss on text before a transform and after it: the source is scored first, the result before it is published.
final class LossChange: Sendable {
    private struct State {
        var measurement: LossMeasurement
        var after: ModelScores?
        var warnings: [String] = []
    }
    let before: ModelScores
    private let isQuiet: Bool
    private let state: Mutex<State>

    /// - Parameter tokens: of each domain, at most.
    init(
        _ source: Checkpoint, _ data: [String], tokens: Int, _ reading: DataArguments, _ writing: WritingOptions,
        _ common: CommonOptions
    ) throws {
        var options = reading.options
        options.tokenLimit = tokens
        let measurement = try LossMeasurement(
            source, DataSource.parse(data), TextEncoder(for: source, bytes: reading.tokenizer == "bytes"),
            options: options, workers: writing.workers(), memory: writing.memory.bytes
        ) { if receivedSignal != 0 { throw ExitStatus(code: 128 + receivedSignal) } }
        isQuiet = common.quiet
        before = try Self.scores(measurement, source, "the loss before", isQuiet: common.quiet)
        state = Mutex(State(measurement: measurement))
    }

    private static func scores(
        _ measurement: LossMeasurement, _ checkpoint: Checkpoint, _ label: String, isQuiet: Bool
    ) throws -> ModelScores {
        let display = StatusLine(isQuiet: isQuiet)
        defer { display.finish() }
        return try measurement.scores(
            checkpoint, isCancelled: { receivedSignal != 0 },
            progress: { progress in
                display.show(
                    ProgressText(
                        label: "measuring \(label):",
                        parts: ["\(countText(progress.done)) of \(countText(progress.total)) tokens"]))
            })
    }

    /// Refuses what there is no memory for, before anything is made.
    func checkMemory(_ made: Checkpoint) throws {
        try state.withLock { state in
            // A family that is not computed is said after the writing.
            do { try state.measurement.checkMemory(made) } catch let error as CheckpointError {
                if error.code != .incompatible { throw error }
            }
        }
    }

    /// Scores the result.
    func run(_ made: Checkpoint) throws {
        try state.withLock { state in
            do {
                state.after = try Self.scores(state.measurement, made, "the loss after", isQuiet: isQuiet)
            } catch let error as CheckpointError where error.code == .incompatible {
                state.warnings.append("the loss after it was not measured: \(error)")
            }
        }
    }

    var after: ModelScores? { state.withLock { $0.after } }
    var warnings: [String] { state.withLock { $0.warnings } }

    /// What the user is told: a table, a row for each domain.
    var remark: String? {
        guard let after else { return nil }
        var table = TextTable([.left, .right, .right, .right])
        table.add("loss", "before", "after", "change")
        func row(_ name: String, _ before: Double, _ after: Double) {
            let change = after - before
            table.add(
                name, fixedText(before, digits: 4), fixedText(after, digits: 4),
                (change < 0 ? "-" : "+") + fixedText(abs(change), digits: 4))
        }
        for (old, new) in zip(before.domains, after.domains) { row(escaped(old.name), old.loss, new.loss) }
        if before.domains.count > 1 { row("mean", before.loss, after.loss) }
        return table.text.hasSuffix("\n") ? String(table.text.dropLast()) : table.text
    }

    var json: JSON {
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

extension WeightLoss {
    /// What is expected, in a sentence.
    ///
    /// - Parameter isExact: whether the result computes the same where the weights lose nothing.
    func sentence(isExact: Bool) -> String {
        if isNone {
            return isExact
                ? "Expected loss: none. The experts of each layer are one network, to rounding."
                : "Expected loss: the weights lose nothing."
        }
        guard mean != nil else { return "Expected loss: \(share)." }
        var text = "Expected loss: \(share)"
        if layers.count < layerCount, let layer = layers.keys.first {
            text += ", in layer \(layer) of \(layerCount)"
        } else if let worst, layers.count > 1 {
            text += ", most in layer \(worst.layer) with \(percentText(worst.share))"
        }
        return text + "; --data measures it on text."
    }

    /// The mean over the layers, in words.
    var share: String {
        mean.map { "\(percentText($0)) of the energy of the experts' weights" }
            ?? "not told, for weights that are no floating-point numbers"
    }

    func json(isExact: Bool) -> JSON {
        var shares = JSONObject()
        for (layer, share) in layers.sorted(by: { $0.key < $1.key }) { shares[String(layer)] = JSON(share) }
        return .object([
            "weight_energy": mean.map { JSON($0) } ?? .null, "layers": .object(shares),
            "is_exact": .bool(isNone && isExact), "is_sampled": .bool(isSampled),
        ])
    }
}
