import CPlatform
import Glibc
import Safetensors
import Synchronization

/// Runs work that computes or waits for disks on a thread of its own: Swift's own few threads are for what never waits.
///
/// The work is part of the calling task: `Task.isCancelled` is that task's, and `Interruption` asks for it.
///
/// - Throws: what `work` throws; `CheckpointError` of `.cancelled` where it stopped because it was asked to.
package func runningOnThread<Value>(_ work: () throws -> Value) async throws -> Value {
    do {
        return try await withTaskExecutorPreference(WorkThreads.shared) { try work() }
    } catch is InterruptionError {
        throw CheckpointError.cancelled
    }
}

/// Work that goes on on threads of its own, and asks whether the task that waits for it was cancelled.
///
/// - Parameter work: is handed what answers, on any thread, whether to stop.
package func cancelling<Value>(
    _ work: (_ isCancelled: @escaping @Sendable () -> Bool) async throws -> Value
) async throws -> Value {
    let flag = CancellationFlag()
    return try await withTaskCancellationHandler {
        try await work { flag.isSet }
    } onCancel: {
        flag.set()
    }
}

private final class CancellationFlag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// A thread for each piece of work.
private final class WorkThreads: TaskExecutor {
    static let shared = WorkThreads()

    /// As much stack as a process's first thread usually has: parsers and recursive walks are written for it.
    private static let stackBytes = 8 << 20

    private final class Work {
        let job: UnownedJob
        let executor: UnownedTaskExecutor

        init(_ job: UnownedJob, _ executor: UnownedTaskExecutor) {
            self.job = job
            self.executor = executor
        }

        func run() { job.runSynchronously(on: executor) }
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let work = Work(UnownedJob(job), asUnownedTaskExecutor())
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, Self.stackBytes)
        var thread = pthread_t()
        let handed = Unmanaged.passRetained(work)
        let failure = pthread_create(
            &thread, &attributes,
            { argument in
                if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run() }
                return nil
            }, handed.toOpaque())
        pthread_attr_destroy(&attributes)
        // Without a thread of its own it runs here, which is slower for others and no less right.
        if failure != 0 { handed.takeRetainedValue().run() }
    }
}
