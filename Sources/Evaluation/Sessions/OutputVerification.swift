package import Checkpoints
import Safetensors
import Synchronization

/// The comparison of a written checkpoint's outputs with those of what it was made of, and what it found.
package final class OutputVerification: Sendable {
    private struct State {
        var comparison: OutputComparison?
        var warnings: [String] = []
    }
    private let check: FunctionCheck
    private let state = Mutex(State())

    package init(_ check: FunctionCheck) { self.check = check }

    /// Refuses what there is no memory for, before anything is made.
    package func checkMemory(_ made: Checkpoint) throws {
        do { try check.checkMemory(made) } catch let error as CheckpointError where error.code == .incompatible {
            // A family that is not computed is said after the writing.
        }
    }

    /// - Throws: `.verification` where the outputs are too far apart.
    package func run(_ made: Checkpoint) throws {
        do {
            let comparison = try check.run(made)
            state.withLock { $0.comparison = comparison }
        } catch let error as CheckpointError where error.code == .uncomputed {
            // The bytes are verified; that this program does not compute the family does not make them wrong.
            state.withLock { $0.warnings.append("the outputs were not compared: \(error)") }
        }
    }

    package var comparison: OutputComparison? { state.withLock { $0.comparison } }
    package var warnings: [String] { state.withLock { $0.warnings } }
}
