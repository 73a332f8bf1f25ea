public import Checkpoints

/// What pruning is expected to lose.
public struct PruningForecast: Sendable, Hashable {
    /// How far the experts that go are from those that stay, or from what they are merged into.
    public let weights: WeightLoss
    /// Of the scores that the experts are ranked by, the share that goes, by layer; nil where they are not ranked by data.
    public let lostScores: [Int: Double]?
    /// Whether the result computes what the mixture does, to rounding: each layer's experts are one network, and their
    /// gates sum to one.
    public let isExact: Bool
}

extension Checkpoint {
    /// What pruning is expected to lose.
    ///
    /// - Throws: as `pruned(_:)`.
    public func pruningForecast(_ options: PruneOptions) throws -> PruningForecast {
        let pruning = try Pruning(self, options)
        return PruningForecast(
            weights: try WeightLoss(pruning.replacements()), lostScores: pruning.lostScores,
            isExact: try pruning.isExact())
    }
}

extension Pruning {
    private static let matrices: [Role.Kind] = [.expertGate, .expertUp, .expertDown]

    /// By layer, what stands for the experts of each group, or for those that go.
    fileprivate func replacements() throws -> [Int: [WeightLoss.Group]] {
        var result: [Int: [WeightLoss.Group]] = [:]
        for (layer, own) in groups {
            func matrices(_ kind: Role.Kind, _ numbers: [Int]) -> [LazyTensor] {
                numbers.compactMap { source.table[Role(kind, layer: layer, expert: $0)] }
            }
            let kept = own.compactMap(\.first)
            if case .groups = options.choice {
                result[layer] = try own.enumerated().map { number, members in
                    try Self.matrices.compactMap { kind in
                        guard let made = try tensor(Role(kind, layer: layer, expert: number)) else { return nil }
                        return WeightLoss.Replacement(
                            made: [made], experts: aligned(matrices(kind, members), kind, layer, members))
                    }
                }
                continue
            }
            let dropped = (0..<experts).filter { !kept.contains($0) }
            // Those that stay are counted for their energy.
            result[layer] =
                kept.map { number in
                    Self.matrices.map {
                        WeightLoss.Replacement(made: matrices($0, [number]), experts: matrices($0, [number]))
                    }
                }
                + [
                    Self.matrices.map {
                        WeightLoss.Replacement(made: matrices($0, kept), experts: matrices($0, dropped))
                    }
                ]
        }
        return result
    }

    fileprivate var lostScores: [Int: Double]? {
        guard case .scores(let scores) = options.choice else { return nil }
        var result: [Int: Double] = [:]
        for (layer, own) in groups {
            guard let all = scores[layer] else { continue }
            let total = all.reduce(0, +)
            let kept = own.compactMap(\.first).reduce(0.0) { $0 + all[$1] }
            if total > 0 { result[layer] = 1 - kept / total }
        }
        return result
    }

    fileprivate func isExact() throws -> Bool {
        guard try source.description.routerConfiguration().sumsToOne else { return false }
        let kinds = Self.matrices + [.expertGateBias, .expertUpBias, .expertDownBias]
        return try LazyTensor.areOne(
            groups.keys.flatMap { layer in
                kinds.map { kind in
                    (0..<experts).compactMap { source.table[Role(kind, layer: layer, expert: $0)] }
                }
            })
    }
}
