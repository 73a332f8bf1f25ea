public import Checkpoints
public import Safetensors

/// How several models become one.
public struct MergeOptions: Sendable {
    /// Experts that a token is routed to; by default 2, or as many as there are.
    public var topK: Int?
    /// The family of the result, by its `model_type`; by default the first that the dense family goes to.
    public var target: String?
    /// Whether the base is an expert, and part of the average, like the models.
    public var includesBase = false
    /// How everything but the experts is combined.
    public var average = MergeMethod.linear
    /// The method's numbers.
    public var settings = MergeSettings()
    /// What the routers' rows start from.
    public var router = RouterRows.random(std: 0.02)
    /// The row of the shared expert's gate by layer, `[hidden]`; empty for one that is drawn as the routers' rows are, or
    /// zero where these are not drawn.
    public var sharedGateRows: [Int: [Float]] = [:]
    /// Where the routers' values come from, for the record.
    public var routerOrigin: String?
    /// How models with different vocabularies are brought together; nil to refuse them.
    public var vocabulary: VocabularyChoice?
    /// How the models' networks become experts.
    public var arrangement = ExpertArrangement.experts
    /// The factor on the down projections of chunks; nil for what keeps the size of the output.
    public var scale: Float?
    /// Which layers become mixtures.
    public var layers = LayerSelection.all
    /// Whether the gates of the selected experts are divided by their sum, where the family has a choice.
    public var normalisesTopK = true
    /// The dtype of every floating-point tensor; nil for the models' own, which must then be the same.
    public var dtype: DType?
    /// Refuse models without a tokenizer instead of warning.
    public var requiresTokenizer = false
    /// The absolute standard deviation of noise on each expert's weights, by expert; none where there are fewer.
    public var expertNoise: [Float] = []
    /// The factor on each expert's down projection, by expert; one where there are fewer.
    public var expertScale: [Float] = []
    /// A model whose network every token goes through, where the family has a shared expert; nil for one that is zero.
    public var sharedExpert: Checkpoint?
    /// The factor on the shared expert's down projection.
    public var sharedExpertScale: Float = 1
    /// The seed that every draw is keyed by, with the tensor's name.
    public var seed: UInt64 = 0

    /// The defaults: every network an expert, top-2, everything else the mean.
    public init() {}

    /// What the routers' rows start from.
    public enum RouterRows: Sendable, Hashable {
        /// Normal, mean zero, the given standard deviation.
        case random(std: Float)
        /// Uniform about zero with the given standard deviation; nil for 1/√(3·hidden), as `torch.nn.Linear` starts.
        case uniform(std: Float?)
        /// All logits zero.
        case zero
        /// A safetensors file with a tensor `[experts, hidden]` under the name of each layer's router.
        case file(String)
        /// Values for each layer that is a mixture, row by row: `[experts, hidden]`.
        case values([Int: [Float]])
    }

    /// How the models' networks become experts (Sukhbaatar et al. 2024, 2403.07816, table 5).
    public enum ExpertArrangement: Sendable, Hashable {
        /// A network, an expert.
        case experts
        /// Each network is cut into C experts.
        case split(Int)
        /// Expert n is the n-th of C chunks of every network.
        case blend(Int)
    }
}

/// How models with different vocabularies are brought together, by the strings of their tokens.
public enum VocabularyChoice: String, Sendable, CaseIterable {
    /// The base's tokens, or else the first model's.
    case base
    /// The base's, and after them those that only other models have.
    case union
    /// The tokens that all models have, in the base's order.
    case intersect
}

/// A number that may depend on the depth and the tensor, as mergekit's configurations have it.
public indirect enum MergeSetting: Sendable, Hashable {
    case value(Double)
    /// Values spread evenly over the layers, interpolated in between.
    case gradient([Double])
    /// The first whose filter is part of the tensor's name, or that has none.
    case filtered([Filtered])

    /// A setting for the tensors whose names contain `filter`.
    public struct Filtered: Sendable, Hashable {
        /// A part of the tensor's name; nil or `*` fits all.
        public var filter: String?
        /// What holds for those tensors.
        public var setting: MergeSetting

        /// A setting behind a filter.
        public init(filter: String?, setting: MergeSetting) {
            self.filter = filter
            self.setting = setting
        }
    }

    /// The setting, or another where none of its filters fits.
    func or(_ other: MergeSetting) -> MergeSetting {
        guard case .filtered(let entries) = self, !entries.contains(where: { $0.filter == nil || $0.filter == "*" })
        else { return self }
        return .filtered(entries + [Filtered(filter: nil, setting: other)])
    }

    /// The value for a tensor; nil where no filter fits.
    ///
    /// - Parameter depth: 0 for the first layer and what comes before it, 1 for the last and what follows it.
    public func value(for tensor: String, depth: Double) -> Double? {
        switch self {
        case .value(let value): return value
        case .gradient(let values):
            guard let last = values.indices.last else { return nil }
            let position = min(max(depth, 0), 1) * Double(last)
            let index = min(Int(position), last)
            let fraction = position - Double(index)
            return (1 - fraction) * values[index] + fraction * values[min(index + 1, last)]
        case .filtered(let entries):
            for entry in entries where entry.filter.map({ $0 == "*" || tensor.contains($0) }) ?? true {
                return entry.setting.value(for: tensor, depth: depth)
            }
            return nil
        }
    }
}

/// The numbers of a merge method.
public struct MergeSettings: Sendable, Hashable {
    /// By model, in their order; where there are fewer, or a filter does not fit, the default for all.
    public var weights: [MergeSetting?] = []
    /// `density` by model.
    public var densities: [MergeSetting?] = []
    /// `gamma` by model.
    public var gammas: [MergeSetting?] = []
    /// `epsilon` by model.
    public var epsilons: [MergeSetting?] = []
    /// The factor of a model, for all models.
    public var weight = MergeSetting.value(1)
    /// The share of a task vector's values that is kept, within 0 and 1: the largest in ties, a random choice in dare
    /// and della, what is neither largest nor smallest in breadcrumbs.
    public var density = MergeSetting.value(0.5)
    /// The share of a task vector's largest values that breadcrumbs drops, within 0 and 1.
    public var gamma = MergeSetting.value(0.01)
    /// Half the width of the window around `density` within which della's chance to keep a value grows with its
    /// magnitude.
    public var epsilon = MergeSetting.value(0.15)
    /// Where between the first model (0) and the second (1) slerp ends.
    public var t = MergeSetting.value(0.5)
    /// The factor of the sum of the task vectors.
    public var lambda = MergeSetting.value(1)
    /// The share of the values, those of the largest variance over the models, that sce fuses, within 0 and 1.
    public var selectTopK = MergeSetting.value(1)
    /// Steps of karcher at most.
    public var maximumIterations = 10
    /// The length of karcher's step, in radians, at which it has converged.
    public var tolerance = 1e-5
    /// Whether the sum is divided by the weights; nil for the method's default.
    public var normalises: Bool?
    /// How what is left of a sparse task vector is scaled; nil for the method's default.
    public var rescaling: Rescaling?
    /// Rows by themselves instead of the whole tensor, for nuslerp and model-stock.
    public var isRowWise = false
    /// Where along a gradient the final norm and the head are; mergekit has them at its beginning.
    public var headDepth = 1.0

    /// mergekit's defaults.
    public init() {}

    /// The numbers for one tensor.
    func parameters(models: [Int], for tensor: String, depth: Double) -> MergeParameters {
        func values(_ own: [MergeSetting?], _ common: MergeSetting, _ fallback: Double) -> [Double] {
            models.map { model in
                let setting = model < own.count ? own[model] : nil
                return setting?.value(for: tensor, depth: depth) ?? common.value(for: tensor, depth: depth) ?? fallback
            }
        }
        var result = MergeParameters(models: models.count)
        result.weights = values(weights, weight, 1)
        result.densities = values(densities, density, 1)
        result.gammas = values(gammas, gamma, 0.01)
        result.epsilons = values(epsilons, epsilon, 0.15)
        result.t = t.value(for: tensor, depth: depth) ?? 0.5
        result.lambda = lambda.value(for: tensor, depth: depth) ?? 1
        result.selectTopK = selectTopK.value(for: tensor, depth: depth) ?? 1
        result.maximumIterations = maximumIterations
        result.tolerance = tolerance
        result.normalises = normalises
        result.rescaling = rescaling
        result.isRowWise = isRowWise
        return result
    }
}
