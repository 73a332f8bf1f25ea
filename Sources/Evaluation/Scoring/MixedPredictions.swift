import Glibc

/// The predictions of several models, or of several experts of one, mixed token by token: `p(x_t | x_<t) = sum_j w_j(x_<t)
/// p_j(x_t | x_<t)`.
///
/// What each gives the token that came is all that it takes, so that models need not be in memory together.
package enum MixedPredictions {
    /// How they are weighed.
    package enum Weights: String, Sendable, CaseIterable {
        /// Alike.
        case uniform
        /// By the posterior of each, `w_j(x_<t) ~ p_j(x_<t)` over the tokens of the window so far, alike at its beginning
        /// (Gururangan et al. 2021, 2108.05036; Li et al. 2022, 2208.03306, with a prior that is not estimated).
        case posterior
    }

    /// The cross-entropy of every prediction of the mixture.
    ///
    /// - Parameters:
    ///   - losses: the members' cross-entropies, `[members][windows * predictions]`; at least one member.
    ///   - predictions: in a window.
    package static func losses(_ losses: [[Float]], predictions: Int, weights: Weights) -> [Float] {
        guard let first = losses.first else { return [] }
        var result = [Float](repeating: 0, count: first.count)
        var past = [Double](repeating: 0, count: losses.count)
        for index in first.indices {
            if index % max(predictions, 1) == 0 { for j in past.indices { past[j] = 0 } }
            // log sum_j w_j p_j less log sum_j w_j, both over what they have in common.
            result[index] = Float(
                logSum(past.indices.map { past[$0] })
                    - logSum(past.indices.map { past[$0] - Double(losses[$0][index]) }))
            if weights == .posterior { for j in past.indices { past[j] -= Double(losses[j][index]) } }
        }
        return result
    }

    private static func logSum(_ values: [Double]) -> Double {
        let top = values.max() ?? 0
        guard top.isFinite else { return top }
        return top + log(values.reduce(0) { $0 + exp($1 - top) })
    }
}
