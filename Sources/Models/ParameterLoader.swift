import Checkpoints
import Numerics
import Safetensors

/// Reads the decoder's weights from a checkpoint's table, which need not have been written: any expression is evaluated.
final class ParameterLoader {
    let checkpoint: Checkpoint
    /// Parameters that are given out again instead of being read: those that are trained. By the first of their roles.
    var kept: [Role: AnyObject] = [:]

    private let evaluator = Evaluator(loaded: LoadedSources())
    private let placement: WeightPlacement

    init(_ checkpoint: Checkpoint, _ placement: WeightPlacement) {
        self.checkpoint = checkpoint
        self.placement = placement
    }

    func has(_ kind: Role.Kind, _ layer: Int? = nil, expert: Int? = nil) -> Bool {
        checkpoint.table[Role(kind, layer: layer, expert: expert)] != nil
    }

    private func tensor(_ role: Role) throws -> LazyTensor {
        guard let tensor = checkpoint.table[role] else {
            throw CheckpointError(
                .incompatible, file: checkpoint.description.config.file, message: "the checkpoint has no \(role)")
        }
        return tensor
    }

    /// Evaluates rows of a tensor, as it would be read back from disk: rounded to its dtype.
    ///
    /// - Throws: `CheckpointError` of `.incompatible` for a value that is NaN or infinite: whatever is computed with it
    ///   says nothing.
    private func read(
        _ tensor: LazyTensor, _ role: Role, rows: Range<Int>, into target: UnsafeMutablePointer<Float>
    ) throws {
        // A block at a time: conversions of a whole matrix would need as much memory again.
        let rowsPerBlock = max(1, Evaluator.elementsPerBlock / max(tensor.columns, 1))
        var first = rows.lowerBound
        while first < rows.upperBound {
            let block = first..<min(rows.upperBound, first + rowsPerBlock)
            let out = UnsafeMutableBufferPointer(
                start: target + (first - rows.lowerBound) * tensor.columns, count: block.count * tensor.columns)
            try evaluator.withBytes(of: tensor, rows: block) { bytes, _ in
                try widen(bytes, tensor.dtype, into: out)
            }
            if let bad = firstNonfinite(UnsafeBufferPointer(out)) {
                throw nonfinite(tensor, role, at: block.lowerBound * tensor.columns + bad, out[bad])
            }
            first = block.upperBound
        }
    }

    /// Some rows of a matrix.
    func rows(_ role: Role, _ rows: Range<Int>, into target: UnsafeMutablePointer<Float>) throws {
        try read(tensor(role), role, rows: rows, into: target)
    }

    /// A vector as `[1, n]`.
    func vector(_ role: Role) throws -> Matrix {
        let tensor = try tensor(role)
        let matrix = Matrix(rows: 1, columns: tensor.rows * tensor.columns)
        try read(tensor, role, rows: 0..<tensor.rows, into: matrix.values)
        return matrix
    }

    /// Matrices of the same number of columns, one below the other, with their biases (zero for one that has none where
    /// another has one).
    func linear(_ kinds: [(weight: Role.Kind, bias: Role.Kind?)], _ layer: Int?, expert: Int? = nil) throws -> Linear {
        if let first = kinds.first,
            let known = kept[Role(first.weight, layer: layer, expert: expert)] as? Linear
        {
            return known
        }
        var parts: [Linear.Part] = []
        var tensors: [LazyTensor] = []
        var row = 0
        for (kind, biasKind) in kinds {
            let role = Role(kind, layer: layer, expert: expert)
            let tensor = try tensor(role)
            let biasRole = biasKind.map { Role($0, layer: layer, expert: expert) }.flatMap {
                checkpoint.table[$0] == nil ? nil : $0
            }
            parts.append(Linear.Part(role: role, biasRole: biasRole, rows: row..<row + tensor.rows))
            tensors.append(tensor)
            row += tensor.rows
        }
        let columns = tensors.first?.columns ?? 0
        guard tensors.allSatisfy({ $0.columns == columns }) else {
            throw CheckpointError(.incompatible, message: "\(parts[0].role) and what goes with it differ in width")
        }
        func readRows(_ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>) throws {
            for (part, tensor) in zip(parts, tensors) {
                let own = part.rows.clamped(to: rows)
                guard !own.isEmpty else { continue }
                try read(
                    tensor, part.role,
                    rows: own.lowerBound - part.rows.lowerBound..<own.upperBound - part.rows.lowerBound,
                    into: target + (own.lowerBound - rows.lowerBound) * columns)
            }
        }
        var bias: Matrix?
        if parts.contains(where: { $0.biasRole != nil }) {
            let vector = Matrix(zeros: 1, row)
            for part in parts {
                guard let role = part.biasRole else { continue }
                let tensor = try tensor(role)
                guard tensor.rows * tensor.columns == part.rows.count else {
                    throw CheckpointError(
                        .incompatible, message: "\(role) has \(tensor.rows) values, not \(part.rows.count)")
                }
                try read(tensor, role, rows: 0..<tensor.rows, into: vector.values + part.rows.lowerBound)
            }
            bias = vector
        }
        if placement.weights == .rows, layer != nil, parts.first?.role.kind != .router {
            return Linear(
                Linear.Source(
                    rows: row, columns: columns, rowsPerBlock: placement.blockRows(columns: columns), read: readRows),
                bias: bias, parts: parts)
        }
        let weight = Matrix(rows: row, columns: columns)
        try readRows(0..<row, weight.values)
        return Linear(weight: weight, bias: bias, parts: parts)
    }

    func norm(_ kind: Role.Kind, bias: Role.Kind? = nil, _ layer: Int? = nil) throws -> NormWeights {
        if let known = kept[Role(kind, layer: layer)] as? NormWeights { return known }
        let biasRole = bias.map { Role($0, layer: layer) }.flatMap { checkpoint.table[$0] == nil ? nil : $0 }
        return NormWeights(
            role: Role(kind, layer: layer), biasRole: biasRole, weight: try vector(Role(kind, layer: layer)),
            bias: try biasRole.map { try vector($0) })
    }

    /// A norm of the stream: its weights, or none where the family's norms have none.
    func streamNorm(
        _ kind: Role.Kind, bias: Role.Kind?, _ layer: Int?, _ configuration: DecoderConfiguration
    ) throws -> NormWeights? {
        guard configuration.norm.hasWeights else {
            return NormWeights(weightless: Role(kind, layer: layer), count: configuration.hidden)
        }
        return checkpoint.table[Role(kind, layer: layer)] == nil ? nil : try norm(kind, bias: bias, layer)
    }

    func normIfThere(_ kind: Role.Kind, bias: Role.Kind? = nil, _ layer: Int) throws -> NormWeights? {
        has(kind, layer) ? try norm(kind, bias: bias, layer) : nil
    }

    func vectorIfThere(_ kind: Role.Kind, _ layer: Int) throws -> VectorWeights? {
        let role = Role(kind, layer: layer)
        guard checkpoint.table[role] != nil else { return nil }
        return try vectorWeights(kind, layer)
    }

    func vectorWeights(_ kind: Role.Kind, _ layer: Int) throws -> VectorWeights {
        let role = Role(kind, layer: layer)
        return try kept[role] as? VectorWeights ?? VectorWeights(role: role, values: vector(role))
    }

    /// A convolution's kernels, `[channels, kernel]`, and its bias where it has one.
    func convolution(_ layer: Int) throws -> ConvolutionWeights {
        let role = Role(.mixerConvolution, layer: layer)
        let values: VectorWeights
        if let known = kept[role] as? VectorWeights {
            values = known
        } else {
            let tensor = try tensor(role)
            let matrix = Matrix(rows: tensor.rows, columns: tensor.columns)
            try read(tensor, role, rows: 0..<tensor.rows, into: matrix.values)
            values = VectorWeights(role: role, values: matrix)
        }
        return ConvolutionWeights(values: values, biasWeights: try vectorIfThere(.mixerConvolutionBias, layer))
    }

    /// A layer's weights.
    func layer(_ layer: Int, _ configuration: DecoderConfiguration) throws -> LayerParameters {
        // `post_attention_layernorm` stands before the network, unless the network's output has a norm as well: it is
        // then the attention's output that it normalises.
        let normalizesOutputs = has(.postFeedForwardNorm, layer)
        let input = try streamNorm(.inputNorm, bias: .inputNormBias, layer, configuration)
        let afterAttention = try streamNorm(.postAttentionNorm, bias: .postAttentionNormBias, layer, configuration)
        let mixer = try mixer(layer, configuration)
        // A layer of one block has one norm.
        let beforeNetwork = mixer == nil ? input : afterAttention
        return LayerParameters(
            layer: layer,
            attentionNorm: mixer == nil ? nil : input,
            attentionOutputNorm: normalizesOutputs ? afterAttention : nil,
            feedForwardNorm: normalizesOutputs ? try normIfThere(.preFeedForwardNorm, layer) : beforeNetwork,
            feedForwardOutputNorm: try normIfThere(.postFeedForwardNorm, layer),
            mixer: mixer,
            feedForward: configuration.hasNetwork[layer] ? try feedForward(layer, configuration) : nil,
            scale: try vectorIfThere(.layerScale, layer))
    }

    private func mixer(_ layer: Int, _ configuration: DecoderConfiguration) throws -> (any MixerParameters)? {
        switch configuration.mixers[layer] {
        case .attention: try attention(layer, configuration.attention.of(layer: layer))
        case .convolution: try gatedConvolution(layer)
        case .delta: try gatedDeltaNet(layer)
        case .mamba: try mamba(layer)
        case nil: nil
        }
    }

    private func feedForward(_ layer: Int, _ configuration: DecoderConfiguration) throws -> FeedForwardParameters {
        if configuration.moeLayers[layer] { return .mixture(try mixture(layer, configuration)) }
        return .dense(
            try network(
                layer, (.feedForwardGate, .feedForwardUp, .feedForwardDown),
                biases: (.feedForwardGateBias, .feedForwardUpBias, .feedForwardDownBias)))
    }

    private func attention(_ layer: Int, _ shape: DecoderConfiguration.Attention) throws -> AttentionParameters {
        let projections: AttentionParameters.Projections
        if shape.latent != nil {
            projections = .latent(try latent(layer, shape))
        } else {
            let stacked = try linear(
                [(.query, .queryBias), (.key, .keyBias)] + (shape.sharesKeys ? [] : [(.value, .valueBias)]), layer)
            projections = .grouped(stacked)
        }
        let weightless = shape.weightlessNorms[layer]
        func headNorm(_ kind: Role.Kind) throws -> NormWeights? {
            weightless
                ? NormWeights(weightless: Role(kind, layer: layer), count: shape.keyDimension)
                : try normIfThere(kind, layer)
        }
        return AttentionParameters(
            projections: projections, queryNorm: try headNorm(.queryNorm), keyNorm: try headNorm(.keyNorm),
            valueNorm: shape.normalizesValues
                ? NormWeights(weightless: Role(.value, layer: layer), count: shape.valueDimension) : nil,
            sinks: try vectorIfThere(.sinks, layer),
            gate: has(.attentionGate, layer) ? try linear([(.attentionGate, nil)], layer) : nil,
            output: try linear([(.output, .outputBias)], layer))
    }

    private func latent(_ layer: Int, _ shape: DecoderConfiguration.Attention) throws -> LatentProjections {
        let goesThroughRank = shape.latent?.queryRank != nil
        return LatentProjections(
            query: try linear(goesThroughRank ? [(.queryDown, .queryDownBias)] : [(.query, .queryBias)], layer),
            queryUp: goesThroughRank
                ? (norm: try norm(.queryDownNorm, layer), projection: try linear([(.queryUp, nil)], layer)) : nil,
            keyValueDown: try linear([(.keyValueDown, .keyValueDownBias)], layer),
            keyValueNorm: try norm(.keyValueDownNorm, layer),
            keyValueUp: try linear([(.keyValueUp, nil)], layer))
    }

    private func network(
        _ layer: Int, _ kinds: (gate: Role.Kind, up: Role.Kind, down: Role.Kind),
        biases: (gate: Role.Kind, up: Role.Kind, down: Role.Kind)?, expert: Int? = nil
    ) throws -> GatedNetwork {
        GatedNetwork(
            gateUp: try linear(
                (has(kinds.gate, layer, expert: expert) ? [(kinds.gate, biases?.gate)] : [])
                    + [(kinds.up, biases?.up)], layer, expert: expert),
            down: try linear([(kinds.down, biases?.down)], layer, expert: expert))
    }

    private func mixture(_ layer: Int, _ configuration: DecoderConfiguration) throws -> MixtureParameters {
        let experts = try (0..<(configuration.mixture?.experts ?? 0)).map { expert in
            try network(
                layer, (.expertGate, .expertUp, .expertDown), biases: (.expertGateBias, .expertUpBias, .expertDownBias),
                expert: expert)
        }
        return MixtureParameters(
            router: try linear([(.router, .routerBias)], layer),
            correction: try vectorIfThere(.routerCorrectionBias, layer),
            experts: experts,
            shared: configuration.mixture?.sharedInner != nil && has(.sharedExpertDown, layer)
                ? try network(
                    layer, (.sharedExpertGate, .sharedExpertUp, .sharedExpertDown),
                    biases: (.sharedExpertGateBias, .sharedExpertUpBias, .sharedExpertDownBias)) : nil,
            sharedGate: has(.sharedExpertRouter, layer) ? try linear([(.sharedExpertRouter, nil)], layer) : nil,
            routerNorm: try normIfThere(.routerNorm, layer), expertScale: try vectorIfThere(.routerExpertScale, layer),
            beside: configuration.mixture?.hasDenseBeside == true ? try denseBeside(layer) : nil)
    }

    private func denseBeside(_ layer: Int) throws -> DenseBeside {
        DenseBeside(
            network: try network(layer, (.feedForwardGate, .feedForwardUp, .feedForwardDown), biases: nil),
            denseNorm: try norm(.postDenseNorm, layer), beforeExperts: try norm(.preExpertsNorm, layer),
            expertsNorm: try norm(.postExpertsNorm, layer))
    }
}
