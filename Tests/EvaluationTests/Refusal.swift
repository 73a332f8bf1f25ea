import Checkpoints
import Testing

/// The error with which something is refused; it is a failure of the test if it is not.
func refusal<T>(_ body: () throws -> T) -> CheckpointError? {
    #expect(throws: CheckpointError.self) { _ = try body() }
}
