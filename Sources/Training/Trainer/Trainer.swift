import CPlatform
package import Checkpoints
package import Models
import Numerics
package import Safetensors

/// A part of a step's batch that goes through the model at once.
package struct MicroBatch: Sendable {
    package let batch: TokenBatch
    /// The domain of each sequence, for losses that know domains; empty where nobody said.
    package let domains: [Int]

    package init(_ batch: TokenBatch, domains: [Int] = []) {
        self.batch = batch
        self.domains = domains
    }
}

/// Trains parameters of a model, a step at a time, with PyTorch's numbers: the order of its operations, in F32.
///
/// A step's loss is the mean over all its predictions; terms of routers are the mean over its parts.
package final class Trainer {
    package let student: Decoder
    package let teacher: Decoder?
    package let options: TrainingOptions
    package let parameters: [TrainedParameter]
    package let optimizer: AdamW
    /// Steps that were made.
    package private(set) var step = 0

    private let perturbations: RouterPerturbations?
    private let gradients: [Matrix]
    /// Whether a step that diverges is an answer and not an error.
    var isTrial = false
    /// Whether the routers' logits are part of the loss.
    private let hasRouterTerms: Bool

    /// - Throws: `CheckpointError` for options that do not fit the model, and a model that does not fit in memory.
    package init(_ student: Decoder, teacher: Decoder? = nil, _ options: TrainingOptions) throws {
        self.student = student
        self.teacher = teacher
        self.options = options
        let selected = try student.train { options.selection.contains($0) }
        try Self.check(options, student, teacher, parameters: selected)
        parameters = selected
        perturbations = student.configuration.mixture.flatMap { mixture in
            options.perturbations.isEmpty
                ? nil
                : RouterPerturbations(
                    options.perturbations, seed: options.seed,
                    layers: student.configuration.moeLayers.indices.filter { student.configuration.moeLayers[$0] },
                    experts: mixture.experts, hidden: student.configuration.hidden)
        }
        var optimized = selected.map {
            OptimizedParameter(name: $0.role.description, values: $0.values, decays: $0.isMatrix)
        }
        var gradients = selected.map(\.gradient)
        for (layer, weights) in (perturbations?.noiseWeights ?? [:]).sorted(by: { $0.key < $1.key }) {
            optimized.append(
                OptimizedParameter(name: "noise of layer \(layer)", values: weights.values, decays: true))
            gradients.append(weights.gradient)
        }
        optimizer = AdamW(optimized, options.optimizer)
        self.gradients = gradients
        hasRouterTerms =
            student.configuration.mixture != nil && (options.balance.loss != nil || options.zLoss > 0)
    }

    private static func check(
        _ options: TrainingOptions, _ student: Decoder, _ teacher: Decoder?, parameters: [TrainedParameter]
    ) throws {
        func usage(_ message: String) -> CheckpointError { CheckpointError(.usage, message: message) }
        let isMixture = student.configuration.mixture != nil
        let name = student.checkpoint.name
        guard !parameters.isEmpty else {
            throw usage("nothing of \(name) is trained: a dense model has no routers; choose with `train`")
        }
        if !isMixture, options.balance.method != .none || options.zLoss > 0 || !options.perturbations.isEmpty {
            throw usage("\(name) has no routers: `balance`, `zLoss` and what perturbs routers are for mixtures")
        }
        if options.balance.method == .lossFree,
            !student.checkpoint.table.keys.contains(where: { $0.kind == .routerCorrectionBias })
        {
            throw usage(
                "`balance` loss-free moves a bias on the scores that \(student.checkpoint.description.architecture.modelType)"
                    + " does not have: choose switch or hf")
        }
        if options.balance.method == .lossFree, student.isStreamed {
            throw usage("`balance` loss-free moves biases of layers that must stay in memory: raise `memory`")
        }
        if options.balance.needsNoise, !options.perturbations.learnsNoise {
            throw usage(
                "`balance` importance+load is defined for noisy top-k routers: give `learnsRouterNoise` as well")
        }
        if case .sparseMixer = student.configuration.mixture?.router.score, !options.perturbations.isEmpty {
            throw usage("a sparse mixer's routing cannot be perturbed: leave out noise, jitter and sampling")
        }
        guard let teacher else { return }
        guard teacher.configuration.vocabulary == student.configuration.vocabulary else {
            throw CheckpointError(
                .incompatible,
                message: "the teacher's vocabulary has \(teacher.configuration.vocabulary) tokens and the student's "
                    + "\(student.configuration.vocabulary): they must be the same")
        }
        if options.distillation?.hidden ?? 0 > 0,
            teacher.configuration.hidden != student.configuration.hidden
                || teacher.configuration.layers != student.configuration.layers
        {
            throw CheckpointError(
                .incompatible,
                message:
                    "`hiddenWeight` compares streams, and the teacher has \(teacher.configuration.layers) layers of "
                    + "\(teacher.configuration.hidden), the student \(student.configuration.layers) of "
                    + "\(student.configuration.hidden)")
        }
        if options.distillation?.hidden ?? 0 > 0 {
            // Streams of other scales are apart whatever is learned.
            let disagreements = try FunctionTraits(teacher.checkpoint.description).disagreements(
                with: FunctionTraits(student.checkpoint.description), in: [.network]
            ).filter { ["embedding multiplier", "residual multiplier"].contains($0.name) }
            guard disagreements.isEmpty else {
                throw CheckpointError(
                    .incompatible,
                    message: "`hiddenWeight` compares streams, and teacher and student scale them differently: "
                        + disagreements.map(\.description).joined(separator: "; "))
            }
        }
    }

    // MARK: A step

    /// What a step's parts add up to.
    private struct Sums {
        var loss = 0.0
        var auxiliary = 0.0
        var z = 0.0
        var divergence = 0.0
    }

    /// Makes a step.
    ///
    /// - Returns: what it measured, before the update.
    /// - Throws: `CheckpointError` where the loss or a gradient is not finite: the parameters are then as they were.
    package func step(_ parts: [MicroBatch]) throws -> StepMetrics {
        let started = monotonicSeconds()
        for gradient in gradients { gradient.values.update(repeating: 0, count: gradient.count) }
        let predictions = parts.reduce(0) { $0 + $1.batch.count * max($1.batch.length - 1, 0) }
        guard predictions > 0 else { throw CheckpointError(.usage, message: "a step has no token to predict") }
        var sums = Sums()
        var counts: [Int: [Int]] = [:]
        var tokens = 0
        for part in parts {
            perturbations?.begin(step: step, firstToken: tokens)
            try add(part, share: 1 / Float(parts.count), scale: 1 / Float(predictions), &sums, &counts)
            tokens += part.batch.ids.count
        }
        sums.loss /= Double(predictions)
        sums.divergence /= Double(predictions)
        let norm = optimizer.gradientNorm(gradients, student.workers)
        try checkFinite(sums.loss, norm)
        let rate = options.schedule.rate(at: step)
        let scale = options.clip.map { clippingScale(norm: norm, limit: $0) } ?? 1
        optimizer.step(gradients, learningRate: rate, scale: scale, student.workers)
        if options.balance.method == .lossFree { try moveBiases(counts) }
        let metrics = StepMetrics(
            step: step, loss: sums.loss, aux: options.balance.loss == nil ? nil : sums.auxiliary,
            z: student.configuration.mixture == nil ? nil : sums.z, kl: teacher == nil ? nil : sums.divergence,
            gradientNorm: norm, learningRate: rate,
            tokensPerSecond: Double(tokens) / max(monotonicSeconds() - started, 1e-9))
        step += 1
        return metrics
    }

    private func checkFinite(_ loss: Double, _ norm: Double) throws {
        guard !loss.isFinite || !norm.isFinite else { return }
        if isTrial { throw NonfiniteStep() }
        let culprit = norm.isFinite ? nil : optimizer.firstNonfinite(gradients, student.workers)?.name
        throw CheckpointError(
            .incompatible, tensor: culprit,
            message: (norm.isFinite ? "the loss is \(loss)" : "its gradient is not finite")
                + " at step \(step): lower `learningRate`, or clip with `clip`; nothing was changed by this step")
    }

    private func add(
        _ part: MicroBatch, share: Float, scale: Float, _ sums: inout Sums, _ counts: inout [Int: [Int]]
    ) throws {
        if options.balance.needsDomains, Set(part.domains).isEmpty {
            throw CheckpointError(
                .usage, message: "`balance` \(options.balance.method.rawValue) needs the domain of each sequence")
        }
        let tape = try student.forwardKeeping(
            part.batch, checkpoints: options.checkpointsActivations, perturbation: perturbations)
        let (slope, streams) = try lossBackward(tape, part.batch, scale: scale, share: share, &sums)
        let auxiliary = routerTerms(tape, part, share: share, &sums)
        for (layer, decision) in tape.decisions {
            var load = counts[layer] ?? [Int](repeating: 0, count: decision.experts)
            for expert in decision.selected { load[Int(expert)] += 1 }
            counts[layer] = load
        }
        try student.backward(tape, slope, auxiliary: auxiliary, streams: streams)
    }

    private func routerTerms(
        _ tape: PassTape, _ part: MicroBatch, share: Float, _ sums: inout Sums
    ) -> [Int: Matrix] {
        guard hasRouterTerms || student.configuration.mixture != nil else { return [:] }
        let workers = student.workers
        let noise = tape.decisions.compactMap { perturbations?.noise($0.layer) }
        let batch = RouterBatch(
            logits: tape.decisions.map(\.decision.logits), noise: noise, topK: student.topK,
            domains: part.domains.flatMap { [Int](repeating: $0, count: part.batch.length) }, workers)
        let gradients = RouterGradients(zerosFor: batch)
        if let loss = options.balance.loss {
            sums.auxiliary +=
                Double(share)
                * loss.add(batch, weight: options.balance.weight * Double(share), to: gradients, workers)
        }
        sums.z +=
            Double(share) * RouterZLoss().add(batch, weight: options.zLoss * Double(share), to: gradients, workers)
        for (index, entry) in tape.decisions.enumerated() where index < gradients.noise.count {
            perturbations?.setNoiseSlope(entry.layer, gradients.noise[index])
        }
        guard hasRouterTerms else { return [:] }
        return Dictionary(
            zip(tape.decisions.map(\.layer), gradients.logits), uniquingKeysWith: { first, _ in first })
    }

    /// The gradient of the hidden states, and with a teacher of the streams between layers.
    private func lossBackward(
        _ tape: PassTape, _ batch: TokenBatch, scale: Float, share: Float, _ sums: inout Sums
    ) throws -> (slope: Matrix, streams: [Int: Matrix]) {
        guard let teacher, let distillation = options.distillation else {
            let (losses, slope) = try student.lossesBackward(tape.states, batch, scale: scale)
            sums.loss += losses.reduce(0) { $0 + Double($1) }
            return (slope, [:])
        }
        let recorder = distillation.hidden > 0 ? StreamRecorder() : nil
        let states = try teacher.forward(batch, observer: recorder)
        let loss = DistillationLoss(distillation, scale: scale)
        let slope = try loss.backward(student, tape.states, teacher, states, batch)
        sums.loss += loss.crossEntropy
        sums.divergence += loss.divergence
        return (
            slope, recorder.map { streamSlopes(tape.streams, $0.streams, distillation.hidden * Double(share)) } ?? [:]
        )
    }

    /// `weight` times the mean over layers and values of (student - teacher)^2, and its gradient by layer.
    private func streamSlopes(_ own: [Matrix], _ other: [Matrix], _ weight: Double) -> [Int: Matrix] {
        var result: [Int: Matrix] = [:]
        for layer in own.indices where layer < other.count {
            let slope = own[layer].copy()
            ctransformer_add_scaled(slope.values, other[layer].values, -1, slope.count)
            ctransformer_scale(
                slope.values, slope.values, Float(2 * weight / Double(slope.count * own.count)), slope.count)
            result[layer] = slope
        }
        return result
    }

    /// Moves the biases that experts are chosen with against their load (DeepSeek's balance without a loss).
    private func moveBiases(_ counts: [Int: [Int]]) throws {
        for (layer, load) in counts {
            guard case .mixture(let mixture) = try student.layer(layer).feedForward, let bias = mixture.correction
            else {
                continue
            }
            updateLossFreeBias(bias.values.buffer, counts: load, rate: Float(options.balance.weight))
        }
    }

    // MARK: State

    /// What is not a trained parameter and moves all the same.
    package var extras: [NamedMatrix] {
        guard options.balance.method == .lossFree, !student.isStreamed else { return [] }
        return student.residentLayers.compactMap { layer in
            guard case .mixture(let mixture) = layer.feedForward, let bias = mixture.correction else { return nil }
            return NamedMatrix(name: bias.role.description, matrix: bias.values)
        }
    }

    /// Takes weights, moments and the number of steps from a saved state.
    package func restore(_ saved: SavedTrainingState, extras others: [NamedMatrix] = []) throws {
        try saved.restore(optimizer, extras: extras + others)
        step = saved.state.step
    }

    /// The checkpoint with what was trained in the place of what was there, in the dtypes that were there.
    package func result(recording step: JSONObject) -> Checkpoint {
        var table = student.checkpoint.table
        func put(_ role: Role, _ values: Matrix) {
            guard let old = table[role] else { return }
            table[role] = LazyTensor(
                rows: old.rows, columns: old.columns, dtype: old.dtype, expression: .values(values.array))
        }
        for parameter in parameters { put(parameter.role, parameter.values) }
        if options.balance.method == .lossFree {
            for layer in student.residentLayers {
                guard case .mixture(let mixture) = layer.feedForward, let bias = mixture.correction else { continue }
                put(bias.role, bias.values)
            }
        }
        return student.checkpoint.replacing(table: table).recording(step)
    }
}

/// A step of a trial whose loss or gradient is not finite.
struct NonfiniteStep: Error {}

/// Keeps the streams that enter the layers.
private final class StreamRecorder: ForwardObserver {
    var streams: [Matrix] = []

    func enters(_ layer: Int, _ stream: Matrix) { streams.append(stream) }
}
