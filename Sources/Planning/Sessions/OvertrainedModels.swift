import Checkpoints
public import Safetensors

/// Smaller models trained longer: cheaper to serve at equal loss, or better at equal cost (Yun et al., arXiv:2404.02852,
/// algorithms 1 and 2).
public struct OvertrainedModels: JSONResult {
    /// A number of experts.
    package struct Row: Sendable {
        package let experts: Double
        /// The cheapest model of at most the base's loss; nil where there is none.
        package let boundedLoss: Overtraining.Choice?
        /// The model of the lowest loss at at most the base's cost; nil where there is none.
        package let boundedCost: Overtraining.Choice?
    }

    /// The law, with its source.
    public let law: ChosenLaw
    package let plan: Overtraining
    /// The budget's best model of the base's number of experts.
    package let base: Overtraining.Choice
    package let rows: [Row]
    /// Where models are outside of what the law was fitted to.
    public let warnings: [String]

    /// What the paper found with constants that it does not print, of all there is to compare with.
    package static let published = """
        The paper's own figures, from a fit whose constants it does not print and latencies of A100-40 with vLLM, not \
        reproduced here: at the loss of a 4-expert model, 8 experts need 47.7 to 51.0 % and 16 experts 47 to 52 % of its \
        inference cost.
        """

    /// - Parameters:
    ///   - base: experts of the model that sets loss and cost.
    ///   - experts: numbers of experts to compare with it.
    /// - Throws: `CheckpointError` of `.usage` for numbers that no model can have, and for a law without experts.
    public init(
        _ law: ChosenLaw, _ budget: BudgetOptions, _ serving: ServingOptions, base: Double = 4,
        experts: [Double] = [8, 16, 32]
    ) throws {
        guard law.law.form.variables.contains(.experts) else {
            throw CheckpointError(
                .usage, message: "\(law.name) does not know the number of experts: there is nothing to compare")
        }
        self.law = law
        let plan = Overtraining(
            budget: try BudgetPlan(law, budget), serving: try ServingPlan(serving),
            promptTokens: serving.promptTokens, outputTokens: serving.outputTokens)
        let best = try plan.base(experts: base)
        rows = try experts.map { experts in
            Row(
                experts: experts, boundedLoss: try plan.boundedLoss(best.candidate.loss, experts: experts),
                boundedCost: try plan.boundedCost(best.cost, experts: experts))
        }
        self.plan = plan
        self.base = best
        let all = [best] + rows.flatMap { [$0.boundedLoss, $0.boundedCost].compactMap { $0 } }
        warnings = law.warnings(all.map(\.candidate.point))
    }

    /// What a model costs over what the base costs; nil where that costs nothing.
    package func share(_ choice: Overtraining.Choice) -> Double? { base.cost > 0 ? choice.cost / base.cost : nil }

    /// The base, and both choices for each number of experts.
    public var json: JSONObject {
        [
            "law": law.json, "hardware": .string(plan.serving.hardware.name), "flops": JSON(plan.budget.flops),
            "base": json(base),
            "models": .array(
                rows.map { row in
                    .object([
                        "experts": JSON(row.experts), "bounded_loss": json(row.boundedLoss),
                        "bounded_cost": json(row.boundedCost),
                    ])
                }), "published": .string(Self.published), "warnings": .strings(warnings),
        ]
    }

    private func json(_ choice: Overtraining.Choice?) -> JSON {
        guard let choice else { return .null }
        var object = choice.candidate.json(law.law.form)
        let estimate = choice.estimate.json
        for key in estimate.keys { object[key] = estimate[key] }
        object["memory_bytes"] = JSON(choice.candidate.bytes)
        object["cost_over_base"] = share(choice).map { JSON($0) } ?? .null
        return .object(object)
    }
}
