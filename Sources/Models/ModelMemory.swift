package import Checkpoints

/// What a model takes of memory, in bytes, by what is done with it: upper bounds, made of its sizes alone.
package struct ModelMemory: Sendable {
    /// What is done with the model.
    package enum Work: Sendable, Hashable {
        /// Passes forward; so many experts take part in each token.
        case forward(slots: Int)
        /// A pass that keeps keys and values of so many tokens.
        case generation(tokens: Int)
        /// Gradients of so many parameters, the moments of an optimiser, and so many copies of them.
        case training(parameters: Int, copies: Int, checkpoints: Bool)
    }

    package let name: String
    /// The weights in F32.
    package let weights: Int
    package let largestLayer: Int
    /// What the layers' norms, biases and routers take, which are read whole.
    private let smallParts: Int
    /// The longest row of a matrix.
    private let longestRow: Int
    /// A row of logits.
    package let logitRow: Int
    private let values: TokenValues
    private let layers: Int
    private let hidden: Int
    /// Sines and cosines of a position.
    private let perPosition: Int
    /// Keys and values of a token, and what mixers without them keep of a sequence.
    private let perCached: Int
    private let sequenceState: Int
    private let work: Work

    /// - Throws: `CheckpointError` for a configuration that gives no model, and weights of types without values.
    package init(_ checkpoint: Checkpoint, topK: Int? = nil, _ work: Work) throws {
        try checkpoint.checkComputable()
        let configuration = try DecoderConfiguration(checkpoint.description)
        name = checkpoint.name
        self.work = work
        var sizes = [Int](repeating: 0, count: configuration.layers)
        var small = sizes
        var (total, longest) = (0, 0)
        for (role, tensor) in checkpoint.table {
            let bytes = 4 * tensor.rows * tensor.columns
            total += bytes
            longest = max(longest, 4 * tensor.columns)
            guard let layer = role.layer, layer < sizes.count else { continue }
            sizes[layer] += bytes
            switch role.kind {
            case .router: small[layer] += bytes
            // In the order of the channels, and in that of the taps.
            case .mixerConvolution: small[layer] += 2 * bytes
            default: if tensor.rows == 1 { small[layer] += bytes }
            }
        }
        weights = total
        largestLayer = sizes.max() ?? 0
        smallParts = small.max() ?? 0
        longestRow = longest
        logitRow = 4 * configuration.vocabulary
        layers = configuration.layers
        hidden = configuration.hidden
        var slots = try configuration.mixture?.selected(topK) ?? 0
        if case .forward(let count) = work, count > 0 { slots = min(count, configuration.mixture?.experts ?? 0) }
        values = TokenValues(configuration, slots: slots)
        let attentions = configuration.mixers.enumerated().compactMap { layer, mixer in
            mixer == .attention ? configuration.attention.of(layer: layer) : nil
        }
        perPosition =
            8 * configuration.attention.rotaries.count * attentions.reduce(0) { max($0, $1.keyDimension) }
        perCached = attentions.reduce(0) { $0 + 4 * $1.keyValueHeads * ($1.keyDimension + $1.valueDimension) }
        sequenceState = configuration.mixers.reduce(0) { $0 + 4 * configuration.stateValues($1) }
    }

    /// What does not depend on how many tokens go through at once.
    func fixed(_ placement: WeightPlacement) -> Int {
        var bytes: Int
        switch placement.weights {
        case .resident: bytes = weights
        case .layers: bytes = largestLayer + max(placement.blockBytes, longestRow)
        case .rows: bytes = smallParts + max(placement.blockBytes, longestRow)
        }
        // A head's logits, and of two models' those of the other beside them.
        bytes += max(placement.logitBytes, logitRow) * 2
        switch work {
        case .forward: break
        // The memory is doubled where it is outgrown.
        case .generation(let tokens):
            let (grown, overflows) = perCached.multipliedReportingOverflow(by: tokens)
            bytes += sequenceState + perCached * min(tokens, 1 << 12)
            if tokens > 1 << 12 { bytes += overflows ? .max >> 8 : 3 * min(grown, .max >> 8) }
        case .training(let parameters, let copies, _):
            // Values of a streamed model, gradients, two moments, and the result's values.
            bytes += 4 * parameters * (4 + copies + (placement.weights == .resident ? 0 : 1))
        }
        return bytes
    }

    /// What a token takes that goes through the model with others, in sequences of a length.
    func token(length: Int) -> Int {
        let most = 4 * (values.most + values.chunked(values.mostStates, length: length))
        switch work {
        case .forward, .generation: return 4 * values.forward
        case .training(_, _, checkpoints: true): return layers * 4 * hidden + most + 8 * values.forward
        case .training(_, _, checkpoints: false):
            return 4 * (values.tapes + values.chunked(values.states, length: length)) + 8 * values.forward
        }
    }

    /// What a window takes besides its tokens: each thread's attention scores or chunk, and positions.
    func window(_ length: Int, threads: Int) -> Int {
        var perThread = max(values.attends ? 128 * 4 * length : 0, 4 * values.scratch)
        if case .training = work { perThread *= 2 }
        return perThread * threads + perPosition * length
    }
}
