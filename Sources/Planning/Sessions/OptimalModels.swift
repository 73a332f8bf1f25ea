import Checkpoints
public import Safetensors

/// A budget, and what it has to pay for.
public struct BudgetOptions: Sendable, Hashable {
    /// FLOPs of the training, and of the inference if there is any; above 0.
    public var flops: Double
    /// Bytes for weights and context; nil for no limit.
    public var memory: Double?
    /// Tokens of context whose keys and values are in memory.
    public var context = 16_384.0
    /// Tokens that the model will be run on, paid from `flops`.
    public var inferenceTokens = 0.0
    /// Bytes of a parameter, and of an element of keys and values.
    public var bytesPerParameter = 2.0
    /// The feed-forward width over an expert's.
    public var granularity = 1.0
    /// Tokens that the dense model saw before it was upcycled; nil for a law without them.
    public var sunkTokens: Double?
    /// How models grow, where it differs from what the law's paper has.
    public var shape = ShapeOptions()

    /// - Parameter flops: the budget.
    public init(flops: Double) { self.flops = flops }
}

/// How models grow, where it differs from what a law's paper has.
public struct ShapeOptions: Sendable, Hashable {
    /// Experts a token is routed to.
    public var topK: Double?
    /// Every how many layers there is a mixture.
    public var mixtureEvery: Double?
    /// Tokens in the vocabulary.
    public var vocabulary: Double?
    /// The width over the number of layers.
    public var aspect: Double?

    /// As the law's paper has it.
    public init() {}

    package func shape(_ base: ModelShape) throws -> ModelShape {
        var shape = base
        if let topK { shape.topK = topK }
        if let mixtureEvery { shape.mixtureEvery = mixtureEvery }
        if let vocabulary { shape.vocabulary = vocabulary }
        if let aspect { shape.aspect = aspect }
        try shape.check()
        return shape
    }
}

/// The best size and number of tokens for a budget, for each of some numbers of experts.
public struct OptimalModels: JSONResult {
    /// The law, with its source.
    public let law: ChosenLaw
    package let plan: BudgetPlan
    /// The best model of each number of experts.
    package let candidates: [BudgetPlan.Candidate]
    /// Where models are outside of what the law was fitted to.
    public let warnings: [String]

    /// - Parameter experts: numbers to compare; nil for 1 to 32, or what the law is of.
    /// - Throws: `CheckpointError` of `.usage` for numbers that no model can have.
    public init(_ law: ChosenLaw, _ budget: BudgetOptions, experts: [Double]? = nil) throws {
        self.law = law
        let plan = try BudgetPlan(law, budget)
        let numbers =
            experts ?? (law.law.form.variables.contains(.experts) ? [1, 2, 4, 8, 16, 32] : [law.defaultExperts])
        candidates = try numbers.map { try plan.optimum(experts: $0) }
        self.plan = plan
        warnings = law.warnings(candidates.map(\.point))
    }

    /// Budget, law and models.
    public var json: JSONObject {
        [
            "law": law.json, "flops": JSON(plan.flops),
            "models": .array(candidates.map { .object($0.json(law.law.form)) }), "warnings": .strings(warnings),
        ]
    }
}

extension BudgetPlan {
    /// A budget for models that a law knows.
    ///
    /// - Throws: `CheckpointError` of `.usage` for numbers out of bounds, and where the law needs one that is missing.
    init(_ law: ChosenLaw, _ options: BudgetOptions) throws {
        let checks = [
            ("`context`", options.context, 0.0), ("`inferenceTokens`", options.inferenceTokens, 0),
            ("`bytesPerParameter`", options.bytesPerParameter, 0.1), ("`granularity`", options.granularity, 1),
        ]
        for (name, value, least) in checks where !(value >= least && value <= 1e30) {
            throw CheckpointError(
                .usage, message: "\(name) \(numberText(value)): a number from \(numberText(least)) to 1e30 is needed")
        }
        if law.law.form.variables.contains(.sunkTokens), options.sunkTokens == nil {
            throw CheckpointError(.usage, message: "\(law.law.form.name) needs `sunkTokens`")
        }
        self.init(law: law.law, shape: try options.shape.shape(law.shape), flops: options.flops)
        memory = options.memory
        context = options.context
        inferenceTokens = options.inferenceTokens
        bytesPerParameter = options.bytesPerParameter
        granularity = options.granularity
        sunkTokens = options.sunkTokens ?? 1
    }
}
