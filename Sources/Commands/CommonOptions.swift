import ArgumentParser
import Checkpoints
import Safetensors

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Flag(name: .long, help: "Print one JSON document on standard output instead of text.")
    var json = false

    @Flag(name: .shortAndLong, help: "Print nothing but errors and what was asked for.")
    var quiet = false
}

/// What every command that writes a checkpoint takes.
struct WritingOptions: ParsableArguments {
    @Option(
        name: [.customShort("o"), .customLong("output")],
        help: "The folder to write; by default a sibling of the input, named for the result.", completion: .directory)
    var output: String?

    @Option(
        help: ArgumentHelp(
            "Write floating-point tensors as F32, F16, BF16, F8_E4M3 or F8_E5M2; by default as they are.",
            valueName: "dtype"), completion: .list(["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"]))
    var dtype: String?

    @Option(help: ArgumentHelp("Bytes of tensors in one file at most, in units of 1000.", valueName: "size"))
    var maxShardSize: ByteCount = ByteCount(bytes: 5_000_000_000)

    @Option(
        help: ArgumentHelp(
            "Leave out tensors that are carried along, such as 'vision_tower.*'; repeatable.", valueName: "pattern"))
    var drop: [String] = []

    @Option(
        help: "How experts are laid out on disk: per-expert or fused, by default the form that all readers know.",
        completion: .list(["per-expert", "fused"]))
    var layout: String?

    @Option(
        name: .customLong("memory"),
        help: ArgumentHelp(
            "Peak memory of the process; by default 512 MiB, and 4 GiB where a model is trained.", valueName: "size"))
    var memoryLimit: ByteCount?

    @Option(help: "Threads; by default one for each processor. The output does not depend on it.")
    var threads: Int?

    @Flag(name: [.customShort("n"), .long], help: "Print what would be written, and write nothing.")
    var dryRun = false

    @Flag(
        help: """
            Replace a checkpoint that exists at the output; start over where an unfinished run left its work, unless \
            --resume is given too.
            """)
    var force = false

    @Flag(help: "Continue an interrupted run; where it had finished, say so.")
    var resume = false

    @Flag(
        help:
            "Read every byte back from the disk and compare it before the output appears; upcycle and convert also compare what the two models compute on 256 tokens."
    )
    var verify = false

    @Flag(
        help: """
            Write packed files (.mtz, Formats/mtz.md): without loss, equal tensors once, read back and compared before \
            the output appears. Every command reads them as they are. --resume starts over.
            """)
    var pack = false

    @Flag(
        help: """
            Write quantised weights that are copied as they are stored, byte for byte, and what is computed in BF16; by \
            default all or none of them.
            """)
    var keepQuantised = false

    @Option(
        help: ArgumentHelp(
            "Write one GGUF file for llama.cpp and Ollama instead of a folder, with weights in F32, F16, BF16 or Q8_0.",
            valueName: "type"), completion: .list(GGUFType.allCases.map(\.rawValue)))
    var gguf: String?

    @Option(
        help: ArgumentHelp(
            "With --gguf: llama.cpp's name of the pre-tokenizer, such as llama-bpe; by default that which does the same.",
            valueName: "name"))
    var ggufPre: String?

    @Flag(help: "Let values that the dtype cannot hold become infinite (the largest in F8_E4M3) instead of stopping.")
    var allowOverflow = false

    @Flag(help: "Compute with NaN and infinite weights instead of stopping.")
    var allowNonfinite = false

    var memory: ByteCount { memoryLimit ?? ByteCount(bytes: 512 << 20) }

    /// Where a model is trained.
    var trainingMemory: ByteCount { memoryLimit ?? ByteCount(bytes: 4 << 30) }

    func validate() throws {
        if let threads, !(1...1024).contains(threads) {
            throw ValidationError("--threads \(threads): give a number from 1 to 1024")
        }
        if memory.bytes < 96 << 20 {
            throw ValidationError("--memory \(memory.description): at least 96 MiB are needed")
        }
        if try parsedDType() != nil, keepQuantised {
            throw ValidationError("--dtype and --keep-quantised: give one of them")
        }
        _ = try parsedGGUF()
    }

    /// What a GGUF file's weights are stored as; nil where a folder is written.
    func parsedGGUF() throws -> GGUFType? {
        guard let gguf else {
            if ggufPre != nil { throw ValidationError("--gguf-pre names what --gguf writes: give it too") }
            return nil
        }
        guard let type = GGUFType(rawValue: gguf.uppercased()) else {
            throw ValidationError("--gguf \(gguf): give \(GGUFType.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let others = [
            ("--dtype", dtype != nil), ("--layout", layout != nil), ("--pack", pack), ("--resume", resume),
            ("--verify", verify), ("--keep-quantised", keepQuantised),
            ("--max-shard-size", maxShardSize.bytes != WriteOptions().shardLimit),
        ]
        if let other = others.first(where: \.1)?.0 {
            throw ValidationError("--gguf and \(other): a GGUF file has no such thing; leave \(other) out")
        }
        return type
    }

    /// The dtype asked for.
    func parsedDType() throws -> DType? {
        guard let dtype else { return nil }
        let writable: [DType] = [.f32, .f16, .bf16, .f8E4M3, .f8E5M2]
        guard let match = writable.first(where: { $0.rawValue == dtype.uppercased() }) else {
            throw ValidationError("--dtype \(dtype): give F32, F16, BF16, F8_E4M3 or F8_E5M2")
        }
        return match
    }

    /// The writer's options.
    func writeOptions(progress: ProgressBar?) -> WriteOptions {
        var options = WriteOptions()
        options.memory = memory.bytes
        if let threads { options.threads = threads }
        options.shardLimit = maxShardSize.bytes
        options.overwrite = force
        options.resume = resume
        options.verify = verify
        options.pack = pack
        options.allowOverflow = allowOverflow
        options.allowNonfinite = allowNonfinite
        options.isCancelled = { receivedSignal != 0 }
        if let progress { options.progress = { progress.update($0) } }
        return options
    }
}

/// A number of bytes: `2GB`, `512MiB`, `1000000`.
struct ByteCount: ExpressibleByArgument, Sendable {
    let bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let units: [(String, Int)] = [
            ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
            ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000), ("b", 1),
        ]
        let text = argument.lowercased()
        let unit = units.first { text.hasSuffix($0.0) }
        let digits = text.dropLast(unit?.0.count ?? 0)
        guard let number = Double(digits), number > 0 else { return nil }
        let bytes = number * Double(unit?.1 ?? 1)
        guard bytes >= 1, bytes < 9e18 else { return nil }
        self.bytes = Int(bytes)
    }

    var defaultValueDescription: String { description }

    /// In the units that make it a whole number: "512 MiB", "5 GB".
    var description: String {
        if bytes % (1 << 30) == 0 { return "\(bytes >> 30) GiB" }
        return bytes % (1 << 20) == 0 ? "\(bytes >> 20) MiB" : byteText(bytes)
    }
}
