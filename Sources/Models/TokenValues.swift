import Checkpoints

/// Values that a token takes in memory while layers are computed, more rather than less.
struct TokenValues: Sendable {
    /// In the layer that takes the most, where only its output is wanted.
    private(set) var forward = 0
    /// What a layer keeps for its gradient: the layer that keeps the most, and all of them.
    private(set) var most = 0
    private(set) var tapes = 0
    /// What a layer keeps of each chunk of a recurrence: the most, and all of them.
    private(set) var mostStates = 0
    private(set) var states = 0
    /// What a thread takes for a chunk of a recurrence.
    private(set) var scratch = 0
    /// Whether a layer has attention.
    let attends: Bool

    private static let chunk = LinearRecurrence.usualChunk

    /// - Parameter slots: experts that take part in each token.
    init(_ configuration: DecoderConfiguration, slots: Int) {
        let hidden = configuration.hidden
        attends = configuration.mixers.contains(.attention)
        for layer in 0..<configuration.layers {
            let kind = configuration.mixers[layer]
            let mixer = configuration.values(of: kind, layer)
            let network = configuration.networkValues(layer, slots: slots)
            forward = max(forward, 7 * hidden + max(mixer.forward, network))
            let tape = 8 * hidden + mixer.tape + network
            (most, tapes) = (max(most, tape), tapes + tape)
            guard let recurrence = configuration.recurrence(of: kind) else { continue }
            let state = recurrence.heads * recurrence.keyDimension * recurrence.valueDimension
            (mostStates, states) = (max(mostStates, state), states + state)
            scratch = max(
                scratch,
                recurrence.shared * recurrence.keyDimension * recurrence.valueDimension
                    + Self.chunk * (5 * Self.chunk + 6 + 3 * recurrence.valueDimension))
        }
    }

    /// A token's part of what is kept of each chunk, in sequences of a length.
    func chunked(_ values: Int, length: Int) -> Int {
        let length = max(length, 1)
        let chunks = (length - 1) / Self.chunk + 1
        let (product, overflows) = values.multipliedReportingOverflow(by: chunks)
        return overflows ? .max >> 8 : product / length + 1
    }
}

extension DecoderConfiguration {
    /// What a mixer takes of a token: where only its output is wanted, and what it keeps for its gradient.
    fileprivate func values(of kind: MixerKind?, _ layer: Int) -> (forward: Int, tape: Int) {
        switch kind {
        case .attention: return attentionValues(attention.of(layer: layer))
        case .convolution: return (5 * hidden, 6 * hidden)
        case .delta:
            guard let delta else { return (0, 0) }
            let rates = 2 * (delta.heads + delta.keyHeads)
            return (
                (delta.isGrouped ? 2 : 1) * delta.columns + delta.channels + rates + 3 * delta.values,
                delta.columns + delta.channels + rates + delta.heads + 4 * delta.values
            )
        case .mamba:
            guard let mamba else { return (0, 0) }
            let values = mamba.columns + mamba.channels + 2 * mamba.heads + 4 * mamba.inner
            return (values, values + mamba.groups)
        case nil: return (0, 0)
        }
    }

    private func attentionValues(_ attention: Attention) -> (forward: Int, tape: Int) {
        let context = attention.heads * attention.valueDimension
        let queries = attention.heads * attention.keyDimension
        var projected =
            (attention.gatesInsideQuery ? 2 : 1) * queries
            + attention.keyValueHeads * (attention.keyDimension + attention.valueDimension)
        if let latent = attention.latent {
            projected =
                2 * queries + 2 * (latent.queryRank ?? 0) + 2 * latent.keyValueRank + 2 * latent.rotated
                + attention.heads * (latent.plain + attention.valueDimension)
        }
        return (projected + 3 * context, 2 * projected + 3 * context + attention.heads)
    }

    /// What a layer's network or mixture takes of a token.
    fileprivate func networkValues(_ layer: Int, slots: Int) -> Int {
        guard hasNetwork[layer] else { return 0 }
        guard moeLayers[layer], let mixture else { return 3 * (inner ?? 0) }
        let beside = mixture.hasDenseBeside ? 3 * (inner ?? 0) + 6 * hidden : 0
        return beside + slots * (2 * hidden + 3 * mixture.expertInner + 8) + 3 * (mixture.sharedInner ?? 0)
            + hidden + 4 * mixture.experts
    }

    fileprivate func recurrence(of kind: MixerKind?) -> LinearRecurrence? {
        switch kind {
        case .delta: delta.map(LinearRecurrence.init)
        case .mamba: mamba.map(LinearRecurrence.init)
        default: nil
        }
    }

    /// What a mixer without keys and values keeps of a sequence.
    func stateValues(_ kind: MixerKind?) -> Int {
        switch kind {
        case .convolution: (convolution?.kernel ?? 0) * hidden
        case .delta: delta.map { $0.kernel * $0.channels + $0.heads * $0.keyDimension * $0.valueDimension } ?? 0
        case .mamba: mamba.map { $0.kernel * $0.channels + $0.heads * $0.state * $0.headDimension } ?? 0
        case .attention, nil: 0
        }
    }
}
