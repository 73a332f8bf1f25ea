import Models
import Numerics

/// Every token goes to all experts, by the router's probabilities: the mixture before it was made sparse (Jacobs et al.
/// 1991).
final class DenseGating: BatchGating {
    private let distribution: GateDistribution
    private let scale: Float

    init(distribution: GateDistribution, scale: Float) {
        self.distribution = distribution
        self.scale = scale
    }

    func begins(_ context: BatchContext) {}

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let probabilities = distribution.probabilities(context.logits, workers)
        let experts = (0..<context.logits.columns).map { Int32($0) }
        return .routed(
            RoutingDecision(logits: context.logits, slots: experts.count) { token, selected, gates in
                selected += experts
                for e in experts.indices { gates.append(scale * probabilities[token, e]) }
            })
    }
}
