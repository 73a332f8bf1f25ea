import Checkpoints

/// How a mixture's experts become fewer.
public struct PruneOptions: Sendable {
    /// How many experts are left in each layer.
    public var size: Size
    /// Which.
    public var choice: Choice
    /// Experts that a token is routed to; by default as many as before.
    public var topK: Int?
    /// Rank the experts of all layers together instead of each layer's own.
    public var isGlobal = false
    /// The seed of a random choice.
    public var seed: UInt64 = 0
    /// What scores or groups were made by, for the record.
    public var criterion: String?

    /// A choice within each layer, with the top-k of before.
    public init(size: Size, choice: Choice) {
        self.size = size
        self.choice = choice
    }

    /// How many experts are left.
    public enum Size: Sendable, Hashable {
        case experts(Int)
        /// The share of the experts that goes, rounded down to a whole number of experts.
        case ratio(Double)

        /// How many of a layer's experts are left.
        ///
        /// - Throws: `CheckpointError` of `.usage` where that is none of them, or more than there are.
        package func count(of experts: Int) throws -> Int {
            let count: Int
            switch self {
            case .experts(let number): count = number
            case .ratio(let ratio):
                guard ratio >= 0, ratio < 1 else {
                    throw CheckpointError(.usage, message: "`ratio` \(ratio): give a share from 0 to less than 1")
                }
                count = experts - Int(Double(experts) * ratio)
            }
            guard count >= 1, count <= experts else {
                throw CheckpointError(.usage, message: "`experts` \(count): the model has \(experts)")
            }
            return count
        }
    }

    /// Which experts are left.
    public enum Choice: Sendable, Hashable {
        /// Those with the highest scores, by layer; the first of equal ones.
        case scores([Int: [Double]])
        /// Any.
        case random
        /// These, in all layers.
        case list([Int])
        /// Groups of experts that become one each, by layer, with each expert's weight in the mean.
        case groups([Int: [[Int]]], usage: [Int: [Double]])
    }
}

/// What a pass over text found out about a layer's experts (Lasby et al. 2025, 2510.13999, for REAP).
public struct ExpertStatistics: Sendable, Hashable {
    /// Tokens routed to each expert.
    public var frequency: [Double]
    /// The sum of each expert's gates.
    public var gateMass: [Double]
    /// The mean norm of each expert's output over the tokens routed to it.
    public var outputNorm: [Double]
    /// The mean of gate times norm of the output over the tokens routed to it.
    public var reap: [Double]

    /// One value an expert in each.
    public init(frequency: [Double], gateMass: [Double], outputNorm: [Double], reap: [Double]) {
        self.frequency = frequency
        self.gateMass = gateMass
        self.outputNorm = outputNorm
        self.reap = reap
    }

    /// What an expert's worth is measured by.
    public enum Criterion: String, Sendable, CaseIterable {
        case reap, frequency
        case gateMass = "gate-mass"
        case outputNorm = "output-norm"
    }

    /// Each expert's score.
    public func scores(_ criterion: Criterion) -> [Double] {
        switch criterion {
        case .reap: reap
        case .frequency: frequency
        case .gateMass: gateMass
        case .outputNorm: outputNorm
        }
    }
}

/// Which experts are alike.
public enum ExpertClustering {
    /// The most used experts, and around each those that are most similar to it (M-SMoE, Li et al. 2024, 2310.01334).
    ///
    /// - Parameters:
    ///   - similarity: `[E][E]`, for example of the experts' router logits.
    ///   - usage: how often each expert is used.
    /// - Returns: `count` groups, each begun by its most used expert.
    public static func aroundMostUsed(similarity: [[Double]], usage: [Double], count: Int) -> [[Int]] {
        let order = usage.indices.sorted { usage[$0] != usage[$1] ? usage[$0] > usage[$1] : $0 < $1 }
        let dominant = order.prefix(max(count, 1))
        var groups = dominant.map { [$0] }
        for expert in order.dropFirst(groups.count).sorted() {
            let nearest = groups.indices.max {
                similarity[expert][groups[$0][0]] < similarity[expert][groups[$1][0]]
            }
            if let nearest { groups[nearest].append(expert) }
        }
        return groups
    }

    /// Agglomerative clustering with average linkage of the experts' mean outputs (HC-SMoE, Chen et al. 2024,
    /// 2410.08589).
    ///
    /// - Parameters:
    ///   - features: a vector for each expert.
    ///   - usage: how often each expert is used.
    /// - Returns: `count` groups, each begun by its most used expert.
    public static func hierarchical(features: [[Double]], usage: [Double], count: Int) -> [[Int]] {
        func distance(_ a: Int, _ b: Int) -> Double {
            zip(features[a], features[b]).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
        }
        var groups = features.indices.map { [$0] }
        while groups.count > max(count, 1) {
            var best = (first: 0, second: 1, distance: Double.infinity)
            for i in groups.indices {
                for j in i + 1..<groups.count {
                    var sum = 0.0
                    for a in groups[i] { for b in groups[j] { sum += distance(a, b) } }
                    let mean = sum / Double(groups[i].count * groups[j].count)
                    if mean < best.distance { best = (i, j, mean) }
                }
            }
            groups[best.first] += groups[best.second]
            groups.remove(at: best.second)
        }
        return groups.map { group in
            group.sorted { usage[$0] != usage[$1] ? usage[$0] > usage[$1] : $0 < $1 }
        }
    }
}
