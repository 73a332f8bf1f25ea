import ArgumentParser
import Checkpoints
import Safetensors
import Transforms

struct Prune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Leave out some of a mixture's experts.",
        discussion: """
            The experts that are left, and their routers' rows, are copied as they are.

              moe-tool prune olmoe --experts 32 --criterion random --seed 1
              moe-tool prune mixtral --experts 2 --criterion list:0,3
            """)

    @Argument(help: "The mixture: a folder, or org/name[@revision] in the local Hugging Face cache.")
    var input = "."

    @Option(name: .shortAndLong, help: "Experts that are left in each layer.")
    var experts: Int?

    @Option(help: "Or the share of the experts that goes.")
    var ratio: Double?

    @Option(
        help: "Which are left: random, or list:N,N,... (reap, frequency, gate-mass and output-norm need statistics).")
    var criterion = "reap"

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to; by default as many as before.")
    var topK: Int?

    @Flag(name: .customLong("global"), help: "Rank the experts of all layers together.")
    var isGlobal = false

    @Option(help: "Merge the experts instead of leaving some out: hc or m-smoe.")
    var merge: String?

    @Option(help: "The seed of a random choice.")
    var seed: UInt64 = 0

    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        let choice = try parsedChoice()
        if case .list = choice { return }
        if (experts == nil) == (ratio == nil) { throw ValidationError("give one of --experts and --ratio") }
    }

    private func parsedChoice() throws -> PruneOptions.Choice {
        if let merge {
            guard ["hc", "m-smoe"].contains(merge) else { throw ValidationError("--merge \(merge): give hc or m-smoe") }
            throw ValidationError(
                "--merge \(merge): which experts are alike is measured with a forward pass, which this version does not have"
            )
        }
        if criterion == "random" { return .random }
        if criterion.hasPrefix("list:") {
            let numbers = criterion.dropFirst(5).split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
            guard !numbers.isEmpty, numbers.allSatisfy({ ($0 ?? -1) >= 0 }) else {
                throw ValidationError("--criterion \(criterion): give list:N,N,...")
            }
            return .list(numbers.compactMap { $0 })
        }
        if ExpertStatistics.Criterion(rawValue: String(criterion.split(separator: ":").first ?? "")) != nil {
            throw ValidationError(
                "--criterion \(criterion): its statistics are measured with a forward pass, which this version does not "
                    + "have; choose random or list:N,N,...")
        }
        throw ValidationError("--criterion \(criterion): give random or list:N,N,...")
    }

    func run() async throws {
        let choice = try parsedChoice()
        let size: PruneOptions.Size
        if let experts {
            size = .experts(experts)
        } else if let ratio {
            size = .ratio(ratio)
        } else if case .list(let numbers) = choice {
            size = .experts(numbers.count)
        } else {
            throw ValidationError("give one of --experts and --ratio")
        }
        var options = PruneOptions(size: size, choice: choice)
        options.topK = topK
        options.isGlobal = isGlobal
        options.seed = seed
        let pruned = try Checkpoint(at: input).pruned(options)
        let left = try pruned.description.size("experts")
        let output = writing.output ?? defaultOutput(for: input, suffix: "-\(left)x")
        try await write(
            pruned, to: output, writing: writing, common: common,
            remarks: ["\(left) experts in each layer, top-\(try pruned.description.size("top_k"))."],
            details: ["experts": JSON(left)])
    }
}
