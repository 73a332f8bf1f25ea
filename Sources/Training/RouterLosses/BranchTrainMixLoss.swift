import Glibc
package import Numerics

/// Branch-Train-MiX's balancing loss (Sukhbaatar et al. 2024, 2403.07816).
///
///     L = sum over layers of E sum_i u_i p_i
///
/// u_i is the mean of the gate, the softmax over the k selected logits and 0 for the others, p_i the mean of the
/// probability. 1 for each layer where the load is even. The gate is a value, not a count, so that the gradient flows
/// through both: `dL/dp_i = E u_i / tokens`, `dL/dg_i = E p_i / tokens`. The paper's weight is 0.01.
package struct BranchTrainMixLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        batch.sum(workers) { index in
            let layer = batch.layers[index]
            let factor = weight * Double(layer.experts) / Double(layer.tokens)
            let means = layer.meanProbabilities()
            var gates = [Double](repeating: 0, count: layer.experts)
            layer.forEachGate { expert, gate, _ in gates[expert] += gate / Double(layer.tokens) }
            layer.addGradient(slopes: gates.map { factor * $0 }, to: gradients.logits[index])
            layer.addGateGradient(slopes: means.map { factor * $0 }, to: gradients.logits[index])
            return Double(layer.experts) * zip(gates, means).reduce(0) { $0 + $1.0 * $1.1 }
        }
    }
}

extension RouterReading {
    /// Calls `body` with each selected expert, its share of its token's selected probability, and the token.
    fileprivate func forEachGate(_ body: (Int, Double, Int) -> Void) {
        for token in 0..<tokens {
            let p = probabilities.row(token)
            let total = selectedProbability(token)
            for place in 0..<topK {
                let expert = Int(selected[token * topK + place])
                body(expert, Double(p[expert]) / total, token)
            }
        }
    }

    /// Never 0: the largest probability is at least one over the number of experts.
    private func selectedProbability(_ token: Int) -> Double {
        let p = probabilities.row(token)
        return (0..<topK).reduce(0) { $0 + Double(p[Int(selected[token * topK + $1])]) }
    }

    /// Adds `dz = g (s - sum s g)` over the selected experts of each token, for gates g with gradients s.
    fileprivate func addGateGradient(slopes: [Double], to gradient: Matrix) {
        for token in 0..<tokens {
            let p = probabilities.row(token)
            let target = gradient.row(token)
            let total = selectedProbability(token)
            var mean = 0.0
            for place in 0..<topK {
                let expert = Int(selected[token * topK + place])
                mean += slopes[expert] * Double(p[expert]) / total
            }
            for place in 0..<topK {
                let expert = Int(selected[token * topK + place])
                target[expert] += Float(Double(p[expert]) / total * (slopes[expert] - mean))
            }
        }
    }
}
