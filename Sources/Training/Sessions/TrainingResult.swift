public import Checkpoints
public import Safetensors

/// What a training came to.
public struct TrainingResult: JSONResult {
    /// How it ended.
    public enum Outcome: String, Sendable {
        /// All steps were made.
        case finished
        /// No lower held-out loss for a while: the parameters are those of the lowest.
        case stoppedEarly = "stopped-early"
        /// An earlier run had finished it.
        case wasComplete = "was-complete"
        /// Nothing was to be trained: the plan alone was asked for.
        case planned
    }

    /// How it ended.
    public let outcome: Outcome
    /// The checkpoint's folder.
    public let output: String
    /// Steps that were made, those of earlier runs included.
    public let steps: Int
    /// Held-out losses before the first step of this run, in nats; empty where nothing is held out.
    public let before: [HeldOutLoss]
    /// Held-out losses of the result.
    public let after: [HeldOutLoss]
    /// The teacher's losses on the same text, where they were measured.
    public internal(set) var teacher: [HeldOutLoss] = []
    /// The losses of what a student's gain is counted from, where that is another model.
    public internal(set) var base: [HeldOutLoss] = []
    /// What was written; nil where nothing was.
    public internal(set) var report: WriteReport?

    /// The share of the teacher's gain in mean held-out loss that the student keeps, `(base - student) / (base - teacher)`;
    /// nil where it was not measured or the teacher gains nothing.
    public var keptGain: Double? {
        guard let guide = teacher.mean, let start = (base.isEmpty ? before : base).mean, let end = after.mean else {
            return nil
        }
        return start > guide ? (start - end) / (start - guide) : nil
    }

    /// Steps and held-out losses.
    public var json: JSONObject {
        ["output": .string(output), "steps": JSON(steps), "heldout_before": before.json, "heldout_after": after.json]
    }
}

extension [HeldOutLoss] {
    /// The mean over the domains; nil where there are none.
    package var mean: Double? { isEmpty ? nil : reduce(0) { $0 + $1.loss } / Double(count) }

    /// "law 3.1, code 2.2, mean 2.65", with four digits.
    package var text: String {
        map { "\($0.domain) \(fixedText($0.loss, digits: 4))" }.joined(separator: ", ")
            + ", mean \(fixedText(mean ?? 0, digits: 4))"
    }

    package var json: JSON {
        var object = JSONObject()
        for loss in self { object[loss.domain] = JSON(loss.loss) }
        return .object(object)
    }
}

/// What happens in a training, for whoever shows it.
public enum TrainingEvent: Sendable {
    /// A sentence about what is to come, or has been found.
    case note(String)
    /// Something that should be seen to.
    case warning(String)
    /// What is kept of a run that fails.
    case kept(String)
    /// A step was made.
    case step(StepMetrics, of: Int)
    /// The loss on held-out text.
    case evaluated(step: Int, [HeldOutLoss])
    /// The state was saved.
    case saved(step: Int, path: String)
    /// The state could not be saved: the one before stays, and the run goes on.
    case notSaved(step: Int, any Error)
}
