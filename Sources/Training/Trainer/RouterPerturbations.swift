import CPlatform
package import Models
package import Numerics

/// Perturbs routers as the options say; draws depend on the seed, the layer and the step alone.
package final class RouterPerturbations: RouterPerturbation {
    /// What is learned of the noise, `[experts, hidden]` for each mixture layer; empty where it is not.
    package let noiseWeights: [Int: (values: Matrix, gradient: Matrix)]

    private let options: PerturbationOptions
    private let seed: UInt64
    private var step = 0
    private var firstToken = 0
    /// What the last pass did, by layer.
    private var passes: [Int: Pass] = [:]
    /// The losses' own gradient of the raw noise, by layer.
    private var noiseSlopes: [Int: Matrix] = [:]

    private struct Pass {
        var input: Matrix?
        var deviations: Matrix?
        var normalised: Matrix?
        var noise: RouterNoise?
        /// The logits that the gates were made of.
        var noisy: Matrix
        var sampled: Matrix?
    }

    package init(_ options: PerturbationOptions, seed: UInt64, layers: [Int], experts: Int, hidden: Int) {
        self.options = options
        self.seed = seed
        noiseWeights =
            options.learnsNoise
            ? Dictionary(
                uniqueKeysWithValues: layers.map {
                    ($0, (values: Matrix(zeros: experts, hidden), gradient: Matrix(zeros: experts, hidden)))
                }) : [:]
    }

    /// Begins a part of a step's batch.
    func begin(step: Int, firstToken: Int) {
        self.step = step
        self.firstToken = firstToken
        passes = [:]
        noiseSlopes = [:]
    }

    /// The noise of a layer in this pass, for losses that know it.
    func noise(_ layer: Int) -> RouterNoise? { passes[layer]?.noise }

    /// Sets a loss's own gradient of the raw noise.
    func setNoiseSlope(_ layer: Int, _ slope: Matrix) { noiseSlopes[layer] = slope }

    private func random(_ layer: Int, _ draw: RouterDraw) -> KeyedRandom {
        KeyedRandom(seed: seed, router: "router of layer \(layer)", draw: draw, step: step)
    }

    package func input(_ layer: Int, _ input: Matrix, _ workers: Workers) -> Matrix? {
        guard options.jitter > 0 else { return nil }
        let result = input.copy()
        jitter(
            result, epsilon: Float(options.jitter), random(layer, .jitter), firstToken: firstToken, workers)
        return result
    }

    package func inputBackward(_ layer: Int, _ slope: Matrix, _ workers: Workers) {
        guard options.jitter > 0 else { return }
        jitter(slope, epsilon: Float(options.jitter), random(layer, .jitter), firstToken: firstToken, workers)
    }

    package func decide(
        _ layer: Int, input: Matrix, logits: Matrix, correction: Matrix?, _ rule: RouterRule, _ workers: Workers
    ) -> RoutingDecision {
        var clean = logits
        var pass = Pass(noisy: logits)
        if let lambda = options.normalization {
            let normalised = Matrix(rows: logits.rows, columns: logits.columns)
            let deviations = Matrix(rows: logits.rows, columns: 1)
            LogitNormalization(lambda: Float(lambda)).apply(logits, into: normalised, deviations: deviations)
            (pass.normalised, pass.deviations) = (normalised, deviations)
            clean = normalised
        }
        pass.noisy = clean
        if let weights = noiseWeights[layer] {
            let raw = Matrix(rows: logits.rows, columns: logits.columns)
            workers.multiply(input.span, weights.values.span, .second, into: raw.span)
            let noise = RouterNoise(raw: raw, random(layer, .noise), firstToken: firstToken)
            let noisy = Matrix(rows: logits.rows, columns: logits.columns)
            noise.add(to: clean, into: noisy)
            pass.noise = noise
            pass.noisy = noisy
            pass.input = input
        } else if options.noise > 0 {
            let noisy = Matrix(rows: logits.rows, columns: logits.columns)
            random(layer, .noise).fillNormal(noisy.buffer, from: firstToken * noisy.columns)
            ctransformer_scale(noisy.values, noisy.values, Float(options.noise), noisy.count)
            ctransformer_add_scaled(noisy.values, clean.values, 1, noisy.count)
            pass.noisy = noisy
        }
        // Layer 0 stays soft in Branch-Train-MiX only where all experts are evaluated; here every layer samples.
        var decision: RoutingDecision
        if let rate = options.gumbelRate {
            let draws = Matrix(rows: logits.rows, columns: logits.columns)
            SampledTopOne.fill(draws, random(layer, .gumbel), firstToken: firstToken)
            let probabilities = Matrix(rows: logits.rows, columns: logits.columns)
            var selected = [Int32](repeating: 0, count: logits.rows)
            selected.withUnsafeMutableBufferPointer {
                SampledTopOne(step: step, rate: rate).apply(
                    pass.noisy, draws: draws, probabilities: probabilities, experts: $0)
            }
            let gates = selected.enumerated().map { probabilities[$0, Int($1)] }
            pass.sampled = probabilities
            decision = RoutingDecision(
                logits: clean, starts: Array(0...logits.rows), selected: selected, gates: gates)
        } else {
            let made = rule.decide(pass.noisy, correction: correction, workers)
            decision = RoutingDecision(
                logits: clean, starts: made.starts, selected: made.selected, gates: made.gates)
        }
        passes[layer] = pass
        return decision
    }

    package func backward(
        _ layer: Int, _ decision: RoutingDecision, _ slopes: [Float], auxiliary: Matrix?, _ rule: RouterRule,
        inputSlope: Matrix, _ workers: Workers
    ) -> Matrix {
        guard let pass = passes[layer] else { return Matrix(zeros: decision.tokens, decision.experts) }
        let gradient: Matrix
        if let rate = options.gumbelRate, let probabilities = pass.sampled {
            let result = Matrix(zeros: decision.tokens, decision.experts)
            slopes.withUnsafeBufferPointer { gates in
                decision.selected.withUnsafeBufferPointer { experts in
                    SampledTopOne(step: step, rate: rate).addGradient(
                        gates: gates, probabilities: probabilities, experts: experts, to: result)
                }
            }
            gradient = result
        } else {
            let made = RoutingDecision(
                logits: pass.noisy, starts: decision.starts, selected: decision.selected, gates: decision.gates)
            gradient = rule.backward(made, slopes, workers)
        }
        if let noise = pass.noise, let weights = noiseWeights[layer], let input = pass.input {
            let raw = noiseSlopes[layer]?.copy() ?? Matrix(zeros: decision.tokens, decision.experts)
            noise.addGradient(noisy: gradient, toRaw: raw)
            workers.multiply(raw.span, input.span, .first, into: weights.gradient.span, beta: 1)
            workers.multiply(raw.span, weights.values.span, .none, into: inputSlope.span, beta: 1)
        }
        if let auxiliary { ctransformer_add_scaled(gradient.values, auxiliary.values, 1, gradient.count) }
        if let lambda = options.normalization, let normalised = pass.normalised, let deviations = pass.deviations {
            LogitNormalization(lambda: Float(lambda)).applyGradient(
                normalised: normalised, deviations: deviations, to: gradient)
        }
        return gradient
    }
}
