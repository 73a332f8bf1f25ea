import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Safetensors
import Training

/// What every command takes that trains.
struct TrainingArguments: ParsableArguments {
    @Option(
        name: .customLong("data"),
        help: ArgumentHelp(
            "Text to train on: NAME=PATH, a file, or a folder whose entries are the domains; repeatable.",
            valueName: "name=path"), completion: .file())
    var data: [String] = []

    @Option(
        help: ArgumentHelp("How often each domain is drawn: code=2,law=1; by default equally.", valueName: "name=w,...")
    )
    var weights: String?

    @Option(
        help: ArgumentHelp("Train on batches [steps, B, T] of token ids instead.", valueName: "file.safetensors"),
        completion: .file())
    var batches: String?

    @Option(
        help: ArgumentHelp("Text to measure the loss on that is not trained on; like --data.", valueName: "name=path"),
        completion: .file())
    var heldout: [String] = []

    @Option(help: "At most so many tokens of each held-out domain.")
    var heldoutTokens: Int?

    @Option(help: "Steps between held-out evaluations; by default one at the end.")
    var evalEvery: Int?

    @Option(help: "Stop after so many evaluations without a lower mean loss, and keep the parameters of the lowest.")
    var patience: Int?

    @Option(help: "Steps; by default 100, or as many as --batches has.")
    var steps: Int?

    @Option(help: "Passes over the data, instead of steps.")
    var epochs: Double?

    @Option(help: "Stop after so many minutes of training.")
    var minutes: Double?

    @Option(
        name: .customLong("tokens"),
        help: ArgumentHelp("Tokens to train on, instead of steps: 100M, 1.5B.", valueName: "count"))
    var trainTokens: TokenCount?

    @Option(
        help: ArgumentHelp(
            "Hold the last part of each domain's training text out, where there is no --heldout: 5%.",
            valueName: "share"))
    var holdout: Percentage?

    @Option(
        name: .customLong("lr"),
        help: "The highest learning rate; by default 1e-2 for routers alone, and 1e-3 where more is trained.")
    var learningRate: Double?

    @Flag(
        help:
            "First try five rates around --lr or its default on a little of the data, say what each gives, and take the best."
    )
    var lrSweep = false

    @Option(help: "Steps of each trial of --lr-sweep.")
    var lrSweepSteps = 20

    @Option(name: .customLong("min-lr"), help: "The learning rate at the end; by default a tenth of the highest.")
    var minimumRate: Double?

    @Option(help: "Steps over which the learning rate grows, or a share of all: 3%.")
    var warmup = StepShare(steps: 0)

    @Option(
        help: "How the learning rate falls: cosine, linear, constant or wsd[:SHARE].",
        completion: .list(["cosine", "linear", "constant", "wsd"]))
    var schedule = "cosine"

    @Option(help: "AdamW's first beta.")
    var beta1 = 0.9

    @Option(help: "AdamW's second beta.")
    var beta2 = 0.95

    @Option(help: "AdamW's epsilon.")
    var eps = 1e-8

    @Option(help: "AdamW's decay, on matrices only.")
    var weightDecay = 0.1

    @Option(help: "The largest norm of the gradient; 0 for no clipping.")
    var clip = 1.0

    @Option(help: "Tokens of a step.")
    var batchTokens = 4096

    @Option(
        help:
            "Tokens that go through the model at once: the step's are gradients added up over parts of so many; by default 4096, or as many as fit --memory."
    )
    var partTokens: Int?

    @Option(help: "Tokens of a sequence.")
    var length = 256

    @Option(
        help: ArgumentHelp(
            "The balancing loss and its weight: switch, gshard, importance+load, btx, hf, loss-free, mutual-information or none.",
            valueName: "name[:weight]"), completion: .list(Balance.Method.allCases.map(\.rawValue)))
    var balance = "none"

    @Option(help: "The weight of the router z-loss.")
    var zLoss = 0.0

    @Option(help: "Multiply routers' inputs by draws from 1 ± this.")
    var jitter = 0.0

    @Option(help: "Normal noise of this deviation on routers' logits.")
    var routerNoise = 0.0

    @Flag(help: "Noise on routers' logits whose deviation is learned (Shazeer 2017).")
    var noisyTopK = false

    @Flag(help: "Route each token to one expert that is drawn (Branch-Train-MiX's sample top-1).")
    var sampleTop1 = false

    @Option(help: "The rate at which the temperature of --sample-top1 falls to a half.")
    var gumbelRate = 1e-4

    @Option(help: "Normalise routers' logits and multiply them by this (Skywork-MoE).")
    var normalizeLogits: Double?

    @Flag(help: "Compute each layer a second time for its gradient instead of keeping what it computed.")
    var checkpointActivations = false

    @Option(help: "Minutes between saved states.")
    var saveEvery = 10.0

    @Option(help: ArgumentHelp("Write TensorBoard event files.", valueName: "folder"), completion: .directory)
    var tensorboard: String?

    @Option(help: "The seed of every random draw.")
    var seed: UInt64 = 0

    func validate() throws {
        func check(_ name: String, _ isFine: Bool, _ wanted: String) throws {
            if !isFine { throw ValidationError("--\(name): give \(wanted)") }
        }
        if LearningRateSchedule.Shape(schedule) == nil {
            throw ValidationError("--schedule \(schedule): give cosine, linear, constant or wsd[:SHARE]")
        }
        if Balance(balance) == nil {
            throw ValidationError(
                "--balance \(balance): give \(Balance.Method.allCases.map(\.rawValue).joined(separator: ", ")), with "
                    + "a weight after a colon")
        }
        let counts = 1...1_000_000_000
        try check("lr", learningRate.map { $0 > 0 && $0.isFinite } ?? true, "a positive number")
        try check(
            "min-lr", minimumRate.map { $0 >= 0 && $0 <= learningRate ?? .infinity } ?? true, "0 to the highest rate")
        try check("lr-sweep-steps", (1...10_000).contains(lrSweepSteps), "1 to 10000")
        try check("steps", steps.map(counts.contains) ?? true, "1 to \(counts.upperBound)")
        try check("epochs", epochs.map { $0 > 0 && $0 < 1e6 } ?? true, "a positive number")
        try check("minutes", minutes.map { $0 > 0 && $0 <= 1e9 } ?? true, "a positive number")
        try check("beta1", beta1 >= 0 && beta1 < 1, "0 or more and below 1")
        try check("beta2", beta2 >= 0 && beta2 < 1, "0 or more and below 1")
        try check("eps", eps > 0 && eps.isFinite, "a positive number")
        try check("weight-decay", weightDecay >= 0 && weightDecay.isFinite, "0 or more")
        try check("clip", clip >= 0 && clip.isFinite, "a positive number, or 0 for none")
        try check("length", length >= 2 && length <= 1 << 20, "2 or more")
        try check(
            "batch-tokens", batchTokens >= length && counts.contains(batchTokens), "--length to \(counts.upperBound)")
        try check("part-tokens", partTokens.map(counts.contains) ?? true, "1 to \(counts.upperBound)")
        try check("z-loss", zLoss >= 0 && zLoss.isFinite, "0 or more")
        try check("jitter", jitter >= 0 && jitter < 1, "0 or more and below 1")
        try check("router-noise", routerNoise >= 0 && routerNoise.isFinite, "0 or more")
        try check("eval-every", evalEvery.map { $0 > 0 } ?? true, "1 or more")
        try check("patience", patience.map { $0 > 0 } ?? true, "1 or more")
        try check("save-every", saveEvery > 0 && saveEvery <= 1e9, "a positive number")
        try check("gumbel-rate", gumbelRate >= 0 && gumbelRate.isFinite, "0 or more")
        try check("normalize-logits", normalizeLogits.map { $0 > 0 && $0 <= 1e9 } ?? true, "a positive number")
        if batches != nil, !data.isEmpty { throw ValidationError("--batches and --data: give one of them") }
        if patience != nil, heldout.isEmpty, holdout == nil {
            throw ValidationError("--patience needs --heldout or --holdout")
        }
        if holdout != nil, !heldout.isEmpty { throw ValidationError("--heldout and --holdout: give one of them") }
        if holdout != nil, batches != nil { throw ValidationError("--holdout holds out text: give --data") }
        if [steps != nil, epochs != nil, trainTokens != nil].filter({ $0 }).count > 1 {
            throw ValidationError("--steps, --epochs and --tokens: give one of them")
        }
        if Balance(balance)?.needsDomains == true, batches != nil {
            throw ValidationError(
                "--balance \(balance) tells domains apart, and --batches has none: give two or more with --data")
        }
        if sampleTop1, noisyTopK { throw ValidationError("--sample-top1 and --noisy-top-k: give one of them") }
    }

    /// What the trainer is told.
    func options(_ selection: ParameterSelection, steps: Int) -> TrainingOptions {
        var options = TrainingOptions()
        options.selection = selection
        options.optimizer = AdamWOptions(beta1: beta1, beta2: beta2, epsilon: eps, weightDecay: weightDecay)
        options.clip = clip > 0 ? clip : nil
        options.schedule = LearningRateSchedule(
            shape: LearningRateSchedule.Shape(schedule) ?? .cosine, peak: rate(selection),
            minimum: minimumRate ?? rate(selection) / 10, warmup: warmup.steps(of: steps), steps: steps)
        options.balance = Balance(balance) ?? Balance(.none)
        options.zLoss = zLoss
        options.seed = seed
        options.checkpointsActivations = checkpointActivations
        options.perturbations.jitter = jitter
        options.perturbations.noise = routerNoise
        options.perturbations.learnsNoise = noisyTopK
        options.perturbations.gumbelRate = sampleTop1 ? gumbelRate : nil
        options.perturbations.normalization = normalizeLogits
        return options
    }

    /// The highest learning rate.
    func rate(_ selection: ParameterSelection) -> Double { learningRate ?? selection.usualRate }

    /// The batches, how many steps they make, and the text that `--holdout` leaves out of them.
    func source(_ encoder: () throws -> TextEncoder, _ arguments: DataArguments) throws -> (
        any BatchSource, steps: Int, heldOut: [DomainText]
    ) {
        if let batches {
            let source = try ExplicitBatches(path: batches)
            return (source, min(steps ?? .max, source.steps ?? 0), [])
        }
        guard !data.isEmpty else { throw ValidationError("--data: give text to train on") }
        let sources = try DataSource.parse(data)
        let encoder = try encoder()
        var domains = try sources.map {
            try TrainingDomain($0, length: length, options: arguments.options, encoder: encoder)
        }
        if Balance(balance)?.needsDomains == true, domains.count < 2 {
            throw CheckpointError(
                .usage,
                message: "--balance \(balance) tells domains apart, and there is one: give two or more with --data")
        }
        let heldOut = try domains.indices.compactMap { index in
            try holdout.map { try domains[index].holdOut($0.share, limit: heldoutTokens) }
        }
        let sequences = max(1, batchTokens / length)
        let stream = try TrainingStream(domains, weights: parsedWeights(domains.map(\.name)), seed: seed)
        var count = steps ?? (minutes == nil ? 100 : 1_000_000)
        if let epochs {
            let windows = domains.reduce(0) { $0 + $1.windowCount }
            count = max(1, Int(exactly: (epochs * Double(windows) / Double(sequences)).rounded(.up)) ?? .max)
        }
        if let trainTokens {
            let perStep = sequences * length
            count = max(1, (trainTokens.tokens + perStep - 1) / perStep)
        }
        return (
            StreamBatches(stream, length: length, sequences: sequences, atOnce: max(1, (partTokens ?? 4096) / length)),
            count,
            heldOut
        )
    }

    private func parsedWeights(_ names: [String]) throws -> [Double]? {
        guard let weights else { return nil }
        var result = [Double](repeating: 1, count: names.count)
        for part in weights.split(separator: ",") {
            let pair = part.split(separator: "=", omittingEmptySubsequences: false)
            guard pair.count == 2, let weight = Double(pair[1]), weight >= 0, weight.isFinite,
                let index = names.firstIndex(of: String(pair[0]))
            else {
                throw ValidationError(
                    "--weights \(weights): give NAME=WEIGHT for the domains \(names.joined(separator: ", "))")
            }
            result[index] = weight
        }
        return result
    }

    /// How a training is computed within --memory; refuses what cannot be, before any model is loaded.
    func plan(
        _ student: Checkpoint, teacher: Checkpoint? = nil, _ selection: ParameterSelection, topK: Int? = nil,
        comparesStreams: Bool = false, isResident: Bool = false, _ writing: WritingOptions
    ) throws -> TrainingPlan {
        var task = TrainingPlan.Task(
            student, teacher: teacher, selection, length: length, stepTokens: max(batchTokens, length))
        task.topK = topK
        task.partTokens = partTokens
        task.checkpointsActivations = checkpointActivations
        task.keepsBest = patience != nil
        task.triesRates = lrSweep
        task.comparesStreams = comparesStreams
        task.isResident = isResident
        if let batches {
            let shape = try ExplicitBatches.shape(path: batches)
            task.length = shape.length
            task.stepTokens = shape.tokens
            task.partTokens = shape.tokens
        }
        return try TrainingPlan(task, memory: writing.trainingMemory.bytes, threads: writing.workerCount)
    }

    /// The arguments with what the plan decided.
    func planned(_ plan: TrainingPlan, _ selection: ParameterSelection) -> TrainingArguments {
        var arguments = self
        arguments.learningRate = rate(selection)
        arguments.partTokens = batches == nil ? plan.partTokens : partTokens
        arguments.checkpointActivations = plan.checkpointsActivations
        return arguments
    }

    /// All that the result depends on besides the model, for a run that is resumed.
    var identity: JSONObject {
        [
            "data": .array(data.map { .string($0) }), "weights": .string(weights ?? ""),
            "batches": .string(batches ?? ""), "length": JSON(length), "batch-tokens": JSON(batchTokens),
            "part-tokens": JSON(partTokens ?? 4096), "lr": learningRate.map { JSON($0) } ?? .null,
            "min-lr": (minimumRate ?? learningRate.map { $0 / 10 }).map { JSON($0) } ?? .null,
            "warmup": .string(warmup.text), "schedule": .string(schedule), "beta1": JSON(beta1), "beta2": JSON(beta2),
            "eps": JSON(eps), "weight-decay": JSON(weightDecay), "clip": JSON(clip), "balance": .string(balance),
            "z-loss": JSON(zLoss), "jitter": JSON(jitter), "router-noise": JSON(routerNoise),
            "noisy-top-k": .bool(noisyTopK), "sample-top1": .bool(sampleTop1), "gumbel-rate": JSON(gumbelRate),
            "normalize-logits": normalizeLogits.map { JSON($0) } ?? .null, "seed": .number(String(seed)),
            "holdout": .string(holdout?.text ?? ""), "patience": patience.map { JSON($0) } ?? .null,
        ]
    }
}
