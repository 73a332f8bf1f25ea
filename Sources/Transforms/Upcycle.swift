public import Checkpoints
import Numerics
import Safetensors

extension Checkpoint {
    /// A mixture of experts that starts from this dense checkpoint: copies, top-k routing, everything else by default.
    ///
    /// ```swift
    /// let moe = try Checkpoint(at: "mistral-7b").upcycled(experts: 8, topK: 2)
    /// ```
    ///
    /// - Throws: `CheckpointError` where the family cannot become a mixture.
    public func upcycled(experts: Int, topK: Int = 2) throws -> Checkpoint {
        try upcycled(UpcycleOptions(experts: experts, topK: topK)).checkpoint
    }

    /// A mixture of experts that starts from this dense checkpoint (sparse upcycling, Komatsuzaki et al. 2022,
    /// 2212.05055).
    ///
    /// - Returns: the checkpoint, and whether it computes the dense function.
    /// - Throws: `CheckpointError`: `incompatible` where the family cannot become a mixture or cannot say what is asked
    ///   for, `usage` for options that contradict each other.
    public func upcycled(_ options: UpcycleOptions) throws -> (checkpoint: Checkpoint, preservation: Preservation) {
        try Upcycling(self, options).run()
    }
}

/// One upcycling: the sizes are checked when it is made, the table is built when it is run.
private struct Upcycling {
    private let source: Checkpoint
    private let options: UpcycleOptions
    private let rule: UpcycleRule
    private let sizes: UpcycleArithmetic
    private let router: UpcycleOptions.RouterInitialisation
    private let target: ModelDescription
    private let preservation: Preservation
    private let inner: Int
    private let expertWidth: Int

    init(_ source: Checkpoint, _ options: UpcycleOptions) throws {
        self.source = source
        self.options = options
        guard !source.isMixture else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file,
                message: "it is a mixture of experts already; upcycle takes a dense checkpoint")
        }
        rule = try UpcycleRule(
            from: source.description.architecture, to: options.target,
            needs: UpcycleRule.Needs(
                sharedExpert: options.sharedExperts,
                layers: options.layers.mask(layers: source.description.layerCount)))
        try rule.check(source.description)
        sizes = try UpcycleArithmetic(options)
        guard let gate = rule.target.router else {
            throw CheckpointError(.internalFailure, message: "\(rule.target.modelType) has no router")
        }
        inner = try source.description.size("inner")
        guard inner % sizes.parts == 0 else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file,
                message: "the feed-forward width \(inner) cannot be cut into \(sizes.parts) equal parts")
        }
        expertWidth = inner / sizes.parts
        if !options.normalisesTopK, gate.alwaysRenormalizes {
            throw CheckpointError(
                .incompatible,
                message: "`normalisesTopK` off: \(rule.target.modelType) always divides the gates by their sum")
        }
        router = options.router ?? (sizes.isPartition ? .zero : .random(std: 0.02))
        preservation = sizes.preservation(options, router: router, rule: gate)
        // The smallest that the configuration can say: one unit, or one expert's width.
        let sharedWidth: Int? =
            !rule.hasSharedExpert ? nil : options.sharedExperts ? inner : rule.smallestSharedWidth(expertWidth)
        let config = try rule.config(
            source.description, experts: sizes.experts, topK: sizes.topK, expertWidth: expertWidth,
            sharedWidth: sharedWidth, layers: options.layers,
            normalises: options.normalisesTopK)
        target = try ModelDescription(rule.target, config)
        try target.checkFunction(of: source.description)
    }

    func run() throws -> (checkpoint: Checkpoint, preservation: Preservation) {
        var table: [Role: LazyTensor] = [:]
        for expected in try target.expectedTensors() where !(expected.isOptional && expected.shape.contains(0)) {
            for (role, view) in expected.placements where table[role] == nil {
                table[role] = try tensor(role, view, expected)
            }
        }
        var result = Checkpoint(
            description: target, table: table, sources: source.sources, companions: source.companions,
            history: source.history, warnings: source.warnings)
        // Networks that are copied stay quantised where that is asked for: they are to be trained.
        result.quantisedWriting = .never
        return (result.recording(step), preservation)
    }

    private func tensor(_ role: Role, _ view: MatrixView, _ expected: ExpectedTensor) throws -> LazyTensor {
        if role.kind.isBias, source.table[role] == nil, rule.addsBias(role.kind) {
            return LazyTensor(
                rows: view.rows, columns: view.columns, dtype: source.dtype ?? .f32, expression: .constant(0))
        }
        guard let layer = role.layer, target.allMoELayers[layer] else { return try carried(role) }
        switch role.kind {
        case .router: return try routerTensor(layer, view, expected.name)
        case .routerCorrectionBias:
            return LazyTensor(rows: view.rows, columns: view.columns, dtype: .f32, expression: .constant(0))
        case .sharedExpertRouter:
            return LazyTensor(
                rows: view.rows, columns: view.columns, dtype: try drawnDType(layer), expression: .constant(0))
        case .expertGate, .expertUp, .expertDown:
            return try expert(
                role, layer, name: expected.placements.count == 1 ? expected.name : "\(expected.name)#\(role)")
        case .sharedExpertGate, .sharedExpertUp, .sharedExpertDown: return try sharedExpert(role, layer, width: view)
        default: return try carried(role)
        }
    }

    private func carried(_ role: Role) throws -> LazyTensor {
        // Some readers of the target want the head spelled out although it is tied to the embedding.
        if role.kind == .head, source.table[role] == nil, let embedding = source.table[Role(.embedding)] {
            return embedding
        }
        guard let tensor = source.table[role] else {
            throw CheckpointError(
                .incompatible, file: source.description.config.file,
                message:
                    "a \(rule.target.modelType) needs \(role), and the \(source.description.architecture.modelType) "
                    + "has none")
        }
        return tensor
    }

    /// The router's rows: equal for the parts of a copy, so that they are selected together.
    private func routerTensor(_ layer: Int, _ view: MatrixView, _ name: String) throws -> LazyTensor {
        let key = KeyedRandom(seed: options.seed, tensor: name, purpose: "router")
        let repeating = sizes.isPartition ? 1 : sizes.parts
        let expression: TensorExpression =
            switch router {
            case .zero: .constant(0)
            case .random(let std): .random(key, .normal(std: std), repeating: repeating)
            case .uniform(let std): .random(key, .uniform(std: std), repeating: repeating)
            }
        return LazyTensor(
            rows: view.rows, columns: view.columns, dtype: try drawnDType(layer), expression: expression)
    }

    /// What is new has the dtype of the network beside it, or where that is only copied, of most weights.
    private func drawnDType(_ layer: Int) throws -> DType {
        let own = try carried(.feedForward(layer, .gate)).dtype
        return own.isConvertible ? own : source.dtype.flatMap { $0.isConvertible ? $0 : nil } ?? .f32
    }

    private func expert(_ role: Role, _ layer: Int, name: String) throws -> LazyTensor {
        let projection: Role.Projection =
            role.kind == .expertGate ? .gate : role.kind == .expertUp ? .up : .down
        let dense = try carried(.feedForward(layer, projection))
        let part = (role.expert ?? 0) % sizes.parts
        let range = part * expertWidth..<(part + 1) * expertWidth
        let cut = sizes.parts == 1 ? dense : projection == .down ? dense.columns(range) : dense.rows(range)
        if options.sharedExperts, projection == .down { return cut.zeroed }
        let started = try initialised(cut, of: dense, role, layer, projection, name: name)
        return projection == .down ? started.scaled(by: Float(preservation.factor)) : started
    }

    private func initialised(
        _ cut: LazyTensor, of dense: LazyTensor, _ role: Role, _ layer: Int, _ projection: Role.Projection, name: String
    ) throws -> LazyTensor {
        func computed(_ expression: TensorExpression) -> LazyTensor {
            LazyTensor(rows: cut.rows, columns: cut.columns, dtype: cut.dtype, expression: expression)
        }
        switch options.initialisation {
        case .copy, .partition: return cut
        case .noise(let relative):
            guard relative > 0 else { return cut }
            return computed(
                .perturbed(
                    cut.expression, relative: relative, moments: moments.whole(dense, layer, projection),
                    key: KeyedRandom(seed: options.seed, tensor: name, purpose: "noise")))
        case .drop(let ratio):
            let count = Int(ratio * Float(expertWidth))
            guard count > 0 else { return cut }
            // One set of hidden units for the expert's three matrices.
            let units = KeyedRandom(
                seed: options.seed, tensor: "layer \(layer) expert \(role.expert ?? 0)", purpose: "drop"
            ).sample(count, of: expertWidth)
            let selection = Selection(projection == .down ? .columns : .rows, units)
            return computed(
                .redrawn(
                    cut.expression, selection: selection, moments: deferredMoments(of: cut, selection: selection),
                    key: KeyedRandom(seed: options.seed, tensor: name, purpose: "redraw")))
        }
    }

    private let moments = SharedMoments()

    /// The shared expert: the dense network, or one that adds nothing.
    private func sharedExpert(_ role: Role, _ layer: Int, width view: MatrixView) throws -> LazyTensor {
        let projection: Role.Projection =
            role.kind == .sharedExpertGate ? .gate : role.kind == .sharedExpertUp ? .up : .down
        let dense = try carried(.feedForward(layer, projection))
        guard !options.sharedExperts else {
            // A gate that starts at zero lets half of the shared expert through.
            let isGated = rule.target.hasSharedExpertGate
            return projection == .down && isGated ? dense.scaled(by: 2) : dense
        }
        guard projection != .down else {
            return LazyTensor(rows: view.rows, columns: view.columns, dtype: dense.dtype, expression: .constant(0))
        }
        // Rows of the dense network rather than zeros, so that training the down projection has something to work with.
        return dense.rows(0..<view.rows)
    }

    /// The step for the record: the effective options.
    private var step: JSONObject {
        var step: JSONObject = [
            "command": "upcycle", "from": .string(source.description.architecture.modelType),
            "target": .string(rule.target.modelType), "experts": JSON(options.experts), "top_k": JSON(sizes.topK),
            "granularity": JSON(options.granularity),
            "layers": .array(
                target.moeLayers.indices.filter { target.moeLayers[$0] }.map { JSON($0) }),
        ]
        switch options.initialisation {
        case .copy: step["init"] = "copy"
        case .noise(let relative): step["init"] = .string("noise:\(relative)")
        case .drop(let ratio): step["init"] = .string("drop:\(ratio)")
        case .partition: step["init"] = "partition"
        }
        switch router {
        case .zero: step["router"] = "zero"
        case .random(let std): step["router"] = .string("random:\(std)")
        case .uniform(let std): step["router"] = .string("uniform:\(std)")
        }
        step["norm_topk"] = .bool(options.normalisesTopK)
        step["shared_experts"] = .bool(options.sharedExperts)
        step["scale"] = JSON(preservation.factor)
        step["function"] = .string(preservation.degree.rawValue)
        step["seed"] = .number(String(options.seed))
        return step
    }
}

/// The moments of dense matrices, which all experts of a layer share.
private final class SharedMoments {
    private struct Key: Hashable {
        let layer: Int
        let projection: Role.Projection
    }
    private var known: [Key: Deferred<Moments>] = [:]

    func whole(_ dense: LazyTensor, _ layer: Int, _ projection: Role.Projection) -> Deferred<Moments> {
        let key = Key(layer: layer, projection: projection)
        if let moments = known[key] { return moments }
        let moments = deferredMoments(of: dense)
        known[key] = moments
        return moments
    }
}
