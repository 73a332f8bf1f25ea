package import Checkpoints
package import Models
package import Numerics

/// How a mixture routed the tokens of each domain, layer by layer.
public struct RoutingStatistics: Sendable {
    /// Sums of one mixture layer.
    public struct Layer: Sendable {
        /// By domain.
        package fileprivate(set) var domains: [RoutingTally]
        /// How many tokens went to both of two experts, `[experts, experts]`; to each, on the diagonal.
        package fileprivate(set) var pairs: [Int]
        /// Nil unless outputs are measured.
        package fileprivate(set) var outputs: OutputTally?

        /// All domains together.
        package var total: RoutingTally {
            var sum = RoutingTally(experts: domains[0].routed.count, hidden: domains[0].input.count)
            for domain in domains { sum.add(domain) }
            return sum
        }
    }

    /// The domains' names.
    public let domains: [String]
    /// How many experts a layer has.
    public let experts: Int
    /// What each expert is called: the model that it came from, or its number.
    public let labels: [String]
    /// Experts that a token goes to.
    public let topK: Int
    /// The factor of the family on gates.
    package let gateScale: Double
    package let measuresOutputs: Bool
    /// By the number of the layer in the model, counted from 0.
    public fileprivate(set) var layers: [Int: Layer] = [:]
}

/// Watches how a mixture routes the tokens of each domain.
///
/// ```swift
/// let observer = RoutingObserver(decoder.configuration, domains: ["law", "code"], measuresOutputs: true, workers)
/// observer.domain = 1
/// _ = try decoder.forward(batch, observer: observer)
/// print(observer.statistics.layers.count)
/// ```
///
/// Everything is summed in F64 as it passes: memory is experts times hidden a layer, whatever the number of tokens. A pass
/// under a gating that averages experts routes nothing, and adds nothing.
package final class RoutingObserver: ForwardObserver {
    package private(set) var statistics: RoutingStatistics
    /// The index of the domain that the next tokens are of.
    package var domain = 0

    private let hidden: Int
    private let distribution: GateDistribution
    private let workers: Workers
    private static let tokensPerPiece = 256

    /// - Parameters:
    ///   - domains: names, at least one.
    ///   - labels: what the experts are called; their numbers where there are none.
    ///   - measuresOutputs: also sum what the experts give, for `ExpertStatisticsFile`.
    /// - Returns: nil for a dense model.
    package init?(
        _ configuration: DecoderConfiguration, topK: Int? = nil, domains: [String], labels: [String] = [],
        measuresOutputs: Bool = false, _ workers: Workers
    ) {
        guard let mixture = configuration.mixture, !domains.isEmpty else { return nil }
        self.workers = workers
        statistics = RoutingStatistics(
            domains: domains, experts: mixture.experts,
            labels: labels.count == mixture.experts ? labels : (0..<mixture.experts).map(String.init),
            topK: topK ?? mixture.topK,
            // A factor of 0 leaves no gates to speak of.
            gateScale: mixture.router.scale == 0 ? 1 : Double(mixture.router.scale), measuresOutputs: measuresOutputs)
        hidden = configuration.hidden
        distribution = GateDistribution(mixture.router)
    }

    private var experts: Int { statistics.experts }

    package func routed(_ record: MixtureRecord) {
        var layer = statistics.layers.removeValue(forKey: record.layer) ?? emptyLayer()
        let rows = record.decision.tokens
        let pieces = (rows + Self.tokensPerPiece - 1) / Self.tokensPerPiece
        var partial = [RoutingTally](
            repeating: RoutingTally(experts: experts, hidden: hidden), count: pieces)
        partial.withUnsafeMutableBufferPointer { partial in
            // Each piece has a tally of its own; they are added in order, so that threads do not change the sum.
            nonisolated(unsafe) let partial = partial
            workers.forEachRange(of: rows, size: Self.tokensPerPiece) { rows in
                partial[rows.lowerBound / Self.tokensPerPiece].add(record, rows, distribution)
            }
        }
        for piece in partial { layer.domains[domain].add(piece) }
        addPairs(record.decision, to: &layer.pairs)
        layer.outputs?.add(record, workers)
        statistics.layers[record.layer] = layer
    }

    private func emptyLayer() -> RoutingStatistics.Layer {
        RoutingStatistics.Layer(
            domains: statistics.domains.map { _ in RoutingTally(experts: experts, hidden: hidden) },
            pairs: [Int](repeating: 0, count: experts * experts),
            outputs: statistics.measuresOutputs ? OutputTally(experts: experts, hidden: hidden) : nil)
    }

    private func addPairs(_ decision: RoutingDecision, to pairs: inout [Int]) {
        for token in 0..<decision.tokens {
            let slots = decision.starts[token]..<decision.starts[token + 1]
            for a in slots {
                for b in slots { pairs[Int(decision.selected[a]) * experts + Int(decision.selected[b])] += 1 }
            }
        }
    }
}
