import Checkpoints
package import Safetensors

/// What a training run needs, beside weights and moments, to go on to the same bytes as if it had not been interrupted.
///
/// It is one safetensors file, so that one rename replaces the old state by the new: for each parameter NAME, F32,
/// `weight.NAME`, `first.NAME` and `second.NAME`; for each other matrix, `extra.NAME`; and in the header's metadata, under
/// `training_state`, a JSON document with the members below.
package struct TrainingState: Sendable, Equatable {
    /// How many steps were made.
    package var step: Int
    /// Where the data are read next, in the words of whoever reads them.
    package var position: [Int]
    /// The seed of all draws, which depend on it, a name and the step: the whole state of chance.
    package var seed: UInt64
    /// The lowest held-out loss so far.
    package var bestLoss: Double?
    /// Evaluations since the lowest held-out loss, for early stopping.
    package var evaluationsSinceBest: Int
    /// Whether the held-out evaluation that belongs to the last step was not made.
    package var isEvaluationDue = false
    /// What the run was started with: every option that its results depend on, and what identifies its inputs.
    package var options: JSONObject
    /// What is at the output and may be replaced, by its number in the file system.
    package var replaces: String?

    package init(
        step: Int, position: [Int], seed: UInt64, bestLoss: Double? = nil, evaluationsSinceBest: Int = 0,
        options: JSONObject, replaces: String? = nil
    ) {
        self.replaces = replaces
        self.step = step
        self.position = position
        self.seed = seed
        self.bestLoss = bestLoss
        self.evaluationsSinceBest = evaluationsSinceBest
        self.options = options
    }
}

// MARK: Its document

extension TrainingState {
    static let metadataKey = "training_state"
    private static let format = "moe-tool training state 1"

    func document(optimizerSteps: Int) -> String {
        var object: JSONObject = [
            "format": JSON(Self.format), "step": JSON(step), "optimizer_steps": JSON(optimizerSteps),
            "position": .array(position.map { JSON($0) }), "seed": .number(String(seed)),
        ]
        object["best_loss"] = bestLoss.map { JSON($0) } ?? .null
        object["evaluations_since_best"] = JSON(evaluationsSinceBest)
        if isEvaluationDue { object["evaluation_due"] = true }
        object["options"] = .object(options)
        object["replaces"] = replaces.map { .string($0) }
        return JSON.object(object).line
    }

    /// Reads a document; the steps of the optimiser beside it.
    static func parsed(_ text: String, file: String) throws -> (state: TrainingState, optimizerSteps: Int) {
        let json = try translatingErrors { () throws(SafetensorsError) in
            try JSON(parsing: Array(text.utf8), file: file)
        }
        let object = json.object ?? JSONObject()
        guard object["format"]?.string == format else {
            throw CheckpointError(
                .malformed, file: file,
                message: "its training state is of a format that this version does not know "
                    + "(\(escaped(object["format"]?.string ?? "none")); it knows \"\(format)\"): start over with `overwrite`"
            )
        }
        guard let step = object["step"]?.int, step >= 0, let steps = object["optimizer_steps"]?.int, steps >= 0,
            let elements = object["position"]?.array, case .number(let seedText)? = object["seed"],
            let seed = UInt64(seedText), let options = object["options"]?.object
        else { throw damaged(file) }
        let position = elements.compactMap(\.int)
        guard position.count == elements.count else { throw damaged(file) }
        var state = TrainingState(
            step: step, position: position, seed: seed, bestLoss: object["best_loss"]?.double,
            evaluationsSinceBest: object["evaluations_since_best"]?.int ?? 0, options: options,
            replaces: object["replaces"]?.string)
        state.isEvaluationDue = object["evaluation_due"]?.bool ?? false
        return (state, steps)
    }

    private static func damaged(_ file: String) -> CheckpointError {
        CheckpointError(
            .malformed, file: file, message: "its training state is damaged: start over with `overwrite`")
    }

    /// Refuses to resume a run with other options than it was started with.
    ///
    /// - Throws: `CheckpointError` with code `usage` that names each option that differs, with both values.
    package func require(options current: JSONObject, file: String) throws {
        let names = options.keys + current.keys.filter { options[$0] == nil }
        let different = names.filter { options[$0] != current[$0] }
        guard !different.isEmpty else { return }
        let parts = different.map { name in
            "\(escaped(name)) was \(options[name].map { escaped($0.line) } ?? "not given") "
                + "and is \(current[name].map { escaped($0.line) } ?? "not given")"
        }
        throw CheckpointError(
            .usage, file: file,
            message: "the run that is to be resumed was started with other options: " + parts.joined(separator: "; ")
                + ". Resume with the same options, or start over with `overwrite`")
    }
}
