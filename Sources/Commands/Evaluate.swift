import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Evaluate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how well models predict text, domain by domain, and how mixtures route it.",
        discussion: """
            Documents, each preceded by the token that begins one, are laid end to end and cut into windows of --length \
            tokens, whose tokens but the first are predicted. Loss is in nats a token; bits per byte compare models of \
            different tokenizers. Several models give a matrix of models and domains. Of a mixture the share of tokens of \
            each expert, gates, entropies and co-activation are measured in the same pass: all of it is in --json.

              moe-tool evaluate mixtral --data held-out/
              moe-tool evaluate seed law code --data law=law.jsonl --data code=src.jsonl.zst --ensemble
              moe-tool evaluate mixtral --data held-out/ --stats stats.safetensors    # for prune, densify and merge
              moe-tool evaluate mixtral --data held-out/ --gating dense               # the same experts, gated otherwise
              moe-tool evaluate seed merged --data held-out/ --report out.html        # figures on one page
              moe-tool evaluate mixtral --tasks arc=arc.jsonl                         # multiple choice: acc, acc_norm

            A task's file has a JSON object on each line: context, choices and answer (the right one's index from 0, or its \
            text). Choices are scored as EleutherAI's lm-evaluation-harness does; acc_norm divides by their characters.
            """)

    @Argument(
        help: "Checkpoints: folders, or org/name[@revision] in the local Hugging Face cache.", completion: .directory)
    var models: [String]

    @Option(help: "NAME=PATH, a file, or a folder whose entries are the domains (repeatable).", completion: .file())
    var data: [String] = []

    @Option(
        help: ArgumentHelp(
            "Multiple-choice questions: NAME=FILE or FILE, .jsonl or .jsonl.zst (repeatable).", valueName: "file"),
        completion: .file())
    var tasks: [String] = []

    @Option(help: "What is between the context and a choice of --tasks; an empty one is nothing.")
    var targetDelimiter = " "

    @Option(help: "Tokens in a window; by default 512, or the models' positions where they have less.")
    var length: Int?

    @Option(help: "At most so many tokens of each domain.")
    var tokens: Int?

    @Option(
        help:
            "Tokens that go through a model at once; by default 4096, or as many as fit --memory where weights do not.")
    var batchTokens: Int?

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @Option(
        help: ArgumentHelp(
            """
            How experts are gated, if not as the checkpoint says; a look for research: token-choice, \
            noisy-top-k[:DEVIATION], dense, expert-choice[:FACTOR], hash, domain, domain:posterior, smear or lory[:TOKENS].
            """, valueName: "gating"),
        completion: .list([
            "token-choice", "noisy-top-k", "dense", "expert-choice", "hash", "domain", "domain:posterior", "smear",
            "lory",
        ]))
    var gating: String?

    @OptionGroup var domains: DomainArguments

    @Option(help: "The seed of noisy-top-k and hash.")
    var seed: UInt64 = 0

    @Flag(help: "Also score the ensemble of the dense models among them, weighed alike and by their posterior.")
    var ensemble = false

    @Option(
        help: ArgumentHelp(
            "Or the ensemble of these of them: a dense model's name as given (repeatable).", valueName: "model"),
        completion: .directory)
    var ensembleOf: [String] = []

    @Option(
        help: "Write what prune, densify and merge need to know about one mixture's experts: a safetensors file.",
        completion: .file())
    var stats: String?

    @Flag(help: "Add the experts' Fisher information to --stats; three times the work.")
    var fisher = false

    @Option(
        help: ArgumentHelp(
            "Draw the losses of training runs too, from what they wrote beside their output (repeatable).",
            valueName: "x.metrics.jsonl"), completion: .file())
    var metrics: [String] = []

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var text: DataArguments
    @OptionGroup var compute: ComputeArguments
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if data.isEmpty, tasks.isEmpty { throw ValidationError("give text with --data, or questions with --tasks") }
        if data.isEmpty, hasEnsemble || stats != nil { throw ValidationError("--ensemble and --stats go with --data") }
        if !tasks.isEmpty, gating != nil { throw ValidationError("--gating goes with --data, not with --tasks") }
        if let length, length < 2 { throw ValidationError("--length \(length): at least 2 tokens make a prediction") }
        if let tokens, tokens < 2 { throw ValidationError("--tokens \(tokens): give at least 2") }
        if let batchTokens, !(1...(1 << 24)).contains(batchTokens) {
            throw ValidationError("--batch-tokens \(batchTokens): give a number from 1 to \(1 << 24)")
        }
        if stats != nil, models.count != 1 { throw ValidationError("--stats is about one model: give one") }
        if fisher, stats == nil { throw ValidationError("--fisher goes with --stats FILE") }
        if ensemble, models.count < 2 { throw ValidationError("--ensemble takes two models or more") }
        if ensemble, !ensembleOf.isEmpty { throw ValidationError("give --ensemble or --ensemble-of, not both") }
        if let other = ensembleOf.first(where: { !models.contains($0) }) {
            throw ValidationError("--ensemble-of \(other): it is not among the models")
        }
        if !ensembleOf.isEmpty, Set(ensembleOf).count < 2 {
            throw ValidationError("--ensemble-of: give it for two models or more")
        }
        if !metrics.isEmpty, reporting.options.report == nil {
            throw ValidationError("--metrics goes into a report: give --report PAGE")
        }
    }

    private var hasEnsemble: Bool { ensemble || !ensembleOf.isEmpty }

    private func options() throws -> EvaluationOptions {
        var options = EvaluationOptions(data: data, tasks: tasks)
        options.targetDelimiter = targetDelimiter
        options.length = length
        options.batchTokens = batchTokens
        options.topK = topK
        options.gating = try gating.map { try GatingChoice(parsing: $0) }
        options.domainsInOrder = domains.domainsInOrder
        options.seed = seed
        options.ensemble = ensemble ? .all : ensembleOf.isEmpty ? .none : .named(ensembleOf)
        options.measuresExperts = stats != nil
        options.measuresFisher = fisher
        options.text = text.options(tokenLimit: tokens)
        options.compute = compute.options
        return options
    }

    func run() async throws {
        let page = try reporting.file()
        let statistics = try stats.map { try OutputFile($0, .expertStatistics, overwrite: reporting.force) }
        let curves = try metrics.map { (path: $0, figures: try TrainingFigures(metrics: $0)) }
        var session = try EvaluationSession(options())
        let models = try models.map { (name: $0, checkpoint: try Checkpoint(at: $0)) }
        let bar = common.quiet ? nil : ProgressBar()
        defer { bar?.finish() }
        session.progress = { name, progress in
            let work = progress.stage == EvaluationProgress.fisherInformation ? progress.stage : name
            bar?.update(
                work, label: work == name ? "\(name) \(progress.stage)" : nil, done: progress.done,
                total: progress.total
            ) { "\(countText($0)) \(progress.unit.rawValue)" }
        }
        session.warning = { text in
            bar?.finish()
            standardError("warning: \(text)\n")
        }
        let result = try await session.run(models)
        if let statistics { try result.statistics?.write(to: statistics) }
        bar?.finish()
        if let page {
            var drawn = Report(result)
            for (path, curve) in curves {
                let file = path.split(separator: "/").last.map(String.init) ?? path
                let name = file.hasSuffix(".metrics.jsonl") ? String(file.dropLast(".metrics.jsonl".count)) : file
                drawn.figures += curve.loss.map { [$0.titled("Training of \(name)")] } ?? []
            }
            try page.write(drawn, common)
        }
        try standardOutput(common.json ? result.jsonText : result.text, terminator: common.json ? "\n" : "")
    }
}
