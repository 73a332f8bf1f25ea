import Checkpoints
package import Models
import Numerics
import Safetensors
import Transforms

/// What the routers of a mixture see, before their rows are known: the residual stream after the norm, with all experts
/// taking part alike.
///
/// On the real branches of the project's reference models this gives rows that route held-out text better than inputs
/// measured with each domain's tokens sent to its own expert, and as well as a second pass under the first one's rows.
package struct RouterInputs {
    package let decoder: Decoder
    private let scale: Float

    /// - Throws: `CheckpointError` for a dense model.
    package init(_ decoder: Decoder) throws {
        guard let mixture = decoder.configuration.mixture else {
            throw CheckpointError(
                .incompatible, message: "routers' inputs are those of a mixture, and the model is dense")
        }
        self.decoder = decoder
        scale = mixture.router.scale
    }

    /// Runs a batch with all experts taking part alike.
    package func run(_ batch: TokenBatch, _ observer: any ForwardObserver) throws {
        _ = try decoder.forward(batch, observer: observer, gating: EqualGating(scale: scale))
    }

    /// Runs a domain's text in batches of windows.
    ///
    /// - Parameters:
    ///   - options: with the most tokens that are read.
    ///   - progress: asked before each batch whether to go on.
    func run(
        _ source: DataSource, length: Int, options: DataOptions, encoder: TextEncoder, tokensAtOnce: Int,
        _ observer: any ForwardObserver, progress: () throws -> Void
    ) throws {
        let reader = try WindowReader(source, length: length, options: options, encoder: encoder)
        while let windows = try reader.next(atMost: max(1, tokensAtOnce / length)) {
            try progress()
            try run(TokenBatch(ids: windows.ids, length: length), observer)
        }
    }

    /// Routers' rows along what routers see of each domain's text.
    ///
    /// - Parameters:
    ///   - sources: a domain for each expert, in the experts' order: `DomainExperts.ordered`.
    ///   - options: with the most tokens that are read of each.
    ///   - deviation: the standard deviation of the logits of the domains' means.
    ///   - progress: told the domain that is being read, and asked whether to go on.
    /// - Returns: `[experts, hidden]` by mixture layer, row by row.
    /// - Throws: as `WindowReader` for the text.
    package func domainRows(
        _ sources: [DataSource], length: Int, options: DataOptions, encoder: TextEncoder, tokensAtOnce: Int,
        deviation: Double, progress: (_ domain: String) throws -> Void = { _ in }
    ) throws -> [Int: [Float]] {
        let experts = decoder.configuration.mixture?.experts ?? 0
        guard sources.count == experts else {
            throw CheckpointError(
                .internalFailure, message: "\(sources.count) domains are to give rows for \(experts) experts")
        }
        var means: [Int: [[Double]]] = [:]
        for source in sources {
            let sums = InputSums()
            try run(
                source, length: length, options: options, encoder: encoder, tokensAtOnce: tokensAtOnce, sums,
                progress: { try progress(source.name) })
            for (layer, mean) in sums.means { means[layer, default: []].append(mean) }
        }
        return means.mapValues { RouterValues.domain(means: $0, logitStandardDeviation: deviation) }
    }
}

/// All tokens go to all experts, with equal gates.
private final class EqualGating: Gating {
    private let scale: Float

    init(scale: Float) { self.scale = scale }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let (tokens, experts) = (context.logits.rows, context.logits.columns)
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: (0...tokens).map { $0 * experts },
                selected: (0..<tokens).flatMap { _ in (0..<experts).map { Int32($0) } },
                gates: [Float](repeating: scale / Float(experts), count: tokens * experts)))
    }
}

/// Sums what routers see, layer by layer.
final class InputSums: ForwardObserver {
    private var sums: [Int: [Double]] = [:]
    private var tokens: [Int: Int] = [:]

    func routed(_ record: MixtureRecord) { add(record.input, layer: record.layer) }

    /// Adds rows, `[tokens, hidden]`.
    func add(_ rows: Matrix, layer: Int) {
        var sum = sums.removeValue(forKey: layer) ?? [Double](repeating: 0, count: rows.columns)
        for row in 0..<rows.rows {
            let values = rows.row(row)
            for i in sum.indices { sum[i] += Double(values[i]) }
        }
        sums[layer] = sum
        tokens[layer, default: 0] += rows.rows
    }

    /// The mean of all tokens by layer, `[hidden]`.
    var means: [Int: [Double]] {
        var result: [Int: [Double]] = [:]
        for (layer, sum) in sums { result[layer] = sum.map { $0 / Double(max(tokens[layer] ?? 1, 1)) } }
        return result
    }
}

/// Keeps what routers see of every n-th token, layer by layer.
final class InputSamples: ForwardObserver {
    private(set) var rows: [Int: [[Float]]] = [:]
    private let stride: Int
    private var seen: [Int: Int] = [:]

    init(every stride: Int) { self.stride = max(stride, 1) }

    func routed(_ record: MixtureRecord) {
        let first = seen[record.layer] ?? 0
        for row in 0..<record.input.rows where (first + row) % stride == 0 {
            let values = UnsafeBufferPointer(start: record.input.row(row), count: record.input.columns)
            rows[record.layer, default: []].append(Array(values))
        }
        seen[record.layer] = first + record.input.rows
    }
}
