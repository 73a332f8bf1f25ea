package import Numerics

/// The router z-loss (Zoph et al. 2022, ST-MoE, 2202.08906, equation 5): logits stay small, where F32 is precise.
///
///     L = mean over layers and tokens of log(sum_e exp z_e)^2
///
/// `dL/dz_e = 2 log(sum exp z) p_e / (layers * tokens)`. The paper's weight is 0.001.
package struct RouterZLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        let rows = Double(batch.tokens * batch.layers.count)
        guard rows > 0 else { return 0 }
        let sum = batch.sum(workers) { index in
            let layer = batch.layers[index]
            var total = 0.0
            for token in 0..<layer.tokens {
                let logSum = Double(layer.logSums.values[token])
                total += logSum * logSum
                let factor = Float(2 * weight * logSum / rows)
                let p = layer.probabilities.row(token)
                let target = gradients.logits[index].row(token)
                for expert in 0..<layer.experts { target[expert] += factor * p[expert] }
            }
            return total
        }
        return sum / rows
    }
}
