import Glibc
import Synchronization

/// The descriptors of the files that are open, as many at a time as the process may have: a checkpoint of a thousand shards
/// is read with sixty. A file whose descriptor was closed to make room is opened again when it is used.
final class DescriptorPool: Sendable {
    static let shared = DescriptorPool()

    private struct Entry {
        let descriptor: Int32
        /// Written to, so that what was written must be on disk before the descriptor goes: an error of the disk's is told
        /// to those who have the file open.
        let isWritable: Bool
        var users: Int
        var lastUse: Int
    }
    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var clock = 0
        /// Files of which a descriptor could not be synced when it was closed.
        var failed: Set<ObjectIdentifier> = []
    }
    private let state = Mutex(State())
    private let capacity: Int

    private init() {
        var limit = rlimit()
        let soft =
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 ? Int(clamping: limit.rlim_cur) : 64
        // The rest is for standard streams, locks, journals and what libraries open.
        capacity = max(1, min(soft / 2, 4096))
    }

    /// Gives the descriptor of `key`, opening it where it is not open; nil with `errno` set where that fails.
    func take(_ key: ObjectIdentifier, isWritable: Bool, open: () -> Int32) -> Int32? {
        // Where all are in use by other threads this moment, one of them is waited for.
        for _ in 0..<200 {
            let (descriptor, number) = state.withLock { state -> (Int32, Int32) in
                state.clock += 1
                if var entry = state.entries[key] {
                    entry.users += 1
                    entry.lastUse = state.clock
                    state.entries[key] = entry
                    return (entry.descriptor, 0)
                }
                while state.entries.count >= capacity, Self.evict(&state) {}
                var descriptor = open()
                var number = errno
                while descriptor < 0, number == EMFILE || number == ENFILE, Self.evict(&state) {
                    descriptor = open()
                    number = errno
                }
                guard descriptor >= 0 else { return (-1, number) }
                state.entries[key] = Entry(
                    descriptor: descriptor, isWritable: isWritable, users: 1, lastUse: state.clock)
                return (descriptor, 0)
            }
            if descriptor >= 0 { return descriptor }
            errno = number
            guard number == EMFILE || number == ENFILE else { return nil }
            usleep(1000)
            errno = number
        }
        return nil
    }

    /// Opens something that is not the pool's own, which gives up descriptors for it where there are none left.
    func opening(_ open: () -> Int32) -> Int32 {
        while true {
            let descriptor = open()
            guard descriptor < 0, errno == EMFILE || errno == ENFILE else { return descriptor }
            let number = errno
            let hasRoom = state.withLock { Self.evict(&$0) }
            errno = number
            guard hasRoom else { return descriptor }
        }
    }

    func release(_ key: ObjectIdentifier) { state.withLock { $0.entries[key]?.users -= 1 } }

    /// Whether writes to a file may have been lost with a descriptor.
    func hasFailed(_ key: ObjectIdentifier) -> Bool { state.withLock { $0.failed.contains(key) } }

    func close(_ key: ObjectIdentifier) {
        state.withLock { state in
            state.failed.remove(key)
            if let entry = state.entries.removeValue(forKey: key) { Glibc.close(entry.descriptor) }
        }
    }

    /// Closes the descriptor that has not been used for the longest time; false where all are in use.
    private static func evict(_ state: inout State) -> Bool {
        guard
            let (key, entry) = state.entries.filter({ $0.value.users == 0 }).min(by: {
                $0.value.lastUse < $1.value.lastUse
            })
        else { return false }
        if entry.isWritable, fdatasync(entry.descriptor) != 0 { state.failed.insert(key) }
        Glibc.close(entry.descriptor)
        state.entries[key] = nil
        return true
    }
}
