import Synchronization

/// A request to stop, made by a signal or by cancelling the task: long work asks for it at points where it can end.
///
/// A signal's is one for the process, a cancellation one for the work of the current task: a calculation deep in a
/// transform need not be handed a closure to ask. Threads that are no task's see signals alone.
package enum Interruption {
    /// The signal that asked for it; 0 while none has.
    package static var signal: Int32 { requested.load(ordering: .relaxed) }
    package static var isRequested: Bool { signal != 0 || Task.isCancelled }

    /// Makes the request; safe in a signal's handler once `isRequested` has been read. Answers with an earlier one, or 0.
    @discardableResult
    package static func request(_ signal: Int32) -> Int32 { requested.exchange(signal, ordering: .relaxed) }

    /// - Throws: `InterruptionError` once there is a request.
    package static func check() throws(InterruptionError) {
        if isRequested { throw InterruptionError() }
    }

    /// Whether something is being done that must be brought to its end: a state is being saved, a result published.
    package static var isProtected: Bool { protections.load(ordering: .acquiring) > 0 }

    /// Keeps the process from being ended while `body` runs, for as long as that takes.
    package static func protecting<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        protections.add(1, ordering: .acquiringAndReleasing)
        defer { protections.subtract(1, ordering: .acquiringAndReleasing) }
        return try body()
    }

    private static let requested = Atomic<Int32>(0)
    private static let protections = Atomic<Int>(0)
}

/// Work was stopped because somebody asked for it.
package struct InterruptionError: Error, CustomStringConvertible {
    package init() {}

    package var description: String { "interrupted" }
}
