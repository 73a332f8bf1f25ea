import Checkpoints
package import Evaluation
package import Models
package import Safetensors

/// Text that is not trained on, and the losses on it.
package struct HeldOut {
    private let texts: [DomainText]
    private let tokensAtOnce: Int

    /// - Parameters:
    ///   - options: with the most tokens of each domain.
    ///   - tokensAtOnce: tokens that go through the model at once.
    /// - Throws: as `DomainText`.
    package init(
        _ sources: [DataSource], length: Int, options: DataOptions, encoder: TextEncoder, tokensAtOnce: Int
    ) throws {
        texts = try sources.map { try DomainText($0, length: length, options: options, encoder: encoder) }
        self.tokensAtOnce = tokensAtOnce
    }

    /// Text that was read already.
    package init(_ texts: [DomainText], tokensAtOnce: Int) {
        self.texts = texts
        self.tokensAtOnce = tokensAtOnce
    }

    /// A digest of the text's tokens, by which a run that is resumed knows it again.
    package var digest: String {
        var identity = RunIdentity()
        for text in texts { identity.add("\(text.name) \(text.windowCount) \(text.length) \(text.digest)") }
        return identity.digest
    }

    /// The mean cross-entropy of each domain's predictions, in nats, and how each domain's tokens spread over experts.
    package func losses(_ decoder: Decoder) throws -> (losses: [HeldOutLoss], details: JSONObject) {
        var evaluator = ModelEvaluator(decoder)
        evaluator.batchTokens = tokensAtOnce
        let result = try evaluator.evaluate(texts, name: "")
        let losses = result.scores.domains.map { HeldOutLoss(domain: $0.name, loss: $0.loss) }
        guard let routing = result.routing else { return (losses, [:]) }
        let layers = routing.layers.sorted { $0.key < $1.key }.map(\.value)
        var shares = JSONObject()
        for (index, name) in routing.domains.enumerated() {
            shares[name] = .array(layers.map { Self.shares($0.domains[index].routed) })
        }
        return (
            losses, ["experts": .array(routing.labels.map { .string($0) }), "expert_share": .object(shares)]
        )
    }

    /// The share of a layer's slots that each expert has.
    private static func shares(_ load: [Int]) -> JSON {
        let total = Double(max(load.reduce(0, +), 1))
        return .array(load.map { JSON((Double($0) / total * 1e4).rounded() / 1e4) })
    }
}
