import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Numerics
import Reports
import Safetensors

struct Evaluate: ParsableCommand {
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
    @OptionGroup var compute: ComputeOptions
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

    private func isInEnsemble(_ path: String, _ checkpoint: Checkpoint) -> Bool {
        ensembleOf.contains(path) || (ensemble && !checkpoint.isMixture)
    }

    func run() throws {
        let page = try reporting.file()
        let statistics = try stats.map { try OutputFile($0, .expertStatistics, overwrite: reporting.force) }
        let curves = try metrics.map { (path: $0, report: try TrainingReport(metrics: $0)) }
        let choice = try gating.map { try GatingChoice(parsing: $0) }
        let sources = try DataSource.parse(data)
        let tasks = try TaskList(tasks, delimiter: targetDelimiter)
        let checkpoints = try models.map { try Checkpoint(at: $0) }
        try check(checkpoints, choice)
        let length = try self.length ?? Self.defaultLength(checkpoints)
        let workers = compute.workers()
        let bar = common.quiet ? nil : ProgressBar()
        defer { bar?.finish() }
        var report = EvaluationReport(gating: choice)
        var group = Ensemble()
        for (path, checkpoint) in zip(models, checkpoints) {
            let topK = checkpoint.isMixture ? topK : nil
            let plan = try plan(checkpoint, choice, topK: topK, length: length)
            let encoder = try text.encoder(path, checkpoint)
            let texts = try read(sources, length: length, encoder: encoder)
            let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: topK)
            for warning in Self.warnings(texts, decoder, length: length) {
                bar?.finish()
                standardError("warning: \(path): \(warning)\n")
            }
            var evaluator = ModelEvaluator(decoder)
            evaluator.gating = checkpoint.isMixture ? choice : nil
            evaluator.seed = seed
            evaluator.takesDomainsInOrder = domains.domainsInOrder
            evaluator.batchTokens = plan.tokens
            evaluator.measuresOutputs = stats != nil
            evaluator.keepsLosses = isInEnsemble(path, checkpoint)
            evaluator.isCancelled = { receivedSignal != 0 }
            if let bar { evaluator.progress = { progress in Self.show(progress, path, bar) } }
            let result = try evaluator.evaluate(texts, name: path)
            if evaluator.keepsLosses {
                try group.add(result, texts, vocabulary: decoder.configuration.vocabulary)
            }
            if let statistics { try writeStatistics(result, decoder, texts, to: statistics, bar) }
            let answers = try tasks.results(decoder, encoder, tokensAtOnce: min(plan.tokens, 2048)) {
                name, done, total in
                try Self.checkCancelled()
                bar?.update(path, label: "\(path) \(name)", done: done, total: total) { "\(countText($0)) choices" }
            }
            report.add(result, tasks: answers)
        }
        for weights in MixedPredictions.Weights.allCases {
            if let scores = group.scores(weights) { report.add(scores, members: group.names) }
        }
        bar?.finish()
        if let page {
            var drawn = report.report
            for (path, curve) in curves {
                let file = path.split(separator: "/").last.map(String.init) ?? path
                let name = file.hasSuffix(".metrics.jsonl") ? String(file.dropLast(".metrics.jsonl".count)) : file
                drawn.figures += curve.loss.map { [$0.titled("Training of \(name)")] } ?? []
            }
            try page.write(drawn, common)
        }
        try standardOutput(common.json ? report.json.serialized() : report.text, terminator: common.json ? "\n" : "")
    }

    /// How a model is computed within --memory.
    private func plan(
        _ checkpoint: Checkpoint, _ choice: GatingChoice?, topK: Int?, length: Int
    ) throws -> MemoryPlan {
        // Questions may be as long as the model's positions.
        let longest = tasks.isEmpty ? length : max(length, min(try checkpoint.description.positions ?? 2048, 2048))
        var slots = topK ?? 0
        if checkpoint.isMixture, let choice {
            let description = checkpoint.description
            slots = try choice.slots(experts: description.size("experts"), topK: topK ?? description.size("top_k"))
        }
        var planner = try ComputeMemory.passes(
            of: checkpoint, length: longest, slots: slots, memory: compute.memory.bytes, threads: compute.threadCount)
        if fisher {
            let experts = checkpoint.table.reduce(0) { sum, entry in
                entry.key.expert == nil ? sum : sum + entry.value.rows * entry.value.columns
            }
            planner.models = [
                try ModelMemory(checkpoint, .training(parameters: experts, copies: 1, checkpoints: false))
            ]
        }
        if let batchTokens {
            planner.tokens = max(1, batchTokens / length) * length
            planner.isExact = true
        }
        return try planner.prepared(advice: batchTokens == nil ? "lower --length" : "lower --batch-tokens")
    }

    private func check(_ checkpoints: [Checkpoint], _ choice: GatingChoice?) throws {
        let mixtures = checkpoints.filter(\.isMixture).count
        func failure(_ message: String) -> CheckpointError { CheckpointError(.incompatible, message: message) }
        if choice != nil, mixtures == 0 {
            throw failure("--gating \(gating ?? ""): there is no mixture of experts to gate")
        }
        if topK != nil, mixtures == 0 { throw failure("--top-k: there is no mixture of experts to route in") }
        if stats != nil, mixtures == 0 {
            throw failure("--stats: \(models[0]) is dense, and has no experts to measure")
        }
        if stats != nil, choice == .smear || choice == .domainPosterior {
            throw failure("--stats: under --gating \(gating ?? "") no token goes to an expert of its own")
        }
        if case .lory = choice, stats != nil {
            throw failure("--stats: under --gating lory no token goes to an expert of its own")
        }
        if let other = zip(models, checkpoints).first(where: { ensembleOf.contains($0) && $1.isMixture })?.0 {
            throw failure("--ensemble-of \(other): it is a mixture, and dense models are mixed")
        }
        if ensemble, checkpoints.count - mixtures < 2 {
            throw failure("--ensemble mixes dense models, and there are \(checkpoints.count - mixtures) of them")
        }
    }

    /// Windows that all models can take.
    private static func defaultLength(_ checkpoints: [Checkpoint]) throws -> Int {
        try checkpoints.reduce(512) { min($0, max(2, try $1.description.positions ?? 512)) }
    }

    private func read(_ sources: [DataSource], length: Int, encoder: TextEncoder) throws -> [DomainText] {
        var options = text.options
        options.tokenLimit = tokens
        // Four bytes for each token that is kept.
        let kept = MemoryPlanner.text(of: compute.memory.bytes) / max(sources.count, 1) / 5
        return try sources.map {
            try DomainText(
                $0, length: length, options: options, encoder: encoder, keptTokens: min(kept, 4 << 20),
                checkCancelled: Self.checkCancelled)
        }
    }

    private static func checkCancelled() throws {
        if receivedSignal != 0 { throw CheckpointError(.cancelled, message: "interrupted") }
    }

    private static func warnings(_ texts: [DomainText], _ decoder: Decoder, length: Int) -> [String] {
        var warnings: [String] = []
        if let positions = try? decoder.checkpoint.description.positions, positions < length {
            warnings.append("windows of \(length) tokens exceed the \(positions) positions that the model was made for")
        }
        for text in texts where text.summary.skipped > 0 {
            let first = text.summary.firstSkipped.map { ", the first: \($0)" } ?? ""
            warnings.append("\(escaped(text.name)): \(text.summary.skipped) documents or files were left out\(first)")
        }
        return warnings
    }

    private static func show(_ progress: EvaluationProgress, _ path: String, _ bar: ProgressBar) {
        bar.update(path, label: "\(path) \(progress.stage)", done: progress.done, total: progress.total) {
            "\(countText($0)) tokens"
        }
    }

    private func writeStatistics(
        _ result: ModelEvaluator.Result, _ decoder: Decoder, _ texts: [DomainText], to output: OutputFile,
        _ bar: ProgressBar?
    ) throws {
        guard let routing = result.routing else { return }
        var file = try routing.file(
            layerCount: decoder.configuration.layers, length: texts.first?.length ?? 0)
        if fisher {
            var information = try FisherInformation(decoder)
            let total = texts.reduce(0) { $0 + $1.tokens }
            var done = 0
            for text in texts {
                try text.forEachPart(of: 1) { part in
                    try information.add(part.batch, checkCancelled: Self.checkCancelled)
                    done += part.batch.ids.count
                    bar?.update("Fisher information", done: done, total: total) { "\(countText($0)) tokens" }
                }
            }
            try information.add(to: &file)
        }
        try output.write(file)
    }
}
