import CPlatform
package import Checkpoints
import Evaluation
package import Models
package import Numerics

/// Trains each router by itself on what it sees, without carrying gradients through the model: one pass over the data, for
/// models too large to back-propagate. The experts take part alike while the inputs are made, so that no layer's inputs
/// depend on a router that is still learning.
package final class LocalRouterTraining {
    package typealias Target = LocalRouterTarget

    /// The routers' weights by layer, `[experts, hidden]`.
    package private(set) var weights: [Int: Matrix] = [:]

    private let decoder: Decoder
    private let target: Target
    private let domainExperts: [Int]
    private let options: TrainingOptions
    private let rule: RouterRule
    private var optimizers: [Int: AdamW] = [:]
    private var gradients: [Int: Matrix] = [:]
    private var biases: [Int: Matrix] = [:]
    private var step = 0

    /// - Parameter domainExperts: the own expert of each domain of the batches, for `domain`.
    /// - Throws: `CheckpointError` for a dense model.
    package init(
        _ decoder: Decoder, _ target: Target, domainExperts: [Int] = [], _ options: TrainingOptions
    ) throws {
        guard let mixture = decoder.configuration.mixture else {
            throw CheckpointError(.usage, message: "\(decoder.checkpoint.name) is dense, and has no routers")
        }
        self.decoder = decoder
        self.target = target
        self.domainExperts = domainExperts
        self.options = options
        rule = RouterRule(mixture.router, topK: decoder.topK)
        for layer in decoder.configuration.moeLayers.indices where decoder.configuration.moeLayers[layer] {
            guard case .mixture(let parameters) = try decoder.layer(layer).feedForward else { continue }
            let values = try parameters.router.loaded().copy()
            weights[layer] = values
            gradients[layer] = Matrix(zeros: values.rows, values.columns)
            biases[layer] = parameters.router.bias
            optimizers[layer] = AdamW(
                [OptimizedParameter(name: "router of layer \(layer)", values: values, decays: true)], options.optimizer)
        }
    }

    /// Makes a step of every router.
    ///
    /// - Returns: the mean over layers of what they minimise, before the update.
    /// - Throws: `CheckpointError` where a batch's domain has no expert, or a loss is not finite.
    package func step(_ parts: [MicroBatch]) throws -> StepMetrics {
        let started = monotonicSeconds()
        for gradient in gradients.values { gradient.values.update(repeating: 0, count: gradient.count) }
        var (loss, tokens, squares) = (0.0, 0, 0.0)
        for part in parts {
            var own: [Int] = []
            if target == .domain {
                let known = part.domains.filter(domainExperts.indices.contains)
                guard !known.isEmpty, known.count == part.domains.count else {
                    throw CheckpointError(
                        .usage,
                        message: "`localTraining` domain: a batch is of a domain that has no expert of its own")
                }
                own = known.flatMap { [Int](repeating: domainExperts[$0], count: part.batch.length) }
            }
            let observer = Observer { record in
                loss += self.add(record, own, share: 1 / Double(parts.count))
            }
            try RouterInputs(decoder).run(part.batch, observer)
            tokens += part.batch.ids.count
        }
        let rate = options.schedule.rate(at: step)
        for layer in weights.keys.sorted() {
            guard let optimizer = optimizers[layer], let gradient = gradients[layer] else { continue }
            let norm = optimizer.gradientNorm([gradient], decoder.workers)
            guard norm.isFinite, loss.isFinite else {
                throw CheckpointError(
                    .incompatible, tensor: "router of layer \(layer)",
                    message: "its gradient is not finite at step \(step): lower `learningRate`")
            }
            squares += norm * norm
            let scale = options.clip.map { clippingScale(norm: norm, limit: $0) } ?? 1
            optimizer.step([gradient], learningRate: rate, scale: scale, decoder.workers)
        }
        step += 1
        return StepMetrics(
            step: step - 1, loss: loss / Double(max(weights.count, 1)), gradientNorm: squares.squareRoot(),
            learningRate: rate, tokensPerSecond: Double(tokens) / max(monotonicSeconds() - started, 1e-9))
    }

    /// Adds a layer's gradient, and gives its loss.
    private func add(_ record: MixtureRecord, _ experts: [Int], share: Double) -> Double {
        guard let weight = weights[record.layer], let gradient = gradients[record.layer] else { return 0 }
        let workers = decoder.workers
        let logits = Matrix(rows: record.input.rows, columns: weight.rows)
        workers.multiply(record.input.span, weight.span, .second, into: logits.span)
        if let bias = biases[record.layer] {
            for row in 0..<logits.rows { ctransformer_add_scaled(logits.row(row), bias.values, 1, logits.columns) }
        }
        let (loss, slope) =
            target == .domain
            ? domainLoss(logits, experts, share: share) : reconstructionLoss(record, logits, share: share)
        workers.multiply(slope.span, record.input.span, .first, into: gradient.span, beta: 1)
        return loss
    }

    private func domainLoss(_ logits: Matrix, _ experts: [Int], share: Double) -> (Double, Matrix) {
        let scale = Float(share / Double(max(logits.rows, 1)))
        var loss = 0.0
        for row in 0..<logits.rows {
            let values = logits.row(row)
            let sum = ctransformer_logsumexp(values, logits.columns)
            loss += Double(sum - values[experts[row]])
            ctransformer_exp_shifted(values, logits.columns, sum, scale)
            values[experts[row]] -= scale
        }
        return (loss * share / Double(max(logits.rows, 1)), logits)
    }

    private func reconstructionLoss(_ record: MixtureRecord, _ logits: Matrix, share: Double) -> (Double, Matrix) {
        let decision = rule.decide(logits, correction: nil, decoder.workers)
        let hidden = record.outputs.columns
        let experts = logits.columns
        var slopes = [Float](repeating: 0, count: decision.gates.count)
        var (error, norm) = (0.0, 0.0)
        let mean = Matrix(rows: 1, columns: hidden)
        let difference = Matrix(rows: 1, columns: hidden)
        // Twice over the tokens: the error is relative to the mean square of all targets.
        for pass in 0..<2 {
            for token in 0..<record.input.rows {
                func output(_ expert: Int) -> UnsafeMutablePointer<Float> {
                    record.outputs.row(Int(record.slots.slotOfEntry[token * experts + expert]))
                }
                mean.values.update(repeating: 0, count: hidden)
                for expert in 0..<experts {
                    ctransformer_add_scaled(mean.values, output(expert), 1 / Float(experts), hidden)
                }
                guard pass == 1 else {
                    norm += Double(ctransformer_dot(mean.values, mean.values, hidden))
                    continue
                }
                ctransformer_scale(difference.values, mean.values, -1, hidden)
                let entries = decision.starts[token]..<decision.starts[token + 1]
                for entry in entries {
                    ctransformer_add_scaled(
                        difference.values, output(Int(decision.selected[entry])), decision.gates[entry], hidden)
                }
                error += Double(ctransformer_dot(difference.values, difference.values, hidden))
                for entry in entries {
                    slopes[entry] =
                        2 * ctransformer_dot(difference.values, output(Int(decision.selected[entry])), hidden)
                }
            }
        }
        let scale = share / max(norm, 1e-30)
        for i in slopes.indices { slopes[i] *= Float(scale) }
        return (error * scale, rule.backward(decision, slopes, decoder.workers))
    }

    /// The checkpoint with the routers that were learned, in the dtypes that were there.
    package var result: Checkpoint { decoder.checkpoint.replacingRouters(weights.mapValues(\.array)) }
}

extension Checkpoint {
    /// The checkpoint with other rows of its routers, `[experts, hidden]` by layer.
    package func replacingRouters(_ rows: [Int: [Float]]) -> Checkpoint {
        var table = table
        for (layer, values) in rows {
            guard let old = table[.router(layer)], old.rows * old.columns == values.count else { continue }
            table[.router(layer)] = LazyTensor(
                rows: old.rows, columns: old.columns, dtype: old.dtype, expression: .values(values))
        }
        return replacing(table: table)
    }
}

private final class Observer: ForwardObserver {
    private let body: (MixtureRecord) -> Void

    init(_ body: @escaping (MixtureRecord) -> Void) { self.body = body }

    func routed(_ record: MixtureRecord) { body(record) }
}

/// What a router that is trained by itself learns.
public enum LocalRouterTarget: String, Sendable, CaseIterable {
    /// To send a domain's tokens to its own expert: cross-entropy of the softmax of its logits.
    case domain
    /// To choose and weigh experts so that they give what all of them together give: the squared error of the layer's
    /// output against the mean of all experts' outputs, over the mean square of that.
    case reconstruction
}
