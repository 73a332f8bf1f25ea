import Checkpoints
import Numerics
package import Safetensors

/// How a dense checkpoint becomes a mixture of experts.
public struct UpcycleOptions: Sendable, Hashable {
    /// Copies of the feed-forward network: E. With `partition`, the parts it is cut into.
    public var experts: Int
    /// Copies that a token is routed to: K; by default 2, or all parts of a partition.
    public var topK: Int?
    /// Parts that each copy is cut into: G. There are then E·G experts of width I/G, and a token is routed to K·G.
    public var granularity = 1
    /// The family of the result, by its `model_type`; by default the first that the dense family goes to.
    public var target: String?
    /// Which layers become mixtures.
    public var layers = LayerSelection.all
    /// What the experts start from.
    public var initialisation = Initialisation.copy
    /// What the router starts from; by default random, or zero for a partition.
    public var router: RouterInitialisation?
    /// Whether the gates of the selected experts are divided by their sum; by default they are.
    public var normalisesTopK = true
    /// Keep the dense network whole as a shared expert, the routed experts starting at zero.
    public var sharedExperts = false
    /// The factor on the experts' down projections.
    public var scale = OutputScale.auto
    /// The seed that every draw is keyed by, with the tensor's name.
    public var seed: UInt64 = 0

    /// Copies, top-2, with the other options' defaults.
    public init(experts: Int, topK: Int? = nil) {
        self.experts = experts
        self.topK = topK
    }

    /// What the experts start from.
    public enum Initialisation: Sendable, Hashable {
        /// Each expert is the dense network.
        case copy
        /// A copy with normal noise of the given share of each matrix's own standard deviation.
        case noise(Float)
        /// A copy with the given share of its hidden units drawn anew (Drop-Upcycling, Nakamura et al. 2025): one set
        /// of units for each expert, the same in the rows of gate and up and in the columns of down, from a normal
        /// distribution with the mean and standard deviation of what is replaced in each matrix.
        case drop(Float)
        /// The network's hidden units are divided among the experts.
        case partition
    }

    /// What the router starts from.
    public enum RouterInitialisation: Sendable, Hashable {
        /// Normal, mean zero, the given standard deviation.
        case random(std: Float)
        /// Uniform about zero, with the given standard deviation.
        case uniform(std: Float)
        /// All logits zero.
        case zero
    }

    /// The factor on the experts' down projections.
    public enum OutputScale: Sendable, Hashable {
        /// What makes the output that of the dense network.
        case auto
        /// One.
        case none
        /// The given number.
        case factor(Float)
    }
}

/// A choice of layers.
public enum LayerSelection: Sendable, Hashable {
    /// All layers.
    case all
    /// Every n-th layer, as `decoder_sparse_step` counts: layers n-1, 2n-1, ...
    case every(Int)
    /// All but the first n.
    case firstDense(Int)
    /// The given layers, counted from zero.
    case listed(Set<Int>)

    /// Whether each of `count` layers is chosen.
    package func mask(layers count: Int) -> [Bool] {
        (0..<count).map { layer in
            switch self {
            case .all: true
            case .every(let step): step > 0 && (layer + 1) % step == 0
            case .firstDense(let dense): layer >= dense
            case .listed(let layers): layers.contains(layer)
            }
        }
    }
}

/// How the upcycled model's function compares with the dense one's.
public struct Preservation: Sendable, Hashable {
    /// Whether it is the dense function, the dense function of weights that were rounded, the dense function on average
    /// over the router's draw, or none of these.
    public enum Degree: String, Sendable { case exact, rounded, expectation, none }

    /// How much of the dense function is left.
    public let degree: Degree
    /// Why, in a sentence.
    public let reason: String
    /// The factor on the down projections.
    public let factor: Double

    /// What is left of it where the weights are written in another dtype.
    ///
    /// - Parameters:
    ///   - original: the dtype of the dense weights.
    ///   - written: the dtype that they are written in.
    package func rounding(_ original: DType?, to written: DType?) -> Preservation {
        guard degree == .exact, let original, let written, original != written, !written.holds(original) else {
            return self
        }
        return Preservation(
            degree: .rounded, reason: "\(reason), and its weights are rounded from \(original.rawValue)",
            factor: factor)
    }
}
