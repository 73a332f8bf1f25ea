public import Safetensors

/// A dense checkpoint beside a mixture of experts: every expert with the dense feed-forward network, everything else
/// with its counterpart.
public struct RoleComparison: JSONResult {
    /// A group of tensors.
    public struct Row: Sendable {
        /// What the group is called.
        public let part: String
        /// How many tensors it has, in words.
        public let count: String
        /// What the comparison found, in words.
        public let outcome: String
        /// Tensors of the group.
        public let total: Int
        /// Those of them that are as they should be.
        public let same: Int
        /// The largest absolute difference of any value.
        public let largest: Double
    }

    /// One line for each group of tensors.
    public let rows: [Row]
    /// What differs, one sentence each.
    public let differences: [String]
    /// What the configurations say that makes other functions of the same weights.
    public let disagreements: [FunctionTraits.Disagreement]
    /// Whether each has what the other has.
    private let isComplete: Bool
    /// The largest absolute difference of any pair.
    public let maximumAbsolute: Double
    /// Whether every expert is the dense network times the factor that the gates ask for, and the rest identical.
    public let isExact: Bool
    /// What that means, in a sentence.
    public let verdict: String

    /// - Throws: `CheckpointError` where the two cannot be compared by role.
    package static func between(
        dense: Checkpoint, moe: Checkpoint, threads: Int, isCancelled: @escaping @Sendable () -> Bool
    ) async throws -> RoleComparison {
        let plan = try RolePlan(dense: dense, moe: moe)
        let results = try await mapOnThreads(plan.pairs, threads: threads) { pair in
            if isCancelled() { throw CheckpointError.cancelled }
            return try pair.compare(isCancelled)
        }
        return RoleComparison(plan, results)
    }

    private init(_ plan: RolePlan, _ results: [RolePair.Result]) {
        var rows: [Row] = []
        for group in RolePair.Group.allCases {
            let members = results.filter { $0.group == group }
            guard !members.isEmpty else { continue }
            let identical = members.filter(\.difference.isIdentical).count
            let largest = members.map(\.difference.maximumAbsolute).reduce(0, Difference.larger)
            let what = group == .carried ? "identical" : "the dense network's"
            rows.append(
                Row(
                    part: group.rawValue, count: "\(members.count) tensors",
                    outcome: identical == members.count
                        ? "all \(what)\(plan.factorText(group))"
                        : "\(identical) \(what)\(plan.factorText(group)), \(members.count - identical) differ by at most "
                            + numberText(largest), total: members.count, same: identical, largest: largest))
        }
        self.rows = rows
        differences =
            results.filter { !$0.difference.isIdentical }.map { result in
                "\(result.role): \(result.difference.count) values differ, at most "
                    + "\(numberText(result.difference.maximumAbsolute)) absolute"
            } + plan.missing + plan.disagreements.map { "configuration: \($0)" }
        disagreements = plan.disagreements
        isComplete = plan.missing.isEmpty
        maximumAbsolute = results.map(\.difference.maximumAbsolute).reduce(0, Difference.larger)
        let same = plan.missing.isEmpty && results.allSatisfy(\.difference.isIdentical)
        isExact = same && plan.gateProblem == nil && disagreements.isEmpty
        if !same {
            verdict = "The mixture is not made of the dense network."
        } else if !disagreements.isEmpty {
            verdict =
                "The weights are the dense model's, but the configurations make other functions of them: "
                + disagreements.map(\.name).joined(separator: ", ") + "."
        } else if let problem = plan.gateProblem {
            verdict = "The experts are the dense network, but the mixture does not compute its function: \(problem)."
        } else {
            verdict = "The mixture computes the dense model's function: \(plan.reason)."
        }
    }

    /// Whether no value differs by more, and both have the same tensors and compute the same with them.
    public func isWithin(_ tolerance: Double) -> Bool {
        isComplete && disagreements.isEmpty && maximumAbsolute <= tolerance
    }

    /// The comparison as a JSON document.
    public var json: JSONObject {
        [
            "same_function": .bool(isExact), "verdict": .string(verdict),
            "groups": .array(
                rows.map {
                    .object(["part": .string($0.part), "tensors": .string($0.count), "outcome": .string($0.outcome)])
                }),
            "maximum_absolute": maximumAbsolute.isFinite ? JSON(maximumAbsolute) : .null,
            "differences": .array(differences.map { .string($0) }),
            "configuration": .array(disagreements.map { .object($0.json) }),
        ]
    }
}

/// A matrix of the mixture and what it should be.
struct RolePair: Sendable {
    enum Group: String, CaseIterable, Sendable {
        case carried = "everything else"
        case experts = "routed experts"
        case shared = "shared experts"
    }
    struct Result: Sendable {
        let role: Role
        let group: Group
        let difference: Difference
    }

    let role: Role
    let group: Group
    let found: LazyTensor
    /// What it should be, in the dtype of what was found where something is computed.
    let expected: LazyTensor

    func compare(_ isCancelled: () -> Bool) throws -> Result {
        guard found.rows == expected.rows, found.columns == expected.columns else {
            var difference = Difference()
            difference.isIdentical = false
            difference.maximumAbsolute = .infinity
            return Result(role: role, group: group, difference: difference)
        }
        return Result(role: role, group: group, difference: try .between(expected, found, isCancelled: isCancelled))
    }
}

/// What is compared with what, and what the gates make of it.
struct RolePlan {
    private(set) var pairs: [RolePair] = []
    /// What one of the two has and the other has not.
    private(set) var missing: [String] = []
    let disagreements: [FunctionTraits.Disagreement]
    /// Why the function is not the dense one although the weights are.
    private(set) var gateProblem: String?
    /// Why it is.
    private(set) var reason = ""
    private var factor: Float = 1
    private var sharedFactor: Float = 1

    func factorText(_ group: RolePair.Group) -> String {
        let value = group == .experts ? factor : group == .shared ? sharedFactor : 1
        return value == 1 ? "" : ", down projections times \(numberText(Double(value)))"
    }

    init(dense: Checkpoint, moe: Checkpoint) throws {
        let description = moe.description
        guard let router = description.architecture.router, description.layerCount == dense.description.layerCount
        else {
            throw CheckpointError(
                .incompatible,
                message: "the checkpoints have \(dense.description.layerCount) and "
                    + "\(description.layerCount) layers")
        }
        disagreements = try FunctionTraits(dense.description).disagreements(
            with: FunctionTraits(description), in: [.sizes, .network])
        let inner = try dense.description.size("inner")
        let width = try description.size("expert_inner")
        let experts = try description.size("experts")
        let topK = try description.size("top_k")
        guard inner % width == 0, experts % (inner / width) == 0 else {
            throw CheckpointError(
                .incompatible, message: "experts of width \(width) cannot be parts of a network of width \(inner)")
        }
        let parts = inner / width
        let layers = description.moeLayers.indices.filter { description.moeLayers[$0] }
        let routedIsZero = try layers.allSatisfy { layer in
            try (0..<experts).allSatisfy { try Self.isZero(moe.table[.expert(layer, $0, .down)]) }
        }
        let routerIsZero = try layers.allSatisfy {
            try Self.isZero(moe.table[.router($0)]) && Self.isZero(moe.table[Role(.routerBias, layer: $0)])
        }
        let sharedIsZero = try layers.allSatisfy { try Self.isZero(moe.table[.sharedExpert($0, .down)]) }
        let gates = try description.routerConfiguration()
        let normalised = gates.sumsToOne
        let gateScale = Double(gates.scale)
        let exact: Double
        if normalised {
            exact = Double(parts)
        } else if router.score == .sigmoid {
            exact = 2 * Double(parts) / Double(topK)
        } else {
            exact = Double(experts * parts) / Double(topK)
        }
        factor = routedIsZero ? 0 : Float(exact / gateScale)
        let isGated = description.architecture.hasSharedExpertGate
        sharedFactor = sharedIsZero ? 0 : isGated ? 2 : 1

        /// Whether the parts of a copy always have the same logits.
        func partsAgree(_ layer: Int) throws -> Bool {
            try [Role.router(layer), Role(.routerBias, layer: layer), Role(.routerCorrectionBias, layer: layer)]
                .allSatisfy { try Self.rowsRepeat(moe.table[$0], parts) }
        }
        if !routedIsZero, router.score == .sparsemixer {
            gateProblem = "a sparse mixer's gates do not sum to one"
        } else if isGated, !sharedIsZero,
            try !layers.allSatisfy({ try Self.isZero(moe.table[Role(.sharedExpertRouter, layer: $0)]) })
        {
            gateProblem = "the shared expert's gate depends on the token"
        } else if !routedIsZero, parts > 1, topK < experts, gates.groups != nil {
            gateProblem = "experts are chosen by groups, which need not hold whole copies"
        } else if !routedIsZero, !normalised, !routerIsZero {
            gateProblem = "its gates are not divided by their sum, and its router is not zero"
        } else if !routedIsZero, !sharedIsZero, moe.table.keys.contains(where: { $0.kind == .sharedExpertDown }) {
            gateProblem = "both the routed experts and the shared expert add the dense output"
        } else if routedIsZero, sharedIsZero {
            gateProblem = "no expert adds anything"
        } else if !routedIsZero, topK % parts != 0 {
            gateProblem = "a token is routed to \(topK) experts, which are not whole copies of \(parts) parts"
        } else if !routedIsZero, parts > 1, topK < experts,
            try !layers.allSatisfy(partsAgree)
        {
            gateProblem = "the parts of a copy have different gates"
        } else if !routedIsZero, parts > 1, topK == experts, !routerIsZero,
            try !layers.allSatisfy(partsAgree)
        {
            gateProblem = "all parts are selected with different gates"
        }
        reason =
            routedIsZero
            ? "the shared expert is the dense network and the routed experts add zero"
            : parts == 1
                ? "a token's gates sum to one over experts that are all the dense network"
                : "a token's gates select whole copies of the dense network"
        if !normalised, !routedIsZero { reason = "a zero router gives every expert the gate that its factor undoes" }

        for expected in try description.expectedTensors() {
            for (role, _) in expected.placements {
                guard let found = moe.table[role] else { continue }
                try add(role, found, dense, parts: parts, width: width, routedIsZero, sharedIsZero)
            }
        }
        try addRest(of: dense, moe)
    }

    /// What the dense model has and the mixture lacks; a bias of zeros is none.
    private mutating func addRest(of dense: Checkpoint, _ moe: Checkpoint) throws {
        let mixtures = moe.description.allMoELayers
        for (role, tensor) in dense.table.sorted(by: { $0.key.description < $1.key.description })
        where moe.table[role] == nil {
            let isMoE = role.layer.map { mixtures.indices.contains($0) && mixtures[$0] } ?? false
            if isMoE, [.feedForwardGate, .feedForwardUp, .feedForwardDown].contains(role.kind) { continue }
            if role.kind == .head, let embedding = moe.table[Role(.embedding)] {
                pairs.append(RolePair(role: role, group: .carried, found: embedding, expected: tensor))
            } else if try !role.kind.isBias || !Self.isZero(tensor) {
                missing.append("\(role): the mixture has none")
            }
        }
    }

    private mutating func add(
        _ role: Role, _ found: LazyTensor, _ dense: Checkpoint, parts: Int, width: Int, _ routedIsZero: Bool,
        _ sharedIsZero: Bool
    ) throws {
        func feedForward(_ projection: Role.Projection) -> LazyTensor? {
            role.layer.flatMap { dense.table[.feedForward($0, projection)] }
        }
        func pair(_ group: RolePair.Group, _ expected: LazyTensor?) throws {
            guard var expected else {
                if try !role.kind.isBias || !Self.isZero(found) {
                    missing.append("\(role): the dense checkpoint has none")
                }
                return
            }
            if group != .carried, expected.copied == nil { expected.dtype = found.dtype }
            pairs.append(RolePair(role: role, group: group, found: found, expected: expected))
        }
        let part = (role.expert ?? 0) % parts
        let range = part * width..<(part + 1) * width
        func cut(_ dense: LazyTensor?, _ axis: Selection.Axis = .rows) -> LazyTensor? {
            guard let dense, range.upperBound <= (axis == .rows ? dense.rows : dense.columns) else { return nil }
            return axis == .rows ? dense.rows(range) : dense.columns(range)
        }
        switch role.kind {
        // New in the mixture: there is nothing to compare them with.
        case .router, .routerBias, .routerCorrectionBias, .sharedExpertRouter: break
        case .expertGate: try pair(.experts, cut(feedForward(.gate)))
        case .expertUp: try pair(.experts, cut(feedForward(.up)))
        case .expertDown where routedIsZero: break
        case .expertDown: try pair(.experts, cut(feedForward(.down), .columns)?.scaled(by: factor))
        // A shared expert whose down projection is zero adds nothing, whatever its other matrices are.
        case .sharedExpertGate where sharedIsZero: break
        case .sharedExpertUp where sharedIsZero: break
        case .sharedExpertDown where sharedIsZero: break
        case .sharedExpertGate: try pair(.shared, feedForward(.gate))
        case .sharedExpertUp: try pair(.shared, feedForward(.up))
        case .sharedExpertDown: try pair(.shared, feedForward(.down)?.scaled(by: sharedFactor))
        case .head: try pair(.carried, dense.table[role] ?? dense.table[Role(.embedding)])
        default: try pair(.carried, dense.table[role])
        }
    }

    /// Whether all values are zero; true for nothing at all.
    private static func isZero(_ tensor: LazyTensor?) throws -> Bool {
        guard let tensor else { return true }
        let evaluator = Evaluator(loaded: LoadedSources())
        let step = max(1, Evaluator.elementsPerBlock / max(1, tensor.columns))
        for start in stride(from: 0, to: tensor.rows, by: step) {
            let rows = start..<min(start + step, tensor.rows)
            let zero = try evaluator.withBytes(of: tensor, rows: rows) { bytes, _ in bytes.allSatisfy { $0 == 0 } }
            if !zero { return false }
        }
        return true
    }

    /// Whether each group of `count` rows holds the same row `count` times.
    private static func rowsRepeat(_ tensor: LazyTensor?, _ count: Int) throws -> Bool {
        guard let tensor, count > 1 else { return true }
        return try Evaluator(loaded: LoadedSources()).withBytes(of: tensor, rows: 0..<tensor.rows) { bytes, _ in
            let width = tensor.rows > 0 ? bytes.count / tensor.rows : 0
            return (0..<tensor.rows).allSatisfy { row in
                let first = row / count * count
                return bytes[row * width..<(row + 1) * width].elementsEqual(bytes[first * width..<(first + 1) * width])
            }
        }
    }
}
