import Checkpoints

/// The branch-train-merge ensemble of models: their predictions mixed, without any of them being changed (Li et al. 2022,
/// 2208.03306).
package struct Ensemble {
    private var members: [ModelEvaluator.Result] = []
    private var texts: [(windows: Int, length: Int, digest: UInt64)] = []
    private var vocabulary: Int?

    package init() {}

    package var names: [String] { members.map(\.scores.model) }

    /// Adds a model's predictions.
    ///
    /// - Parameter result: with every prediction's loss.
    /// - Throws: `CheckpointError` of `.incompatible` where the model has another vocabulary, or makes other tokens of the
    ///   text: its predictions are then of something else.
    package mutating func add(_ result: ModelEvaluator.Result, _ texts: [DomainText], vocabulary: Int) throws {
        let found = texts.map { ($0.windowCount, $0.length, $0.digest) }
        if let first = members.first {
            guard self.vocabulary == vocabulary, zip(self.texts, found).allSatisfy({ $0 == $1 }) else {
                throw CheckpointError(
                    .incompatible,
                    message:
                        "`ensemble`: \(first.scores.model) and \(result.scores.model) have different vocabularies: "
                        + "what they predict cannot be mixed")
            }
        }
        self.texts = found
        self.vocabulary = vocabulary
        members.append(result)
    }

    /// The members' predictions under a weighting; nil for less than two members.
    package func scores(_ weights: MixedPredictions.Weights) -> ModelScores? {
        guard members.count > 1, let first = members.first else { return nil }
        let domains = first.scores.domains.indices.map { domain -> DomainScore in
            let losses = MixedPredictions.losses(
                members.map { $0.losses[domain] }, predictions: texts[domain].length - 1, weights: weights)
            var score = first.scores.domains[domain]
            score.lossSum = losses.reduce(0) { $0 + Double($1) }
            score.seconds = members.reduce(0) { $0 + $1.scores.domains[domain].seconds }
            return score
        }
        return ModelScores(model: "ensemble (\(weights.rawValue))", domains: domains)
    }
}
