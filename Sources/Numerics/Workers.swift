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
            job.wait()
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
    private let done = Atomic<Int>(0)

    init(pieces: Int, body: @escaping @Sendable (Int) -> Void) {
        self.pieces = pieces
        self.body = body
    }

    func work() {
        while true {
            let piece = next.add(1, ordering: .relaxed).oldValue
            guard piece < pieces else { return }
            body(piece)
            done.add(1, ordering: .releasing)
        }
    }

    /// Waits for pieces that other threads have taken: they are at work, so it will not be long.
    func wait() {
        var spins = 0
        while done.load(ordering: .acquiring) < pieces {
            spins += 1
            if spins > 1 << 12 { sched_yield() }
        }
    }
}

/// What the threads wait on.
private final class Shared: Sendable {
    private struct State {
        var job: Job?
        var generation = 0
        var isClosed = false
    }

    private let state = Mutex(State())
    private let generation = Atomic<Int>(0)
    private let condition: UnsafeCondition

    init() { condition = UnsafeCondition() }

    func publish(_ job: Job) {
        condition.locked { self.state.withLock { $0.job = job } }
        generation.add(1, ordering: .releasing)
        condition.broadcast()
    }

    func withdraw(_ job: Job) {
        state.withLock { if $0.job === job { $0.job = nil } }
    }

    func close() {
        condition.locked { self.state.withLock { $0.isClosed = true } }
        generation.add(1, ordering: .releasing)
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
            let (job, isClosed) = state.withLock { ($0.job, $0.isClosed) }
            if isClosed { return }
            job?.work()
        }
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
