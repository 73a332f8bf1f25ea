import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Densify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn a mixture of experts into a dense checkpoint.",
        discussion: """
            Each layer's experts become one feed-forward network. A model that was upcycled becomes the model it came \
            from, byte for byte; for others this is where training the dense model begins.

              moe-tool densify mixtral-8x7b                        # -> mixtral-8x7b-dense, the experts averaged
              moe-tool densify --align permutation mixtral-8x7b    # hidden units matched first
              moe-tool densify --method concatenate split          # a network that was cut into experts, exactly
              moe-tool densify --method usage --data held-out/ olmoe    # by use, with the gates' mass as measured
              moe-tool densify --method fisher:stats.safetensors moe   # of `evaluate --stats stats.safetensors --fisher`
              moe-tool densify code+law --distill --data texts/ --heldout held-out/ --base seed

            With --data or --stats, what the gates add up to and the mean of a shared expert's gate are those measured. \
            What is expected to be lost is said before anything is written: the energy of the differences between the \
            experts' weights and those in their place. With --data the loss before and after is measured too, on \
            --heldout where that is given.

            Pairs: mixtral -> mistral, llama; qwen2_moe -> qwen2; qwen3_moe -> qwen3; flex_olmo -> olmo2; granitemoe -> \
            granite; deepseek_v2 and deepseek_v3 to their own with dense layers; olmoe and gpt_oss to their own with one \
            expert.
            """)

    @Argument(
        help: "The mixture: a folder, or org/name[@revision] in the local Hugging Face cache.", completion: .directory)
    var input = "."

    @Option(
        help: ArgumentHelp(
            """
            average; usage (weighted by use, which --data or --stats says); fisher:FILE (weighted by the Fisher \
            information that `evaluate --stats FILE --fisher` wrote); expert:N (or expert:N,N,... by layer), top-neurons, \
            svd or concatenate.
            """, valueName: "method"),
        completion: .list(["average", "usage", "fisher:", "expert:", "top-neurons", "svd", "concatenate"]))
    var method = "average"

    @Option(
        help: ArgumentHelp(
            "What `evaluate --stats` wrote about this model's experts, instead of measuring it on --data.",
            valueName: "file.safetensors"), completion: .file())
    var stats: String?

    @Option(help: "permutation: match the experts' hidden units by their weights before they are averaged.")
    var align: Alignment?

    @Option(help: "Consecutive experts that are parts of one network; by default what moe-tool.json says, or 1.")
    var granularity: Int?

    @Option(help: "The sum of the selected experts' gates, where they are not normalised; by default top-k / experts.")
    var gateMass: Double?

    @Option(help: "The mean of the shared expert's gate; by default 0.5.")
    var sharedGate: Double?

    @Option(
        help: ArgumentHelp("The dense family; by default the first that there is.", valueName: "model_type"),
        completion: .list(Architecture.names))
    var target: String?

    @Flag(help: "Then train the dense model on --data, with the mixture as its teacher.")
    var distill = false

    @Flag(help: "Learn on --data in what shares the experts are averaged (XFT); only the shares are trained.")
    var learnMixture = false

    @Option(help: "The shared expert's share in a learned mixture.")
    var lambda = 0.75

    @OptionGroup(title: "Distillation") var distillation: DistillationArguments
    @OptionGroup(title: "Training") var training: TrainingArguments
    @OptionGroup(title: "Data") var data: DataArguments
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    /// The text that the loss is measured on: held-out text where it is given.
    private var measuredText: [String] { training.heldout.isEmpty ? training.data : training.heldout }

    enum Alignment: String, ExpressibleByArgument, CaseIterable { case permutation }

    func validate() throws {
        _ = try parsedMethod()
        for (name, value) in [("gate-mass", gateMass), ("shared-gate", sharedGate)] {
            guard let value, !(value > 0 && value <= 1e6) else { continue }
            throw ValidationError("--\(name) \(numberText(value)): give a number above 0")
        }
        if !(lambda >= 0 && lambda <= 1) { throw ValidationError("--lambda \(lambda): give 0 to 1") }
        if learnMixture, method != "average" {
            throw ValidationError("--learn-mixture is a method of its own: leave out --method")
        }
    }

    private func parsedMethod() throws -> DensifyOptions.Method {
        let parts = method.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        switch (String(parts[0]), parts.count) {
        case ("average", 1): return .average
        case ("top-neurons", 1): return .topNeurons
        case ("svd", 1): return .svd
        case ("concatenate", 1): return .concatenate
        case ("expert", 2):
            let numbers = parts[1].split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard !numbers.isEmpty, numbers.allSatisfy({ ($0 ?? -1) >= 0 }) else {
                throw ValidationError(
                    "--method \(method): give expert:N, or expert:N,N,... with one number for each layer")
            }
            return .expert(numbers.compactMap { $0 })
        case ("usage", 1):
            guard stats != nil || !training.data.isEmpty else {
                throw ValidationError(
                    "--method usage: how often experts are used is measured on text: give --data, or --stats with the "
                        + "file that `evaluate --stats` wrote")
            }
            return .average
        case ("fisher", 2) where !parts[1].isEmpty: return .fisher(String(parts[1]))
        case ("fisher", 1):
            guard let stats else {
                throw ValidationError(
                    "--method fisher: give fisher:FILE with the file that `evaluate --stats FILE --fisher` wrote")
            }
            return .fisher(stats)
        case ("learned", _): throw ValidationError("--method \(method): --learn-mixture --data TEXT learns the shares")
        default:
            throw ValidationError(
                "--method \(method): give average, usage, fisher:FILE, expert:N, top-neurons, svd or concatenate")
        }
    }

    /// Tokens of each domain that gates and use are measured on.
    private static let measuredTokens = 65_536

    /// Puts in what was measured, where the user does not say it.
    private func addStatistics(_ mixture: Checkpoint, to options: inout DensifyOptions) async throws {
        let measured: ExpertStatisticsFile
        if let stats {
            measured = try ExpertStatisticsFile(path: stats)
            try measured.check(mixture)
        } else if !training.data.isEmpty {
            measured = try await measureStatistics(
                mixture, training.data, tokens: Self.measuredTokens, data, writing, common)
        } else {
            return
        }
        if method == "usage" { options.usage = try measured.usage() }
        if gateMass == nil { options.gateMass = try measured.gateSums() }
        if sharedGate == nil { options.sharedGate = try measured.sharedGates() }
    }

    /// In what shares the experts are averaged.
    private func learnedShares(_ mixture: Checkpoint, _ dense: Checkpoint) async throws -> [Int: [Double]] {
        let display = TrainingDisplay(isQuiet: common.quiet)
        defer { display.finish() }
        return try await mixture.learnedShares(
            for: dense, lambda: lambda, distillation.distillation(mixture), training.settings,
            text: data.options(tokenLimit: nil), compute: writing.trainingCompute
        ) { display.show($0) }
    }

    func run() async throws {
        var options = DensifyOptions()
        options.method = try parsedMethod()
        options.aligns = align == .permutation
        options.granularity = granularity
        options.gateMass = gateMass.map { [$0] } ?? []
        options.sharedGate = sharedGate.map { [$0] } ?? []
        options.target = target
        try writing.check(output: writing.output ?? defaultOutput(for: input, suffix: "-dense"), inputs: [input])
        let mixture = try Checkpoint(at: input)
        // What cannot be made is refused before anything is measured.
        _ = try mixture.densified(options)
        let loss =
            writing.dryRun || measuredText.isEmpty || distill
            ? nil
            : try await measureLoss(
                mixture, measuredText, tokens: training.heldoutTokens ?? Self.measuredTokens, data, writing, common)
        try await addStatistics(mixture, to: &options)
        var (dense, report) = try mixture.densified(options)
        let output = writing.output ?? defaultOutput(for: input, suffix: "-dense")
        if learnMixture {
            options.method = .learned(lambda: lambda, alphas: try await learnedShares(mixture, dense))
            (dense, report) = try mixture.densified(options)
        }
        if distill {
            var session = TrainingSession(dense, training.settings, output: output)
            session.selection = .all
            session.identity = ["command": "densify", "method": .string(learnMixture ? "learned" : method)]
            session.distillation = try distillation.distillation(mixture)
            return try await Commands.distill(session, model: input, data, writing, common)
        }
        var remarks = ["A \(dense.description.architecture.modelType) with \(report.width) hidden units a layer."]
        if report.granularity > 1 { remarks.append("Every \(report.granularity) experts were joined to one network.") }
        remarks += report.approximations.map { "This approximates: \($0)." }
        let expected = try mixture.weightLoss(densifying: options)
        remarks.append(expected.sentence(isExact: report.isExactForCopies))
        remarks.append(
            "Next: moe-tool distill --teacher \(escaped(input)) --student \(escaped(output)) --data TEXT wins back what was lost."
        )
        try await write(
            dense, to: output, writing: writing, common: common, remarks: remarks,
            details: [
                "intermediate_size": JSON(report.width), "granularity": JSON(report.granularity),
                "approximations": .array(report.approximations.map { .string($0) }),
                "expected_loss": expected.json(isExact: report.isExactForCopies),
            ], loss: loss)
    }
}
