import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors

/// What is trained on, for how long, and how.
public struct TrainingSettings: Sendable, Hashable {
    /// Steps over which the learning rate grows.
    public enum Warmup: Sendable, Hashable {
        /// So many.
        case steps(Int)
        /// A share of all steps, from 0 to 1.
        case share(Double)

        /// Of a run of so many steps.
        func steps(of total: Int) -> Int {
            switch self {
            case .steps(let steps): steps
            case .share(let share): Int((share * Double(total)).rounded())
            }
        }

        /// `100`, `3%`.
        package var text: String {
            switch self {
            case .steps(let steps): "\(steps)"
            case .share(let share): "\(numberText(share * 100))%"
            }
        }
    }

    /// Text to train on: `NAME=PATH`, a file, or a folder whose entries are the domains.
    public var data: [String] = []
    /// How often each domain is drawn, `code=2,law=1`; nil for equally.
    public var weights: String?
    /// A safetensors file with batches `[steps, B, T]` of token ids to train on instead of text.
    public var batches: String?
    /// Text that is not trained on, to measure the loss on.
    public var heldOut: [String] = []
    /// Tokens of each held-out domain at most; nil for all.
    public var heldOutTokens: Int?
    /// The share of each domain's text that is held out where there is no `heldOut`: above 0 and below 1; nil for none.
    public var holdOut: Double?
    /// Steps between held-out evaluations; nil for one at the end.
    public var evaluateEvery: Int?
    /// Stop after so many evaluations without a lower mean loss, and keep the parameters of the lowest; nil for not.
    public var patience: Int?
    /// Steps; by default 100, or as many as `batches` has.
    public var steps: Int?
    /// Passes over the data, instead of steps.
    public var epochs: Double?
    /// Tokens to train on, instead of steps.
    public var tokens: Int?
    /// Stop after so many minutes of training; nil for not.
    public var minutes: Double?
    /// The highest learning rate; by default 1e-2 for routers and norms, and 1e-3 where more is trained.
    public var learningRate: Double?
    /// The learning rate at the end; by default a tenth of the highest.
    public var minimumRate: Double?
    /// Steps over which the learning rate grows.
    public var warmup = Warmup.steps(0)
    /// How the learning rate falls: `cosine`, `linear`, `constant` or `wsd[:SHARE]`.
    public var schedule = "cosine"
    /// First try five rates around the highest on a little of the data, and take the best.
    public var sweepsRates = false
    /// Steps of each of those trials.
    public var sweepSteps = 20
    /// AdamW's first beta, from 0 to below 1.
    public var beta1 = 0.9
    /// AdamW's second beta, from 0 to below 1.
    public var beta2 = 0.95
    /// AdamW's epsilon, above 0.
    public var epsilon = 1e-8
    /// AdamW's decay, on matrices only, from 0 up.
    public var weightDecay = 0.1
    /// The largest norm of the gradient; 0 for no clipping.
    public var clip = 1.0
    /// Tokens of a step.
    public var batchTokens = 4096
    /// Tokens that go through the model at once: a step's are gradients added up over parts of so many; nil for 4096, or as
    /// many as fit the memory.
    public var partTokens: Int?
    /// Tokens of a sequence, from 2 up.
    public var length = 256
    /// The balancing loss and its weight: `switch`, `gshard`, `importance+load`, `btx`, `hf`, `loss-free`,
    /// `mutual-information` or `none`, with `:WEIGHT`.
    public var balance = "none"
    /// The weight of the router z-loss, from 0 up.
    public var zLoss = 0.0
    /// Routers' inputs are multiplied by draws from 1 ± this, from 0 to below 1.
    public var jitter = 0.0
    /// The deviation of normal noise on routers' logits, from 0 up.
    public var routerNoise = 0.0
    /// Noise on routers' logits whose deviation is learned (Shazeer et al. 2017, 1701.06538).
    public var learnsRouterNoise = false
    /// Route each token to one expert that is drawn (Branch-Train-MiX's sample top-1).
    public var samplesTop1 = false
    /// The rate at which that draw's temperature falls to a half.
    public var gumbelRate = 1e-4
    /// Normalise routers' logits and multiply them by this (Skywork-MoE); nil for not.
    public var logitScale: Double?
    /// Compute each layer a second time for its gradient instead of keeping what it computed.
    public var checkpointsActivations = false
    /// Minutes between saved states, above 0.
    public var saveEvery = 10.0
    /// A folder for TensorBoard's event files; nil for none.
    public var tensorBoard: String?
    /// The seed of every random draw.
    public var seed: UInt64 = 0

    /// - Parameter data: text to train on.
    public init(data: [String] = []) { self.data = data }
}

extension TrainingSettings {
    /// What the trainer is told.
    package func options(_ selection: ParameterSelection, steps: Int) -> TrainingOptions {
        var options = TrainingOptions()
        options.selection = selection
        options.optimizer = AdamWOptions(beta1: beta1, beta2: beta2, epsilon: epsilon, weightDecay: weightDecay)
        options.clip = clip > 0 ? clip : nil
        options.schedule = LearningRateSchedule(
            shape: LearningRateSchedule.Shape(schedule) ?? .cosine, peak: rate(selection),
            minimum: minimumRate ?? rate(selection) / 10, warmup: warmup.steps(of: steps), steps: steps)
        options.balance = Balance(balance) ?? Balance(.none)
        options.zLoss = zLoss
        options.seed = seed
        options.checkpointsActivations = checkpointsActivations
        options.perturbations.jitter = jitter
        options.perturbations.noise = routerNoise
        options.perturbations.learnsNoise = learnsRouterNoise
        options.perturbations.gumbelRate = samplesTop1 ? gumbelRate : nil
        options.perturbations.normalization = logitScale
        return options
    }

    /// The highest learning rate.
    func rate(_ selection: ParameterSelection) -> Double { learningRate ?? selection.usualRate }

    /// Refuses what is plain before a model is loaded.
    func check() throws {
        guard LearningRateSchedule.Shape(schedule) != nil else {
            throw CheckpointError(
                .usage, message: "`schedule` \(schedule): give cosine, linear, constant or wsd[:SHARE]")
        }
        guard Balance(balance) != nil else {
            throw CheckpointError(
                .usage,
                message:
                    "`balance` \(balance): give \(Balance.Method.allCases.map(\.rawValue).joined(separator: ", ")), "
                    + "with a weight after a colon")
        }
        guard length >= 2, batchTokens >= 1 else {
            throw CheckpointError(.usage, message: "`length` \(length): give 2 or more")
        }
        if batches == nil {
            guard !data.isEmpty else { throw CheckpointError(.usage, message: "`data`: give text to train on") }
            _ = try DataSource.parse(data)
        }
        _ = try DataSource.parse(heldOut)
    }

    /// The batches, how many steps they make, and the text that is held out of them.
    func source(
        _ encoder: () throws -> TextEncoder, _ text: TextOptions
    ) throws -> (source: any BatchSource, steps: Int, heldOut: [DomainText]) {
        if let batches {
            let source = try ExplicitBatches(path: batches)
            return (source, min(steps ?? .max, source.steps ?? 0), [])
        }
        guard !data.isEmpty else { throw CheckpointError(.usage, message: "`data`: give text to train on") }
        let sources = try DataSource.parse(data)
        let encoder = try encoder()
        var domains = try sources.map {
            try TrainingDomain($0, length: length, options: text.data, encoder: encoder)
        }
        if Balance(balance)?.needsDomains == true, domains.count < 2 {
            throw CheckpointError(
                .usage,
                message: "`balance` \(balance) tells domains apart, and there is one: give two or more with `data`")
        }
        let heldOut = try domains.indices.compactMap { index in
            try holdOut.map { try domains[index].holdOut($0, limit: heldOutTokens) }
        }
        let sequences = max(1, batchTokens / length)
        let stream = try TrainingStream(domains, weights: domainWeights(domains.map(\.name)), seed: seed)
        var count = steps ?? (minutes == nil ? 100 : 1_000_000)
        if let epochs {
            let windows = domains.reduce(0) { $0 + $1.windowCount }
            count = max(1, Int(exactly: (epochs * Double(windows) / Double(sequences)).rounded(.up)) ?? .max)
        }
        if let tokens {
            let perStep = sequences * length
            count = max(1, (tokens + perStep - 1) / perStep)
        }
        return (
            StreamBatches(stream, length: length, sequences: sequences, atOnce: max(1, (partTokens ?? 4096) / length)),
            count, heldOut
        )
    }

    private func domainWeights(_ names: [String]) throws -> [Double]? {
        guard let weights else { return nil }
        var result = [Double](repeating: 1, count: names.count)
        for part in weights.split(separator: ",") {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false)
            guard pair.count == 2, let weight = Double(pair[1]), weight >= 0, weight.isFinite,
                let index = names.firstIndex(of: String(pair[0]))
            else {
                throw CheckpointError(
                    .usage,
                    message: "`weights` \(weights): give NAME=WEIGHT for the domains \(names.joined(separator: ", "))")
            }
            result[index] = weight
        }
        return result
    }

    /// How a training is computed within the memory; refuses what cannot be, before any model is loaded.
    func plan(
        _ student: Checkpoint, teacher: Checkpoint? = nil, _ selection: ParameterSelection, topK: Int? = nil,
        comparesStreams: Bool = false, isResident: Bool = false, _ compute: ComputeOptions
    ) throws -> TrainingPlan {
        var task = TrainingPlan.Task(
            student, teacher: teacher, selection, length: length, stepTokens: max(batchTokens, length))
        task.topK = topK
        task.partTokens = partTokens
        task.checkpointsActivations = checkpointsActivations
        task.keepsBest = patience != nil
        task.triesRates = sweepsRates
        task.comparesStreams = comparesStreams
        task.isResident = isResident
        if let batches {
            let shape = try ExplicitBatches.shape(path: batches)
            task.length = shape.length
            task.stepTokens = shape.tokens
            task.partTokens = shape.tokens
        }
        return try TrainingPlan(task, memory: compute.memory, threads: compute.threads)
    }

    /// The settings with what the plan decided.
    func planned(_ plan: TrainingPlan, _ selection: ParameterSelection) -> TrainingSettings {
        var settings = self
        settings.learningRate = rate(selection)
        settings.partTokens = batches == nil ? plan.partTokens : partTokens
        settings.checkpointsActivations = plan.checkpointsActivations
        return settings
    }

    /// All that the result depends on besides the model, for a run that is resumed.
    var identity: JSONObject {
        [
            "data": .array(data.map { .string($0) }), "weights": .string(weights ?? ""),
            "batches": .string(batches ?? ""), "length": JSON(length), "batch-tokens": JSON(batchTokens),
            "part-tokens": JSON(partTokens ?? 4096), "lr": learningRate.map { JSON($0) } ?? .null,
            "min-lr": (minimumRate ?? learningRate.map { $0 / 10 }).map { JSON($0) } ?? .null,
            "warmup": .string(warmup.text), "schedule": .string(schedule), "beta1": JSON(beta1), "beta2": JSON(beta2),
            "eps": JSON(epsilon), "weight-decay": JSON(weightDecay), "clip": JSON(clip), "balance": .string(balance),
            "z-loss": JSON(zLoss), "jitter": JSON(jitter), "router-noise": JSON(routerNoise),
            "noisy-top-k": .bool(learnsRouterNoise), "sample-top1": .bool(samplesTop1),
            "gumbel-rate": JSON(gumbelRate), "normalize-logits": logitScale.map { JSON($0) } ?? .null,
            "seed": .number(String(seed)), "holdout": .string(holdOut.map { "\(numberText($0 * 100))%" } ?? ""),
            "patience": patience.map { JSON($0) } ?? .null,
        ]
    }
}
