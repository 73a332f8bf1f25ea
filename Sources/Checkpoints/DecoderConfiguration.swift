/// What a decoder computes, with every number known: the family's description and the checkpoint's configuration taken
/// together.
package struct DecoderConfiguration: Sendable, Hashable {
    package let layers: Int
    package let hidden: Int
    package let vocabulary: Int
    package let norm: Norm
    package let attention: Attention
    package let activation: Activation
    /// The factor on the embeddings.
    package let embeddingScale: Float
    /// The factor on what a block adds to the residual stream.
    package let residualScale: Float
    /// The factor on the logits.
    package let logitsScale: Float
    /// `cap * tanh(logits / cap)`.
    package let logitsSoftcap: Float?
    /// Whether attention and network see the same normalised stream, side by side.
    package let isParallel: Bool
    /// Hidden units of a dense layer's network; nil where no layer has one.
    package let inner: Int?
    /// Tokens of a sequence beyond which the model computes something else than the decoder does; nil for none.
    package let maximumLength: Int?
    /// Nil for a dense model.
    package let mixture: Mixture?
    /// Which layers are mixtures.
    package let moeLayers: [Bool]
    /// What mixes the tokens of each layer; nil for a layer that is a network alone.
    package let mixers: [MixerKind?]
    /// Which layers have a network or a mixture.
    package let hasNetwork: [Bool]
    /// The gated short convolutions; nil where no layer has one.
    package let convolution: ShortConvolution?
    /// The Gated DeltaNets; nil where no layer has one.
    package let delta: DeltaNet?
    /// The Mamba-2 layers; nil where there is none.
    package let mamba: Mamba?

    /// How a vector is normalised.
    package struct Norm: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            /// `x / rms(x) * w`
            case rms
            /// `x / rms(x) * (1 + w)`
            case rmsPlusOne
            /// `(x - mean) / deviation * w + b`
            case layer
        }
        package let kind: Kind
        package let epsilon: Float
        /// Whether the norms of the stream have weights.
        package let hasWeights: Bool

        package init(kind: Kind, epsilon: Float, hasWeights: Bool = true) {
            self.kind = kind
            self.epsilon = epsilon
            self.hasWeights = hasWeights
        }

        /// What is added to the weights before they multiply.
        package var weightOffset: Float { kind == .rmsPlusOne ? 1 : 0 }
    }

    /// The attention of every layer.
    package struct Attention: Sendable, Hashable {
        package let heads: Int
        package private(set) var keyValueHeads: Int
        /// Values of a head's query and key.
        package private(set) var keyDimension: Int
        /// Values of a head's value.
        package private(set) var valueDimension: Int
        /// Multi-head latent attention; nil for grouped queries.
        package let latent: Latent?
        /// The factor on the scores.
        package let scale: Float
        /// `cap * tanh(scores / cap)`.
        package let softcap: Float?
        /// How many tokens, itself among them, a token sees in each layer; nil for all before it.
        package let windows: [Int?]
        /// Tokens of each layer see those of their own run of this many; nil for no such runs.
        package let chunks: [Int?]
        /// Queries, keys and values are cut to this magnitude.
        package let clip: Float?
        /// Whether queries and keys are normalised after they are rotated.
        package let normalizesAfterRotation: Bool
        /// Layers whose queries and keys have norms without weights.
        package let weightlessNorms: [Bool]
        /// Whether values are normalised, without weights.
        package let normalizesValues: Bool
        /// Whether the queries' projection has a gate of the output behind each head's query.
        package let gatesInsideQuery: Bool
        /// Whether values are what keys are before their norm.
        package private(set) var sharesKeys = false
        /// What layers that see all tokens have instead; nil where they are like the others.
        package let wide: Wide?
        /// The ways that layers rotate, and which of them each layer has.
        package let rotaries: [RotaryEmbedding]
        package let rotaryOfLayer: [Int]

        /// The heads of layers that see all tokens, where they differ from those of layers with a window.
        package struct Wide: Sendable, Hashable {
            package let layers: [Bool]
            package let keyValueHeads: Int
            package let dimension: Int
            package let sharesKeys: Bool
        }

        /// With the heads that a layer has.
        package func of(layer: Int) -> Attention {
            guard let wide, wide.layers[layer] else { return self }
            var result = self
            result.keyValueHeads = wide.keyValueHeads
            result.keyDimension = wide.dimension
            result.valueDimension = wide.dimension
            result.sharesKeys = wide.sharesKeys
            return result
        }

        /// Multi-head latent attention (DeepSeek-AI 2024, 2405.04434, section 2.1).
        package struct Latent: Sendable, Hashable {
            /// Rank of the queries' projection; nil where they are projected at once.
            package let queryRank: Int?
            package let keyValueRank: Int
            /// Values of a head's query and key without and with a position.
            package let plain: Int
            package let rotated: Int
        }
    }

    /// The activation of the feed-forward networks, gated but for the last.
    package enum Activation: Sendable, Hashable {
        case silu
        case geluTanh
        /// gpt-oss': `min(g, limit) * sigmoid(alpha g) * (clamp(u, ±limit) + 1)`.
        case clampedSwiGLU(alpha: Float, limit: Float)
        /// `max(u, 0)²`
        case squaredReLU
    }

    /// The mixture layers.
    package struct Mixture: Sendable, Hashable {
        package let experts: Int
        package let topK: Int
        package let expertInner: Int
        /// Hidden units of the shared expert; nil where there is none.
        package let sharedInner: Int?
        /// The factor on the shared expert's output.
        package let sharedScale: Float
        /// Whether a dense network stands beside the experts, and each has norms of its own; the router then sees the
        /// stream through a norm of its own.
        package let hasDenseBeside: Bool
        package let router: Router
    }

    /// What a router computes from its logits.
    package struct Router: Sendable, Hashable {
        package enum Score: Sendable, Hashable {
            /// The gates are the softmax of all logits.
            case softmax
            /// The gates are the softmax of the selected logits.
            case softmaxOfSelected
            case sigmoid
            /// Each gate is the softmax of the logits that are close to the largest of those left (Liu et al. 2024,
            /// 2409.12136, as it is evaluated); `threshold` is twice the jitter.
            case sparseMixer(threshold: Float)
        }
        package let score: Score
        /// Whether the selected gates are divided by their sum.
        package let renormalizes: Bool
        /// Whether the gates multiply what goes into the experts instead of what comes out.
        package let gatesInput: Bool
        /// The least that they are divided by.
        package let leastSum: Float
        /// What is added to their sum.
        package let sumOffset: Float
        /// The factor on the gates.
        package let scale: Float
        package let groups: Groups?

        /// Whether the gates of the selected experts sum to one, before the factor.
        package var sumsToOne: Bool { renormalizes || score == .softmaxOfSelected }

        /// Experts are chosen from some of the groups only.
        package struct Groups: Sendable, Hashable {
            package enum Score: Sendable, Hashable {
                /// A group is worth its best expert.
                case best
                /// A group is worth its two best experts together.
                case topTwo
            }
            package let count: Int
            package let kept: Int
            package let score: Score
        }
    }
}
