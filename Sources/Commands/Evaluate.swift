import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors

struct Evaluate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure models on held-out text: loss, perplexity, bits per byte, routing.",
        discussion: """
            Each document is preceded by the model's BOS (else EOS, else nothing); the documents of a domain are laid \
            end to end in their order and cut into windows of --length tokens, of which all but the first are \
            predicted. Bits per byte compare models of different tokenizers.

              moe-tool evaluate seed code law code+law --data held-out/
              moe-tool evaluate code+law --data law=law.jsonl.zst --length 1024 --stats stats.safetensors
              moe-tool evaluate code law --ensemble --data held-out/          # Branch-Train-Merge's ensemble

            --gating and --top-k run the same experts under another gating: a research look, marked as such.
            """)

    @Argument(help: "The models: folders, or org/name[@revision] in the local Hugging Face cache.")
    var models: [String]

    @Option(
        name: .customLong("data"),
        help: ArgumentHelp(
            "Text: NAME=PATH, a file, or a folder whose entries are the domains; repeatable.", valueName: "name=path"))
    var sources: [String] = []

    @Option(help: "Tokens of a window; by default 512, or as many positions as the model has.")
    var length: Int?

    @Option(help: "At most so many tokens of each domain.")
    var tokens: Int?

    @Option(
        help: "Tokens that go through the model at once; by default 4096, and more for a model that is read from disk.")
    var batchTokens: Int?

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @Option(
        help: ArgumentHelp(
            "Another gating of the same experts: \(GatingChoice.names).", valueName: "name"))
    var gating: GatingChoice = .tokenChoice

    @Flag(help: "Also evaluate the dense models together, as Branch-Train-Merge's ensemble.")
    var ensemble = false

    @Option(
        help: ArgumentHelp(
            "Write what densify and prune need (frequency, gate mass, REAP scores, mean outputs).",
            valueName: "out.safetensors"))
    var stats: String?

    @Flag(help: "Show the routing of every layer instead of a summary.")
    var layers = false

    @Option(help: "The seed of gatings that draw.")
    var seed: UInt64 = 0

    @OptionGroup var data: DataArguments
    @OptionGroup var compute: ComputeOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if sources.isEmpty { throw ValidationError("--data: give text to evaluate on") }
        if let length, !(2...1 << 20).contains(length) { throw ValidationError("--length \(length): give 2 or more") }
        if let tokens, tokens < 2 { throw ValidationError("--tokens \(tokens): give 2 or more") }
        if let batchTokens, batchTokens < 2 { throw ValidationError("--batch-tokens \(batchTokens): give 2 or more") }
        if stats != nil, models.count != 1 { throw ValidationError("--stats: give one model") }
        if ensemble, models.count < 2 { throw ValidationError("--ensemble: give at least two models") }
    }

    /// What one model came to.
    private struct Result {
        let name: String
        let scores: [DomainScore]
        let routing: RoutingStatistics?

        var mean: DomainScore {
            var mean = DomainScore()
            for score in scores {
                mean.tokens += score.tokens
                mean.bytes += score.bytes
                mean.seconds += score.seconds
            }
            return mean
        }
        /// The mean of the domains' losses, each counted once.
        var meanLoss: Double { scores.reduce(0) { $0 + $1.loss } / Double(max(scores.count, 1)) }
        var meanBits: Double? {
            let bits = scores.compactMap(\.bitsPerByte)
            return bits.count == scores.count ? bits.reduce(0, +) / Double(bits.count) : nil
        }
    }

    func run() throws {
        let workers = compute.workers()
        let domains = try DataSource.parse(sources)
        var results: [Result] = []
        let progress = EvaluationDisplay(isQuiet: common.quiet)
        defer { progress.finish() }
        for model in models {
            let decoder = try compute.decoder(model, workers, topK: topK)
            results.append(try evaluate(model, decoder, domains, progress, workers))
        }
        if ensemble { results += try ensembles(domains, progress, workers) }
        progress.finish()
        if let stats, let routing = results.first?.routing {
            try routing.file(layerCount: compute.decoder(models[0], workers).configuration.layers).write(to: stats)
        } else if stats != nil {
            throw CheckpointError(
                .incompatible, message: "--stats: \(models[0]) is dense, and has no routing to measure")
        }
        common.json ? try printJSON(results, domains) : try printTables(results, domains)
    }

    private func evaluation(_ decoder: Decoder, _ progress: EvaluationDisplay) throws -> DomainEvaluation {
        let config = decoder.checkpoint.description
        let positions = try config.config.int("max_position_embeddings", config.architecture) ?? 512
        let windowLength = length ?? max(2, min(512, positions))
        // A streamed model is read once for each batch: as many tokens as a third of the memory holds activations of.
        let perToken =
            4
            * (8 * decoder.configuration.hidden
                + 3
                * max(
                    decoder.configuration.inner ?? 0,
                    (decoder.configuration.mixture?.expertInner ?? 0) * max(decoder.topK, 1)))
        let atOnce =
            batchTokens
            ?? (decoder.isStreamed ? max(4096, compute.memory.bytes / 3 / max(perToken, 1)) : max(4096, windowLength))
        var evaluation = DomainEvaluation(length: windowLength, tokensAtOnce: atOnce)
        evaluation.options = data.options
        evaluation.options.tokenLimit = tokens
        evaluation.progress = { progress.add($0) }
        evaluation.isCancelled = { receivedSignal != 0 }
        return evaluation
    }

    private func evaluate(
        _ model: String, _ decoder: Decoder, _ domains: [DataSource], _ progress: EvaluationDisplay, _ workers: Workers
    ) throws -> Result {
        let evaluation = try evaluation(decoder, progress)
        let encoder = try data.encoder(model, decoder)
        let routing = RoutingStatistics(
            decoder.configuration, topK: decoder.topK, domains: domains.map(\.name), measuresOutputs: stats != nil,
            workers)
        let gate = try gating.maker(decoder, domains: domains.map(\.name), seed: seed)
        var scores: [DomainScore] = []
        for (index, domain) in domains.enumerated() {
            progress.begin("\(model) on \(domain.name)")
            routing?.domain = index
            let (score, summary) = try evaluation.score(
                decoder, domain, encoder, observer: routing, gating: gate.map { make in { make($0, index) } })
            if summary.skipped > 0, !common.quiet {
                progress.finish()
                standardError("warning: \(domain.name): \(summary.skipped) broken documents were left out\n")
            }
            scores.append(score)
        }
        return Result(name: model, scores: scores, routing: routing)
    }

    private func ensembles(
        _ domains: [DataSource], _ progress: EvaluationDisplay, _ workers: Workers
    ) throws -> [Result] {
        let decoders = try models.map { try compute.decoder($0, workers) }
        let encoder = try data.encoder(models[0], decoders[0])
        let evaluation = try evaluation(decoders[0], progress)
        let ensemble = try ModelEnsemble(decoders)
        var uniform: [DomainScore] = []
        var posterior: [DomainScore] = []
        for domain in domains {
            progress.begin("ensemble on \(domain.name)")
            let scores = try ensemble.scores(evaluation, domain, encoder)
            uniform.append(scores.uniform)
            posterior.append(scores.posterior)
        }
        return [
            Result(name: "ensemble, uniform", scores: uniform, routing: nil),
            Result(name: "ensemble, posterior", scores: posterior, routing: nil),
        ]
    }

    // MARK: Output

    private var isResearch: Bool { gating != .tokenChoice || topK != nil }

    private func printJSON(_ results: [Result], _ domains: [DataSource]) throws {
        let list = results.map { result -> JSON in
            var object: JSONObject = ["model": .string(result.name)]
            var scores = JSONObject()
            for (domain, score) in zip(domains, result.scores) { scores[domain.name] = .object(score.json) }
            object["domains"] = .object(scores)
            var mean = result.mean.json
            mean["loss"] = JSON(result.meanLoss)
            let perplexities = result.scores.reduce(0) { $0 + $1.perplexity }
            mean["perplexity"] = JSON(perplexities / Double(max(result.scores.count, 1)))
            mean["bits_per_byte"] = result.meanBits.map { JSON($0) } ?? .null
            object["mean"] = .object(mean)
            if let routing = result.routing { object["routing"] = routing.json }
            if isResearch { object["gating"] = .string(gating.description + (topK.map { ", top-\($0)" } ?? "")) }
            return .object(object)
        }
        try standardOutput(JSON.object(["models": .array(list)]).serialized())
    }

    private func printTables(_ results: [Result], _ domains: [DataSource]) throws {
        if isResearch {
            try standardOutput(
                "Gating \(gating)\(topK.map { ", top-\($0)" } ?? ""): a research look, not what the checkpoint computes."
            )
        }
        try table("loss (nats)", results, domains, { $0.loss }, { $0.meanLoss }, 4)
        try table(
            "perplexity", results, domains, { $0.perplexity },
            {
                $0.scores.reduce(0) { $0 + $1.perplexity } / Double(max($0.scores.count, 1))
            }, 2)
        if results.allSatisfy({ $0.meanBits != nil }) {
            try table("bits per byte", results, domains, { $0.bitsPerByte ?? 0 }, { $0.meanBits ?? 0 }, 4)
        }
        for result in results {
            let mean = result.mean
            try standardOutput("\(result.name): \(mean.tokens) tokens scored, \(Int(mean.tokensPerSecond)) tokens/s")
        }
        for result in results {
            guard let routing = result.routing, !routing.layers.isEmpty else { continue }
            try standardOutput("\nRouting of \(result.name)")
            try standardOutput(routing.summary(everyLayer: layers), terminator: "")
        }
    }

    /// A table of models by domains, the best of each column marked.
    private func table(
        _ title: String, _ results: [Result], _ domains: [DataSource], _ value: (DomainScore) -> Double,
        _ mean: (Result) -> Double, _ decimals: Int
    ) throws {
        var columns = domains.indices.map { domain in results.map { value($0.scores[domain]) } }
        columns.append(results.map(mean))
        var table = TextTable([.left] + columns.map { _ in .right })
        table.add(row: [title] + domains.map(\.name) + ["mean"])
        for (row, result) in results.enumerated() {
            table.add(
                row: [result.name]
                    + columns.map { column in
                        let isBest = results.count > 1 && column[row] == column.min()
                        return fixed(column[row], decimals) + (isBest ? "*" : results.count > 1 ? " " : "")
                    })
        }
        try standardOutput(table.text)
    }
}

/// Shows how far an evaluation is, on standard error.
final class EvaluationDisplay {
    private let isQuiet: Bool
    private let isTerminal = isTerminalError
    private var title = ""
    private var tokens = 0
    private var started = 0.0
    private var lastShown = 0.0

    init(isQuiet: Bool) { self.isQuiet = isQuiet }

    func begin(_ title: String) {
        self.title = title
        tokens = 0
        started = monotonicSeconds()
        lastShown = started
    }

    func add(_ count: Int) {
        tokens += count
        let now = monotonicSeconds()
        guard !isQuiet, now - lastShown >= (isTerminal ? 0.2 : 5) else { return }
        lastShown = now
        let text = "\(title): \(tokens) tokens, \(Int(Double(tokens) / max(now - started, 1e-9))) tokens/s"
        standardError(isTerminal ? "\r\u{1B}[2K\(text)" : text + "\n")
    }

    func finish() {
        if isTerminal, !isQuiet, lastShown > started { standardError("\r\u{1B}[2K") }
        lastShown = started
    }
}

extension GatingChoice: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }

    public var defaultValueDescription: String { description }
}
