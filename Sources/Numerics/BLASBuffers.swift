import CBLAS
import CPlatform
import Glibc
import Synchronization

/// The buffers that BLAS packs its operands into, where memory is limited.
///
/// OpenBLAS maps one for each product that is computed at the same time, keeps it, and where that fails tries again for
/// ever. So each is mapped here before a product needs it, and as many products are computed at once as there are buffers;
/// results do not depend on how many that are.
enum BLASBuffers {
    private struct State {
        var mapped = 0
        var used = 0
    }

    private static let state = Mutex(State())
    private static let isLimited = cmemory_is_limited() != 0 && cblas_has_buffers() != 0
    /// What OpenBLAS maps on x86-64; elsewhere it is less.
    private static let bytes = 128 << 20
    /// What is left to the rest of the process beside the first buffer, and beside another.
    private static let (reserve, ample) = (32 << 20, 512 << 20)

    /// Computes with a buffer at hand.
    static func use<Result>(_ body: () -> Result) -> Result {
        guard isLimited else { return body() }
        while !take() { sched_yield() }
        defer { state.withLock { $0.used -= 1 } }
        return body()
    }

    /// Takes a buffer, if one is free or can be mapped.
    private static func take() -> Bool {
        state.withLock { state in
            if state.used == state.mapped {
                guard cmemory_is_available(bytes + (state.mapped == 0 ? reserve : ample)) != 0 else {
                    if state.mapped == 0 { cmemory_fail(bytes) }
                    return false
                }
                // The others are in use, so that this one is new; it stays BLAS's.
                blas_memory_free(blas_memory_alloc(0))
                state.mapped += 1
            }
            state.used += 1
            return true
        }
    }
}
