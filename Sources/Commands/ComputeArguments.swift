import ArgumentParser
import MoEToolkit

/// What every command takes that runs a model.
struct ComputeArguments: ParsableArguments {
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

    var options: ComputeOptions { ComputeOptions(memory: memory.bytes, threads: threads) }
}
