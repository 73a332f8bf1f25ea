import ArgumentParser
import Checkpoints
import Evaluation
import Safetensors
import Synchronization

/// What `--verify` takes where the result is to compute what its source does.
struct VerifyingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "With --verify: exit 6 if any logit differs by more than this; by default if the root mean square of the differences exceeds 1e-4 of the logits' spread, or the middle token's 2^-7, 2^-4, 2^-2 and 2^-1 of it where weights are rounded to F16, BF16, F8_E4M3 and F8_E5M2.",
            valueName: "difference"))
    var tolerance: Double?

    func validate() throws {
        if let tolerance, !(tolerance >= 0) {
            throw ValidationError("--tolerance \(tolerance): give a number from 0 up")
        }
    }

    /// - Parameter tolerance: what is accepted where the user does not say.
    func check(
        against source: Checkpoint, _ writing: WritingOptions, tolerance standard: FunctionCheck.Tolerance
    ) -> FunctionCheck {
        FunctionCheck(
            against: source, tolerance: tolerance.map { .absolute($0) } ?? standard, memory: writing.memory.bytes,
            threads: writing.writeOptions(progress: nil).threads)
    }
}

/// The comparison of a written checkpoint's outputs, and what it found.
final class OutputVerification: Sendable {
    private struct State {
        var comparison: OutputComparison?
        var warnings: [String] = []
    }
    private let check: FunctionCheck
    private let state = Mutex(State())

    init(_ check: FunctionCheck) { self.check = check }

    /// Refuses what there is no memory for, before anything is made.
    func checkMemory(_ made: Checkpoint) throws {
        do { try check.checkMemory(made) } catch let error as CheckpointError where error.code == .incompatible {
            // A family that is not computed is said after the writing.
        }
    }

    /// - Throws: `.verification` where the outputs are too far apart.
    func run(_ made: Checkpoint) throws {
        do {
            let comparison = try check.run(made)
            state.withLock { $0.comparison = comparison }
        } catch let error as CheckpointError where error.code == .uncomputed {
            // The bytes are verified; that this program does not compute the family does not make them wrong.
            state.withLock { $0.warnings.append("the outputs were not compared: \(error)") }
        }
    }

    var comparison: OutputComparison? { state.withLock { $0.comparison } }
    var warnings: [String] { state.withLock { $0.warnings } }

    /// What the user is told.
    var remark: String? { comparison.map { "Verified: \($0.summary)." } }
}

extension OutputComparison {
    /// The comparison in a sentence without its full stop.
    var summary: String {
        "on \(tokens) tokens the logits differ by at most \(numberText(maximumDifference)) (mean "
            + "\(numberText(meanDifference))), KL \(numberText(meanDivergence)) nats, the likeliest token is the same for "
            + "\(percentText(agreement))"
    }
}

/// "99.6 %".
func percentText(_ share: Double) -> String { numberText((share * 1000).rounded() / 10) + " %" }
