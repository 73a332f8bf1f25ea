public import ArgumentParser
import Checkpoints
public import MoEToolkit
import Safetensors

struct Upcycle: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn a dense checkpoint into a mixture of experts.",
        discussion: """
            Every feed-forward network becomes E experts behind a router. With the defaults the result computes the \
            dense model's function exactly; the command says so, or why not.

              moe-tool upcycle --experts 8 mistral-7b                   # -> mistral-7b-8x, a Mixtral
              moe-tool upcycle --experts 8 --granularity 4 qwen3-8b     # 32 experts of a quarter of the width, top-8
              moe-tool upcycle --experts 8 --init drop:0.5 llama        # Drop-Upcycling

            Pairs: llama -> mixtral, granitemoe, qwen2_moe; mistral -> mixtral, qwen2_moe; qwen2 -> qwen2_moe; \
            qwen3 -> qwen3_moe, glm4_moe; olmo2 -> flex_olmo; granite -> granitemoe, granitemoeshared; \
            phi3 -> mixtral; seed_oss -> glm4_moe; ernie4_5 -> ernie4_5_moe; hunyuan_v1_dense -> hunyuan_v1_moe; \
            lfm2 -> lfm2_moe; cohere2 -> cohere2_moe; qwen3_5_text -> qwen3_5_moe_text; and with dense layers only deepseek_v3 -> deepseek_v3; \
            qwen3_next -> qwen3_next. The first that can say what is asked for is taken.
            """)

    @Argument(
        help: "The dense checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var input = "."

    @OptionGroup var mixture: MixtureArguments

    @Option(
        name: .customLong("init"), help: "What the experts start from: copy, noise:0.01, drop:0.5 or partition.",
        completion: .list(["copy", "noise:", "drop:", "partition"]))
    var initialisation: UpcycleOptions.Initialisation = .copy

    @Option(
        help:
            "What the router starts from: random[:std], zero or uniform:std; by default random:0.02, or zero for a partition.",
        completion: .list(["random", "zero", "uniform:"]))
    var router: UpcycleOptions.RouterInitialisation?

    @Option(help: "Divide the gates of the selected experts by their sum: on or off.")
    var normTopk: Switch = .on

    @Option(
        help: "The factor on the down projections: auto keeps the function; none; or a number.",
        completion: .list(["auto", "none"]))
    var scale: UpcycleOptions.OutputScale = .auto

    @Option(help: "The seed of every random draw.")
    var seed: UInt64 = 0

    @OptionGroup var writing: WritingOptions
    @OptionGroup var verifying: VerifyingOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        var options = mixture.options
        options.initialisation = initialisation
        options.router = router
        options.normalisesTopK = normTopk == .on
        options.scale = scale
        options.seed = seed

        let source = try Checkpoint(at: input)
        let (moe, preservation) = try source.upcycled(options)
        let output = writing.output ?? defaultOutput(for: input, suffix: "-\(mixture.experts)x")
        let written = try writing.parsedDType() ?? source.dtype
        let verdict = preservation.rounding(source.dtype, to: written)
        try await write(
            moe, to: output, writing: writing, common: common, remarks: [verdict.summary(in: written)],
            details: ["function": .object(verdict.json)]
        ) { made in
            // A factor that is no power of two rounds the down projections, and so does another dtype.
            let isRounded = made.dtype != source.dtype || preservation.factor.significand != 1
            return verifying.check(
                against: source, writing,
                tolerance: preservation.degree != .exact
                    ? .finite : .rounding(to: isRounded ? made.dtype ?? .f32 : .f32))
        }
    }
}

/// Which mixture a dense checkpoint becomes: what its sizes depend on.
struct MixtureArguments: ParsableArguments {
    @Option(
        name: [.customShort("e"), .customShort("E"), .long],
        help: "Copies of the feed-forward network (with --init partition: parts of it).")
    var experts: Int

    @OptionGroup var shape: MixtureShapeArguments

    var options: UpcycleOptions { shape.options(experts: experts) }
}

/// The same, but for the number of experts.
struct MixtureShapeArguments: ParsableArguments {
    @Option(
        name: [.customShort("k"), .long],
        help: "Copies a token is routed to; by default 2, or all parts of a partition.")
    var topK: Int?

    @Option(
        help: ArgumentHelp(
            "The family of the result; by default the first that the input's family goes to.", valueName: "model_type"),
        completion: .list(Architecture.names))
    var target: String?

    @Option(help: "Parts that each copy is cut into: E*G experts of width I/G, top K*G.")
    var granularity = 1

    @Option(
        help: "Which layers become mixtures: all, every:2, first-dense:1, or a list such as 3,5-9.",
        completion: .list(["all", "every:2", "first-dense:1"]))
    var layers: LayerSelection = .all

    @Flag(help: "Keep the dense network whole as a shared expert; the routed experts start at zero.")
    var sharedExperts = false

    func options(experts: Int) -> UpcycleOptions {
        var options = UpcycleOptions(experts: experts, topK: topK)
        options.granularity = granularity
        options.target = target
        options.layers = layers
        options.sharedExperts = sharedExperts
        return options
    }
}

/// On or off.
enum Switch: String, ExpressibleByArgument, CaseIterable {
    case on, off
}

extension Preservation {
    /// What the user is told.
    func summary(in dtype: DType?) -> String {
        let head =
            switch degree {
            case .exact: "The result is exactly the dense function, to rounding"
            case .rounded:
                "The result is the dense function of weights rounded to \(dtype?.rawValue ?? "another dtype")"
                    + (dtype.map { $0.bits <= 8 } == true ? ", which is no small change" : "")
            case .expectation: "The result is the dense function in expectation only"
            case .none: "The result is not the dense function"
            }
        let scale = factor == 1 ? "" : " Down projections are multiplied by \(numberText(factor))."
        return "\(head): \(reason).\(scale)"
    }
}

extension LayerSelection: ExpressibleByArgument {
    /// The value as an option spells it; nil for what is none.
    public init?(argument: String) { self.init(text: argument) }
}

extension UpcycleOptions.Initialisation: ExpressibleByArgument {
    /// The value as an option spells it; nil for what is none.
    public init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        switch (parts[0], parts.count) {
        case ("copy", 1): self = .copy
        case ("partition", 1): self = .partition
        case ("noise", 2):
            guard let value = Float(parts[1]), value >= 0, value.isFinite else { return nil }
            self = .noise(value)
        case ("drop", 2):
            guard let value = Float(parts[1]), value >= 0, value <= 1 else { return nil }
            self = .drop(value)
        default: return nil
        }
    }

    /// The default as help shows it.
    public var defaultValueDescription: String { "copy" }
}

extension UpcycleOptions.RouterInitialisation: ExpressibleByArgument {
    /// The value as an option spells it; nil for what is none.
    public init?(argument: String) {
        let parts = argument.split(separator: ":", omittingEmptySubsequences: false)
        let std = parts.count == 2 ? Float(parts[1]) : nil
        if parts.count == 2, std.map({ $0 > 0 && $0.isFinite }) != true { return nil }
        switch (parts[0], parts.count) {
        case ("zero", 1): self = .zero
        case ("random", 1): self = .random(std: 0.02)
        case ("random", 2): self = .random(std: std ?? 0.02)
        case ("uniform", 2): self = .uniform(std: std ?? 0.02)
        default: return nil
        }
    }
}

extension UpcycleOptions.OutputScale: ExpressibleByArgument {
    /// The value as an option spells it; nil for what is none.
    public init?(argument: String) {
        switch argument {
        case "auto": self = .auto
        case "none": self = .none
        default:
            guard let value = Float(argument), value.isFinite else { return nil }
            self = .factor(value)
        }
    }

    /// The default as help shows it.
    public var defaultValueDescription: String { "auto" }
}
