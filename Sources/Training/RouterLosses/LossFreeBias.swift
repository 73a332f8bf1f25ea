/// Balance without a loss (Wang et al. 2024, 2408.15664, algorithm 1; DeepSeek-V3): a bias on the scores that choose
/// experts, not on those that weigh them, moves against the load after each batch.
///
///     b_i = b_i + rate * sign(mean count - count_i)
///
/// There is no gradient. The paper's rate is 0.001.
///
/// - Parameters:
///   - bias: one for each expert, `e_score_correction_bias` in DeepSeek-V3's checkpoints.
///   - counts: how many tokens of the batch were given to each expert.
///   - rate: how far each bias moves.
package func updateLossFreeBias(_ bias: UnsafeMutableBufferPointer<Float>, counts: [Int], rate: Float) {
    let total = counts.reduce(0, +)
    for expert in 0..<min(bias.count, counts.count) {
        // Compared in whole numbers: mean - count has the sign of total - experts * count.
        let excess = total - counts.count * counts[expert]
        if excess != 0 { bias[expert] += excess > 0 ? rate : -rate }
    }
}
