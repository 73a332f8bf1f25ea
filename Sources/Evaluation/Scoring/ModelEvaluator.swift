import Checkpoints
package import Models

/// Scores a model on the texts of domains: the loss of each, and how a mixture routes it.
///
/// ```swift
/// let texts = try sources.map { try DomainText($0, length: 128, options: DataOptions(), encoder: encoder) }
/// let result = try ModelEvaluator(decoder).evaluate(texts, name: "mixtral")
/// print(result.scores.loss)
/// ```
package struct ModelEvaluator {
    /// What an evaluation found.
    package struct Result {
        package let scores: ModelScores
        /// Nil for a dense model, and where no token was routed to an expert.
        package let routing: RoutingStatistics?
        /// The cross-entropy of every prediction, by domain; empty unless they were to be kept.
        package let losses: [[Float]]
    }

    package let decoder: Decoder
    /// Decides in the routers' place; nil for what the checkpoint says.
    package var gating: GatingChoice?
    /// The seed of gatings that draw.
    package var seed: UInt64 = 0
    /// The first domain is the first expert's, and so on, whatever they are called.
    package var takesDomainsInOrder = false
    /// Tokens that go through the model at once; at least one window does.
    package var batchTokens = 4096
    /// Sum what experts give as well, for `ExpertStatisticsFile`.
    package var measuresOutputs = false
    /// Keep every prediction's loss, for an ensemble.
    package var keepsLosses = false
    /// Asked between layers.
    package var isCancelled: () -> Bool = { false }
    package var progress: (EvaluationProgress) -> Void = { _ in }

    package init(_ decoder: Decoder) { self.decoder = decoder }

    /// Experts that a token goes to.
    package var slots: Int {
        guard let mixture = decoder.configuration.mixture else { return 0 }
        return gating?.slots(experts: mixture.experts, topK: decoder.topK) ?? decoder.topK
    }

    /// - Throws: `CheckpointError`: `.incompatible` for a gating that the model or the domains do not fit, `.cancelled`.
    package func evaluate(_ texts: [DomainText], name: String) throws -> Result {
        let scorers = makeScorers(domains: texts.count)
        let observer =
            scorers.isEmpty
            ? RoutingObserver(
                decoder.configuration, topK: slots, domains: texts.map(\.name),
                labels: decoder.checkpoint.expertLabels, measuresOutputs: measuresOutputs, decoder.workers) : nil
        let gating = try scorers.isEmpty ? makeGating(gating, domains: texts.map(\.name)) : nil
        var scores: [DomainScore] = []
        var kept: [[Float]] = []
        let total = texts.reduce(0) { $0 + $1.tokens }
        var before = 0
        for (domain, text) in texts.enumerated() {
            observer?.domain = domain
            var score = DomainScore(text.name)
            var all: [Float] = []
            try text.forEachPart(of: batchTokens / text.length) { part in
                let started = monotonicSeconds()
                let passes = max(scorers.count, 1)
                let context = BatchContext(
                    batch: part.batch, domain: domain, firstToken: part.first * text.length)
                func pass(_ index: Int, _ gating: (any BatchGating)?) throws -> [Float] {
                    gating?.begins(context)
                    let follower = PassObserver(observer) { layer in
                        try checkCancelled()
                        let share = Double(index) + Double(layer) / Double(decoder.configuration.layers)
                        let done = before + Int(Double(part.batch.ids.count) * share / Double(passes))
                        progress(EvaluationProgress(stage: text.name, done: done, total: total))
                    }
                    let states = try decoder.forward(part.batch, observer: follower, gating: gating)
                    return try decoder.losses(states, part.batch)
                }
                let losses =
                    scorers.isEmpty
                    ? try pass(0, gating)
                    : MixedPredictions.losses(
                        try scorers.enumerated().map { try pass($0, $1) }, predictions: text.length - 1,
                        weights: .posterior)
                score.seconds += monotonicSeconds() - started
                score.lossSum += losses.reduce(0) { $0 + Double($1) }
                score.tokens += losses.count
                score.bytes += part.bytes
                before += part.batch.ids.count
                if keepsLosses { all += losses }
            }
            scores.append(score)
            if keepsLosses { kept.append(all) }
        }
        try checkCancelled()
        progress(EvaluationProgress(stage: texts.last?.name ?? "", done: total, total: total))
        let routing = observer.flatMap { $0.statistics.layers.isEmpty ? nil : $0.statistics }
        return Result(scores: ModelScores(model: name, domains: scores), routing: routing, losses: kept)
    }

    /// The gatings whose predictions are mixed; empty for one pass.
    private func makeScorers(domains: Int) -> [any BatchGating] {
        guard case .domainPosterior = gating, let mixture = decoder.configuration.mixture else { return [] }
        // Each expert scores all domains: which is whose does not matter.
        return (0..<mixture.experts).map { expert in
            DomainGating(scale: mixture.router.scale, experts: [Int](repeating: expert, count: domains))
        }
    }

    private func makeGating(_ choice: GatingChoice?, domains: [String]) throws -> (any BatchGating)? {
        guard let choice, let mixture = decoder.configuration.mixture else { return nil }
        let own =
            choice == .domain
            ? try DomainExperts(decoder.checkpoint, for: "`gating` domain", isInOrder: takesDomainsInOrder)
                .experts(of: domains, needsAll: false) : []
        return try choice.gating(mixture, topK: decoder.topK, domainExperts: own, seed: seed)
    }

    private func checkCancelled() throws {
        if isCancelled() { throw CheckpointError(.cancelled, message: "interrupted") }
    }
}
