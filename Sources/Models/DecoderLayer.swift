import CPlatform
import Checkpoints
import Numerics

/// What the backward pass of a layer needs.
final class LayerTape {
    /// The residual stream that came in, and the one between attention and network.
    let entering: Matrix
    var middle: Matrix?
    var attentionStatistics: Matrix?
    var mixer: (any MixerTape)?
    /// The mixer's output and its norm's statistics, where it is normalised.
    var attentionOutput: Matrix?
    var attentionOutputStatistics: Matrix?
    var feedForwardStatistics: Matrix?
    /// What the network saw.
    var feedForwardInput: Matrix?
    var network: NetworkTape?
    var mixture: MixtureTape?
    var feedForwardOutput: Matrix?
    var feedForwardOutputStatistics: Matrix?
    var beside: DenseBesideTape?

    init(entering: Matrix) {
        self.entering = entering
    }
}

/// A decoder layer: attention or another mixer, then a network or a mixture of them, each added to the residual stream; or
/// one of the two.
struct DecoderLayer {
    let parameters: LayerParameters
    let configuration: DecoderConfiguration
    let rule: RouterRule?
    var perturbation: (any RouterPerturbation)?

    func normalization(_ weights: NormWeights) -> Normalization {
        Normalization(weights: weights, norm: configuration.norm)
    }

    /// What a pass wants of a layer besides its output.
    struct Wishes {
        var state: (any MixerState)?
        var gating: (any Gating)?
        var keeps = false
        var watches = false
    }

    /// - Parameter stream: the residual stream, `[rows, hidden]`.
    /// - Returns: the stream that leaves, and what was wished for.
    func forward(
        _ stream: Matrix, _ shape: SequenceShape, _ rotary: RotaryTable, _ wishes: Wishes, _ workers: Workers
    ) throws -> (output: Matrix, tape: LayerTape?, record: MixtureRecord?) {
        let tape = wishes.keeps ? LayerTape(entering: stream) : nil
        let mixed = try mix(stream, MixerPass(shape: shape, rotary: rotary), wishes, tape, workers)
        guard let feedForward = parameters.feedForward else { return (mixed.middle, tape, nil) }
        // Of what the mixer left, or beside it of what the mixer saw.
        var input = configuration.isParallel ? mixed.input : mixed.middle
        if let weights = parameters.feedForwardNorm {
            let norm = normalization(weights)
            tape?.feedForwardStatistics = wishes.keeps ? norm.statistics(rows: stream.rows) : nil
            input = norm.forward(mixed.middle, statistics: tape?.feedForwardStatistics, workers)
        }
        tape?.feedForwardInput = wishes.keeps ? input : nil
        var record: MixtureRecord?
        var added = input
        switch feedForward {
        case .dense(let network):
            let result = try FeedForward(network: network, activation: configuration.activation).forward(
                input, keeps: wishes.keeps, workers)
            tape?.network = result.tape
            added = result.output
        case .mixture(let mixture):
            guard let layer = mixtureLayer(mixture) else { break }
            if let beside = mixture.beside {
                (added, record) = try besideForward(beside, layer, input, mixed.middle, wishes, tape, workers)
                break
            }
            let result = try layer.forward(
                input, gating: wishes.gating, keeps: wishes.keeps, watches: wishes.watches, workers)
            tape?.mixture = result.tape
            record = result.record
            added = result.output
        }
        if let weights = parameters.feedForwardOutputNorm {
            let norm = normalization(weights)
            tape?.feedForwardOutput = wishes.keeps ? added : nil
            tape?.feedForwardOutputStatistics = wishes.keeps ? norm.statistics(rows: stream.rows) : nil
            added = norm.forward(added, statistics: tape?.feedForwardOutputStatistics, workers)
        }
        return (scale(sum(mixed.middle, added, workers)), tape, record)
    }

    /// Multiplies the stream that leaves, or its gradient, by the layer's factor.
    private func scale(_ stream: Matrix) -> Matrix {
        guard let factor = parameters.scale?.values.values[0] else { return stream }
        ctransformer_scale(stream.values, stream.values, factor, stream.count)
        return stream
    }

    /// What the mixer sees, and the stream with what it adds.
    private func mix(
        _ stream: Matrix, _ pass: MixerPass, _ wishes: Wishes, _ tape: LayerTape?, _ workers: Workers
    ) throws -> (input: Matrix, middle: Matrix) {
        tape?.middle = stream
        guard let mixer = parameters.mixer(configuration) else { return (stream, stream) }
        var input = stream
        if let weights = parameters.attentionNorm {
            let norm = normalization(weights)
            tape?.attentionStatistics = wishes.keeps ? norm.statistics(rows: stream.rows) : nil
            input = norm.forward(stream, statistics: tape?.attentionStatistics, workers)
        }
        let mixed = try mixer.forward(input, pass, state: wishes.state, keeps: wishes.keeps, workers)
        tape?.mixer = mixed.tape
        var added = mixed.output
        if let weights = parameters.attentionOutputNorm {
            let norm = normalization(weights)
            tape?.attentionOutput = wishes.keeps ? added : nil
            tape?.attentionOutputStatistics = wishes.keeps ? norm.statistics(rows: stream.rows) : nil
            added = norm.forward(added, statistics: tape?.attentionOutputStatistics, workers)
        }
        let middle = sum(stream, added, workers)
        tape?.middle = middle
        return (input, middle)
    }

    private func mixtureLayer(_ mixture: MixtureParameters) -> MixtureLayer? {
        rule.map {
            MixtureLayer(
                parameters: mixture, activation: configuration.activation, rule: $0,
                sharedScale: configuration.mixture?.sharedScale ?? 1, norm: configuration.norm,
                layer: parameters.layer,
                perturbation: perturbation)
        }
    }

    /// `stream + residualScale * added`
    private func sum(_ stream: Matrix, _ added: Matrix, _ workers: Workers) -> Matrix {
        let result = Matrix(rows: stream.rows, columns: stream.columns)
        workers.forEachRange(of: stream.rows, size: 64) { rows in
            let count = rows.count * stream.columns
            let target = result.row(rows.lowerBound)
            target.update(from: stream.row(rows.lowerBound), count: count)
            ctransformer_add_scaled(target, added.row(rows.lowerBound), configuration.residualScale, count)
        }
        return result
    }

    /// The gradient of the stream that came in; the tape is used up.
    ///
    /// - Parameters:
    ///   - output: the gradient of the stream that left.
    ///   - auxiliary: what else there is of the gradient of the router's logits.
    ///   - endsAtRouter: nothing but this layer's router is trained here or below; what is returned is then of no use.
    func backward(
        _ output: Matrix, _ tape: LayerTape, _ shape: SequenceShape, _ rotary: RotaryTable, auxiliary: Matrix?,
        endsAtRouter: Bool, _ workers: Workers
    ) throws -> Matrix {
        guard let middle = tape.middle else { return output }
        let output = parameters.scale == nil ? output : scale(output.copy())
        let middleSlope = output.copy()
        var beside: Matrix?
        if let feedForward = parameters.feedForward, let input = tape.feedForwardInput {
            let inputSlope = try networkBackward(
                feedForward, output, input, tape, middleSlope, auxiliary: auxiliary, endsAtRouter: endsAtRouter, workers
            )
            if endsAtRouter { return output }
            if configuration.isParallel {
                beside = inputSlope
            } else {
                add(
                    inputSlope, through: parameters.feedForwardNorm, middle, tape.feedForwardStatistics,
                    to: middleSlope, workers)
            }
        }
        guard let mixer = parameters.mixer(configuration), let mixed = tape.mixer else { return middleSlope }
        var slope = scaled(middleSlope, workers)
        if let weights = parameters.attentionOutputNorm, let given = tape.attentionOutput,
            let statistics = tape.attentionOutputStatistics
        {
            slope = through(weights, given, statistics, slope, workers)
        }
        let inputSlope = Matrix(rows: output.rows, columns: output.columns)
        try mixer.backward(slope, mixed, MixerPass(shape: shape, rotary: rotary), into: inputSlope, workers)
        if let beside { ctransformer_add_scaled(inputSlope.values, beside.values, 1, beside.count) }
        add(
            inputSlope, through: parameters.attentionNorm, tape.entering, tape.attentionStatistics, to: middleSlope,
            workers)
        return middleSlope
    }

    /// The gradient of what the network or the mixture saw.
    ///
    /// - Parameter middleSlope: what else reaches the stream between attention and network is added to it.
    private func networkBackward(
        _ feedForward: FeedForwardParameters, _ output: Matrix, _ input: Matrix, _ tape: LayerTape,
        _ middleSlope: Matrix, auxiliary: Matrix?, endsAtRouter: Bool, _ workers: Workers
    ) throws -> Matrix {
        var slope = scaled(output, workers)
        if let weights = parameters.feedForwardOutputNorm, let given = tape.feedForwardOutput,
            let statistics = tape.feedForwardOutputStatistics
        {
            slope = through(weights, given, statistics, slope, workers)
        }
        switch feedForward {
        case .dense(let network):
            let result = Matrix(rows: output.rows, columns: output.columns)
            guard let kept = tape.network else { return result }
            try FeedForward(network: network, activation: configuration.activation).backward(
                slope, input: input, kept, into: result, workers)
            return result
        case .mixture(let mixture):
            guard let kept = tape.mixture, let layer = mixtureLayer(mixture) else { return slope }
            if let beside = mixture.beside {
                return try besideBackward(
                    beside, layer, slope, input, tape, middleSlope, auxiliary: auxiliary, endsAtRouter: endsAtRouter,
                    workers)
            }
            return try layer.backward(slope, kept, auxiliary: auxiliary, endsAtRouter: endsAtRouter, workers)
        }
    }

    private func scaled(_ matrix: Matrix, _ workers: Workers) -> Matrix {
        guard configuration.residualScale != 1 else { return matrix }
        let result = Matrix(rows: matrix.rows, columns: matrix.columns)
        ctransformer_scale(result.values, matrix.values, configuration.residualScale, matrix.count)
        return result
    }

    /// The gradient before a norm.
    func through(
        _ weights: NormWeights, _ input: Matrix, _ statistics: Matrix, _ slope: Matrix, _ workers: Workers
    ) -> Matrix {
        let result = Matrix(zeros: slope.rows, slope.columns)
        normalization(weights).backward(
            input.span, statistics: statistics, dy: slope.span, into: result.span, workers)
        return result
    }

    /// Adds a gradient to the stream's, through the norm where there is one.
    func add(
        _ slope: Matrix, through weights: NormWeights?, _ input: Matrix, _ statistics: Matrix?, to stream: Matrix,
        _ workers: Workers
    ) {
        if let weights, let statistics {
            normalization(weights).backward(
                input.span, statistics: statistics, dy: slope.span, into: stream.span, workers)
        } else {
            ctransformer_add_scaled(stream.values, slope.values, 1, stream.count)
        }
    }
}
