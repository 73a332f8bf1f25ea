package import Numerics

/// The Switch Transformer's balancing loss (Fedus, Zoph and Shazeer 2022, 2101.03961, equations 4 to 6), for any top-k.
///
///     L = sum over layers of E sum_i f_i P_i
///
/// f_i is the share of all assignments, `tokens * k` of them, that expert i gets (the paper's k is 1), P_i the mean of its
/// probability. 1 for each layer where the load is even. The layers are added, as the paper adds each layer's loss to the
/// model's. The gradient flows through P: `dL/dp_i = E f_i / tokens`. The paper's weight is 0.01.
package struct SwitchLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        batch.sum(workers) { index in
            let layer = batch.layers[index]
            return addBalance(
                layer, depth: layer.topK, scale: Double(layer.experts) / Double(layer.topK), weight: weight,
                to: gradients.logits[index])
        }
    }
}

/// GShard's balancing loss (Lepikhin et al. 2020, 2006.16668, algorithm 1).
///
///     L = sum over layers of 1/E sum_e (c_e / tokens) m_e
///
/// c_e counts the tokens whose first choice is e, m_e is the mean of its probability. 1/E^2 for each layer where the load
/// is even: a weight of Switch's, times E^2, has the same effect. The gradient flows through m.
package struct GShardLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        batch.sum(workers) { index in
            let layer = batch.layers[index]
            return addBalance(
                layer, depth: 1, scale: 1 / Double(layer.experts), weight: weight, to: gradients.logits[index])
        }
    }
}

/// `scale sum_e (c_e / tokens) P_e`, with c_e the tokens that choose e among their first `depth`.
private func addBalance(
    _ layer: RouterReading, depth: Int, scale: Double, weight: Double, to gradient: Matrix
) -> Double {
    let tokens = Double(layer.tokens)
    let slopes = layer.choices(depth: depth).map { scale * $0 / tokens }
    let value = zip(slopes, layer.meanProbabilities()).reduce(0) { $0 + $1.0 * $1.1 }
    layer.addGradient(slopes: slopes.map { weight * $0 / tokens }, to: gradient)
    return value
}
