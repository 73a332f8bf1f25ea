import CPlatform
import Checkpoints
package import Numerics
import Safetensors

/// What a pass keeps so that gradients can be made of it.
package final class PassTape {
    let shape: SequenceShape
    let rotary: RotaryTables
    package let batch: TokenBatch
    /// The stream that enters each layer, and with that alone a layer is computed again when its gradient is due; or all
    /// that the layer's backward pass needs.
    var layers: [LayerTape] = []
    let isCheckpointed: Bool
    /// What was changed of the routing.
    let perturbation: (any RouterPerturbation)?
    /// The stream before the final norm.
    var leaving: Matrix
    var finalStatistics: Matrix
    /// Normalised hidden states, `[tokens, hidden]`.
    package fileprivate(set) var states: Matrix
    /// What each mixture layer decided, by layer.
    package fileprivate(set) var decisions: [(layer: Int, decision: RoutingDecision)] = []

    fileprivate init(
        shape: SequenceShape, rotary: RotaryTables, batch: TokenBatch, isCheckpointed: Bool,
        perturbation: (any RouterPerturbation)?, stream: Matrix
    ) {
        self.shape = shape
        self.rotary = rotary
        self.batch = batch
        self.isCheckpointed = isCheckpointed
        self.perturbation = perturbation
        leaving = stream
        finalStatistics = stream
        states = stream
    }
}

extension PassTape {
    /// The stream that enters each layer, `[tokens, hidden]`.
    package var streams: [Matrix] { layers.map(\.entering) }
}

extension Decoder {
    /// Runs the layers and keeps what the backward pass needs.
    ///
    /// - Parameter checkpoints: keep only the streams between layers and compute each layer a second time for its
    ///   gradient: a third more arithmetic for a fraction of the memory.
    package func forwardKeeping(
        _ batch: TokenBatch, checkpoints: Bool = false, perturbation: (any RouterPerturbation)? = nil
    ) throws -> PassTape {
        try checkLength(batch.length)
        var stream = try embed(batch.ids)
        let shape = SequenceShape(count: batch.count, length: batch.length)
        let tape = PassTape(
            shape: shape, rotary: configuration.attention.rotaryTables(from: 0, count: batch.length), batch: batch,
            isCheckpointed: checkpoints, perturbation: perturbation, stream: stream)
        for index in 0..<configuration.layers {
            try Interruption.check()
            var layer = try decoderLayer(index)
            layer.perturbation = perturbation
            let (output, kept, record) = try layer.forward(
                stream, shape, tape.rotary[index], .init(keeps: !checkpoints, watches: true), workers)
            if let record { tape.decisions.append((index, record.decision)) }
            tape.layers.append(kept ?? LayerTape(entering: stream))
            stream = output
        }
        let norm = Normalization(weights: finalNorm, norm: configuration.norm)
        let statistics = norm.statistics(rows: stream.rows)
        tape.leaving = stream
        tape.finalStatistics = statistics
        tape.states = norm.forward(stream, statistics: statistics, workers)
        return tape
    }

    /// The gradient of normalised hidden states through the head, whose own gradient is added where it is trained.
    ///
    /// - Parameter slopes: replaces the logits of some rows by the loss's gradient with respect to them.
    package func headBackward(
        _ states: Matrix, _ slopes: (_ rows: Range<Int>, _ logits: Matrix) throws -> Void
    ) throws -> Matrix {
        let result = Matrix(rows: states.rows, columns: states.columns)
        try forEachLogits(states) { rows, logits in
            let capped = configuration.logitsSoftcap.map { _ in logits.copy() }
            try slopes(rows, logits)
            if let cap = configuration.logitsSoftcap, let capped {
                for i in 0..<logits.count {
                    let share = capped.values[i] / cap
                    logits.values[i] *= 1 - share * share
                }
            }
            if configuration.logitsScale != 1 {
                ctransformer_scale(logits.values, logits.values, configuration.logitsScale, logits.count)
            }
            try headProduct(logits, states: states.span(rows: rows), into: result.span(rows: rows))
        }
        return result
    }

    /// Carries the gradient of normalised hidden states down to the lowest parameter that is trained.
    ///
    /// - Parameters:
    ///   - slope: the gradient of `tape.states`.
    ///   - auxiliary: what else there is of the gradient of routers' logits, by layer.
    ///   - streams: what else there is of the gradient of the streams that enter layers, by layer.
    /// - Throws: `CheckpointError` where weights that are streamed cannot be read.
    package func backward(
        _ tape: PassTape, _ slope: Matrix, auxiliary: [Int: Matrix] = [:], streams: [Int: Matrix] = [:]
    ) throws {
        var stream = Matrix(zeros: slope.rows, slope.columns)
        Normalization(weights: finalNorm, norm: configuration.norm).backward(
            tape.leaving.span, statistics: tape.finalStatistics, dy: slope.span, into: stream.span, workers)
        for index in (0..<configuration.layers).reversed() {
            try Interruption.check()
            guard index >= lowestTrained else { return }
            var layer = try decoderLayer(index)
            layer.perturbation = tape.perturbation
            var kept = tape.layers[index]
            if tape.isCheckpointed {
                let again = try layer.forward(
                    kept.entering, tape.shape, tape.rotary[index], .init(keeps: true), workers)
                if let whole = again.tape { kept = whole }
            }
            stream = try layer.backward(
                stream, kept, tape.shape, tape.rotary[index], auxiliary: auxiliary[index],
                endsAtRouter: endsAtRouter && index == lowestTrained, workers)
            if let other = streams[index] { ctransformer_add_scaled(stream.values, other.values, 1, stream.count) }
            if endsAtRouter, index == lowestTrained { return }
            // The memory of this layer serves the next.
            tape.layers[index] = LayerTape(entering: kept.entering)
        }
        addEmbeddingGradient(stream, tape.batch.ids)
    }
}
