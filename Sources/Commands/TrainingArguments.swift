import ArgumentParser
import MoEToolkit
import Safetensors

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
        help: "The highest learning rate; by default 1e-2 for routers and norms, and 1e-3 where more is trained.")
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

    var settings: TrainingSettings {
        var settings = TrainingSettings(data: data)
        settings.weights = weights
        settings.batches = batches
        settings.heldOut = heldout
        settings.heldOutTokens = heldoutTokens
        settings.holdOut = holdout?.share
        settings.evaluateEvery = evalEvery
        settings.patience = patience
        settings.steps = steps
        settings.epochs = epochs
        settings.tokens = trainTokens?.tokens
        settings.minutes = minutes
        settings.learningRate = learningRate
        settings.minimumRate = minimumRate
        settings.warmup = warmup.amount
        settings.schedule = schedule
        settings.sweepsRates = lrSweep
        settings.sweepSteps = lrSweepSteps
        settings.beta1 = beta1
        settings.beta2 = beta2
        settings.epsilon = eps
        settings.weightDecay = weightDecay
        settings.clip = clip
        settings.batchTokens = batchTokens
        settings.partTokens = partTokens
        settings.length = length
        settings.balance = balance
        settings.zLoss = zLoss
        settings.jitter = jitter
        settings.routerNoise = routerNoise
        settings.learnsRouterNoise = noisyTopK
        settings.samplesTop1 = sampleTop1
        settings.gumbelRate = gumbelRate
        settings.logitScale = normalizeLogits
        settings.checkpointsActivations = checkpointActivations
        settings.saveEvery = saveEvery
        settings.tensorBoard = tensorboard
        settings.seed = seed
        return settings
    }
}
