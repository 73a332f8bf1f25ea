import Glibc
package import Numerics

/// Mod-Squad's loss (Chen et al. 2022, 2212.08066): minus the mutual information of tasks and experts,
/// with the domains as tasks.
///
///     L = sum over layers of - sum_d,e P(d,e) log(P(d,e) / (P(d) P(e)))
///
/// P(d) is the share of the batch's tokens that are of domain d, P(e|d) the mean of e's probability over them,
/// P(d,e) = P(d) P(e|d), P(e) the sum over domains. 0 where each domain uses the experts alike, minus the entropy of the
/// domains where each has experts of its own. `dL/dp_e = - log(P(d,e) / (P(d) P(e))) / tokens` for a token of domain d.
///
/// Without domains, or with one alone in the batch, it is 0.
package struct MutualInformationLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        guard batch.domains.count == batch.tokens, let last = batch.domains.max() else { return 0 }
        let domains = batch.domains
        let domainCount = last + 1
        let tokens = Double(batch.tokens)
        var shares = [Double](repeating: 0, count: domainCount)
        for domain in domains { shares[domain] += 1 / tokens }
        return batch.sum(workers) { index in
            let layer = batch.layers[index]
            let experts = layer.experts
            var joint = [Double](repeating: 0, count: domainCount * experts)
            for token in 0..<layer.tokens {
                let p = layer.probabilities.row(token)
                for expert in 0..<experts { joint[domains[token] * experts + expert] += Double(p[expert]) / tokens }
            }
            var value = 0.0
            var slopes = joint
            for expert in 0..<experts {
                let marginal = (0..<domainCount).reduce(0) { $0 + joint[$1 * experts + expert] }
                for domain in 0..<domainCount {
                    let both = joint[domain * experts + expert]
                    // x log x is 0 at 0, and so is the gradient through a probability that is 0.
                    let information = both > 0 ? log(both / (shares[domain] * marginal)) : 0
                    value -= both * information
                    slopes[domain * experts + expert] = -weight * information / tokens
                }
            }
            layer.addGradient(slopes: slopes, row: { domains[$0] }, to: gradients.logits[index])
            return value
        }
    }
}
