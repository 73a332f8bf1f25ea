package import Checkpoints
package import Numerics

/// What mixes the tokens of a sequence in a layer: attention, or what stands in its place.
protocol Mixer {
    /// - Parameters:
    ///   - input: the normalised stream, `[rows, hidden]`.
    ///   - state: what is known of the tokens before, to which these are added; one sequence then.
    /// - Returns: what is added to the stream, and with `keeps` what the backward pass needs.
    func forward(
        _ input: Matrix, _ pass: MixerPass, state: (any MixerState)?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: (any MixerTape)?)

    /// Replaces `target` by the gradient of the input, and adds those of the weights that are trained; the tape is used
    /// up.
    func backward(
        _ slope: Matrix, _ tape: any MixerTape, _ pass: MixerPass, into target: Matrix, _ workers: Workers) throws
}

/// What sequences the rows are, and their positions.
struct MixerPass {
    let shape: SequenceShape
    let rotary: RotaryTable
}

/// What the backward pass of a mixer needs.
protocol MixerTape: AnyObject {}

/// What a mixer keeps of the tokens of a sequence so far.
package protocol MixerState: AnyObject {}

/// The weights of a mixer.
package protocol MixerParameters {
    /// All of them, in the order in which they are trained.
    var weights: [LayerWeights] { get }
}

/// Weights of one kind or another.
package enum LayerWeights {
    case linear(Linear)
    case norm(NormWeights)
    case vector(VectorWeights)
}

extension LayerParameters {
    /// What computes with the layer's mixer; nil for a layer that is a network alone.
    func mixer(_ configuration: DecoderConfiguration) -> (any Mixer)? {
        switch mixer {
        case let attention as AttentionParameters:
            SelfAttention(
                parameters: attention, configuration: configuration.attention.of(layer: layer),
                norm: configuration.norm, layer: layer)
        case let convolution as ConvolutionParameters: GatedConvolution(parameters: convolution)
        case let delta as DeltaParameters:
            configuration.delta.map {
                GatedDeltaNet(parameters: delta, sizes: $0, epsilon: configuration.norm.epsilon)
            }
        case let mamba as MambaParameters:
            configuration.mamba.map {
                Mamba2(parameters: mamba, sizes: $0, epsilon: configuration.norm.epsilon)
            }
        default: nil
        }
    }
}

extension SelfAttention: Mixer {
    func forward(
        _ input: Matrix, _ pass: MixerPass, state: (any MixerState)?, keeps: Bool, _ workers: Workers
    ) throws -> (output: Matrix, tape: (any MixerTape)?) {
        let (output, tape) = try forward(
            input, pass.shape, pass.rotary, cache: state as? LayerCache, keeps: keeps, workers)
        return (output, tape)
    }

    func backward(
        _ slope: Matrix, _ tape: any MixerTape, _ pass: MixerPass, into target: Matrix, _ workers: Workers
    ) throws {
        guard let tape = tape as? AttentionTape else { return }
        try backward(slope, tape, pass.shape, pass.rotary, into: target, workers)
    }
}

extension AttentionTape: MixerTape {}
extension LayerCache: MixerState {}

extension AttentionParameters: MixerParameters {
    package var weights: [LayerWeights] {
        var result: [LayerWeights]
        switch projections {
        case .grouped(let linear): result = [.linear(linear)]
        case .latent(let latent):
            result = [.linear(latent.query)]
            if let (norm, projection) = latent.queryUp { result += [.norm(norm), .linear(projection)] }
            result += [.linear(latent.keyValueDown), .norm(latent.keyValueNorm), .linear(latent.keyValueUp)]
        }
        result += [queryNorm, keyNorm].compactMap { $0.map { .norm($0) } }
        if let sinks { result.append(.vector(sinks)) }
        if let gate { result.append(.linear(gate)) }
        return result + [.linear(output)]
    }
}

/// What the mixers of a decoder keep of one sequence so far.
package final class SequenceState {
    let layers: [(any MixerState)?]
    /// Tokens so far.
    package internal(set) var count = 0

    /// The length of the whole sequence as far as it is known, by which positions are told in all of its pieces.
    package let length: Int

    /// - Parameters:
    ///   - capacity: tokens that keys and values have room for at first.
    ///   - length: of the whole sequence, where it will come in pieces.
    package init(_ configuration: DecoderConfiguration, capacity: Int, length: Int = 0) {
        self.length = length
        layers = configuration.mixers.enumerated().map { layer, mixer in
            switch mixer {
            case .attention:
                let attention = configuration.attention.of(layer: layer)
                return LayerCache(
                    keyWidth: attention.keyValueHeads * attention.keyDimension,
                    valueWidth: attention.keyValueHeads * attention.valueDimension, capacity: capacity)
            case .convolution:
                return configuration.convolution.map {
                    RecurrentState(window: $0.kernel - 1, channels: configuration.hidden, state: nil)
                }
            case .delta:
                return configuration.delta.map {
                    RecurrentState(
                        window: $0.kernel - 1, channels: $0.channels,
                        state: (rows: $0.heads * $0.keyDimension, columns: $0.valueDimension))
                }
            case .mamba:
                return configuration.mamba.map {
                    RecurrentState(
                        window: $0.kernel - 1, channels: $0.channels,
                        state: (rows: $0.heads * $0.state, columns: $0.headDimension))
                }
            case nil: return nil
            }
        }
    }
}

/// The last inputs of a convolution, and the matrix that a recurrence has come to.
package final class RecurrentState: MixerState {
    /// `[kernel - 1, channels]`, the latest last.
    package let window: Matrix
    /// Nil for a mixer that has a convolution only.
    let state: Matrix?

    /// Before the first token: zeros.
    package init(window: Int, channels: Int, state: (rows: Int, columns: Int)?) {
        self.window = Matrix(zeros: window, channels)
        self.state = state.map { Matrix(zeros: $0.rows, $0.columns) }
    }

    /// Takes the last inputs over.
    package func slide(_ input: MatrixSpan) {
        let rows = window.rows
        for row in 0..<rows {
            let source = input.rows - rows + row
            if source >= 0 {
                window.row(row).update(from: input.values + source * input.stride, count: window.columns)
            } else {
                // Of what was before: rows move up by as many as came.
                window.row(row).update(from: window.row(row + input.rows), count: window.columns)
            }
        }
    }
}
