public import Checkpoints
import Numerics
import Safetensors

extension Checkpoint {
    /// A mixture whose experts are the models' feed-forward networks, everything else combined (Branch-Train-MiX,
    /// Sukhbaatar et al. 2024, 2403.07816).
    ///
    /// ```swift
    /// let moe = try Checkpoint.merging([code, law, math], base: seed)
    /// ```
    ///
    /// Experts are numbered in the order of the models; those of a model that is a mixture itself join in their order.
    ///
    /// - Parameter base: where the models branched from; its tokenizer and configuration are the result's.
    /// - Throws: `CheckpointError`: `incompatible` with a table where the models do not fit together, `usage` for options
    ///   that contradict each other.
    public static func merging(
        _ models: [Checkpoint], base: Checkpoint? = nil, options: MergeOptions = MergeOptions()
    ) throws -> Checkpoint {
        try MixtureMerge(models, base: base, options).run()
    }

    /// One model of the same family and sizes as the models: an ordinary merge, such as a model soup.
    public static func mergingDense(
        _ models: [Checkpoint], base: Checkpoint? = nil, options: MergeOptions = MergeOptions()
    ) throws -> Checkpoint {
        try DenseMerge(models, base: base, options).run()
    }

    /// This mixture with the models' networks as new experts; everything outside of the new experts and the new rows of
    /// the routers stays as it is.
    public func adding(_ models: [Checkpoint], options: MergeOptions = MergeOptions()) throws -> Checkpoint {
        try ExpertAddition(self, models, options).run()
    }
}

/// What the models bring together: their tensors combined role by role.
struct MergeCombiner {
    let models: [Checkpoint]
    let base: Checkpoint?
    let options: MergeOptions
    let vocabulary: VocabularyMerge?

    /// The checkpoint whose configuration and tokenizer the result has.
    var reference: Checkpoint { base ?? models[0] }

    init(_ models: [Checkpoint], base: Checkpoint?, _ options: MergeOptions, comparesKinds: Bool) throws {
        guard !models.isEmpty else {
            throw CheckpointError(.usage, message: "there is nothing to merge: name at least one model")
        }
        if options.includesBase, base == nil {
            throw CheckpointError(.usage, message: "--include-base: name the base with --base")
        }
        if options.average == .base, base == nil {
            throw CheckpointError(.usage, message: "--average base needs a base: name it with --base")
        }
        let all = [base].compactMap { $0 } + models + [options.sharedExpert].compactMap { $0 }
        try MergeSurvey(
            all, allowsVocabularies: options.vocabulary != nil, allowsDTypes: options.dtype != nil,
            comparesKinds: comparesKinds
        ).check()
        vocabulary = try VocabularyMerge(all, options.vocabulary, requiresTokenizer: options.requiresTokenizer)
        self.models = options.includesBase ? models + [base].compactMap { $0 } : models
        self.base = base
        self.options = options
    }

    /// Every file that is read, once.
    func sources() -> [SafetensorsFile] {
        var seen: Set<String> = []
        return (models + [base, options.sharedExpert].compactMap { $0 }).flatMap(\.sources).filter {
            seen.insert($0.path).inserted
        }
    }

    /// The combination of what the models have for a role.
    ///
    /// - Parameter name: the tensor's name on disk, which filters and draws go by.
    func combined(_ role: Role, name: String) throws -> LazyTensor {
        let having = models.indices.filter { models[$0].table[role] != nil }
        let origin = base.flatMap { aligned(role, $0) }
        let tensors = having.compactMap { aligned(role, models[$0]) }
        guard let first = options.average == .base ? origin ?? tensors.first : tensors.first else {
            throw CheckpointError(.incompatible, tensor: name, message: "no model has \(role)")
        }
        for tensor in tensors where tensor.rows != first.rows || tensor.columns != first.columns {
            throw CheckpointError(
                .incompatible, tensor: name,
                message: "\(role) is \(first.rows) x \(first.columns) in one model and "
                    + "\(tensor.rows) x \(tensor.columns) in another")
        }
        let dtype = options.dtype ?? (origin ?? first).dtype
        // Integers and packed types are never averaged; a base has the last word where a model does not have the role.
        guard first.dtype.isConvertible else { return first }
        let parameters = options.settings.parameters(models: having, for: name, depth: depth(role))
        let expression = try options.average.expression(
            tensors, base: origin, parameters, name: name, seed: options.seed)
        return LazyTensor(rows: first.rows, columns: first.columns, dtype: dtype, expression: expression)
    }

    /// A model's tensor, its rows lined up where they stand for tokens.
    private func aligned(_ role: Role, _ model: Checkpoint) -> LazyTensor? {
        guard let tensor = model.table[role] else { return nil }
        guard role.kind == .embedding || role.kind == .head || role.kind == .headBias, let vocabulary else {
            return tensor
        }
        return vocabulary.aligned(tensor, of: model, role, weights: options.settings)
    }

    private func depth(_ role: Role) -> Double {
        if let layer = role.layer {
            let last = models[0].description.layerCount - 1
            return last > 0 ? Double(layer) / Double(last) : 1
        }
        return role.kind == .embedding ? 0 : options.settings.headDepth
    }

    /// With `frozen`, every tensor that is not an expert must be the same in all models.
    func checkFrozen(_ roles: [(role: Role, name: String)]) throws {
        guard options.average == .frozen else { return }
        let all = [base].compactMap { $0 } + models
        var differing: [String] = []
        for (role, name) in roles {
            let tensors = all.compactMap { $0.table[role] }
            guard let first = tensors.first else { continue }
            for other in tensors.dropFirst() {
                guard other.rows == first.rows, other.columns == first.columns,
                    try Difference.between(first, other).isIdentical
                else {
                    differing.append(name)
                    break
                }
            }
        }
        guard differing.isEmpty else {
            let shown = differing.prefix(8).map(escaped).joined(separator: ", ")
            throw CheckpointError(
                .incompatible,
                message: "--average frozen: \(differing.count) tensors are not the same in all models: \(shown)"
                    + (differing.count > 8 ? ", …" : "") + "; choose another --average")
        }
    }

    /// What the record says of the average.
    func record(_ command: String) -> JSONObject {
        var step: JSONObject = [
            "command": .string(command), "average": .string(options.average.rawValue),
            "models": .array(models.map { .string($0.name) }), "seed": .number(String(options.seed)),
        ]
        if let base { step["base"] = .string(base.name) }
        let settings = options.settings
        let own = models.indices.map { settings.parameters(models: [$0], for: "", depth: 0) }
        step["weights"] = .array(own.map { JSON($0.weights[0]) })
        if options.average.needsBase { step["densities"] = .array(own.map { JSON($0.densities[0]) }) }
        if let vocabulary = options.vocabulary { step["vocab"] = .string(vocabulary.rawValue) }
        let earlier = models.filter { !$0.history.isEmpty }
        if !earlier.isEmpty {
            step["earlier"] = .array(
                earlier.map { model in
                    .object(["model": .string(model.name), "steps": .array(model.history.map { .object($0) })])
                })
        }
        return step
    }

    var warnings: [String] { models.flatMap(\.warnings) + (vocabulary?.warnings ?? []) }
    var companions: [Companion] { vocabulary?.companions ?? reference.companions }
}

/// Models of the same family and sizes become one of them.
private struct DenseMerge {
    private let combiner: MergeCombiner

    init(_ models: [Checkpoint], base: Checkpoint?, _ options: MergeOptions) throws {
        combiner = try MergeCombiner(models, base: base, options, comparesKinds: true)
        let counts = Set(([base].compactMap { $0 } + models).map { $0.description.sizeIfKnown("experts") ?? 0 })
        guard counts.count == 1 else {
            throw CheckpointError(
                .incompatible, message: "the models have different numbers of experts: \(counts.sorted())")
        }
    }

    func run() throws -> Checkpoint {
        var config = combiner.reference.description.config
        if let vocabulary = combiner.vocabulary { config = try vocabulary.configuration(config) }
        let description = try ModelDescription(combiner.reference.description.architecture, config)
        var table: [Role: LazyTensor] = [:]
        var roles: [(role: Role, name: String)] = []
        for expected in try description.expectedTensors() {
            for (role, _) in expected.placements where table[role] == nil {
                if expected.isOptional, combiner.models.allSatisfy({ $0.table[role] == nil }) { continue }
                table[role] = try combiner.combined(role, name: expected.name)
                roles.append((role, expected.name))
            }
        }
        try combiner.checkFrozen(roles)
        return Checkpoint(
            description: description, table: table, sources: combiner.sources(), companions: combiner.companions,
            history: [combiner.record("merge --dense")], warnings: combiner.warnings)
    }
}

/// Models become the experts of a mixture.
private struct MixtureMerge {
    private let combiner: MergeCombiner
    private let options: MergeOptions
    private let bank: ExpertBank
    private let target: ModelDescription
    private let rule: UpcycleRule?

    init(_ models: [Checkpoint], base: Checkpoint?, _ options: MergeOptions) throws {
        combiner = try MergeCombiner(models, base: base, options, comparesKinds: false)
        self.options = options
        let mixture = combiner.models.first(where: \.isMixture)
        var config: ModelConfig
        if let mixture {
            if let wanted = options.target, wanted != mixture.description.architecture.modelType {
                throw CheckpointError(
                    .usage,
                    message: "--target \(wanted): \(mixture.name) is a \(mixture.description.architecture.modelType) "
                        + "already, and its experts stay in that family")
            }
            bank = try ExpertBank(combiner.models, options, layers: mixture.description.moeLayers)
            rule = nil
            for model in combiner.models where !model.isMixture {
                _ = try UpcycleRule(
                    from: model.description.architecture, to: mixture.description.architecture.modelType)
            }
            config = try mixture.description.configuration(
                setting: "experts", to: bank.count, in: mixture.description.config)
            if let topK = options.topK {
                config = try mixture.description.configuration(setting: "top_k", to: topK, in: config)
            }
            if let vocabulary = combiner.vocabulary { config = try vocabulary.configuration(config) }
            target = try ModelDescription(mixture.description.architecture, config)
            try target.checkGroups()
        } else {
            let dense = combiner.reference
            let rule = try UpcycleRule(from: dense.description.architecture, to: options.target)
            for model in [dense] + combiner.models { try rule.check(model.description) }
            let mask = options.layers.mask(layers: dense.description.layerCount)
            bank = try ExpertBank(combiner.models, options, layers: mask)
            let topK = options.topK ?? min(2, bank.count)
            guard topK >= 1, topK <= bank.count else {
                throw CheckpointError(
                    .usage, message: "--top-k \(topK): a token can be routed to 1 to \(bank.count) experts")
            }
            if options.sharedExpert != nil, !rule.hasSharedExpert {
                throw CheckpointError(.incompatible, message: "a \(rule.target.modelType) has no shared experts")
            }
            let shared =
                !rule.hasSharedExpert
                ? nil
                : options.sharedExpert == nil
                    ? rule.smallestSharedWidth(bank.width) : try dense.description.size("inner")
            config = try rule.config(
                dense.description, experts: bank.count, topK: topK, expertWidth: bank.width, sharedWidth: shared,
                layers: options.layers, normalises: options.normalisesTopK)
            if let vocabulary = combiner.vocabulary { config = try vocabulary.configuration(config) }
            target = try ModelDescription(rule.target, config)
            self.rule = rule
        }
    }

    func run() throws -> Checkpoint {
        let rows = try RouterBuilder(options, target, experts: bank.count)
        var table: [Role: LazyTensor] = [:]
        var combined: [(role: Role, name: String)] = []
        for expected in try target.expectedTensors() {
            for (role, view) in expected.placements where table[role] == nil {
                let isMoE = role.layer.map { target.moeLayers[$0] } ?? false
                switch role.kind {
                case .router where isMoE:
                    table[role] = try rows.tensor(role, name: expected.name, dtype: bank.dtype)
                case .routerBias where isMoE, .routerCorrectionBias where isMoE:
                    table[role] = LazyTensor(
                        rows: view.rows, columns: view.columns,
                        dtype: role.kind == .routerCorrectionBias ? .f32 : bank.dtype, expression: .constant(0))
                case .expertGate, .expertUp, .expertDown, .expertGateBias, .expertUpBias, .expertDownBias:
                    table[role] = try bank.tensor(role, name: expected.name)
                case .sharedExpertGate where rule != nil, .sharedExpertUp where rule != nil,
                    .sharedExpertDown where rule != nil, .sharedExpertRouter where rule != nil:
                    table[role] =
                        options.sharedExpert == nil
                        ? emptyShared(role, view) : try shared(role, view, rows, name: expected.name)
                default:
                    if role.kind == .head, combiner.models.allSatisfy({ $0.table[role] == nil }) {
                        // Some readers want the head spelled out although it is tied to the embedding.
                        table[role] = try table[Role(.embedding)] ?? combiner.combined(Role(.embedding), name: "head")
                        continue
                    }
                    table[role] = try combiner.combined(role, name: expected.name)
                    combined.append((role, expected.name))
                }
            }
        }
        try combiner.checkFrozen(combined)
        var step = combiner.record("merge")
        step["target"] = .string(target.architecture.modelType)
        step["experts"] = JSON(bank.count)
        step["top_k"] = JSON(try target.size("top_k"))
        step["experts_of"] = .array(bank.origins.map { .string($0) })
        step["router"] = .string(rows.text)
        step["layout"] = .string(options.arrangement.text)
        return Checkpoint(
            description: target, table: table, sources: combiner.sources() + rows.files,
            companions: combiner.companions, history: [step], warnings: combiner.warnings)
    }

    /// The network of the model that was named; its gate's row starts as the routers' do.
    private func shared(_ role: Role, _ view: MatrixView, _ rows: RouterBuilder, name: String) throws -> LazyTensor {
        guard let layer = role.layer, role.kind != .sharedExpertRouter else {
            return try rows.row(name: name, columns: view.columns, dtype: bank.dtype)
        }
        let projection: Role.Projection =
            role.kind == .sharedExpertGate ? .gate : role.kind == .sharedExpertUp ? .up : .down
        guard let tensor = options.sharedExpert?.table[.feedForward(layer, projection)] else {
            throw CheckpointError(
                .incompatible, tensor: name, message: "the shared expert's model has no dense network in layer \(layer)"
            )
        }
        return (projection == .down ? tensor.scaled(by: options.sharedExpertScale) : tensor).written(as: bank.dtype)
    }

    /// The smallest shared expert, whose output is zero.
    private func emptyShared(_ role: Role, _ view: MatrixView) -> LazyTensor {
        let zero = LazyTensor(
            rows: view.rows, columns: view.columns, dtype: bank.dtype, expression: .constant(0))
        guard let layer = role.layer, role.kind != .sharedExpertDown, role.kind != .sharedExpertRouter else {
            return zero
        }
        let dense = combiner.reference.table[
            .feedForward(layer, role.kind == .sharedExpertGate ? .gate : .up)]
        guard let dense, dense.rows >= view.rows else { return zero }
        return dense.rows(0..<view.rows).written(as: bank.dtype)
    }
}

extension ModelDescription {
    /// A router that selects groups of experts needs groups of equal size.
    func checkGroups() throws {
        guard let groups = try config.int("n_group", architecture), groups > 1 else { return }
        let experts = try size("experts")
        guard experts % groups == 0 else {
            throw CheckpointError(
                .incompatible, file: config.file,
                message: "\(experts) experts cannot be divided evenly among n_group = \(groups) groups")
        }
    }
}

/// Models become further experts of a mixture.
private struct ExpertAddition {
    private let mixture: Checkpoint
    private let options: MergeOptions
    private let bank: ExpertBank
    private let old: Int

    init(_ mixture: Checkpoint, _ models: [Checkpoint], _ options: MergeOptions) throws {
        guard mixture.isMixture else {
            throw CheckpointError(
                .incompatible, file: mixture.description.config.file,
                message: "--into takes a mixture of experts, and this is a dense model")
        }
        guard !models.isEmpty else {
            throw CheckpointError(.usage, message: "there is nothing to add: name at least one model")
        }
        self.mixture = mixture
        self.options = options
        try MergeSurvey(
            [mixture] + models, allowsVocabularies: false, allowsDTypes: options.dtype != nil, comparesKinds: false
        ).check()
        _ = try VocabularyMerge([mixture] + models, nil, requiresTokenizer: options.requiresTokenizer)
        bank = try ExpertBank(models, options, layers: mixture.description.moeLayers)
        old = try mixture.description.size("experts")
        guard bank.width == (try mixture.description.size("expert_inner")) else {
            throw CheckpointError(
                .incompatible,
                message: "the new experts are \(bank.width) wide and those of \(mixture.name) "
                    + "\(try mixture.description.size("expert_inner")): a mixture's experts have one width")
        }
    }

    func run() throws -> Checkpoint {
        var config = try mixture.description.configuration(
            setting: "experts", to: old + bank.count, in: mixture.description.config)
        if let topK = options.topK {
            config = try mixture.description.configuration(setting: "top_k", to: topK, in: config)
        }
        let target = try ModelDescription(mixture.description.architecture, config)
        try target.checkGroups()
        let rows = try RouterBuilder(options, target, experts: bank.count)
        var table: [Role: LazyTensor] = [:]
        for expected in try target.expectedTensors() {
            for (role, _) in expected.placements where table[role] == nil {
                if let expert = role.expert, expert >= old {
                    let own = Role(role.kind, layer: role.layer, expert: expert - old)
                    table[role] = try bank.tensor(own, name: expected.name)
                    if let dtype = mixture.table[Role(role.kind, layer: role.layer, expert: 0)]?.dtype {
                        table[role]?.dtype = dtype
                    }
                    continue
                }
                guard let present = mixture.table[role] else {
                    if expected.isOptional { continue }
                    throw CheckpointError(
                        .incompatible, tensor: expected.name, message: "\(mixture.name) has no \(role)")
                }
                switch role.kind {
                case .router:
                    let new = try rows.tensor(role, name: expected.name, dtype: present.dtype)
                    table[role] = .concatenated([present, new], .rows)
                case .routerBias, .routerCorrectionBias:
                    let new = LazyTensor(rows: bank.count, columns: 1, dtype: present.dtype, expression: .constant(0))
                    table[role] = .concatenated([present, new], .rows)
                default: table[role] = present
                }
            }
        }
        let step: JSONObject = [
            "command": "merge --into", "experts": JSON(old + bank.count),
            "experts_of": .array(bank.origins.map { .string($0) }), "router": .string(rows.text),
            "seed": .number(String(options.seed)),
        ]
        var seen: Set<String> = []
        let files = ([mixture] + bank.models).flatMap(\.sources).filter { seen.insert($0.path).inserted } + rows.files
        return Checkpoint(
            description: target, table: table, layout: mixture.layout, sources: files,
            companions: mixture.companions, history: mixture.history + [step],
            warnings: mixture.warnings + bank.models.flatMap(\.warnings))
    }
}
