import Glibc
import Synchronization

/// Threads that wait for loops to share.
///
/// The loops cut their work in pieces that depend on its size alone, never on the number of threads, so that sums are
/// added in the same order whatever `--threads` says: results are the same bytes.
package final class Workers: Sendable {
    /// How many threads work on a loop, the caller among them.
    package let count: Int

    private let shared: Shared

    /// - Parameter threads: at least 1; the caller's thread is one of them.
    package init(threads: Int) {
        count = max(threads, 1)
        shared = Shared()
        for _ in 1..<count {
            let context = Unmanaged.passRetained(shared).toOpaque()
            var thread = pthread_t()
            if pthread_create(&thread, nil, workerMain, context) == 0 {
                pthread_detach(thread)
            } else {
                // The loops run with the threads there are.
                Unmanaged<Shared>.fromOpaque(context).release()
            }
        }
    }

    deinit { shared.close() }

    /// Runs `body` for 0 to `pieces` - 1, each once, in any order, and waits for all of them.
    ///
    /// Loops are not nested: `body` must not call `forEach` of the same workers.
    package func forEach(_ pieces: Int, _ body: (Int) -> Void) {
        guard pieces > 1, count > 1 else {
            for piece in 0..<max(pieces, 0) { body(piece) }
            return
        }
        withoutActuallyEscaping(body) { body in
            let job = Job(pieces: pieces, body: unsafeBitCast(body, to: (@Sendable (Int) -> Void).self))
            shared.publish(job)
            job.work()
            shared.withdraw(job)
        }
    }

    /// Runs `body` over ranges of `range` elements that cover 0 to `total`.
    package func forEachRange(of total: Int, size: Int, _ body: (Range<Int>) -> Void) {
        let size = max(size, 1)
        forEach((total + size - 1) / size) { piece in body(piece * size..<min(total, (piece + 1) * size)) }
    }
}

/// A loop that threads share: each takes the next piece until there is none.
private final class Job: Sendable {
    private let pieces: Int
    private let body: @Sendable (Int) -> Void
    private let next = Atomic<Int>(0)

    init(pieces: Int, body: @escaping @Sendable (Int) -> Void) {
        self.pieces = pieces
        self.body = body
    }

    func work() {
        while true {
            let piece = next.add(1, ordering: .relaxed).oldValue
            guard piece < pieces else { return }
            body(piece)
        }
    }
}

/// What the threads wait on.
private final class Shared: Sendable {
    private struct State {
        var job: Job?
        var isClosed = false
    }

    private let state = Mutex(State())
    private let generation = Atomic<Int>(0)
    /// How many threads hold the job.
    private let busy = Atomic<Int>(0)
    private let condition: UnsafeCondition

    init() { condition = UnsafeCondition() }

    func publish(_ job: Job) {
        state.withLock { $0.job = job }
        announce()
    }

    /// Waits until no thread works on the job, nor holds it: its body is the caller's closure, which Swift checks that
    /// nobody has a reference to when the caller's loop ends.
    func withdraw(_ job: Job) {
        state.withLock { if $0.job === job { $0.job = nil } }
        // They are at work on their last pieces, so it will not be long.
        var spins = 0
        while busy.load(ordering: .acquiring) > 0 {
            spins += 1
            if spins > 1 << 12 { sched_yield() }
        }
    }

    func close() {
        state.withLock { $0.isClosed = true }
        announce()
    }

    private func announce() {
        // Under the lock: a thread between its look at the generation and its sleep would miss the call.
        condition.locked { _ = generation.add(1, ordering: .releasing) }
        condition.broadcast()
    }

    /// Takes part in one loop after another until the workers are let go of.
    func serve() {
        var seen = 0
        while true {
            // A short spin: the next loop of a layer follows within microseconds.
            var spins = 0
            while generation.load(ordering: .acquiring) == seen, spins < 1 << 11 { spins += 1 }
            condition.wait { generation.load(ordering: .acquiring) != seen }
            seen = generation.load(ordering: .acquiring)
            if takePart() { busy.subtract(1, ordering: .releasing) }
            if state.withLock({ $0.isClosed }) { return }
        }
    }

    /// Works on the job, if there is one; says whether there was. A function of its own, so that the reference to the
    /// job is gone when it returns.
    @inline(never)
    private func takePart() -> Bool {
        let job = state.withLock { state in
            // Counted under the lock under which the job is withdrawn.
            if state.job != nil { busy.add(1, ordering: .relaxed) }
            return state.job
        }
        guard let job else { return false }
        job.work()
        return true
    }
}

/// A POSIX mutex and condition at a fixed address.
private final class UnsafeCondition: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func locked(_ body: () -> Void) {
        pthread_mutex_lock(mutex)
        body()
        pthread_mutex_unlock(mutex)
    }

    func broadcast() {
        pthread_mutex_lock(mutex)
        pthread_cond_broadcast(condition)
        pthread_mutex_unlock(mutex)
    }

    func wait(until isReady: () -> Bool) {
        pthread_mutex_lock(mutex)
        while !isReady() { pthread_cond_wait(condition, mutex) }
        pthread_mutex_unlock(mutex)
    }
}

private func workerMain(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let context { Unmanaged<Shared>.fromOpaque(context).takeRetainedValue().serve() }
    return nil
}
