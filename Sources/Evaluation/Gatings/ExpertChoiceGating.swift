import Models
import Numerics

/// Experts choose tokens: of a window's n, each takes the `n c / E` that its probability is highest for, with that
/// probability as the gate (Zhou et al. 2022, 2202.09368).
///
/// Which tokens an expert takes depends on those that come later: in a language model they leak. The paper chooses within
/// a batch; here it is within a window, so that the result does not depend on the batch.
final class ExpertChoiceGating: BatchGating {
    private let distribution: GateDistribution
    private let scale: Float
    private let capacity: Double
    private var length = 1

    init(distribution: GateDistribution, scale: Float, capacity: Double) {
        self.distribution = distribution
        self.scale = scale
        self.capacity = capacity
    }

    func begins(_ context: BatchContext) { length = max(context.batch.length, 1) }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let probabilities = distribution.probabilities(context.logits, workers)
        let (tokens, experts) = (context.logits.rows, context.logits.columns)
        var taken = [[Int32]](repeating: [], count: tokens)
        for first in stride(from: 0, to: tokens, by: length) {
            let window = first..<min(first + length, tokens)
            let share = max(1, min(window.count, Int(Double(window.count) * capacity / Double(experts))))
            for expert in 0..<experts {
                // The first of equal ones.
                let order = window.sorted { a, b in
                    let (x, y) = (probabilities[a, expert], probabilities[b, expert])
                    return x != y ? x > y : a < b
                }
                for token in order.prefix(share) { taken[token].append(Int32(expert)) }
            }
        }
        var starts = [0]
        var gates: [Float] = []
        for (token, experts) in taken.enumerated() {
            for expert in experts { gates.append(scale * probabilities[token, Int(expert)]) }
            starts.append(gates.count)
        }
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: starts, selected: taken.flatMap { $0 }, gates: gates))
    }
}
