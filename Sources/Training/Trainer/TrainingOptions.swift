package import Checkpoints

/// How a model is trained.
package struct TrainingOptions: Sendable {
    /// Which parameters move.
    package var selection = ParameterSelection.router
    package var optimizer = AdamWOptions()
    /// Largest norm of the gradient; nil for no clipping.
    package var clip: Double? = 1
    package var schedule = LearningRateSchedule(peak: 1e-3, steps: 100)
    /// The balancing loss on routers.
    package var balance = Balance(.none)
    /// The weight of the router z-loss.
    package var zLoss = 0.0
    /// The seed of all draws.
    package var seed: UInt64 = 0
    /// Compute each layer a second time for its gradient instead of keeping what it computed.
    package var checkpointsActivations = false
    package var perturbations = PerturbationOptions()
    /// Learn from a teacher as well; nil for not.
    package var distillation: Distillation?

    package init() {}

    /// `(1 - alpha) CE + alpha T² KL(teacher || student)`, and the mean squared difference of hidden states (Hinton et al.
    /// 2015, 1503.02531).
    package struct Distillation: Sendable, Equatable {
        /// The share of the teacher's term. Switch Transformer (2101.03961, table 6) found 0.25 best.
        package var alpha = 0.25
        package var temperature = 1.0
        /// The weight of the mean squared difference between student's and teacher's streams, where the sizes are equal.
        package var hidden = 0.0

        package init() {}
    }
}

/// Which parameters are trained.
public enum ParameterSelection: Sendable, Hashable {
    /// The routers' weights.
    case router
    /// And all norms.
    case routerAndNorms
    /// And the attentions: Branch-Train-MiX without updates of experts (2403.07816, table 5).
    case routerAndAttention
    /// The routed and shared experts.
    case experts
    /// Everything.
    case all
    /// Roles whose names fit one of the patterns; `*` stands for anything.
    case patterns([String])

    /// The highest learning rate where nobody says: new routers stand a rate that trained weights do not.
    package var usualRate: Double {
        switch self {
        case .router, .routerAndNorms: 1e-2
        case .routerAndAttention, .experts, .all, .patterns: 1e-3
        }
    }

    /// Reads `router`, `router+norms`, `router+attention`, `experts`, `all`, or patterns with commas between them; nil for
    /// what is none of them.
    public init?(_ text: String) {
        switch text {
        case "router": self = .router
        case "router+norms": self = .routerAndNorms
        case "router+attention": self = .routerAndAttention
        case "experts": self = .experts
        case "all": self = .all
        default:
            let patterns = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard patterns.allSatisfy({ pattern in Role.Kind.allCases.contains { Self.fits($0.rawValue, pattern) } })
            else { return nil }
            self = .patterns(patterns)
        }
    }

    /// As `init` reads it.
    public var text: String {
        switch self {
        case .router: "router"
        case .routerAndNorms: "router+norms"
        case .routerAndAttention: "router+attention"
        case .experts: "experts"
        case .all: "all"
        case .patterns(let patterns): patterns.joined(separator: ",")
        }
    }

    /// Whether a parameter is trained. What only a balance without a loss moves never is.
    package func contains(_ role: Role) -> Bool {
        guard !role.kind.isUntrained else { return false }
        let name = role.kind.rawValue
        let isRouter = role.kind == .router || role.kind == .routerBias
        switch self {
        case .router: return isRouter
        case .routerAndNorms: return isRouter || name.contains("norm") || name.contains("Norm")
        case .routerAndAttention: return isRouter || name.hasPrefix("attention.")
        case .experts: return name.hasPrefix("expert.") || name.hasPrefix("sharedExpert.")
        case .all: return true
        case .patterns(let patterns): return patterns.contains { Self.fits(name, $0) }
        }
    }

    private static func fits(_ name: String, _ pattern: String) -> Bool {
        let parts = pattern.split(separator: "*", omittingEmptySubsequences: false).map(String.init)
        guard parts.count > 1, let first = parts.first, let last = parts.last else { return name == pattern }
        guard name.hasPrefix(first), name.count >= first.count + last.count, name.hasSuffix(last) else { return false }
        var rest = name.dropFirst(first.count).dropLast(last.count)
        for part in parts.dropFirst().dropLast() where !part.isEmpty {
            guard let range = rest.firstRange(of: part) else { return false }
            rest = rest[range.upperBound...]
        }
        return true
    }
}

/// What is changed of the routing while it is trained.
package struct PerturbationOptions: Sendable, Equatable {
    /// Inputs of routers are multiplied by draws from [1 - jitter, 1 + jitter].
    package var jitter = 0.0
    /// Standard normal noise of this deviation on the logits that experts are selected and weighed by.
    package var noise = 0.0
    /// Noisy top-k with a deviation that is learned (Shazeer et al. 2017).
    package var learnsNoise = false
    /// Branch-Train-MiX's sampled expert; the rate at which its temperature falls.
    package var gumbelRate: Double?
    /// Skywork's normalisation of the logits; its lambda.
    package var normalization: Double?

    package init() {}

    package var isEmpty: Bool { self == PerturbationOptions() }
}
