import ArgumentParser
import Checkpoints
import Evaluation
import Safetensors
import Transforms

struct Convert: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Change a checkpoint's dtype, shard size or layout.",
        discussion: """
            Values are rounded once, to the nearest, ties to even. A value that the new dtype cannot hold stops the \
            conversion, unless --allow-overflow lets it become infinite. Tensors that are not floating-point numbers \
            are copied.

              moe-tool convert --dtype BF16 model                       # -> model-bf16
              moe-tool convert --layout fused mixtral -o mixtral-fused
            """)

    @Argument(help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.")
    var input = "."

    @OptionGroup var writing: WritingOptions
    @OptionGroup var verifying: VerifyingOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
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
}
