import Checkpoints
import Numerics

/// A layer's weights in F32, as the decoder uses them.
package final class LayerParameters {
    package let layer: Int
    /// Before the mixer; nil where a block's output is normalised instead.
    package let attentionNorm: NormWeights?
    /// Of what the attention adds to the stream.
    package let attentionOutputNorm: NormWeights?
    /// Before the feed-forward network.
    package let feedForwardNorm: NormWeights?
    /// Of what the feed-forward network adds.
    package let feedForwardOutputNorm: NormWeights?
    /// Attention or what stands in its place; nil for a layer that is a network alone.
    package let mixer: (any MixerParameters)?
    /// Nil for a layer that is a mixer alone.
    package let feedForward: FeedForwardParameters?
    /// The factor on the stream that leaves; nil for none.
    package let scale: VectorWeights?

    init(
        layer: Int, attentionNorm: NormWeights?, attentionOutputNorm: NormWeights?, feedForwardNorm: NormWeights?,
        feedForwardOutputNorm: NormWeights?, mixer: (any MixerParameters)?, feedForward: FeedForwardParameters?,
        scale: VectorWeights?
    ) {
        self.layer = layer
        self.attentionNorm = attentionNorm
        self.attentionOutputNorm = attentionOutputNorm
        self.feedForwardNorm = feedForwardNorm
        self.feedForwardOutputNorm = feedForwardOutputNorm
        self.mixer = mixer
        self.feedForward = feedForward
        self.scale = scale
    }
}

/// The weights of an attention.
package struct AttentionParameters {
    package enum Projections {
        /// Queries, keys and values of the same input, one below the other.
        case grouped(Linear)
        /// Multi-head latent attention: the queries at once or through a lower rank, and the compressed keys and values.
        case latent(LatentProjections)
    }
    package let projections: Projections
    package let queryNorm: NormWeights?
    package let keyNorm: NormWeights?
    package let valueNorm: NormWeights?
    package let sinks: VectorWeights?
    /// The projection whose sigmoid multiplies the heads' output; nil for none.
    package let gate: Linear?
    package let output: Linear
}

/// The projections of multi-head latent attention.
package struct LatentProjections {
    /// The input to the queries, or to their lower rank.
    package let query: Linear
    /// The lower rank to the queries, and the norm between.
    package let queryUp: (norm: NormWeights, projection: Linear)?
    /// The input to the compressed keys and values, and the key's part that has a position.
    package let keyValueDown: Linear
    package let keyValueNorm: NormWeights
    package let keyValueUp: Linear
}

/// A feed-forward network: gate and up projection stacked, or the up projection alone, and the down projection.
package struct GatedNetwork {
    package let gateUp: Linear
    package let down: Linear

    package var inner: Int { down.inputs }
}

/// What a layer's feed-forward block has.
package enum FeedForwardParameters {
    case dense(GatedNetwork)
    case mixture(MixtureParameters)
}

/// The weights of a mixture layer.
package struct MixtureParameters {
    package let router: Linear
    /// What is added to the scores for the selection alone.
    package let correction: VectorWeights?
    package let experts: [GatedNetwork]
    package let shared: GatedNetwork?
    /// The shared expert's own gate, `[1, hidden]`.
    package let sharedGate: Linear?
    /// What the router sees the stream through, where it does not see what the experts do.
    package let routerNorm: NormWeights?
    /// The factor on each expert's gates; nil for none.
    package let expertScale: VectorWeights?
    /// A dense network that every token goes to, with norms of its own.
    package let beside: DenseBeside?
}

/// A dense network beside the experts: `denseNorm(network(x)) + expertsNorm(experts(beforeExperts(stream)))`.
package struct DenseBeside {
    package let network: GatedNetwork
    package let denseNorm: NormWeights
    package let beforeExperts: NormWeights
    package let expertsNorm: NormWeights

    package var norms: [NormWeights] { [denseNorm, beforeExperts, expertsNorm] }
}
