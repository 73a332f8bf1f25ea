import Glibc
import Synchronization

/// Runs blocking work on threads of its own and waits for all of it.
///
/// Reads, writes and syncs block for as long as the disk likes: on the cooperative pool, which has a thread for each
/// core, two blocked writers would keep everything else of a two-core machine from running.
///
/// - Throws: the first error thrown; the others are told by `stop`.
package func runOnThreads(_ bodies: [@Sendable (_ stop: StopFlag) throws -> Void]) async throws {
    let stop = StopFlag()
    let failure = FirstError()
    let remaining = Remaining(bodies.count)
    guard !bodies.isEmpty else { return }
    await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
        let finish: @Sendable () -> Void = { if remaining.decrement() { continuation.resume() } }
        for body in bodies {
            let work = ThreadWork {
                do { try body(stop) } catch {
                    failure.record(error)
                    stop.raise()
                }
                finish()
            }
            let context = Unmanaged.passRetained(work).toOpaque()
            var thread = pthread_t()
            let status = pthread_create(&thread, nil, threadMain, context)
            if status == 0 {
                pthread_detach(thread)
            } else {
                // No thread to be had: do the work here rather than not at all.
                Unmanaged<ThreadWork>.fromOpaque(context).takeRetainedValue().run()
            }
        }
    }
    if let error = failure.error { throw error }
}

/// Tells threads to stop at the next convenient point.
package final class StopFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    package init() {}

    package var isRaised: Bool { flag.load(ordering: .relaxed) }
    package func raise() { flag.store(true, ordering: .relaxed) }
}

private func threadMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<ThreadWork>.fromOpaque(context).takeRetainedValue().run() }
    return nil
}

private final class ThreadWork: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

private final class FirstError: Sendable {
    private let stored = Mutex<(any Error)?>(nil)

    var error: (any Error)? { stored.withLock { $0 } }
    func record(_ error: any Error) { stored.withLock { if $0 == nil { $0 = error } } }
}

private final class Remaining: Sendable {
    private let count: Atomic<Int>

    init(_ count: Int) { self.count = Atomic(count) }

    /// Whether this was the last one.
    func decrement() -> Bool { count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 }
}

/// Counts threads that are still at work, and does something when the last one leaves.
final class WorkerGate: Sendable {
    private let count: Atomic<Int>
    private let whenEmpty: @Sendable () -> Void

    init(count: Int, whenEmpty: @escaping @Sendable () -> Void) {
        self.count = Atomic(count)
        self.whenEmpty = whenEmpty
    }

    var isEmpty: Bool { count.load(ordering: .acquiring) <= 0 }

    func leave() {
        if count.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { whenEmpty() }
    }
}

/// Results of work that several threads share, by index.
final class IndexedResults<R: Sendable>: Sendable {
    private struct State {
        var next = 0
        var values: [R?]
    }
    private let state: Mutex<State>

    init(count: Int) {
        state = Mutex(State(values: Array(repeating: nil, count: count)))
    }

    /// The index of work that nobody has taken.
    func next() -> Int? {
        state.withLock { state in
            guard state.next < state.values.count else { return nil }
            state.next += 1
            return state.next - 1
        }
    }

    func set(_ index: Int, _ value: R) { state.withLock { $0.values[index] = value } }
    var all: [R] { state.withLock { $0.values.compactMap { $0 } } }
}
