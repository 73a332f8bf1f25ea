/// How a mixture of experts becomes dense.
public struct DensifyOptions: Sendable {
    /// How a layer's experts become one network.
    public var method = Method.average
    /// Match hidden units to those of the most used expert (or the first) before they are averaged.
    public var aligns = false
    /// Consecutive experts that are the parts of one network; nil for what the checkpoint's record says, or else 1.
    public var granularity: Int?
    /// The sum of the gates of the experts that a token is routed to, before the family's factor, by layer where there
    /// are as many, else the first for all; empty for one where they are normalised, and for what a router without a
    /// preference gives where they are not.
    public var gateMass: [Double] = []
    /// The mean of the shared expert's gate, likewise; empty for one half.
    public var sharedGate: [Double] = []
    /// How often each expert is used, by layer, which `average` weighs them by; empty for equal weights.
    public var usage: [Int: [Double]] = [:]
    /// The dense family, by its `model_type`; by default the first that the mixture's family goes to.
    public var target: String?

    /// The mean of the experts, to the first dense family that the mixture's goes to.
    public init() {}

    /// How a layer's experts become one network.
    public enum Method: Sendable, Hashable {
        /// Their mean, weighted by use where that is known.
        case average
        /// The mean weighted element by element with each expert's Fisher information (Matena and Raffel 2022,
        /// 2111.09832): a safetensors file with a tensor for each of the experts' tensors, under its name.
        case fisher(String)
        /// One of them; one number for all layers, or one for each.
        case expert([Int])
        /// For each unit of the network, one of an expert: they take turns to give that with the largest norm (after OneS'
        /// Top-KG, Xue et al. 2022, 2201.10890, which may take the same unit of several).
        case topNeurons
        /// The mean, and the mean of the leading singular directions of each expert's deviation from it (after OneS' SVD-KG,
        /// which adds up the directions of the experts themselves, and of copies of one gives a multiple of a few).
        case svd
        /// All of them side by side: exact for a mixture that was cut from one network, if a token goes to all.
        case concatenate
        /// `lambda * shared + (1 - lambda) * sum softmax(alpha)_i expert_i` (XFT, Ding et al. 2024, 2404.15247), alpha by
        /// layer.
        case learned(lambda: Double, alphas: [Int: [Double]])
    }
}

/// What became of a mixture, for the user.
public struct DensifyReport: Sendable, Hashable {
    /// Hidden units of the result.
    public let width: Int
    /// Consecutive experts that were taken as the parts of one network.
    public let granularity: Int
    /// What approximates, in sentences; empty where nothing does but the method itself.
    public let approximations: [String]
    /// Whether the result computes what the mixture does, to rounding, if the experts of each layer are one network.
    public let isExactForCopies: Bool
}
