import Models
import Numerics

/// All tokens of a domain go to its own expert (DEMix, Gururangan et al. 2021, 2108.05036).
final class DomainGating: BatchGating {
    private let scale: Float
    private let always: Int?
    private var expert: Int32

    /// - Parameter always: the expert of all domains; nil for each one's own.
    init(scale: Float, always: Int? = nil) {
        self.scale = scale
        self.always = always
        expert = Int32(always ?? 0)
    }

    func begins(_ context: BatchContext) { expert = Int32(always ?? context.domain) }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        .routed(
            RoutingDecision(logits: context.logits, slots: 1) { _, selected, gates in
                selected.append(expert)
                gates.append(scale)
            })
    }
}
