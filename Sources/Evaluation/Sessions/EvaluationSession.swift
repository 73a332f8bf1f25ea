public import Checkpoints
import Models
import Numerics
import Safetensors

/// Measures how well models predict text, domain by domain, how mixtures route it, and which questions they answer.
///
/// ```swift
/// var options = EvaluationOptions(data: ["held-out/"])
/// options.text.tokenLimit = 100_000
/// let session = EvaluationSession(options)
/// let result = try await session.run([("seed", Checkpoint(at: "seed")), ("moe", Checkpoint(at: "moe"))])
/// print(result.models[1].scores.loss)
/// ```
///
/// Documents, each preceded by the token that begins one, are laid end to end and cut into windows whose tokens but the
/// first are predicted. A checkpoint need not have been written: its tensors are made as they are read.
public struct EvaluationSession: Sendable {
    /// What is evaluated on, and how.
    public var options: EvaluationOptions
    /// Told how far a model has come, from the thread that computes.
    public var progress: (@Sendable (_ model: String, EvaluationProgress) -> Void)?
    /// Told what the user should know as soon as it is known.
    public var warning: (@Sendable (String) -> Void)?

    /// - Parameter options: text or questions, or both.
    public init(_ options: EvaluationOptions) { self.options = options }

    /// Evaluates models, each with a name for the result.
    ///
    /// - Throws: `CheckpointError`: `.usage` for options that do not fit one another, `.incompatible` for models that do
    ///   not fit them, `.cancelled` when the task is cancelled; `SafetensorsError` for data that cannot be read.
    public func run(_ models: [(name: String, checkpoint: Checkpoint)]) async throws -> EvaluationResult {
        try await runningOnThread { try evaluate(models) }
    }

    private func evaluate(_ models: [(name: String, checkpoint: Checkpoint)]) throws -> EvaluationResult {
        let sources = try DataSource.parse(options.data)
        let tasks = try TaskList(options.tasks, delimiter: options.targetDelimiter)
        try check(models)
        let length = try options.length ?? Self.defaultLength(models.map(\.checkpoint))
        let workers = options.compute.workers()
        var result = EvaluationResult(gating: options.gating)
        var group = Ensemble()
        for (name, checkpoint) in models {
            let topK = checkpoint.isMixture ? options.topK : nil
            let plan = try plan(checkpoint, topK: topK, length: length)
            let encoder = try options.text.encoder(checkpoint)
            let texts = try read(sources, length: length, encoder)
            let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: topK)
            for text in try warnings(texts, checkpoint, length: length) {
                result.warnings.append("\(name): \(text)")
                warning?("\(name): \(text)")
            }
            var evaluator = ModelEvaluator(decoder)
            evaluator.gating = checkpoint.isMixture ? options.gating : nil
            evaluator.seed = options.seed
            evaluator.takesDomainsInOrder = options.domainsInOrder
            evaluator.batchTokens = plan.tokens
            evaluator.measuresOutputs = options.measuresExperts
            evaluator.keepsLosses = isInEnsemble(name, checkpoint)
            evaluator.isCancelled = { Interruption.isRequested }
            evaluator.progress = { progress?(name, $0) }
            let scored = try evaluator.evaluate(texts, name: name)
            if evaluator.keepsLosses { try group.add(scored, texts, vocabulary: decoder.configuration.vocabulary) }
            if options.measuresExperts, let routing = scored.routing {
                result.statistics = try statistics(routing, decoder, texts, name)
            }
            let answers = try tasks.results(decoder, encoder, tokensAtOnce: min(plan.tokens, 2048)) {
                task, done, total in
                try Interruption.check()
                progress?(name, EvaluationProgress(stage: task, done: done, total: total, unit: .choices))
            }
            result.add(scored, tasks: answers)
        }
        for weights in MixedPredictions.Weights.allCases {
            if let scores = group.scores(weights) { result.add(scores, members: group.names) }
        }
        return result
    }

    /// How a model is computed within the memory.
    private func plan(_ checkpoint: Checkpoint, topK: Int?, length: Int) throws -> MemoryPlan {
        // Questions may be as long as the model's positions.
        let positions = try checkpoint.description.positions ?? 2048
        let longest = options.tasks.isEmpty ? length : max(length, min(positions, 2048))
        var slots = topK ?? 0
        if checkpoint.isMixture, let gating = options.gating {
            let description = checkpoint.description
            slots = try gating.slots(experts: description.size("experts"), topK: topK ?? description.size("top_k"))
        }
        var planner = try ComputeMemory.passes(
            of: checkpoint, length: longest, slots: slots, memory: options.compute.memory,
            threads: options.compute.threads)
        if options.measuresFisher {
            let experts = checkpoint.table.reduce(0) { sum, entry in
                entry.key.expert == nil ? sum : sum + entry.value.rows * entry.value.columns
            }
            planner.models = [
                try ModelMemory(checkpoint, .training(parameters: experts, copies: 1, checkpoints: false))
            ]
        }
        if let batchTokens = options.batchTokens {
            planner.tokens = max(1, batchTokens / length) * length
            planner.isExact = true
        }
        return try planner.prepared(
            advice: options.batchTokens == nil ? "lower `length`" : "lower `batchTokens`")
    }

    private func read(_ sources: [DataSource], length: Int, _ encoder: TextEncoder) throws -> [DomainText] {
        // Four bytes for each token that is kept.
        let kept = MemoryShare.text.bytes(of: options.compute.memory) / max(sources.count, 1) / 5
        return try sources.map {
            try DomainText(
                $0, length: length, options: options.text.data, encoder: encoder, keptTokens: min(kept, 4 << 20),
                checkCancelled: { try Interruption.check() })
        }
    }

    private func isInEnsemble(_ name: String, _ checkpoint: Checkpoint) -> Bool {
        switch options.ensemble {
        case .none: false
        case .all: !checkpoint.isMixture
        case .named(let names): names.contains(name)
        }
    }

    /// What does not fit the models is refused before anything is read.
    private func check(_ models: [(name: String, checkpoint: Checkpoint)]) throws {
        let mixtures = models.filter(\.checkpoint.isMixture).count
        func failure(_ message: String) -> CheckpointError { CheckpointError(.incompatible, message: message) }
        if options.data.isEmpty, options.tasks.isEmpty {
            throw CheckpointError(.usage, message: "give text with `data`, or questions with `tasks`")
        }
        if let gating = options.gating, mixtures == 0 {
            throw failure("`gating` \(gating.name): there is no mixture of experts to gate")
        }
        if options.topK != nil, mixtures == 0 {
            throw failure("`topK`: there is no mixture of experts to route in")
        }
        if options.measuresExperts {
            guard models.count == 1 else {
                throw CheckpointError(.usage, message: "`statistics` is about one model: give one")
            }
            if mixtures == 0 {
                throw failure("`statistics`: \(models[0].name) is dense, and has no experts to measure")
            }
            if let gating = options.gating, gating.averagesExperts {
                throw failure("`statistics`: under `gating` \(gating.name) no token goes to an expert of its own")
            }
        }
        if case .named(let names) = options.ensemble,
            let other = models.first(where: { names.contains($0.name) && $0.checkpoint.isMixture })
        {
            throw failure("`ensembleOf` \(other.name): it is a mixture, and dense models are mixed")
        }
        if options.ensemble == .all, models.count - mixtures < 2 {
            throw failure("`ensemble` mixes dense models, and there are \(models.count - mixtures) of them")
        }
    }

    /// Windows that all models can take.
    private static func defaultLength(_ checkpoints: [Checkpoint]) throws -> Int {
        try checkpoints.reduce(512) { min($0, max(2, try $1.description.positions ?? 512)) }
    }

    private func warnings(_ texts: [DomainText], _ checkpoint: Checkpoint, length: Int) throws -> [String] {
        var warnings: [String] = []
        if let positions = try? checkpoint.description.positions, positions < length {
            warnings.append("windows of \(length) tokens exceed the \(positions) positions that the model was made for")
        }
        for text in texts where text.summary.skipped > 0 {
            let first = text.summary.firstSkipped.map { ", the first: \($0)" } ?? ""
            warnings.append("\(escaped(text.name)): \(text.summary.skipped) documents or files were left out\(first)")
        }
        return warnings
    }

    private func statistics(
        _ routing: RoutingStatistics, _ decoder: Decoder, _ texts: [DomainText], _ name: String
    ) throws -> ExpertStatisticsFile {
        var file = try routing.file(
            layerCount: decoder.configuration.layers, length: texts.first?.length ?? 0)
        if options.measuresFisher {
            var information = try FisherInformation(decoder)
            let total = texts.reduce(0) { $0 + $1.tokens }
            var done = 0
            for text in texts {
                try text.forEachPart(of: 1) { part in
                    try information.add(part.batch, checkCancelled: { try Interruption.check() })
                    done += part.batch.ids.count
                    progress?(
                        name, EvaluationProgress(stage: EvaluationProgress.fisherInformation, done: done, total: total))
                }
            }
            try information.add(to: &file)
        }
        return try ExpertStatisticsFile(file)
    }
}
