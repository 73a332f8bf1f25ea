import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Convert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Change a checkpoint's dtype, shard size or layout; quantise it; pack it without loss, and unpack it.",
        discussion: """
            Values are rounded once, to the nearest, ties to even. A value that the new dtype cannot hold stops the \
            conversion, unless --allow-overflow lets it become infinite. Tensors that are not floating-point numbers \
            are copied.

              moe-tool convert --dtype BF16 model                       # -> model-bf16
              moe-tool convert --dequantise deepseek-fp8 -o deepseek-bf16
              moe-tool convert --layout fused mixtral -o mixtral-fused
              moe-tool convert --quantise fp8-block qwen3-moe           # -> qwen3-moe-fp8-block, half the size
              moe-tool convert --quantise int4-group:128 --roles experts --scale-search mse mixtral
              moe-tool convert --gguf Q8_0 mixtral                      # -> mixtral-q8_0.gguf, for llama.cpp and Ollama
              moe-tool convert --pack mixtral                           # -> mixtral-packed, two thirds of the size or less
              moe-tool convert --unpack mixtral-packed -o mixtral       # the same files, bit for bit
            """)

    @Argument(
        help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.", completion: .file())
    var input = "."

    @Flag(help: "Make the original files of a packed checkpoint, or of one .mtz file, bit for bit.")
    var unpack = false

    @Flag(
        help: """
            Write each .safetensors file as .safetensors.zst, in frames with a seek table, which `zstd -d` makes the same \
            file of: for tools that know zstd and not .mtz, which is smaller.
            """)
    var zstd = false

    @Flag(help: "Write quantised weights in BF16, or the dtype that --dtype says; by default they stay as they are.")
    var dequantise = false

    @OptionGroup var quantising: QuantisingOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var verifying: VerifyingOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        let asked = [("--pack", writing.pack), ("--unpack", unpack), ("--zstd", zstd)].filter(\.1).map(\.0)
        guard asked.count < 2 else {
            throw ValidationError("\(asked.joined(separator: " and ")): give one of them")
        }
        if let dtype = try writing.parsedDType(), [.f8E4M3, .f8E5M2].contains(dtype), quantising.quantise != nil {
            throw ValidationError(
                "--dtype \(dtype.rawValue) and --quantise: what is not quantised stays in F32, F16 or BF16; give one of them"
            )
        }
        if writing.allowNonfinite, quantising.quantise != nil {
            throw ValidationError(
                "--allow-nonfinite and --quantise: a value that is NaN or infinite leaves its block without a scale; "
                    + "repair the source")
        }
        if dequantise, writing.keepQuantised {
            throw ValidationError("--dequantise and --keep-quantised: give one of them")
        }
        if quantising.quantise != nil, dequantise || writing.keepQuantised {
            throw ValidationError(
                "--quantise decodes what is quantised and quantises it anew: leave out "
                    + (dequantise ? "--dequantise" : "--keep-quantised"))
        }
        if writing.gguf != nil, quantising.quantise != nil || dequantise || unpack || zstd {
            throw ValidationError(
                "--gguf has types of its own: leave --quantise, --dequantise, --unpack and --zstd out")
        }
        guard let option = asked.first, direction != nil else { return }
        if writing.dtype != nil || writing.layout != nil || quantising.quantise != nil || dequantise {
            throw ValidationError(
                "\(option) keeps every byte: change dtype or layout, or quantise, in a run without it")
        }
        if writing.dryRun {
            throw ValidationError("\(option) has no --dry-run: the size is known only when it is done")
        }
    }

    /// What is made of the files as they are; nil where the tensors are written anew.
    private var direction: PackedCopy.Direction? {
        if unpack { return .unpacking }
        if zstd { return .compressing }
        return keepsFiles ? .packing : nil
    }

    /// Whether the files are packed as they are, and are the same when they are unpacked.
    private var keepsFiles: Bool {
        writing.pack && writing.dtype == nil && writing.layout == nil && quantising.quantise == nil && !dequantise
            && writing.maxShardSize.bytes == WriteOptions().shardLimit
    }

    func run() async throws {
        if let direction { return try await copy(direction) }
        var source = try Checkpoint(at: input)
        if dequantise { source = try source.dequantised() }
        let dtype = try writing.parsedDType()
        if let dtype, dtype == .f8E4M3 || dtype == .f8E5M2 {
            standardError(
                "warning: \(dtype.rawValue) keeps \(dtype == .f8E4M3 ? 3 : 2) bits of the mantissa and no scale: "
                    + "few readers accept it, and most models lose quality\n")
        }
        let quantisation = try quantising.options
        let gguf = try writing.parsedGGUF()
        let named = quantisation?.format.description.replacing("-group:", with: "-g")
        let suffix =
            gguf.map { "-\($0.rawValue.lowercased()).gguf" }
            ?? "-"
            + (named ?? dtype.map { $0.rawValue.lowercased() } ?? writing.layout ?? (dequantise ? "bf16" : "converted"))
        // Whoever quantises wants other outputs, by as much as he says or else by as much as it takes.
        let isChecked = quantisation == nil || verifying.tolerance != nil
        try await write(
            source, to: writing.output ?? defaultOutput(for: input, suffix: suffix), writing: writing, common: common,
            remarks: [], details: [:],
            check: !isChecked
                ? nil
                : { made in
                    verifying.check(
                        against: source, writing,
                        tolerance: .rounding(to: made.dtype == source.dtype ? .f32 : made.dtype ?? .f32))
                }
        ) { checkpoint in try quantisation.map { try checkpoint.quantised($0) } ?? checkpoint }
    }

    private func copy(_ direction: PackedCopy.Direction) async throws {
        let path = try resolveModelPath(input)
        let output = writing.output ?? copiedPath(path, direction)
        try await report(writing, common, ["output": .string(output)], isResumable: false) { options in
            try await PackedCopy(direction, of: path, to: output, options: options).run()
        }
    }

    /// The output's default path: for a file beside it, with the end that its kind has.
    private func copiedPath(_ path: String, _ direction: PackedCopy.Direction) -> String {
        let (plain, packed) = (".safetensors", ".mtz")
        switch direction {
        case .packing where path.hasSuffix(plain): return path.dropLast(plain.count) + packed
        case .unpacking where path.hasSuffix(packed): return path.dropLast(packed.count) + plain
        case .compressing where path.hasSuffix(plain): return path + ".zst"
        case .packing: return defaultOutput(for: input, suffix: "-packed")
        case .unpacking: return defaultOutput(for: input, suffix: "-unpacked")
        case .compressing: return defaultOutput(for: input, suffix: "-zst")
        }
    }
}
