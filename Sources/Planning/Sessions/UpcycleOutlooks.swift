public import Checkpoints
public import Safetensors
public import Transforms

/// What a dense checkpoint would become with each of some numbers of experts, and whether upcycling it pays.
public struct UpcycleOutlooks: JSONResult {
    /// A number of experts.
    package struct Outlook: Sendable {
        package let experts: Int
        package let forecast: UpcycleForecast
        /// By the chosen law, of such a mixture from scratch.
        package let expected: (point: LawPoint, loss: Double)?
        /// Nil where the devices do not hold it.
        package let estimate: ServingPlan.Estimate?
        package var name: String { "\(experts)x" }
    }

    /// The law, with its source.
    public let law: ChosenLaw
    package let plan: ServingPlan
    package let outlooks: [Outlook]
    /// Where models are outside of what laws were fitted to.
    public let warnings: [String]

    /// - Parameters:
    ///   - experts: numbers of copies of the feed-forward network to compare.
    ///   - options: the mixture's shape; its number of experts is not used.
    ///   - tokens: D2, to train the mixture on; nil for no training.
    ///   - sunkTokens: D1, that the dense model was trained on; nil where it is not known.
    ///   - context: tokens that are attended to.
    /// - Throws: `CheckpointError` where the checkpoint cannot be upcycled so, and for numbers out of bounds.
    public init(
        _ source: Checkpoint, experts: [Int], _ options: UpcycleOptions, tokens: Double? = nil,
        sunkTokens: Double? = nil, context: Double = 4096, law: ChosenLaw, serving: ServingOptions = ServingOptions()
    ) throws {
        let plan = try ServingPlan(serving)
        guard !experts.isEmpty else { throw CheckpointError(.usage, message: "`experts`: give a number") }
        outlooks = try experts.map { number in
            var own = options
            own.experts = number
            let forecast = try UpcycleForecast(
                source, options: own, context: context, tokens: tokens, sunkTokens: sunkTokens)
            let sizes = forecast.mixture
            let served = ServedModel(
                sizes: sizes.model(), bytesPerParameter: sizes.bytes / max(sizes.total, 1),
                promptTokens: serving.promptTokens, outputTokens: serving.outputTokens)
            return Outlook(
                experts: number, forecast: forecast,
                expected: try Self.expectation(forecast, number, options.granularity, law),
                estimate: plan.cheapest(served))
        }
        warnings = law.warnings(outlooks.compactMap { $0.expected?.point }) + Self.liewWarnings(outlooks)
        (self.plan, self.law) = (plan, law)
    }

    /// The loss of such a mixture from scratch, by the law that was chosen.
    private static func expectation(
        _ forecast: UpcycleForecast, _ experts: Int, _ granularity: Int, _ law: ChosenLaw
    ) throws -> (point: LawPoint, loss: Double)? {
        guard let tokens = forecast.tokens else { return nil }
        var point = LawPoint(
            parameters: forecast.mixture.parameters(counted: law.shape, dense: forecast.dense), tokens: tokens,
            experts: Double(experts), granularity: Double(granularity))
        if law.law.form.variables.contains(.sunkTokens) {
            guard let sunk = forecast.sunkTokens else {
                throw CheckpointError(.usage, message: "\(law.name) needs `sunkTokens`")
            }
            point.sunkTokens = sunk
        }
        try point.check(for: law.law.form)
        return (point, law.law.loss(point))
    }

    private static func liewWarnings(_ outlooks: [Outlook]) -> [String] {
        guard let law = PublishedLaw.named("liew-upcycled") else { return [] }
        var result: [String] = []
        for outlook in outlooks {
            guard let comparison = outlook.forecast.comparison else { continue }
            let warnings = law.warnings(
                LawPoint(
                    parameters: comparison.parameters, tokens: comparison.tokens, experts: Double(outlook.experts),
                    sunkTokens: comparison.sunkTokens))
            for warning in warnings where !result.contains(warning) { result.append(warning) }
        }
        return result
    }

    /// The outlook, or where several numbers are compared `{"models": [...]}`, and the warnings.
    public var json: JSONObject {
        let documents = outlooks.map(json)
        var document: JSONObject =
            outlooks.count == 1 ? documents[0] : ["models": .array(documents.map { .object($0) })]
        document["warnings"] = .strings(warnings)
        return document
    }

    private func json(_ outlook: Outlook) -> JSONObject {
        let forecast = outlook.forecast
        var object: JSONObject = [
            "experts": JSON(outlook.experts), "family": .string(forecast.family),
            "dense": forecast.dense.json(context: forecast.context),
            "mixture": forecast.mixture.json(context: forecast.context),
            "context": JSON(forecast.context), "full_training_bytes": JSON(forecast.fullTrainingBytes),
            "router_training_bytes": JSON(forecast.routerTrainingBytes),
        ]
        object["serving"] =
            outlook.estimate.map { estimate -> JSON in
                var cost = estimate.json
                cost["hardware"] = .string(plan.hardware.name)
                return .object(cost)
            } ?? .null
        if let expected = outlook.expected {
            object["law"] = law.json
            object["tokens"] = JSON(expected.point.tokens)
            object["expected_loss_from_scratch"] = JSON(expected.loss)
            object["training_flops"] = forecast.trainingFLOPs.map { JSON($0) } ?? .null
        }
        if let comparison = forecast.comparison {
            object["liew"] = .object([
                "upcycled_loss": JSON(comparison.upcycledLoss), "scratch_loss": JSON(comparison.scratchLoss),
                "continued_dense_loss": forecast.continuedDenseLoss.map { JSON($0) } ?? .null,
                "share_for_upcycling": JSON(comparison.shareForUpcycling),
                "verdict": .string(comparison.verdict.rawValue),
                "crossover_tokens": comparison.crossover.map {
                    .array([JSON($0.lowerBound), JSON($0.upperBound)])
                } ?? .null,
            ])
        }
        if let share = forecast.shareOfSunkFLOPs {
            object["flops_over_dense"] = JSON(share)
            object["komatsuzaki"] = forecast.komatsuzaki.map { .string($0.rawValue) } ?? .null
            object["skywork"] = forecast.skywork.map { .string($0.rawValue) } ?? .null
        }
        return object
    }
}
