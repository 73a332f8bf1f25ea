import Checkpoints
import Glibc
package import Models

/// Dense models that predict together: Branch-Train-Merge (Li et al. 2022, 2208.03306), the baseline of a merged mixture.
///
///     p(x_t | x_<t) = sum_j w_j(x_<t) p_j(x_t | x_<t)
///
/// The weights are equal, or the posterior over models given the window so far, from an even prior:
/// `w_j = prod_{s<t} p_j(x_s | x_<s) / sum_i prod_{s<t} p_i(x_s | x_<s)`.
package struct ModelEnsemble {
    private let decoders: [Decoder]

    /// - Throws: `CheckpointError` where the models do not have one vocabulary.
    package init(_ decoders: [Decoder]) throws {
        let sizes = Set(decoders.map(\.configuration.vocabulary))
        guard sizes.count == 1 else {
            throw CheckpointError(
                .incompatible,
                message:
                    "an ensemble needs one vocabulary, and the models have \(sizes.sorted().map(String.init).joined(separator: ", ")) tokens"
            )
        }
        self.decoders = decoders
    }

    /// The scores on a domain under both kinds of weights.
    package func scores(
        _ evaluation: DomainEvaluation, _ source: DataSource, _ encoder: TextEncoder
    ) throws -> (uniform: DomainScore, posterior: DomainScore) {
        var (uniform, posterior) = (DomainScore(), DomainScore())
        _ = try evaluation.forEachBatch(source, encoder) { batch, bytes in
            let started = monotonicTime()
            // Only the log-likelihood of the token that comes is needed of each model.
            let losses = try decoders.map { try $0.losses($0.forward(batch), batch) }
            let predictions = batch.length - 1
            for window in 0..<batch.count {
                var evidence = [Double](repeating: 0, count: losses.count)
                for t in window * predictions..<(window + 1) * predictions {
                    let logs = losses.map { -Double($0[t]) }
                    uniform.lossSum -= logSum(logs) - log(Double(logs.count))
                    posterior.lossSum -= logSum(zip(evidence, logs).map { $0 + $1 }) - logSum(evidence)
                    for j in evidence.indices { evidence[j] += logs[j] }
                }
            }
            let seconds = monotonicTime() - started
            uniform.tokens += batch.count * predictions
            posterior.tokens += batch.count * predictions
            uniform.bytes += bytes.reduce(0, +)
            posterior.bytes += bytes.reduce(0, +)
            uniform.seconds += seconds
            posterior.seconds += seconds
        }
        return (uniform, posterior)
    }

    private func logSum(_ values: [Double]) -> Double {
        let top = values.max() ?? 0
        return top + log(values.reduce(0) { $0 + exp($1 - top) })
    }
}
