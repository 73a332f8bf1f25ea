public import ArgumentParser
import Checkpoints
public import MoEToolkit
import Safetensors

struct Prune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Leave out some of a mixture's experts.",
        discussion: """
            The experts that are left, and their routers' rows, are copied as they are. Which are left is measured on \
            text: reap (the mean of gate times norm of the output over the tokens routed to an expert), frequency \
            (tokens), gate-mass (the sum of gates) or output-norm (the mean norm). With --merge experts that are alike \
            become one, weighted by use: hc (clusters of mean outputs) or m-smoe (around the most used, by the likeness \
            of router logits); a group keeps its most used expert's row.

              moe-tool prune mixtral --experts 4 --data held-out/                  # by REAP
              moe-tool prune mixtral --experts 4 --stats stats.safetensors --criterion frequency
              moe-tool prune mixtral --experts 4 --stats stats.safetensors --merge hc
              moe-tool prune olmoe --experts 32 --criterion random --seed 1
              moe-tool prune mixtral --experts 2 --criterion list:0,3
            """)

    @Argument(
        help: "The mixture: a folder, or org/name[@revision] in the local Hugging Face cache.", completion: .directory)
    var input = "."

    @Option(name: .shortAndLong, help: "Experts that are left in each layer.")
    var experts: Int?

    @Option(help: "Or the share of the experts that goes.")
    var ratio: Double?

    @Option(
        help: ArgumentHelp(
            "Which are left: reap, frequency, gate-mass or output-norm (by --data or --stats), random, or list:N,N,...",
            valueName: "criterion"),
        completion: .list(["reap", "frequency", "gate-mass", "output-norm", "random", "list:"]))
    var criterion = "reap"

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to; by default as many as before.")
    var topK: Int?

    @Flag(name: .customLong("global"), help: "Rank the experts of all layers together.")
    var isGlobal = false

    @Option(help: "Merge the experts instead of leaving some out: hc or m-smoe (by --data or --stats).")
    var merge: ExpertMerging?

    @Option(help: "The seed of a random choice.")
    var seed: UInt64 = 0

    @OptionGroup var reporting: ReportOptions
    @OptionGroup var statistics: StatisticsArguments
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    /// What the criterion says, before anything is measured.
    private enum Criterion {
        case measured(ExpertStatistics.Criterion)
        case chosen(PruneOptions.Choice)
    }

    func validate() throws {
        let criterion = try parsedCriterion()
        if case .chosen(.list) = criterion, merge == nil { return }
        if (experts == nil) == (ratio == nil) { throw ValidationError("give one of --experts and --ratio") }
        if merge != nil, isGlobal { throw ValidationError("--global ranks experts, and --merge leaves none out") }
        guard !statistics.isGiven else { return }
        let needs = "is measured on text: give --data, or --stats with the file that `evaluate --stats` wrote"
        if let merge { throw ValidationError("--merge \(merge.rawValue): which experts are alike \(needs)") }
        if case .measured(let measured) = criterion {
            throw ValidationError("--criterion \(measured.rawValue) \(needs); random and list:N,N,... need neither")
        }
    }

    private func parsedCriterion() throws -> Criterion {
        if let measured = ExpertStatistics.Criterion(rawValue: criterion) { return .measured(measured) }
        if criterion == "random" { return .chosen(.random) }
        if criterion.hasPrefix("list:") {
            let numbers = criterion.dropFirst(5).split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard !numbers.isEmpty, numbers.allSatisfy({ ($0 ?? -1) >= 0 }) else {
                throw ValidationError("--criterion \(criterion): give list:N,N,...")
            }
            return .chosen(.list(numbers.compactMap { $0 }))
        }
        throw ValidationError(
            "--criterion \(criterion): give reap, frequency, gate-mass, output-norm, random or list:N,N,...")
    }

    private func choice(_ checkpoint: Checkpoint, _ size: PruneOptions.Size) async throws -> PruneOptions.Choice {
        if let merge {
            return try await statistics.statistics(checkpoint, writing, common).choice(merging: merge, to: size)
        }
        switch try parsedCriterion() {
        case .chosen(let choice): return choice
        case .measured(let criterion):
            return try await statistics.statistics(checkpoint, writing, common).choice(by: criterion)
        }
    }

    func run() async throws {
        let page = try reporting.file(replaces: writing.force || writing.resume)
        let source = try Checkpoint(at: input)
        let size: PruneOptions.Size
        if let experts {
            size = .experts(experts)
        } else if let ratio {
            size = .ratio(ratio)
        } else if case .chosen(.list(let numbers)) = try parsedCriterion() {
            size = .experts(numbers.count)
        } else {
            throw ValidationError("give one of --experts and --ratio")
        }
        // What could not be run afterwards is refused before anything is measured.
        let left = try source.description.pruned(size, topK: topK).size("experts")
        let output = writing.output ?? defaultOutput(for: input, suffix: "-\(left)x")
        try writing.check(output: output, inputs: [input])
        let loss =
            writing.dryRun || statistics.data.isEmpty
            ? nil
            : try await measureLoss(
                source, statistics.data, tokens: statistics.tokens, window: statistics.statsLength, statistics.reading,
                writing, common)
        let choice = try await choice(source, size)
        let name = merge?.rawValue ?? criterion
        var options = PruneOptions(size: size, choice: choice)
        options.topK = topK
        options.isGlobal = isGlobal
        options.seed = seed
        options.criterion = name
        let pruned = try source.pruned(options)
        let expected = try source.pruningForecast(options)
        var remarks = ["\(left) experts in each layer, top-\(try pruned.description.size("top_k"))."]
        remarks.append(expected.weights.sentence(isExact: expected.isExact))
        var details: JSONObject = [
            "experts": JSON(left), "expected_loss": expected.weights.json(isExact: expected.isExact),
        ]
        if let scores = expected.lostScores, let worst = scores.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) {
            let mean = scores.values.reduce(0, +) / Double(scores.count)
            remarks.append(
                "What goes has \(percentText(mean)) of the experts' \(name), in layer \(worst.key) "
                    + "\(percentText(worst.value)).")
            var layers = JSONObject()
            for (layer, share) in scores.sorted(by: { $0.key < $1.key }) { layers[String(layer)] = JSON(share) }
            details["lost_scores"] = .object(layers)
        }
        try await write(
            pruned, to: output, writing: writing, common: common, remarks: remarks, details: details, loss: loss)
        if let page, !writing.dryRun {
            let groups = try source.pruneGroups(options)
            try page.write(
                Report(
                    pruning: source, to: pruned, choice, criterion: name, groups: groups, expected: expected, loss: loss
                ),
                common)
        }
    }
}

extension ExpertMerging: ExpressibleByArgument {}
