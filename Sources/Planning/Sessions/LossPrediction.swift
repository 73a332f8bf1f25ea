import Checkpoints
public import Safetensors

/// The loss that a law expects of a model, in nats a token on the law's own data and vocabulary: losses of different laws do
/// not compare.
public struct LossPrediction: JSONResult {
    /// The law, with its source.
    public let law: ChosenLaw
    package let point: LawPoint
    /// Nats a token.
    public let loss: Double
    /// The number of experts that the law reckons with, where it saturates; nil where it does not.
    public let effectiveExperts: Double?
    /// Where the model is outside of what the law was fitted to.
    public let warnings: [String]

    /// - Parameters:
    ///   - parameters: N, as the law counts it.
    ///   - tokens: D, training tokens; nil for a law without them.
    ///   - experts: E, of each mixture layer; nil for what the law is of, or else 1.
    ///   - granularity: G, the feed-forward width over an expert's.
    ///   - sunkTokens: D1, tokens that the dense model saw before it was upcycled; nil for a law without them.
    /// - Throws: `CheckpointError` of `.usage` where a number that the law needs is missing or out of bounds.
    public init(
        _ law: ChosenLaw, parameters: Double, tokens: Double? = nil, experts: Double? = nil, granularity: Double = 1,
        sunkTokens: Double? = nil
    ) throws {
        let form = law.law.form
        if form.variables.contains(.tokens), tokens == nil {
            throw CheckpointError(.usage, message: "\(form.name) needs -D")
        }
        if form.variables.contains(.sunkTokens), sunkTokens == nil {
            throw CheckpointError(.usage, message: "\(form.name) needs `sunkTokens`")
        }
        point = LawPoint(
            parameters: parameters, tokens: tokens ?? 1, experts: experts ?? law.defaultExperts,
            granularity: granularity, sunkTokens: sunkTokens ?? 1)
        try point.check(for: form)
        self.law = law
        loss = law.law.loss(point)
        effectiveExperts = form.experts == .saturating ? law.law.effectiveExperts(point.experts) : nil
        warnings = law.warnings([point])
    }

    /// The loss, the law and the model.
    public var json: JSONObject {
        var object: JSONObject = ["loss": JSON(loss), "law": law.json]
        let numbers = point.json(law.law.form)
        for key in numbers.keys { object[key] = numbers[key] }
        if let effectiveExperts { object["effective_experts"] = JSON(effectiveExperts) }
        object["warnings"] = .strings(warnings)
        return object
    }
}
