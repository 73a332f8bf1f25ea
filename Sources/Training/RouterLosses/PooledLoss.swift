package import Numerics

/// The balancing loss of transformers (`load_balancing_loss_func`): the tokens of all layers in one pool.
///
///     L = E sum_e f_e P_e
///
/// Over the `layers * tokens` rows of all layers, f_e is the mean number of times that e is among the k selected ones,
/// P_e the mean of its probability. k where the load is even over all layers together: one layer may make up for another.
/// The gradient flows through P, since f is a count: `dL/dp_e = E f_e / rows`.
package struct PooledLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        let rows = Double(batch.tokens * batch.layers.count)
        let experts = batch.experts
        var slopes = [Double](repeating: 0, count: experts)
        var probabilities = slopes
        for layer in batch.layers {
            let counts = layer.choices(depth: layer.topK)
            let means = layer.meanProbabilities()
            for expert in 0..<experts {
                slopes[expert] += Double(experts) * counts[expert] / rows
                probabilities[expert] += means[expert] / Double(batch.layers.count)
            }
        }
        let scaled = slopes.map { weight * $0 / rows }
        workers.forEach(batch.layers.count) { index in
            batch.layers[index].addGradient(slopes: scaled, to: gradients.logits[index])
        }
        return zip(slopes, probabilities).reduce(0) { $0 + $1.0 * $1.1 }
    }
}
