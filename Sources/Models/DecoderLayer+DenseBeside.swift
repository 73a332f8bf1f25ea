import CPlatform
import Checkpoints
import Numerics

/// What the backward pass of a dense network beside experts needs, besides that of the experts.
final class DenseBesideTape {
    var network: NetworkTape?
    /// The outputs before their norms, and the statistics of these and of the norm before the experts.
    let dense: Matrix
    let experts: Matrix
    let denseStatistics: Matrix
    let beforeStatistics: Matrix
    let expertsStatistics: Matrix

    init(
        network: NetworkTape?, dense: Matrix, experts: Matrix, denseStatistics: Matrix, beforeStatistics: Matrix,
        expertsStatistics: Matrix
    ) {
        self.network = network
        self.dense = dense
        self.experts = experts
        self.denseStatistics = denseStatistics
        self.beforeStatistics = beforeStatistics
        self.expertsStatistics = expertsStatistics
    }
}

/// A layer whose tokens all go to a dense network, and to some of the experts beside it.
extension DecoderLayer {
    /// - Parameters:
    ///   - input: what the dense network sees.
    ///   - stream: what experts and router see through norms of their own.
    func besideForward(
        _ beside: DenseBeside, _ layer: MixtureLayer, _ input: Matrix, _ stream: Matrix, _ wishes: Wishes,
        _ tape: LayerTape?, _ workers: Workers
    ) throws -> (output: Matrix, record: MixtureRecord?) {
        let dense = try FeedForward(network: beside.network, activation: configuration.activation).forward(
            input, keeps: wishes.keeps, workers)
        let norms = beside.norms.map { normalization($0) }
        let statistics = norms.map { $0.statistics(rows: stream.rows) }
        let output = norms[0].forward(dense.output, statistics: statistics[0], workers)
        let routed = try layer.forward(
            norms[1].forward(stream, statistics: statistics[1], workers), stream: stream, gating: wishes.gating,
            keeps: wishes.keeps, watches: wishes.watches, workers)
        let added = norms[2].forward(routed.output, statistics: statistics[2], workers)
        ctransformer_add_scaled(output.values, added.values, 1, output.count)
        tape?.mixture = routed.tape
        tape?.beside =
            wishes.keeps
            ? DenseBesideTape(
                network: dense.tape, dense: dense.output, experts: routed.output, denseStatistics: statistics[0],
                beforeStatistics: statistics[1], expertsStatistics: statistics[2]) : nil
        return (output, routed.record)
    }

    /// The gradient of what the dense network saw; that of the stream by way of experts and router is added to
    /// `streamSlope`.
    func besideBackward(
        _ beside: DenseBeside, _ layer: MixtureLayer, _ slope: Matrix, _ input: Matrix, _ tape: LayerTape,
        _ streamSlope: Matrix, auxiliary: Matrix?, endsAtRouter: Bool, _ workers: Workers
    ) throws -> Matrix {
        guard let kept = tape.beside, let mixture = tape.mixture, let stream = tape.middle else { return slope }
        let expertsSlope = try layer.backward(
            through(beside.expertsNorm, kept.experts, kept.expertsStatistics, slope, workers), mixture,
            streamSlope: streamSlope, auxiliary: auxiliary, endsAtRouter: endsAtRouter, workers)
        let result = Matrix(rows: slope.rows, columns: slope.columns)
        if endsAtRouter { return result }
        add(expertsSlope, through: beside.beforeExperts, stream, kept.beforeStatistics, to: streamSlope, workers)
        guard let network = kept.network else { return result }
        try FeedForward(network: beside.network, activation: configuration.activation).backward(
            through(beside.denseNorm, kept.dense, kept.denseStatistics, slope, workers), input: input, network,
            into: result, workers)
        return result
    }
}
