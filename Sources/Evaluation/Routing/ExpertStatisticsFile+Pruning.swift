public import Transforms

/// How experts that are alike are found.
public enum ExpertMerging: String, Sendable, CaseIterable {
    /// Clusters of mean outputs (HC-SMoE, Chen et al. 2024, 2410.08589).
    case hc
    /// Around the most used, by the likeness of router logits (M-SMoE, Li et al. 2024, 2310.01334).
    case mSmoe = "m-smoe"
}

extension ExpertStatisticsFile {
    /// The experts that are left by what they do: those with the highest scores.
    ///
    /// - Throws: `SafetensorsError` for a tensor that is missing or of another shape.
    public func choice(by criterion: ExpertStatistics.Criterion) throws -> PruneOptions.Choice {
        .scores(try expertStatistics().mapValues { $0.scores(criterion) })
    }

    /// The groups of experts that become one each.
    ///
    /// - Parameter size: how many groups there are in each layer.
    /// - Throws: `CheckpointError` of `.usage` for more than there are experts; `SafetensorsError` as `choice(by:)`.
    public func choice(merging: ExpertMerging, to size: PruneOptions.Size) throws -> PruneOptions.Choice {
        let count = try size.count(of: experts)
        let usage = try usage()
        var groups: [Int: [[Int]]] = [:]
        switch merging {
        case .hc:
            for (layer, features) in try meanOutputs() {
                groups[layer] = ExpertClustering.hierarchical(
                    features: features, usage: usage[layer] ?? [], count: count)
            }
        case .mSmoe:
            for (layer, similarity) in try similarity() {
                groups[layer] = ExpertClustering.aroundMostUsed(
                    similarity: similarity, usage: usage[layer] ?? [], count: count)
            }
        }
        return .groups(groups, usage: usage)
    }
}
