import CPlatform
package import Checkpoints
package import Numerics
import Safetensors

/// A checkpoint's model, ready to compute: token ids in, hidden states and logits out.
///
/// Weights that fit are kept in F32; those of a larger model stay on disk in their own dtype and are converted in each
/// pass, a layer at a time or a block of rows at a time.
package final class Decoder {
    package let checkpoint: Checkpoint
    package let configuration: DecoderConfiguration
    package let workers: Workers
    /// Where the weights are.
    package let placement: WeightPlacement
    /// Whether layers are read anew in each pass.
    package var isStreamed: Bool { placement.weights != .resident }
    /// Experts that a token is routed to; the configuration's unless another was asked for.
    package let topK: Int

    private let loader: ParameterLoader
    private var layers: [LayerParameters?]
    /// `[vocabulary, hidden]`; nil where it is streamed.
    private var embedding: Linear?
    /// Nil where it is the embedding, or streamed.
    private var head: Linear?
    package let finalNorm: NormWeights
    /// A bias of the head where its matrix is the embedding.
    let tiedHeadBias: VectorWeights?
    private let rule: RouterRule?
    /// The lowest layer that has a parameter that is trained; 0 where the embedding is, the number of layers where none
    /// has.
    package internal(set) var lowestTrained = 0
    /// Whether nothing but the router is trained of that layer.
    var endsAtRouter = false

    /// Opens the model.
    ///
    /// - Parameters:
    ///   - placement: where the weights are; nil for in memory, but for those that are more than `memory`.
    ///   - memory: bytes that the weights may take; nil for as many as they need.
    ///   - topK: experts that a token is routed to, if not as the configuration says.
    /// - Throws: `CheckpointError` for a configuration that gives no model, and families or parts that are not computed.
    package init(
        _ checkpoint: Checkpoint, workers: Workers, placement: WeightPlacement? = nil, memory: Int? = nil,
        topK: Int? = nil
    )
        throws
    {
        useSingleThreadedBLAS()
        try checkpoint.checkComputable()
        self.checkpoint = checkpoint
        self.workers = workers
        configuration = try DecoderConfiguration(checkpoint.description)
        if let type = configuration.attention.rotaries.lazy.compactMap(\.uncomputedType).first {
            throw checkpoint.description.config.failure(
                .uncomputed,
                "rope_type is \(escaped(type)), and moe-tool computes default, linear, dynamic, llama3, yarn and longrope"
            )
        }
        self.topK = try configuration.mixture?.selected(topK) ?? 0
        rule = configuration.mixture.map { [topK = self.topK] in RouterRule($0.router, topK: topK) }
        let fits = memory.map { checkpoint.parameterCount <= $0 / 4 } ?? true
        let placement = placement ?? WeightPlacement(weights: fits ? .resident : .layers)
        self.placement = placement
        loader = ParameterLoader(checkpoint, placement)
        guard let finalNorm = try loader.streamNorm(.finalNorm, bias: .finalNormBias, nil, configuration) else {
            throw CheckpointError(
                .incompatible, file: checkpoint.description.config.file,
                message: "the checkpoint has no \(Role(.finalNorm))")
        }
        self.finalNorm = finalNorm
        tiedHeadBias =
            loader.has(.headBias) && !loader.has(.head)
            ? VectorWeights(role: Role(.headBias), values: try loader.vector(Role(.headBias))) : nil
        layers = [LayerParameters?](repeating: nil, count: configuration.layers)
        // A layer at a time is made and let go of: its memory serves the next.
        guard !isStreamed else { return }
        for layer in layers.indices { layers[layer] = try loader.layer(layer, configuration) }
        let embedding = try loader.linear([(.embedding, nil)], nil)
        self.embedding = embedding
        head = try loader.has(.head) ? loader.linear([(.head, .headBias)], nil) : nil
    }

    /// A layer's weights: kept, or read for this use.
    package func layer(_ index: Int) throws -> LayerParameters {
        try layers[index] ?? loader.layer(index, configuration)
    }

    /// The layers that are kept; none of a streamed model.
    package var residentLayers: [LayerParameters] { layers.compactMap { $0 } }

    /// The embedding and the head where it is one of its own; those of a streamed model only where they are trained, and
    /// from then on.
    func ends(_ isTrained: (Role) -> Bool) throws -> (embedding: Linear?, head: Linear?) {
        if isStreamed {
            if embedding == nil, isTrained(Role(.embedding)) { embedding = try loader.linear([(.embedding, nil)], nil) }
            if head == nil, loader.has(.head), isTrained(Role(.head)) || isTrained(Role(.headBias)) {
                head = try loader.linear([(.head, .headBias)], nil)
            }
        }
        return (embedding, head)
    }

    /// Whether a parameter stays in memory though the model is streamed.
    func keep(_ parameter: AnyObject, _ role: Role?, _ isKept: Bool) {
        guard isStreamed, let role else { return }
        loader.kept[role] = isKept ? parameter : nil
    }

    func decoderLayer(_ index: Int) throws -> DecoderLayer {
        DecoderLayer(parameters: try layer(index), configuration: configuration, rule: rule)
    }

    // MARK: Embedding

    /// The residual stream that enters the first layer, `[tokens, hidden]`.
    ///
    /// - Throws: `CheckpointError` for an id that is not in the vocabulary.
    package func embed(_ ids: [Int32]) throws -> Matrix {
        for id in ids where id < 0 || Int(id) >= configuration.vocabulary {
            throw CheckpointError(
                .incompatible, file: checkpoint.description.config.file,
                message: "token id \(id) is not in the model's vocabulary of \(configuration.vocabulary)")
        }
        let stream = Matrix(rows: ids.count, columns: configuration.hidden)
        if let embedding = embedding?.resident {
            for (row, id) in ids.enumerated() {
                stream.row(row).update(from: embedding.row(Int(id)), count: stream.columns)
            }
        } else {
            // Of an embedding on disk only the rows that occur are read.
            var rows: [Int32: Int] = [:]
            for (row, id) in ids.enumerated() {
                if let known = rows[id] {
                    stream.row(row).update(from: stream.row(known), count: stream.columns)
                } else {
                    try loader.rows(Role(.embedding), Int(id)..<Int(id) + 1, into: stream.row(row))
                    rows[id] = row
                }
            }
        }
        if configuration.embeddingScale != 1 {
            ctransformer_scale(stream.values, stream.values, configuration.embeddingScale, stream.count)
        }
        return stream
    }

    // MARK: Head

    /// The head in memory: its own, or the embedding where that serves as the head.
    private var residentHead: Linear? { head ?? (loader.has(.head) ? nil : embedding) }

    /// The rows of the head that give the logits of some tokens of the vocabulary, with their bias.
    private func headBlock(_ rows: Range<Int>) throws -> (weight: MatrixSpan, bias: Matrix?, owner: Matrix) {
        if let linear = residentHead, let weight = linear.resident {
            return (weight.span(rows: rows), linear.bias ?? tiedHeadBias?.values, weight)
        }
        let role = loader.has(.head) ? Role(.head) : Role(.embedding)
        let block = Matrix(rows: rows.count, columns: configuration.hidden)
        try loader.rows(role, rows, into: block.values)
        let bias = loader.has(.headBias) ? try loader.vector(Role(.headBias)) : nil
        return (block.span, bias, block)
    }

    /// Logits of normalised hidden states, `[rows, vocabulary]`.
    package func logits(_ states: MatrixSpan) throws -> Matrix {
        let result = Matrix(rows: states.rows, columns: configuration.vocabulary)
        let size = isStreamed ? headRows : configuration.vocabulary
        var first = 0
        while first < configuration.vocabulary {
            let rows = first..<min(configuration.vocabulary, first + size)
            let (weight, bias, owner) = try headBlock(rows)
            withExtendedLifetime(owner) {
                workers.multiply(states, weight, .second, into: result.span(columns: rows))
            }
            if let bias {
                for row in 0..<result.rows {
                    ctransformer_add_scaled(
                        result.row(row) + rows.lowerBound, bias.values + rows.lowerBound, 1, rows.count)
                }
            }
            first = rows.upperBound
        }
        workers.forEachRange(of: result.rows, size: 16) { rows in
            for row in rows {
                let values = result.row(row)
                if configuration.logitsScale != 1 {
                    ctransformer_scale(values, values, configuration.logitsScale, result.columns)
                }
                if let cap = configuration.logitsSoftcap { ctransformer_softcap(values, result.columns, cap) }
            }
        }
        return result
    }

    /// `result = slopes W`, and the head's own gradient.
    func headProduct(_ slopes: Matrix, states: MatrixSpan, into result: MatrixSpan) throws {
        if let gradient = tiedHeadBias?.gradient { addColumnSums(of: slopes.span, to: gradient.values) }
        if let linear = residentHead {
            try linear.backward(slopes.span, input: states, into: result, workers)
            return
        }
        var first = 0
        while first < configuration.vocabulary {
            let rows = first..<min(configuration.vocabulary, first + headRows)
            let (weight, _, owner) = try headBlock(rows)
            withExtendedLifetime(owner) {
                workers.multiply(
                    slopes.span(columns: rows), weight, .none, into: result, beta: first == 0 ? 0 : 1)
            }
            first = rows.upperBound
        }
    }

    /// Adds the rows' gradients to those of their tokens, in the order of the tokens.
    func addEmbeddingGradient(_ stream: Matrix, _ ids: [Int32]) {
        guard let gradient = embedding?.gradient else { return }
        for (row, id) in ids.enumerated() {
            ctransformer_add_scaled(
                gradient.row(Int(id)), stream.row(row), configuration.embeddingScale, stream.columns)
        }
    }

    /// How many rows of logits are made at a time.
    package var logitRows: Int { placement.logitRows(vocabulary: configuration.vocabulary) }

    /// How many rows of a head on disk are in memory at a time.
    private var headRows: Int { placement.blockRows(columns: configuration.hidden) }

    /// The final norm.
    package func normalized(_ stream: Matrix) -> Matrix {
        Normalization(weights: finalNorm, norm: configuration.norm).forward(stream, workers)
    }
}
