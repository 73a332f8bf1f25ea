import Checkpoints

/// The sizes and the output factor of an upcycled layer.
///
/// With C copies cut into G parts there are C·G experts; expert `c·G + g` is part g of copy c, and the router's rows of a
/// copy are equal (virtual groups, He et al. 2024, 2410.07524), so that the top K·G are whole copies. Each selected
/// gate is then 1/(K·G) on average over a group, and the sum of a copy's parts is the dense output:
///
/// | gates | sum over the selected | factor |
/// |---|---|---|
/// | divided by their sum, any router | FFN/G | G |
/// | softmax, not divided, zero router: 1/(C·G) each | K/(C·G)·FFN | C·G/K |
/// | sigmoid, not divided, zero router: 1/2 each | K/2·FFN | 2/K |
///
/// The factor goes on the down projection alone: SiLU is not homogeneous, so that a share of it on the gate projection
/// would change the function.
struct UpcycleArithmetic {
    let copies: Int
    let parts: Int
    let topK: Int
    let isPartition: Bool

    var experts: Int { copies * parts }

    init(_ options: UpcycleOptions) throws {
        isPartition = options.initialisation == .partition
        guard options.experts >= 1, options.experts <= 65_536 else {
            throw CheckpointError(.usage, message: "`experts` \(options.experts): give at least 1")
        }
        guard options.granularity >= 1, options.granularity <= 65_536 else {
            throw CheckpointError(.usage, message: "`granularity` \(options.granularity): give at least 1")
        }
        if let topK = options.topK, !(1...65_536).contains(topK) {
            throw CheckpointError(.usage, message: "`topK` \(topK): give a number from 1 to 65536")
        }
        if isPartition {
            guard options.granularity == 1 else {
                throw CheckpointError(
                    .usage,
                    message: "`init` partition cuts the network once already: leave `granularity` out, or use copies")
            }
            copies = 1
            parts = options.experts
            topK = options.topK ?? parts
        } else {
            copies = options.experts
            parts = options.granularity
            topK = (options.topK ?? min(2, copies)) * parts
        }
        let limit = isPartition ? parts : copies
        guard topK >= 1, topK <= copies * parts else {
            throw CheckpointError(
                .usage,
                message: "`topK` \(options.topK ?? 0): a token can be routed to 1 to \(limit) of \(limit) experts")
        }
    }

    /// The factor that keeps the function, and how well it does.
    func preservation(
        _ options: UpcycleOptions, router: UpcycleOptions.RouterInitialisation, rule: Architecture.Router
    ) -> Preservation {
        if options.sharedExperts {
            return Preservation(
                degree: .exact, reason: "the shared expert is the dense network and the routed experts add zero",
                factor: 1)
        }
        let normalised = rule.alwaysRenormalizes || options.normalisesTopK
        let zero = router == .zero
        let whole = Double(parts)
        let exact: Double
        if normalised {
            exact = whole
        } else if rule.score == .sigmoid {
            exact = 2 * whole / Double(topK)
        } else {
            exact = Double(experts) * whole / Double(topK)
        }
        let factor: Double
        switch options.scale {
        case .auto: factor = exact
        case .none: factor = 1
        case .factor(let value): factor = Double(value)
        }
        func answer(_ degree: Preservation.Degree, _ reason: String) -> Preservation {
            Preservation(degree: degree, reason: reason, factor: factor)
        }
        switch options.initialisation {
        case .noise(let relative) where relative > 0: return answer(.none, "the experts were perturbed")
        case .drop(let ratio) where ratio > 0:
            return answer(.none, "a share of each expert's hidden units was drawn anew")
        case .copy, .noise, .drop, .partition: break
        }
        guard factor == exact else {
            return answer(.none, "the factor is \(factor), and \(exact) would keep the function")
        }
        if isPartition, topK < parts {
            return answer(.none, "a token sees \(topK) of the network's \(parts) parts")
        }
        if isPartition, !zero {
            return answer(.expectation, "all parts are selected, and a router that is not zero weighs them differently")
        }
        if normalised {
            if parts == 1 || isPartition || topK == experts {
                return answer(.exact, "the gates sum to one over experts that are the same or complete each other")
            }
            if zero {
                return answer(
                    .exact, "the gates are equal; this needs a reader that breaks ties between experts by their number")
            }
            return answer(.exact, "the parts of a copy have equal gates, so that whole copies are selected")
        }
        guard zero else {
            return answer(
                .expectation,
                "the gates are not divided by their sum, which varies from token to token: "
                    + "exact with `router` zero")
        }
        if parts == 1 || topK == experts {
            return answer(.exact, "a zero router gives every expert the same gate")
        }
        return answer(
            .exact,
            "a zero router gives every expert the same gate; this needs a reader that breaks ties between "
                + "experts by their number")
    }
}
