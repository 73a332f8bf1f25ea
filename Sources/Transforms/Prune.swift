public import Checkpoints
import Numerics
import Safetensors

extension Checkpoint {
    /// This mixture with fewer experts: the others are dropped, or become one with those that are like them.
    ///
    /// The routers' rows and biases of the experts that are left are copied as they are; of a group, those of its first
    /// expert, since a mean of rows would be a direction that no expert was trained on.
    ///
    /// - Throws: `CheckpointError`: `incompatible` for a model without experts or a number that its family cannot say,
    ///   `usage` for options that do not fit the model.
    public func pruned(_ options: PruneOptions) throws -> Checkpoint {
        try Pruning(self, options).run()
    }

    /// For each layer that is a mixture, the experts that each one of the pruned mixture is made of, as `pruned` chooses
    /// them.
    ///
    /// - Throws: as `pruned`.
    package func pruneGroups(_ options: PruneOptions) throws -> [Int: [[Int]]] { try Pruning(self, options).groups }
}

extension ModelDescription {
    /// What is left: a model that can be run, whichever experts are chosen.
    ///
    /// - Throws: `CheckpointError` for numbers of experts that the router cannot choose from.
    package func pruned(_ size: PruneOptions.Size, topK: Int?) throws -> ModelDescription {
        guard isMixture else {
            throw CheckpointError(
                .incompatible, file: config.file, message: "a dense model has no experts to prune")
        }
        let count = try size.count(of: self.size("experts"))
        let topK = try topK ?? self.size("top_k")
        guard topK >= 1, topK <= count else {
            throw CheckpointError(
                .usage, message: "a token is routed to \(topK) experts, and \(count) would be left: give `topK`")
        }
        var config = try configuration(setting: "experts", to: count, in: config)
        config = try configuration(setting: "top_k", to: topK, in: config)
        let result = try ModelDescription(architecture, config)
        try result.checkRunnable()
        return result
    }
}

struct Pruning {
    let source: Checkpoint
    let options: PruneOptions
    let experts: Int
    /// For each layer that is a mixture, the experts that each new one is made of.
    let groups: [Int: [[Int]]]
    private let count: Int

    init(_ source: Checkpoint, _ options: PruneOptions) throws {
        self.source = source
        self.options = options
        guard source.isMixture else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file, message: "a dense model has no experts to prune")
        }
        experts = try source.description.size("experts")
        count = try options.size.count(of: experts)
        groups = try Self.groups(source, options, experts: experts, count: count)
    }

    private static func groups(
        _ source: Checkpoint, _ options: PruneOptions, experts: Int, count: Int
    ) throws -> [Int: [[Int]]] {
        let all = source.description.allMoELayers
        let layers = all.indices.filter { all[$0] }
        let further = layers.filter { $0 >= source.description.layerCount }
        var result: [Int: [[Int]]] = [:]
        switch options.choice {
        case .groups(let groups, _):
            guard further.isEmpty else {
                throw CheckpointError(
                    .incompatible, file: source.description.config.file,
                    message:
                        "layers behind the model's own predict further tokens and are not run, so nothing says which "
                        + "of their experts are alike: drop experts (`criterion`) instead of merging them, or write the "
                        + "model without these layers (`drop`)")
            }
            for layer in layers {
                guard let own = groups[layer], own.count == count, own.allSatisfy({ !$0.isEmpty }),
                    own.flatMap({ $0 }).sorted() == Array(0..<experts)
                else {
                    throw CheckpointError(
                        .usage, message: "layer \(layer): \(count) groups should hold each of \(experts) experts once")
                }
                result[layer] = own
            }
            return result
        case .list(let list):
            guard Set(list).count == list.count, list.count == count, list.allSatisfy({ (0..<experts).contains($0) })
            else {
                throw CheckpointError(
                    .usage,
                    message:
                        "list:\(list.map(String.init).joined(separator: ",")): expected \(count) different numbers "
                        + "from 0 to \(experts - 1)")
            }
            for layer in layers { result[layer] = list.sorted().map { [$0] } }
            return result
        case .random, .scores: break
        }
        var scores: [Int: [Double]] = [:]
        for layer in layers {
            if case .scores = options.choice, further.contains(layer) {
                scores[layer] = try routerNorms(source, layer, experts)
            } else if case .scores(let given) = options.choice {
                guard let own = given[layer], own.count == experts, own.allSatisfy({ !$0.isNaN }) else {
                    throw CheckpointError(.usage, message: "layer \(layer) needs \(experts) scores")
                }
                scores[layer] = own
            } else {
                let key = KeyedRandom(seed: options.seed, tensor: "layer \(layer)", purpose: "prune")
                scores[layer] = withScratch(of: Float.self, count: experts) { draws in
                    key.fillUniform(draws, from: 0)
                    return draws.map(Double.init)
                }
            }
        }
        if options.isGlobal {
            let own = layers.filter { !further.contains($0) }
            let chosen = try global(scores, count: count, layers: own, source)
            for layer in own { result[layer] = (chosen[layer] ?? []).map { [$0] } }
            if further.isEmpty { return result }
        }
        let parts = try source.description.routerConfiguration().groups?.count ?? 1
        guard experts % parts == 0, count % parts == 0 else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file,
                message: "\(count) experts cannot be divided evenly among the router's \(parts) groups")
        }
        for layer in options.isGlobal ? further : layers {
            guard let own = scores[layer] else { continue }
            // A router that chooses groups first needs as many experts in each.
            let size = experts / parts
            let kept = (0..<parts).flatMap { part -> ArraySlice<Int> in
                let members = (part * size..<(part + 1) * size)
                return members.sorted { own[$0] != own[$1] ? own[$0] > own[$1] : $0 < $1 }.prefix(count / parts)
            }
            result[layer] = kept.sorted().map { [$0] }
        }
        return result
    }

    /// The squared norms of a router's rows: what there is to rank the experts of a layer by that is not run.
    private static func routerNorms(_ source: Checkpoint, _ layer: Int, _ experts: Int) throws -> [Double] {
        guard let router = source.table[.router(layer)] else { return [Double](repeating: 0, count: experts) }
        var result = [Double](repeating: 0, count: experts)
        try Evaluator(loaded: LoadedSources()).forEachBlock(of: router) { rows, values in
            for row in rows where row < experts {
                let start = (row - rows.lowerBound) * router.columns
                for i in start..<start + router.columns { result[row] += Double(values[i]) * Double(values[i]) }
            }
        }
        return result
    }

    /// The best of all layers, each score divided by its layer's mean; a configuration has one number of experts.
    private static func global(
        _ scores: [Int: [Double]], count: Int, layers: [Int], _ source: Checkpoint
    ) throws -> [Int: [Int]] {
        var all: [(layer: Int, expert: Int, score: Double)] = []
        for layer in layers {
            let own = scores[layer] ?? []
            let mean = own.reduce(0, +) / Double(max(own.count, 1))
            all += own.enumerated().map { (layer, $0.offset, mean > 0 ? $0.element / mean : $0.element) }
        }
        let kept = all.sorted {
            $0.score != $1.score ? $0.score > $1.score : ($0.layer, $0.expert) < ($1.layer, $1.expert)
        }.prefix(count * layers.count)
        var result: [Int: [Int]] = [:]
        for entry in kept { result[entry.layer, default: []].append(entry.expert) }
        let counts = layers.map { result[$0]?.count ?? 0 }
        guard counts.allSatisfy({ $0 == count }) else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file,
                message:
                    "ranked together, the layers keep \(counts.map(String.init).joined(separator: ", ")) experts, and "
                    + "the configuration of a \(source.description.architecture.modelType) has one number for all: rank "
                    + "each layer by itself")
        }
        return result.mapValues { $0.sorted() }
    }

    func run() throws -> Checkpoint {
        let target = try source.description.pruned(options.size, topK: options.topK)
        let topK = try target.size("top_k")
        var table: [Role: LazyTensor] = [:]
        for expected in try target.expectedTensors(layout: source.layout) {
            for (role, _) in expected.placements where table[role] == nil {
                if let tensor = try tensor(role) { table[role] = tensor }
            }
        }
        var step: JSONObject = ["command": "prune", "experts": JSON(count), "top_k": JSON(topK)]
        switch options.choice {
        case .scores: step["criterion"] = .string(options.criterion ?? "scores")
        case .random:
            step["criterion"] = "random"
            step["seed"] = .number(String(options.seed))
        case .list: step["criterion"] = "list"
        case .groups: step["criterion"] = .string(options.criterion.map { "merge " + $0 } ?? "merge")
        }
        var map = JSONObject()
        for (layer, own) in groups.sorted(by: { $0.key < $1.key }) {
            map[String(layer)] = .array(
                own.map { $0.count == 1 ? JSON($0[0]) : .array($0.map { JSON($0) }) })
        }
        step["kept"] = .object(map)
        let result = Checkpoint(
            description: target, table: table, layout: source.layout, sources: source.sources,
            companions: source.companions, history: source.history, warnings: source.warnings)
        return result.recording(step)
    }

    func tensor(_ role: Role) throws -> LazyTensor? {
        guard let layer = role.layer, let own = groups[layer] else { return source.table[role] }
        switch role.kind {
        case .router, .routerBias, .routerCorrectionBias, .routerExpertScale:
            return source.table[role]?.picking(own.map { $0[0] }, .rows)
        default: break
        }
        guard let expert = role.expert else { return source.table[role] }
        let members = own[expert]
        let tensors = members.compactMap { source.table[Role(role.kind, layer: layer, expert: $0)] }
        guard let first = tensors.first else { return nil }
        guard tensors.count > 1, case .groups(_, let usage) = options.choice else { return first }
        let weights = members.map { usage[layer]?[$0] ?? 1 }
        let total = weights.reduce(0, +)
        let inputs = aligned(tensors, role.kind, layer, members).map(\.expression)
        return LazyTensor(
            rows: first.rows, columns: first.columns, dtype: first.dtype,
            expression: .combined(
                inputs, try LinearRule(total > 0 ? weights : weights.map { _ in 1 }, name: "\(role)"), rows: first.rows)
        )
    }

    /// The tensors of some experts, their units in the first's order.
    func aligned(_ tensors: [LazyTensor], _ kind: Role.Kind, _ layer: Int, _ members: [Int]) -> [LazyTensor] {
        guard tensors.count > 1, kind != .expertDownBias, let orders = alignment(layer, members) else { return tensors }
        return zip(tensors, orders).map { tensor, order in
            guard let order else { return tensor }
            var result = tensor
            result.expression = .picked(
                tensor.expression, kind == .expertDown ? .columns : .rows, .deferred(order), columns: tensor.columns)
            return result
        }
    }

    private let orders = OrderCache()

    /// Where each member's hidden units go, so that they match the first's.
    private func alignment(_ layer: Int, _ members: [Int]) -> [Deferred<[Int]>?]? {
        orders.value(layer, members[0]) {
            func units(_ expert: Int) -> HiddenUnits? {
                guard let gate = source.table[.expert(layer, expert, .gate)],
                    let up = source.table[.expert(layer, expert, .up)],
                    let down = source.table[.expert(layer, expert, .down)]
                else { return nil }
                return HiddenUnits(gate: gate, up: up, down: down)
            }
            guard let target = units(members[0]) else { return nil }
            return members.enumerated().map { $0.offset == 0 ? nil : units($0.element)?.order(matching: target) }
        }
    }
}

/// The three matrices of an expert share its permutation.
private final class OrderCache {
    private var known: [[Int]: [Deferred<[Int]>?]?] = [:]

    func value(_ layer: Int, _ expert: Int, _ make: () -> [Deferred<[Int]>?]?) -> [Deferred<[Int]>?]? {
        if let value = known[[layer, expert]] { return value }
        let value = make()
        known[[layer, expert]] = .some(value)
        return value
    }
}
