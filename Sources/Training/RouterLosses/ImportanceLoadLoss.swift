import Glibc
package import Numerics

/// The two losses of noisy top-k routing (Shazeer et al. 2017, 1701.06538, equations 6 and 7, and appendix A).
///
///     L = sum over layers of CV(importance)^2 + CV(load)^2
///
/// With noisy logits `h = z + n s`, for draws n and deviations `s = softplus(x W_noise) + floor`:
///
///     importance_e = sum over tokens of the gate softmax(top-k of h)_e
///     load_e       = sum over tokens of Phi((z_e - t_e) / s_e)
///
/// t_e is the k-th largest of the other experts' h, so that load is the probability that e would be selected if its own
/// noise were drawn again. CV is the standard deviation over the mean, of the population of experts. The gradient flows
/// through the gates, the clean logits, the deviations, and the noisy logits that are thresholds. Where every expert is
/// selected, the load is even by definition and its term is 0. A layer without noise is taken for one that drew zeros with
/// the deviation of the floor. The paper's weights are 0.1 each; LLaMA-MoE uses 0.01.
package struct ImportanceLoadLoss: RouterLoss {
    package init() {}

    package func add(
        _ batch: RouterBatch, weight: Double, to gradients: RouterGradients, _ workers: Workers
    ) -> Double {
        batch.sum(workers) { index in
            let pass = NoisyPass(batch.layers[index])
            let (importance, load) = pass.sums()
            let first = SquaredVariation(importance)
            let second = pass.hasLoad ? SquaredVariation(load) : nil
            pass.addGradient(
                importance: first.gradient.map { weight * $0 }, load: second?.gradient.map { weight * $0 },
                logits: gradients.logits[index], raw: index < gradients.noise.count ? gradients.noise[index] : nil)
            return first.value + (second?.value ?? 0)
        }
    }
}

/// `var(x) / mean(x)^2` over a population, and its gradient.
struct SquaredVariation {
    let value: Double
    let gradient: [Double]

    init(_ values: [Double]) {
        let count = Double(values.count)
        let mean = values.reduce(0, +) / count
        guard mean != 0 else {
            (value, gradient) = (0, values.map { _ in 0 })
            return
        }
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count
        let value = variance / (mean * mean)
        self.value = value
        gradient = values.map { 2 / count * (($0 - mean) / (mean * mean) - value / mean) }
    }
}

/// The noisy logits of a layer and what was selected by them.
private struct NoisyPass {
    let layer: RouterReading
    let topK: Int
    /// Whether some expert is not selected, so that there are thresholds.
    let hasLoad: Bool
    private let noisy: Matrix
    private let deviations: Matrix
    /// The places of the largest noisy logits of each token, one more than are selected where there is one more.
    private let places: [Int32]
    private let depth: Int

    init(_ layer: RouterReading) {
        self.layer = layer
        topK = layer.topK
        hasLoad = layer.topK < layer.experts
        depth = hasLoad ? layer.topK + 1 : layer.topK
        let noise = layer.noise ?? RouterNoise(zerosFor: layer.logits)
        noisy = Matrix(rows: layer.tokens, columns: layer.experts)
        deviations = Matrix(rows: layer.tokens, columns: layer.experts)
        noise.add(to: layer.logits, into: noisy, deviations: deviations)
        let (noisy, depth) = (noisy, depth)
        places = [Int32](unsafeUninitializedCapacity: layer.tokens * depth) { buffer, count in
            count = layer.tokens * depth
            guard let start = buffer.baseAddress else { return }
            for token in 0..<layer.tokens {
                let row = UnsafeBufferPointer(start: noisy.row(token), count: layer.experts)
                selectLargest(depth, of: row, into: start + token * depth)
            }
        }
    }

    /// Importance and load of each expert.
    func sums() -> (importance: [Double], load: [Double]) {
        var importance = [Double](repeating: 0, count: layer.experts)
        var load = importance
        var gates = [Double](repeating: 0, count: topK)
        for token in 0..<layer.tokens {
            fill(&gates, token)
            for place in 0..<topK { importance[expert(token, place)] += gates[place] }
            guard hasLoad else { continue }
            for expert in 0..<layer.experts {
                load[expert] += 0.5 * erfc(-distance(token, expert).value * 0.5.squareRoot())
            }
        }
        return (importance, load)
    }

    /// Adds the gradients, given those with respect to importance and load.
    func addGradient(importance: [Double], load: [Double]?, logits: Matrix, raw: Matrix?) {
        let experts = layer.experts
        var gates = [Double](repeating: 0, count: topK)
        // With respect to the noisy logits, and with respect to the deviations.
        var noisySlopes = [Double](repeating: 0, count: experts)
        var deviationSlopes = noisySlopes
        for token in 0..<layer.tokens {
            let target = logits.row(token)
            for expert in 0..<experts { (noisySlopes[expert], deviationSlopes[expert]) = (0, 0) }
            fill(&gates, token)
            let mean = (0..<topK).reduce(0) { $0 + importance[expert(token, $1)] * gates[$1] }
            for place in 0..<topK {
                noisySlopes[expert(token, place)] += gates[place] * (importance[expert(token, place)] - mean)
            }
            if let load {
                for expert in 0..<experts {
                    let (u, threshold) = distance(token, expert)
                    let density = exp(-0.5 * u * u) / (2 * Double.pi).squareRoot()
                    let slope = load[expert] * density / Double(deviations[token, expert])
                    target[expert] += Float(slope)
                    noisySlopes[threshold] -= slope
                    deviationSlopes[expert] -= slope * u
                }
            }
            for expert in 0..<experts { target[expert] += Float(noisySlopes[expert]) }
            guard let raw, let noise = layer.noise else { continue }
            for expert in 0..<experts {
                deviationSlopes[expert] += noisySlopes[expert] * Double(noise.draws[token, expert])
                raw[token, expert] += Float(deviationSlopes[expert] * logistic(Double(noise.raw[token, expert])))
            }
        }
    }

    private func expert(_ token: Int, _ place: Int) -> Int { Int(places[token * depth + place]) }

    /// How far a clean logit is above its threshold, in deviations, and which expert's noisy logit is the threshold.
    private func distance(_ token: Int, _ index: Int) -> (value: Double, threshold: Int) {
        // For what is selected, the first that is not; for the others, the last that is.
        let isSelected = (0..<topK).contains { expert(token, $0) == index }
        let threshold = expert(token, isSelected ? topK : topK - 1)
        let difference = Double(layer.logits[token, index]) - Double(noisy[token, threshold])
        return (difference / Double(deviations[token, index]), threshold)
    }

    /// The softmax over the selected noisy logits, the largest first.
    private func fill(_ gates: inout [Double], _ token: Int) {
        guard topK > 0 else { return }
        let largest = Double(noisy[token, expert(token, 0)])
        var sum = 0.0
        for place in 0..<topK {
            gates[place] = exp(Double(noisy[token, expert(token, place)]) - largest)
            sum += gates[place]
        }
        for place in 0..<topK { gates[place] /= sum }
    }
}
