package import Checkpoints
package import Numerics

/// A parameter that is trained, `[rows, columns]` for a matrix and `[1, n]` for a vector.
package struct TrainedParameter {
    package let role: Role
    /// Whether it is a matrix in the checkpoint, and not a vector.
    package let isMatrix: Bool
    /// The values that the decoder computes with.
    package let values: Matrix
    /// Where the backward pass adds its gradient.
    package let gradient: Matrix

    package var count: Int { values.count }
}

extension Decoder {
    /// Gives the parameters of some roles gradients of zero, and takes those of all others away.
    ///
    /// Only what has a gradient costs the products that make it, and the backward pass ends at the lowest layer that has
    /// one. Of a streamed model, what is trained stays in memory from now on.
    ///
    /// - Returns: the parameters, in the order of the layers.
    /// - Throws: `CheckpointError` where weights cannot be read.
    package func train(where isTrained: (Role) -> Bool) throws -> [TrainedParameter] {
        var result: [TrainedParameter] = []
        var lowest = configuration.layers
        let embedding = try ends(isTrained).embedding
        if let embedding {
            try prepare(embedding, isTrained, &result)
            if embedding.gradient != nil { lowest = 0 }
        }
        for index in 0..<configuration.layers {
            let before = result.count
            // Of a layer that is read for this, only what is trained is kept.
            if !isStreamed || hasRole(in: index, isTrained) { try prepare(try layer(index), isTrained, &result) }
            if result.count > before { lowest = min(lowest, index) }
        }
        prepare(finalNorm, isTrained, &result)
        if let tiedHeadBias { prepare(tiedHeadBias, isTrained, &result) }
        if let head = try ends(isTrained).head { try prepare(head, isTrained, &result) }
        lowestTrained = lowest
        endsAtRouter =
            embedding?.gradient == nil
            && result.allSatisfy { $0.role.layer != lowest || $0.role.kind == .router || $0.role.kind == .routerBias }
        return result
    }

    private func hasRole(in layer: Int, _ isTrained: (Role) -> Bool) -> Bool {
        checkpoint.table.keys.contains { $0.layer == layer && isTrained($0) }
    }

    private func prepare(
        _ layer: LayerParameters, _ isTrained: (Role) -> Bool, _ result: inout [TrainedParameter]
    ) throws {
        for norm in [layer.attentionNorm, layer.attentionOutputNorm] {
            if let norm { prepare(norm, isTrained, &result) }
        }
        for weights in layer.mixer?.weights ?? [] {
            switch weights {
            case .linear(let linear): try prepare(linear, isTrained, &result)
            case .norm(let norm): prepare(norm, isTrained, &result)
            case .vector(let vector): prepare(vector, isTrained, &result)
            }
        }
        for norm in [layer.feedForwardNorm, layer.feedForwardOutputNorm] {
            if let norm { prepare(norm, isTrained, &result) }
        }
        switch layer.feedForward {
        case .dense(let network): try prepare(network, isTrained, &result)
        case .mixture(let mixture):
            try prepare(mixture.router, isTrained, &result)
            for expert in mixture.experts { try prepare(expert, isTrained, &result) }
            if let shared = mixture.shared { try prepare(shared, isTrained, &result) }
            if let gate = mixture.sharedGate { try prepare(gate, isTrained, &result) }
            if let norm = mixture.routerNorm { prepare(norm, isTrained, &result) }
            if let scale = mixture.expertScale { prepare(scale, isTrained, &result) }
            if let beside = mixture.beside {
                try prepare(beside.network, isTrained, &result)
                for norm in beside.norms { prepare(norm, isTrained, &result) }
            }
        case nil: break
        }
    }

    private func prepare(_ vector: VectorWeights, _ isTrained: (Role) -> Bool, _ result: inout [TrainedParameter]) {
        let trains = isTrained(vector.role)
        vector.gradient = trains ? Matrix(zeros: vector.values.rows, vector.values.columns) : nil
        append(vector.role, vector.values, vector.gradient, isMatrix: vector.values.rows > 1, &result)
        keep(vector, vector.role, trains)
    }

    private func prepare(
        _ network: GatedNetwork, _ isTrained: (Role) -> Bool, _ result: inout [TrainedParameter]
    ) throws {
        try prepare(network.gateUp, isTrained, &result)
        try prepare(network.down, isTrained, &result)
    }

    private func prepare(_ linear: Linear, _ isTrained: (Role) -> Bool, _ result: inout [TrainedParameter]) throws {
        linear.gradient =
            linear.parts.contains { isTrained($0.role) } ? Matrix(zeros: linear.outputs, linear.inputs) : nil
        let trainsBias = linear.parts.contains { $0.biasRole.map(isTrained) ?? false }
        linear.biasGradient = trainsBias ? Matrix(zeros: 1, linear.outputs) : nil
        keep(linear, linear.parts.first?.role, linear.gradient != nil || linear.biasGradient != nil)
        for part in linear.parts {
            if let gradient = linear.gradient, isTrained(part.role) {
                result.append(
                    TrainedParameter(
                        role: part.role, isMatrix: true, values: Matrix(rows: part.rows, of: try linear.loaded()),
                        gradient: Matrix(rows: part.rows, of: gradient)))
            }
            if let role = part.biasRole, let bias = linear.bias, let gradient = linear.biasGradient, isTrained(role) {
                result.append(
                    TrainedParameter(
                        role: role, isMatrix: false, values: Matrix(columns: part.rows, ofVector: bias),
                        gradient: Matrix(columns: part.rows, ofVector: gradient)))
            }
        }
    }

    private func prepare(_ norm: NormWeights, _ isTrained: (Role) -> Bool, _ result: inout [TrainedParameter]) {
        if norm.isWeightless { return }
        norm.gradient = isTrained(norm.role) ? Matrix(zeros: 1, norm.weight.columns) : nil
        append(norm.role, norm.weight, norm.gradient, isMatrix: false, &result)
        let trainsBias = norm.biasRole.map(isTrained) ?? false
        keep(norm, norm.role, norm.gradient != nil || trainsBias)
        guard let role = norm.biasRole, let bias = norm.bias else { return }
        norm.biasGradient = trainsBias ? Matrix(zeros: 1, bias.columns) : nil
        append(role, bias, norm.biasGradient, isMatrix: false, &result)
    }

    private func append(
        _ role: Role, _ values: Matrix, _ gradient: Matrix?, isMatrix: Bool, _ result: inout [TrainedParameter]
    ) {
        guard let gradient else { return }
        result.append(TrainedParameter(role: role, isMatrix: isMatrix, values: values, gradient: gradient))
    }
}
