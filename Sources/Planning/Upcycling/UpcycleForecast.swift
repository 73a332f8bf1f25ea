package import Checkpoints
import Safetensors
package import Transforms

/// What a dense checkpoint would become, and what is to be expected of training it.
package struct UpcycleForecast: Sendable {
    package let dense: CheckpointSizes
    package let mixture: CheckpointSizes
    package let family: String
    /// Tokens of context.
    package let context: Double
    /// D2; nil where nothing is to be trained.
    package let tokens: Double?
    /// D1; nil where it is not known.
    package let sunkTokens: Double?
    /// By Liew et al., where both numbers of tokens are known.
    package let comparison: UpcycleComparison?
    /// The dense model trained on with as many FLOPs, by Liew et al.
    package let continuedDenseLoss: Double?

    /// - Parameter context: tokens that are attended to.
    /// - Throws: `CheckpointError` where the checkpoint cannot be upcycled so, or for numbers of tokens below one.
    package init(
        _ source: Checkpoint, options: UpcycleOptions, context: Double, tokens: Double? = nil, sunkTokens: Double? = nil
    ) throws {
        for (name, value) in [("`tokens`", tokens), ("`sunkTokens`", sunkTokens), ("`context`", context)] {
            guard let value else { continue }
            guard value.isFinite, value >= 1, value <= 1e30 else {
                throw CheckpointError(
                    .usage, message: "\(name) \(numberText(value)): a number from 1 to 1e30 is needed")
            }
        }
        let upcycled = try source.upcycled(options).checkpoint
        dense = try CheckpointSizes(of: source)
        mixture = try CheckpointSizes(of: upcycled)
        family = upcycled.description.architecture.modelType
        self.context = context
        self.tokens = tokens
        self.sunkTokens = sunkTokens
        guard let tokens, let sunkTokens else {
            comparison = nil
            continuedDenseLoss = nil
            return
        }
        comparison = try UpcycleComparison(parameters: dense.total, sunkTokens: sunkTokens, tokens: tokens)
        let ratio = mixture.trainingFLOPs(context: context) / dense.trainingFLOPs(context: context)
        continuedDenseLoss = try PublishedLaw.named("liew-dense")?.law().loss(
            LawPoint(parameters: dense.total, tokens: sunkTokens + ratio * tokens))
    }

    /// FLOPs of training on `tokens`.
    package var trainingFLOPs: Double? { tokens.map { $0 * mixture.trainingFLOPs(context: context) } }

    /// The training's FLOPs over those that the dense model has cost.
    package var shareOfSunkFLOPs: Double? {
        guard let trainingFLOPs, let sunkTokens else { return nil }
        return trainingFLOPs / (sunkTokens * dense.trainingFLOPs(context: context))
    }

    /// Komatsuzaki et al. 2022 (2212.05055): a mixture from scratch needs about 120 % of the dense model's FLOPs to catch
    /// up with an upcycled one; up to 100 % the upcycled one was ahead.
    package var komatsuzaki: UpcycleComparison.Verdict? {
        shareOfSunkFLOPs.map { $0 <= 1 ? .upcycling : $0 <= 1.2 ? .open : .scratch }
    }

    /// Skywork-MoE (2406.06563): from scratch where the mixture's budget is at least twice the dense model's, upcycling
    /// where it is much smaller, which is taken to be half.
    package var skywork: UpcycleComparison.Verdict? {
        shareOfSunkFLOPs.map { $0 < 0.5 ? .upcycling : $0 < 2 ? .open : .scratch }
    }

    /// Bytes to train everything with AdamW in F32, as `finetune --train all` does: weights, gradients and two moments,
    /// without activations. Mixed precision with an F32 master copy needs as many.
    package var fullTrainingBytes: Double { 16 * mixture.total }

    /// Bytes to train the routers alone: all weights in F32, gradients and moments of the routers.
    package var routerTrainingBytes: Double { 4 * mixture.total + 12 * mixture.routers }
}
