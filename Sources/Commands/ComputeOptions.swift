import ArgumentParser
import Checkpoints
import Glibc
import Models
import Numerics

/// What every command takes that runs a model.
struct ComputeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "What weights may take; those of a larger model stay on disk and are read a layer at a time.",
            valueName: "size"))
    var memory: ByteCount = ByteCount(bytes: 4 << 30)

    @Option(help: "Threads; by default one for each processor. The results do not depend on it.")
    var threads: Int?

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads): give a number from 1 to 1024")
        }
    }

    func workers() -> Workers {
        Workers(threads: threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    }

    /// Opens a model.
    ///
    /// - Parameter share: models that share the memory.
    func decoder(_ path: String, _ workers: Workers, topK: Int? = nil, share: Int = 1) throws -> Decoder {
        try Decoder(Checkpoint(at: path), workers: workers, memory: memory.bytes / share, topK: topK)
    }
}
