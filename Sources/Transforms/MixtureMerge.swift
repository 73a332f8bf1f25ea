import Checkpoints
import Safetensors

/// Models become the experts of a mixture.
struct MixtureMerge {
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
                    message: "`target` \(wanted): \(mixture.name) is a \(mixture.description.architecture.modelType) "
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
            config = try combiner.configuration(config)
            target = try ModelDescription(mixture.description.architecture, config)
            try target.checkRunnable()
        } else {
            let dense = combiner.reference
            let mask = options.layers.mask(layers: dense.description.layerCount)
            let rule = try UpcycleRule(
                from: dense.description.architecture, to: options.target,
                needs: UpcycleRule.Needs(sharedExpert: options.sharedExpert != nil, layers: mask))
            for model in [dense] + combiner.models { try rule.check(model.description) }
            bank = try ExpertBank(combiner.models, options, layers: mask)
            let topK = options.topK ?? min(2, bank.count)
            guard topK >= 1, topK <= bank.count else {
                throw CheckpointError(
                    .usage, message: "`topK` \(topK): a token can be routed to 1 to \(bank.count) experts")
            }
            let shared =
                !rule.hasSharedExpert
                ? nil
                : options.sharedExpert == nil
                    ? rule.smallestSharedWidth(bank.width) : try dense.description.size("inner")
            config = try rule.config(
                dense.description, experts: bank.count, topK: topK, expertWidth: bank.width, sharedWidth: shared,
                layers: options.layers, normalises: options.normalisesTopK)
            config = try combiner.configuration(config)
            target = try ModelDescription(rule.target, config)
            try target.checkFunction(of: dense.description, exceptVocabulary: true)
            self.rule = rule
        }
    }

    func run() throws -> Checkpoint {
        let rows = try RouterBuilder(options, target, experts: bank.count)
        // One mixture by itself, such as one with an adapter, has routers that know its experts.
        let own = combiner.models.count == 1 && options.router == MergeOptions().router ? combiner.models.first : nil
        let kept = own?.isMixture == true ? own : nil
        var table: [Role: LazyTensor] = [:]
        var combined: [(role: Role, name: String)] = []
        for expected in try target.expectedTensors() {
            for (role, view) in expected.placements where table[role] == nil {
                let isMoE = role.layer.map { target.allMoELayers[$0] } ?? false
                if let kept, isMoE,
                    [.router, .routerBias, .routerCorrectionBias, .routerExpertScale].contains(role.kind)
                {
                    table[role] = kept.table[role]
                    continue
                }
                switch role.kind {
                case .router where isMoE:
                    table[role] = try rows.tensor(role, name: expected.name, dtype: bank.dtype)
                case .routerExpertScale where isMoE:
                    table[role] = .concatenated(combiner.models.compactMap { $0.table[role] }, .rows)
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
                    if role.kind.isBias, let rule, rule.addsBias(role.kind),
                        combiner.models.allSatisfy({ $0.table[role] == nil })
                    {
                        table[role] = LazyTensor(
                            rows: view.rows, columns: view.columns, dtype: bank.dtype, expression: .constant(0))
                        continue
                    }
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
        step["router"] = kept == nil ? .string(rows.text) : "kept"
        var warnings = combiner.warnings
        let mixtures = combiner.models.filter(\.isMixture)
        if kept == nil, !mixtures.isEmpty {
            warnings.append(
                "the routers of \(mixtures.map(\.name).joined(separator: ", ")) are not kept: all rows are new "
                    + "(\(rows.text)), and have to be tuned (moe-tool finetune)")
        }
        step["layout"] = .string(options.arrangement.text)
        return Checkpoint(
            description: target, table: table, sources: combiner.sources() + rows.files,
            companions: combiner.companions, history: [step], warnings: warnings)
    }

    /// The network of the model that was named; its gate's row starts as the routers' do.
    private func shared(_ role: Role, _ view: MatrixView, _ rows: RouterBuilder, name: String) throws -> LazyTensor {
        guard let layer = role.layer, role.kind != .sharedExpertRouter else {
            return try rows.row(name: name, layer: role.layer, columns: view.columns, dtype: bank.dtype)
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
