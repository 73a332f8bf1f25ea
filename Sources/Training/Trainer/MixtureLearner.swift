import CPlatform
import Checkpoints
import Glibc
package import Models
import Numerics
import Safetensors

/// Learns how a mixture's experts are averaged to one network (XFT, Ding et al. 2024, 2404.15247): for each layer
/// `W = lambda W_shared + (1 - lambda) sum_i softmax(alpha)_i W_i`, and only alpha moves. Without a shared expert lambda is
/// zero.
package final class MixtureLearner {
    /// Alpha by mixture layer, `[experts]` each: what `DensifyOptions.Method.learned` takes.
    package var alphas: [Int: [Double]] {
        Dictionary(
            uniqueKeysWithValues: layers.indices.map { (layers[$0], values(alpha.row($0), experts).map(Double.init)) })
    }

    private let student: Decoder
    private let teacher: Decoder
    private let options: TrainingOptions
    private let lambda: Float
    private let layers: [Int]
    private let experts: Int
    private let alpha: Matrix
    private let gradient: Matrix
    private let optimizer: AdamW
    private var step = 0

    /// - Parameters:
    ///   - student: the mixture densified by any method; its networks are replaced in memory.
    ///   - lambda: the share of the shared expert where there is one; the paper's is 0.75.
    /// - Throws: `CheckpointError` where the two do not fit, or not in memory.
    package init(student: Decoder, teacher: Decoder, lambda: Double, _ options: TrainingOptions) throws {
        self.student = student
        self.teacher = teacher
        self.options = options
        guard let mixture = teacher.configuration.mixture else {
            throw CheckpointError(.incompatible, message: "\(teacher.checkpoint.name) is no mixture of experts")
        }
        guard !student.isStreamed, !teacher.isStreamed else {
            throw CheckpointError(
                .usage,
                message: "`learnedShares` keeps all experts in memory in F32, which is more than `memory`: raise it")
        }
        experts = mixture.experts
        layers = teacher.configuration.moeLayers.indices.filter { teacher.configuration.moeLayers[$0] }
        self.lambda = mixture.sharedInner == nil ? 0 : Float(lambda)
        alpha = Matrix(zeros: layers.count, experts)
        gradient = Matrix(zeros: layers.count, experts)
        optimizer = AdamW(
            [OptimizedParameter(name: "alpha", values: alpha, decays: false)], options.optimizer)
        let networks = Set(layers)
        _ = try student.train { role in
            guard let layer = role.layer, networks.contains(layer) else { return false }
            return role.kind == .feedForwardGate || role.kind == .feedForwardUp || role.kind == .feedForwardDown
        }
        for layer in layers { try check(layer) }
    }

    private func values(_ row: UnsafeMutablePointer<Float>, _ count: Int) -> [Float] {
        Array(UnsafeBufferPointer(start: row, count: count))
    }

    private func networks(_ layer: Int) throws -> (own: GatedNetwork, parts: [GatedNetwork], shared: GatedNetwork?)? {
        guard case .dense(let own) = try student.layer(layer).feedForward,
            case .mixture(let mixture) = try teacher.layer(layer).feedForward
        else { return nil }
        return (own, mixture.experts, mixture.shared)
    }

    private func check(_ layer: Int) throws {
        guard let (own, parts, shared) = try networks(layer) else {
            throw CheckpointError(
                .incompatible,
                message:
                    "`learnedShares` needs a dense family to densify to, and \(student.checkpoint.name) keeps experts")
        }
        for network in parts + [shared].compactMap({ $0 }) {
            guard network.inner == own.inner else {
                throw CheckpointError(
                    .incompatible,
                    message: "`learnedShares` averages networks of one width, and layer \(layer) has \(network.inner) "
                        + "and \(own.inner) hidden units")
            }
        }
    }

    /// The experts' shares of a layer.
    private func shares(_ index: Int) -> [Float] {
        let row = values(alpha.row(index), experts)
        let top = row.max() ?? 0
        let powers = row.map { expf($0 - top) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }

    /// Puts the average of the experts into the student's networks.
    private func apply() throws {
        for (index, layer) in layers.enumerated() {
            guard let (own, parts, shared) = try networks(layer) else { continue }
            let shares = shares(index)
            for projection in [\GatedNetwork.gateUp, \GatedNetwork.down] {
                let target = try own[keyPath: projection].loaded()
                let weights = try parts.map { try $0[keyPath: projection].loaded() }
                let common = try shared.map { try $0[keyPath: projection].loaded() }
                student.workers.forEachRange(of: target.rows, size: 32) { rows in
                    let count = rows.count * target.columns
                    let out = target.row(rows.lowerBound)
                    out.update(repeating: 0, count: count)
                    for (weight, share) in zip(weights, shares) {
                        ctransformer_add_scaled(out, weight.row(rows.lowerBound), (1 - lambda) * share, count)
                    }
                    if let common { ctransformer_add_scaled(out, common.row(rows.lowerBound), lambda, count) }
                }
            }
        }
    }

    /// Makes a step.
    ///
    /// - Throws: `CheckpointError` where the loss is not finite.
    package func step(_ parts: [MicroBatch]) throws -> StepMetrics {
        let started = monotonicSeconds()
        try apply()
        let predictions = parts.reduce(0) { $0 + $1.batch.count * max($1.batch.length - 1, 0) }
        for layer in layers {
            guard let (own, _, _) = try networks(layer) else { continue }
            for linear in [own.gateUp, own.down] {
                linear.gradient.map { $0.values.update(repeating: 0, count: $0.count) }
            }
        }
        var (loss, divergence, tokens) = (0.0, 0.0, 0)
        for part in parts {
            let tape = try student.forwardKeeping(part.batch, checkpoints: options.checkpointsActivations)
            let states = try teacher.forward(part.batch)
            let term = DistillationLoss(options.distillation ?? .init(), scale: 1 / Float(max(predictions, 1)))
            let slope = try term.backward(student, tape.states, teacher, states, part.batch)
            try student.backward(tape, slope)
            loss += term.crossEntropy
            divergence += term.divergence
            tokens += part.batch.ids.count
        }
        loss /= Double(max(predictions, 1))
        divergence /= Double(max(predictions, 1))
        for (index, layer) in layers.enumerated() { try addGradient(index, layer) }
        let norm = optimizer.gradientNorm([gradient], student.workers)
        guard loss.isFinite, norm.isFinite else {
            throw CheckpointError(
                .incompatible, tensor: "alpha", message: "the loss is \(loss) at step \(step): lower `learningRate`")
        }
        let rate = options.schedule.rate(at: step)
        let scale = options.clip.map { clippingScale(norm: norm, limit: $0) } ?? 1
        optimizer.step([gradient], learningRate: rate, scale: scale, student.workers)
        step += 1
        return StepMetrics(
            step: step - 1, loss: loss, kl: divergence, gradientNorm: norm, learningRate: rate,
            tokensPerSecond: Double(tokens) / max(monotonicSeconds() - started, 1e-9))
    }

    /// `d alpha_i = (1 - lambda) s_i (<dW, W_i> - sum_j s_j <dW, W_j>)`
    private func addGradient(_ index: Int, _ layer: Int) throws {
        guard let (own, parts, _) = try networks(layer) else { return }
        let shares = shares(index)
        let products = try parts.map { part in
            try [\GatedNetwork.gateUp, \GatedNetwork.down].reduce(0.0) { sum, projection in
                guard let slope = own[keyPath: projection].gradient else { return sum }
                let weight = try part[keyPath: projection].loaded()
                return sum
                    + (0..<weight.rows).reduce(0.0) {
                        $0 + Double(ctransformer_dot(slope.row($1), weight.row($1), weight.columns))
                    }
            }
        }
        let mean = zip(products, shares).reduce(0) { $0 + $1.0 * Double($1.1) }
        for expert in 0..<experts {
            gradient[index, expert] = Float(Double((1 - lambda) * shares[expert]) * (products[expert] - mean))
        }
    }
}
