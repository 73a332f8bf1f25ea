package import Checkpoints
import Glibc
import Models

/// A router's probability for each expert, before any is selected: what balance and entropy are measured on.
///
/// The softmax of all logits, or where a family scores by sigmoid, each score over their sum; what a family adds to scores
/// for the selection alone takes no part.
package struct GateDistribution: Sendable {
    private let isSigmoid: Bool

    package init(_ router: DecoderConfiguration.Router) {
        if case .sigmoid = router.score { isSigmoid = true } else { isSigmoid = false }
    }

    /// Writes the probabilities of one token's logits, `[experts]` both.
    ///
    /// - Returns: their entropy in nats.
    @discardableResult
    package func probabilities(_ logits: UnsafePointer<Float>, into out: UnsafeMutableBufferPointer<Float>) -> Float {
        var top = -Float.infinity
        for e in out.indices { top = max(top, logits[e]) }
        var sum: Float = 0
        for e in out.indices {
            out[e] = isSigmoid ? 1 / (1 + expf(-logits[e])) : expf(logits[e] - top)
            sum += out[e]
        }
        // Sigmoids of logits that are all far below zero: no preference rather than NaN.
        guard sum > 0 else {
            for e in out.indices { out[e] = 1 / Float(out.count) }
            return logf(Float(out.count))
        }
        var entropy: Float = 0
        for e in out.indices {
            out[e] /= sum
            if out[e] > 0 { entropy -= out[e] * logf(out[e]) }
        }
        return entropy
    }
}
