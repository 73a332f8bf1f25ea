import Glibc

/// How evenly and how surely a layer routes, from its sums over some tokens.
public struct RoutingMeasures: Sendable {
    /// How many tokens were routed.
    public let tokens: Int
    /// The share of the tokens that go to each expert; they add up to the experts a token goes to. By domain this is OLMoE's
    /// domain specialisation (Muennighoff et al. 2024, 2409.02060, section 5.3), which chance makes k/E.
    public let share: [Double]
    /// The router's mean probability for each expert.
    public let meanGate: [Double]
    /// The entropy of the mean probabilities, in nats: log E where the experts are used alike.
    public let entropyOfMeanGate: Double
    /// The mean entropy of a token's probabilities: 0 where the router is sure.
    public let meanEntropyOfGate: Double
    /// The entropy of the load, each expert's part of all slots.
    public let entropyOfLoad: Double
    /// The load's standard deviation over its mean.
    public let loadVariation: Double
    /// `(largest load - mean) / mean` (MaxVio, Wang et al. 2024, 2408.15664).
    public let maxViolation: Double
    /// Experts whose load is less than `1 / (10 E)`.
    public let deadExperts: [Int]

    package init(_ tally: RoutingTally) {
        let count = Double(tally.routed.count)
        tokens = tally.tokens
        let perToken = 1 / Double(max(tally.tokens, 1))
        share = tally.routed.map { Double($0) * perToken }
        meanGate = tally.probability.map { $0 * perToken }
        entropyOfMeanGate = Self.entropy(meanGate)
        meanEntropyOfGate = tally.entropy * perToken
        let slots = Double(max(tally.routed.reduce(0, +), 1))
        let load = tally.routed.map { Double($0) / slots }
        entropyOfLoad = Self.entropy(load)
        let mean = 1 / count
        loadVariation = (load.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / count).squareRoot() / mean
        maxViolation = ((load.max() ?? mean) - mean) / mean
        deadExperts = load.indices.filter { load[$0] < 1 / (10 * count) }
    }

    private static func entropy(_ probabilities: [Double]) -> Double {
        probabilities.reduce(0) { $1 > 0 ? $0 - $1 * log($1) : $0 }
    }
}

extension RoutingStatistics.Layer {
    /// Over all domains.
    public var measures: RoutingMeasures { RoutingMeasures(total) }

    /// Of an expert's tokens, the share that also go to each other one, `N_ij / N_i`; zeros for one without tokens.
    public var coactivation: [[Double]] {
        let experts = domains[0].routed.count
        return (0..<experts).map { i in
            let own = pairs[i * experts + i]
            return (0..<experts).map { own > 0 ? Double(pairs[i * experts + $0]) / Double(own) : 0 }
        }
    }
}
