import Models
import Numerics

/// Each token id has experts of its own, with equal gates (hash layers, Roller et al. 2021, 2106.04426): a table drawn by the
/// seed, the same in all layers.
final class HashGating: BatchGating {
    private let experts: Int
    private let topK: Int
    private let scale: Float
    private let seed: UInt64
    private var ids: [Int32] = []
    /// The experts of the ids that have occurred.
    private var table: [Int32: [Int32]] = [:]

    init(experts: Int, topK: Int, scale: Float, seed: UInt64) {
        self.experts = experts
        self.topK = topK
        self.scale = scale
        self.seed = seed
    }

    func begins(_ context: BatchContext) { ids = context.batch.ids }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        .routed(
            RoutingDecision(logits: context.logits, slots: topK) { token, selected, gates in
                selected += self.selected(token < ids.count ? ids[token] : 0)
                for _ in 0..<topK { gates.append(scale / Float(topK)) }
            })
    }

    /// The experts of a token id.
    func selected(_ id: Int32) -> [Int32] {
        if let known = table[id] { return known }
        let drawn = KeyedRandom(seed: seed, tensor: "token \(id)", purpose: "hash gating").sample(topK, of: experts)
        let experts = drawn.map { Int32($0) }
        table[id] = experts
        return experts
    }
}
