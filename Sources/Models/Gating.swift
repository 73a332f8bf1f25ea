package import Numerics

/// What a gating decides from.
package struct GatingContext {
    package let layer: Int
    /// What the router sees, `[tokens, hidden]`.
    package let input: Matrix
    /// The router's logits, `[tokens, experts]`.
    package let logits: Matrix
    /// What the family adds to scores for the selection.
    package let correction: Matrix?
    /// What the family's own router does.
    package let rule: RouterRule
}

/// Tokens that share a network whose weights are a mean of all experts'.
package struct MergedSegment {
    package let tokens: Range<Int>
    /// A weight for each expert.
    package let weights: [Float]
    /// The factor on what the network gives.
    package let scale: Float

    package init(tokens: Range<Int>, weights: [Float], scale: Float = 1) {
        self.tokens = tokens
        self.weights = weights
        self.scale = scale
    }
}

/// How a mixture's experts take part.
package enum GatingOutcome {
    /// Tokens go to experts.
    case routed(RoutingDecision)
    /// Experts are averaged, segment by segment; segments do not overlap.
    case merged([MergedSegment])
}

/// Decides in a router's place how a layer's experts take part.
package protocol Gating: AnyObject {
    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome
}
