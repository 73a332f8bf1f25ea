import ArgumentParser
import Checkpoints
import Evaluation
import Safetensors
import Transforms

struct Convert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change a checkpoint's dtype, shard size or layout; pack it without loss, and unpack it.",
        discussion: """
            Values are rounded once, to the nearest, ties to even. A value that the new dtype cannot hold stops the \
            conversion, unless --allow-overflow lets it become infinite. Tensors that are not floating-point numbers \
            are copied.

              moe-tool convert --dtype BF16 model                       # -> model-bf16
              moe-tool convert --layout fused mixtral -o mixtral-fused
              moe-tool convert --pack mixtral                           # -> mixtral-packed, two thirds of the size or less
              moe-tool convert --unpack mixtral-packed -o mixtral       # the same files, bit for bit
            """)

    @Argument(help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.")
    var input = "."

    @Flag(help: "Make the original files of a packed checkpoint, or of one .mtz file, bit for bit.")
    var unpack = false

    @OptionGroup var writing: WritingOptions
    @OptionGroup var verifying: VerifyingOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard unpack || keepsFiles else { return }
        let option = unpack ? "--unpack" : "--pack"
        if unpack, writing.pack { throw ValidationError("--pack and --unpack undo each other: give one of them") }
        if unpack, writing.dtype != nil || writing.layout != nil {
            throw ValidationError("--unpack keeps every byte: change dtype or layout in a run without it")
        }
        if writing.dryRun {
            throw ValidationError("\(option) has no --dry-run: the size is known only when it is done")
        }
    }

    /// Whether the files are packed as they are, and are the same when they are unpacked.
    private var keepsFiles: Bool {
        writing.pack && writing.dtype == nil && writing.layout == nil
            && writing.maxShardSize.bytes == WriteOptions().shardLimit
    }

    func run() async throws {
        if unpack || keepsFiles { return try await copyPacked() }
        let source = try Checkpoint(at: input)
        let dtype = try writing.parsedDType()
        if let dtype, dtype == .f8E4M3 || dtype == .f8E5M2, !common.quiet {
            standardError(
                "warning: \(dtype.rawValue) keeps \(dtype == .f8E4M3 ? 3 : 2) bits of the mantissa and no scale: "
                    + "few readers accept it, and most models lose quality\n")
        }
        let suffix = "-" + (dtype.map { $0.rawValue.lowercased() } ?? writing.layout ?? "converted")
        try await write(
            source, to: writing.output ?? defaultOutput(for: input, suffix: suffix), writing: writing, common: common,
            remarks: [], details: [:]
        ) { made in
            verifying.check(
                against: source, writing,
                tolerance: .rounding(to: made.dtype == source.dtype ? .f32 : made.dtype ?? .f32))
        }
    }

    private func copyPacked() async throws {
        let path = try resolveModelPath(input)
        let output = writing.output ?? packedOutput(path)
        try await report(writing, common, ["output": .string(output)], isResumable: false) { options in
            try await PackedCopy(unpack ? .unpacking : .packing, of: path, to: output, options: options).run()
        }
    }

    private func packedOutput(_ path: String) -> String {
        for (from, to) in [(".safetensors", ".mtz"), (".mtz", ".safetensors")] where path.hasSuffix(from) {
            return path.dropLast(from.count) + to
        }
        return defaultOutput(for: input, suffix: writing.pack ? "-packed" : "-unpacked")
    }
}
