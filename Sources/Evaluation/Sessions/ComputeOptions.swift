import Glibc
package import Numerics

/// What running a model may take of the machine.
public struct ComputeOptions: Sendable, Hashable {
    /// Bytes of the process at its peak, 4 GiB by default; weights that do not fit stay on disk and are read as they are
    /// needed.
    public var memory = 4 << 30
    /// Threads, from 1 to 1024; by default one for each processor. Results do not depend on it.
    public var threads = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

    /// The defaults.
    public init() {}

    package init(memory: Int, threads: Int?) {
        self.memory = memory
        if let threads { self.threads = threads }
    }

    package func workers() -> Workers { Workers(threads: threads) }
}
