import Checkpoints
package import Numerics
import Safetensors

/// Sequences of token ids of the same length.
package struct TokenBatch: Sendable {
    /// `count * length` ids, sequence by sequence.
    package let ids: [Int32]
    package let length: Int

    package init(ids: [Int32], length: Int) {
        self.ids = ids
        self.length = length
    }

    /// Sequences.
    package var count: Int { length > 0 ? ids.count / length : 0 }
}

/// Watches a pass layer by layer.
package protocol ForwardObserver: AnyObject {
    /// The residual stream that enters a layer, `[tokens, hidden]`.
    func enters(_ layer: Int, _ stream: Matrix) throws
    /// What a mixture layer did.
    func routed(_ record: MixtureRecord) throws
}

extension ForwardObserver {
    package func enters(_ layer: Int, _ stream: Matrix) throws {}
    package func routed(_ record: MixtureRecord) throws {}
}

extension Decoder {
    /// - Throws: `CheckpointError` for sequences of which the model would see only a part.
    func checkLength(_ length: Int) throws {
        guard let limit = configuration.maximumLength, length > limit else { return }
        throw CheckpointError(
            .incompatible, file: checkpoint.description.config.file,
            message: "beyond \(limit) tokens the model's attention sees only those that its indexer selects, which "
                + "moe-tool does not compute: use sequences of at most \(limit) tokens, not \(length)")
    }

    /// Runs the layers and the final norm.
    ///
    /// - Parameters:
    ///   - gating: decides in the routers' place.
    ///   - state: what is known of the tokens before; one sequence then.
    ///   - lastLayer: stop before this layer; nil to run all.
    /// - Returns: normalised hidden states, `[tokens, hidden]`.
    /// - Throws: `CheckpointError` for ids that are not in the vocabulary, and what the observer throws.
    package func forward(
        _ batch: TokenBatch, observer: (any ForwardObserver)? = nil, gating: (any Gating)? = nil,
        state: SequenceState? = nil
    ) throws -> Matrix {
        var stream = try embed(batch.ids)
        let past = state?.count ?? 0
        try checkLength(past + batch.length)
        let shape = SequenceShape(count: batch.count, length: batch.length, past: past)
        let rotary = configuration.attention.rotaryTables(
            from: past, count: batch.length, length: state?.length ?? 0)
        for index in 0..<configuration.layers {
            try Interruption.check()
            try observer?.enters(index, stream)
            let layer = try decoderLayer(index)
            let (output, _, record) = try layer.forward(
                stream, shape, rotary[index],
                .init(state: state?.layers[index], gating: gating, watches: observer != nil), workers)
            if let record { try observer?.routed(record) }
            stream = output
        }
        state?.count += batch.length
        return normalized(stream)
    }
}
