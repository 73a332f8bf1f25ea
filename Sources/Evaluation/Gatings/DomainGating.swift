import Models
import Numerics

/// All tokens of a domain go to its own expert (DEMix, Gururangan et al. 2021, 2108.05036).
final class DomainGating: BatchGating {
    private let scale: Float
    private let experts: [Int]
    private var expert: Int32 = 0

    /// - Parameter experts: the own expert of each domain.
    init(scale: Float, experts: [Int]) {
        self.scale = scale
        self.experts = experts
    }

    func begins(_ context: BatchContext) { expert = Int32(experts[context.domain]) }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        .routed(
            RoutingDecision(logits: context.logits, slots: 1) { _, selected, gates in
                selected.append(expert)
                gates.append(scale)
            })
    }
}
