import Glibc
import Numerics

/// How the next token is chosen from a model's logits.
///
/// As in transformers: the logits are divided by the temperature, then all but the `topK` largest are left out, then all
/// but the fewest of the likeliest that have at least `topP` of the probability, and one of the rest is drawn.
public struct Sampling: Sendable, Hashable {
    /// What the logits are divided by, from 0 up; 0 takes the likeliest token, the first of equal ones.
    public var temperature = 0.8
    /// The share of the probability that is kept, above 0; 1 keeps all.
    public var topP = 1.0
    /// Tokens that are drawn from; nil for all.
    public var topK: Int?
    /// The draw for the n-th token depends on this and n alone.
    public var seed: UInt64 = 0

    /// The defaults: a temperature of 0.8, nothing left out.
    public init() {}

    /// The token that follows.
    ///
    /// - Parameters:
    ///   - logits: `[vocabulary]`.
    ///   - step: how many tokens were drawn before.
    /// - Complexity: O(V), and O(V log V) where `topK` or `topP` leave tokens out.
    package func choose(_ logits: UnsafeBufferPointer<Float>, step: Int) -> Int {
        var best = 0
        for id in logits.indices where logits[id] > logits[best] { best = id }
        guard temperature > 0, logits.count > 1 else { return best }
        let top = Double(logits[best])
        var weights = logits.map { exp((Double($0) - top) / temperature) }
        keepLikeliest(&weights)
        let total = weights.reduce(0, +)
        // Logits that are NaN give no distribution: take what comparison finds.
        guard total > 0, total.isFinite else { return best }
        var rest = uniform(step) * total
        var last = best
        for (id, weight) in weights.enumerated() where weight > 0 {
            rest -= weight
            last = id
            if rest < 0 { break }
        }
        return last
    }

    /// Sets the weights of tokens that are not drawn from to zero.
    private func keepLikeliest(_ weights: inout [Double]) {
        let count = topK.map { min(max($0, 1), weights.count) } ?? weights.count
        guard count < weights.count || topP < 1 else { return }
        let order = weights.indices.sorted { weights[$0] != weights[$1] ? weights[$0] > weights[$1] : $0 < $1 }
        // Those as likely as the last that is kept stay as well, as in transformers.
        let threshold = weights[order[count - 1]]
        let candidates = order.prefix { weights[$0] >= threshold }
        let total = candidates.reduce(0) { $0 + weights[$1] }
        var sum = 0.0
        var kept = 0
        for id in candidates {
            if kept > 0, sum >= topP * total { break }
            sum += weights[id]
            kept += 1
        }
        for id in order[kept...] { weights[id] = 0 }
    }

    /// From [0, 1), with 48 bits: the 24 of one draw would never reach the rare tokens of a large vocabulary.
    private func uniform(_ step: Int) -> Double {
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 2) { draws in
            KeyedRandom(seed: seed, tensor: "tokens", purpose: "generate").fillUniform(draws, from: 2 * step)
            return Double(draws[0]) + Double(draws[1]) * 0x1p-24
        }
    }
}
