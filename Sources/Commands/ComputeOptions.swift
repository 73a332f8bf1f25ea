import ArgumentParser
import Checkpoints
import Glibc
import Models
import Numerics

/// What every command takes that runs a model.
struct ComputeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Peak memory of the process; weights that do not fit stay on disk and are read as they are needed.",
            valueName: "size"))
    var memory: ByteCount = ByteCount(bytes: 4 << 30)

    @Option(help: "Threads; by default one for each processor. The results do not depend on it.")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads): give a number from 1 to 1024")
        }
    }

    func workers() -> Workers { Workers(threads: threadCount) }

    var threadCount: Int { threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }
}
