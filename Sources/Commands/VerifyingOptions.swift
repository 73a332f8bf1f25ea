import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

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
