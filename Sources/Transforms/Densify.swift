public import Checkpoints
import Safetensors

extension Checkpoint {
    /// A dense model from this mixture of experts, each layer's experts averaged.
    ///
    /// ```swift
    /// let dense = try Checkpoint(at: "mixtral").densified()
    /// ```
    public func densified() throws -> Checkpoint { try densified(DensifyOptions()).checkpoint }

    /// A dense model from this mixture of experts.
    ///
    /// The output of a layer is `sum g_i f_i(x)` over the selected experts: the gates' sum, where it is not one, is folded
    /// into the down projection. A shared expert's hidden units are put beside those of the routed experts.
    ///
    /// - Returns: the checkpoint, and what approximates.
    /// - Throws: `CheckpointError`: `incompatible` where the family has no dense form, `usage` for options that do not fit
    ///   the model.
    public func densified(_ options: DensifyOptions) throws -> (checkpoint: Checkpoint, report: DensifyReport) {
        try Densification(self, options).run()
    }
}

struct Densification {
    /// The networks that a layer's units come from, one after the other.
    struct Layer {
        var gate: [LazyTensor] = []
        var up: [LazyTensor] = []
        var down: [LazyTensor] = []
        /// Biases of the one network, where the family has them.
        var biases: [Role.Kind: LazyTensor] = [:]
        /// The matrices that stand for the experts', before they are scaled.
        var replacements: [WeightLoss.Replacement] = []
        var width: Int { gate.reduce(0) { $0 + $1.rows } }
    }

    let source: Checkpoint
    let options: DensifyOptions
    let rule: DensifyRule
    let experts: Int
    let topK: Int
    let granularity: Int
    /// What the checkpoint's record says of it; 1 where it says nothing.
    let recordedGranularity: Int
    let normalises: Bool
    let scale: Double
    /// The factor on the shared expert.
    let sharedScale: Double
    let fisher: SafetensorsFile?

    init(_ source: Checkpoint, _ options: DensifyOptions) throws {
        self.source = source
        self.options = options
        let description = source.description
        guard source.isMixture else {
            throw CheckpointError(
                .incompatible, file: description.config.file, message: "it is dense already; densify takes a mixture")
        }
        rule = try DensifyRule(description.architecture, to: options.target)
        try rule.check(description)
        experts = try description.size("experts")
        topK = try description.size("top_k")
        let gates = try description.routerConfiguration()
        normalises = gates.sumsToOne
        scale = Double(gates.scale)
        sharedScale = try Double(description.sharedScale())
        recordedGranularity = Self.recordedGranularity(source, experts: experts)
        granularity = try Self.granularity(options, recorded: recordedGranularity, experts: experts)
        if case .fisher(let path) = options.method { fisher = try SafetensorsFile(path: path) } else { fisher = nil }
        if options.method == .concatenate, topK != experts {
            throw CheckpointError(
                .usage,
                message:
                    "`method` concatenate: a token sees \(topK) of \(experts) experts, and a network made of all of "
                    + "them would compute something else")
        }
        if options.aligns, granularity > 1 || ![.average, .topNeurons].contains(options.method) {
            throw CheckpointError(
                .usage, message: "`align` permutation goes with `method` average and top-neurons, of whole experts")
        }
    }

    private static func recordedGranularity(_ source: Checkpoint, experts: Int) -> Int {
        guard let step = source.history.last(where: { $0["command"]?.string == "upcycle" }) else { return 1 }
        return step["init"]?.string == "partition" ? experts : step["granularity"]?.int ?? 1
    }

    private static func granularity(_ options: DensifyOptions, recorded: Int, experts: Int) throws -> Int {
        var granularity = options.granularity
        switch options.method {
        case .concatenate: granularity = experts
        case .average, .fisher, .topNeurons, .svd: granularity = granularity ?? recorded
        case .expert, .learned: break
        }
        let result = granularity ?? 1
        guard result >= 1, experts % result == 0 else {
            throw CheckpointError(
                .usage,
                message: "`granularity` \(result): \(experts) experts cannot be grouped into networks of \(result)")
        }
        return result
    }

    /// The networks of the layers that are mixtures.
    func networks(_ approximations: inout [String]) throws -> [Int: Layer] {
        var layers: [Int: Layer] = [:]
        for (layer, isMoE) in source.description.allMoELayers.enumerated() where isMoE {
            layers[layer] = try network(layer, &approximations)
        }
        return layers
    }

    func run() throws -> (checkpoint: Checkpoint, report: DensifyReport) {
        var approximations: [String] = []
        let layers = try networks(&approximations)
        var width = layers.values.map(\.width).max() ?? 0
        for (layer, isMoE) in source.description.allMoELayers.enumerated() where !isMoE {
            if let dense = source.table[.feedForward(layer, .gate)] { width = max(width, dense.rows) }
        }
        let config = try rule.config(source.description, width: width)
        let target = try ModelDescription(rule.target, config)
        try target.checkFunction(of: source.description)
        var table: [Role: LazyTensor] = [:]
        for expected in try target.expectedTensors() {
            for (role, view) in expected.placements where table[role] == nil {
                if let tensor = try tensor(role, view, layers, width: width) {
                    table[role] = tensor
                } else if !expected.isOptional {
                    throw CheckpointError(
                        .incompatible, tensor: expected.name, message: "the mixture has nothing for \(role)")
                }
            }
        }
        var step: JSONObject = [
            "command": "densify", "method": .string(methodText), "target": .string(rule.target.modelType),
            "granularity": JSON(granularity), "intermediate_size": JSON(width),
        ]
        if options.aligns { step["align"] = "permutation" }
        let result = Checkpoint(
            description: target, table: table, sources: source.sources + [fisher].compactMap { $0 },
            companions: source.companions, history: source.history, warnings: source.warnings)
        let report = DensifyReport(
            width: width, granularity: granularity, approximations: approximations,
            isExactForCopies: try isExactForCopies(layers, approximations))
        return (result.recording(step), report)
    }

    private func isExactForCopies(_ layers: [Int: Layer], _ approximations: [String]) throws -> Bool {
        guard approximations.isEmpty, layers.values.allSatisfy({ $0.biases.isEmpty }) else { return false }
        // The parts of one network count as their gates say, which are the same for all where the router has no preference.
        return try granularity == 1 || LazyTensor.areZero(layers.keys.compactMap { source.table[.router($0)] })
    }

    private var methodText: String {
        switch options.method {
        case .average: options.usage.isEmpty ? "average" : "usage"
        case .fisher: "fisher"
        case .expert(let numbers): "expert:" + numbers.map(String.init).joined(separator: ",")
        case .topNeurons: "top-neurons"
        case .svd: "svd"
        case .concatenate: "concatenate"
        case .learned: "learned"
        }
    }

    // MARK: - One layer

    func expert(_ layer: Int, _ expert: Int, _ projection: Role.Projection) throws -> LazyTensor {
        let role = Role.expert(layer, expert, projection)
        guard let tensor = source.table[role] else {
            throw CheckpointError(.incompatible, file: source.description.config.file, message: "there is no \(role)")
        }
        return tensor
    }

    func value(_ values: [Double], _ layer: Int) -> Double? {
        if layer >= source.description.layerCount, !values.isEmpty {
            // A layer behind the model's own is not run: it has the mean of those that are.
            return values.reduce(0, +) / Double(values.count)
        }
        return values.count == source.description.layerCount ? values[layer] : values.first
    }

    private func network(_ layer: Int, _ approximations: inout [String]) throws -> Layer {
        var result = Layer()
        let downs = try (0..<experts).map { try expert(layer, $0, .down) }
        let routedIsZero = try LazyTensor.areZero(downs)
        let shared = source.table[.sharedExpert(layer, .down)]
        let sharedIsZero = try shared.map { try LazyTensor.areZero([$0]) } ?? true
        if !routedIsZero || sharedIsZero {
            try addRouted(to: &result, layer, hasShared: !sharedIsZero, &approximations)
        }
        guard !sharedIsZero, let down = shared, let gate = source.table[.sharedExpert(layer, .gate)],
            let up = source.table[.sharedExpert(layer, .up)]
        else { return result }
        if case .learned = options.method { return result }
        // A family that stays a mixture keeps its shared expert as it is.
        if rule.form == .oneExpert { return result }
        var factor = sharedScale
        if let router = source.table[Role(.sharedExpertRouter, layer: layer)] {
            factor = value(options.sharedGate, layer) ?? 0.5
            if options.sharedGate.isEmpty, try !LazyTensor.areZero([router]) {
                note(
                    &approximations,
                    "the shared expert's gate depends on the token; its mean is taken to be 0.5, for want of data")
            } else if !options.sharedGate.isEmpty {
                note(&approximations, "the shared expert's gate depends on the token, and its mean stands for it")
            }
        }
        result.gate.append(gate)
        result.up.append(up)
        result.down.append(down.scaled(by: Float(factor)))
        return result
    }

    func note(_ notes: inout [String], _ text: String) {
        if !notes.contains(text) { notes.append(text) }
    }

    /// The sum of the selected experts' gates.
    func gateMass(_ layer: Int, _ approximations: inout [String]) throws -> Double {
        if let mass = value(options.gateMass, layer) { return mass * scale }
        if normalises { return scale }
        let router = source.table[.router(layer)]
        if try router.map({ try !LazyTensor.areZero([$0]) }) ?? true {
            note(
                &approximations,
                "the gates do not sum to one; they are taken to sum to what a router without a preference gives, for "
                    + "want of data")
        }
        let mass =
            source.description.architecture.router?.score == .sigmoid
            ? Double(topK) / 2 : Double(topK) / Double(experts)
        return mass * scale
    }

    // MARK: - The table

    private func tensor(
        _ role: Role, _ view: MatrixView, _ layers: [Int: Layer], width: Int
    ) throws -> LazyTensor? {
        let layer = role.layer.flatMap { layers[$0] }
        func zeros(_ rows: Int, _ columns: Int, like tensor: LazyTensor) -> LazyTensor {
            LazyTensor(rows: rows, columns: columns, dtype: tensor.dtype, expression: .constant(0))
        }
        /// Side by side or one below the other, and zero units up to the common width.
        func joined(_ parts: [LazyTensor], _ axis: Selection.Axis) -> LazyTensor? {
            guard let first = parts.first else { return nil }
            let have = parts.reduce(0) { $0 + (axis == .rows ? $1.rows : $1.columns) }
            let rest = width - have
            if rest == 0 { return .concatenated(parts, axis) }
            return .concatenated(
                parts + [
                    axis == .rows ? zeros(rest, first.columns, like: first) : zeros(first.rows, rest, like: first)
                ],
                axis)
        }
        switch role.kind {
        case .feedForwardGate where rule.form == .oneExpert, .feedForwardUp where rule.form == .oneExpert,
            .feedForwardDown where rule.form == .oneExpert:
            // A dense network beside the experts.
            return source.table[role]
        case .routerExpertScale:
            guard let scales = source.table[role] else { return nil }
            return LazyTensor(
                rows: view.rows, columns: view.columns, dtype: scales.dtype,
                expression: .combined(
                    (0..<experts).map { scales.rows($0..<$0 + 1).expression },
                    try LinearRule([Double](repeating: 1, count: experts), name: "\(role)"), rows: 1))
        case .feedForwardGate, .expertGate:
            return joined(layer?.gate ?? [source.table[role]].compactMap { $0 }, .rows)
        case .feedForwardUp, .expertUp: return joined(layer?.up ?? [source.table[role]].compactMap { $0 }, .rows)
        case .feedForwardDown, .expertDown:
            return joined(layer?.down ?? [source.table[role]].compactMap { $0 }, .columns)
        case .expertGateBias, .expertUpBias, .expertDownBias: return layer?.biases[role.kind]
        case .router, .routerBias, .routerCorrectionBias:
            let dtype = source.table[role]?.dtype ?? source.dtype ?? .f32
            return LazyTensor(rows: view.rows, columns: view.columns, dtype: dtype, expression: .constant(0))
        case .queryBias, .keyBias, .valueBias:
            // A dense family that always has these biases has zeros where the mixture has none.
            return source.table[role]
                ?? LazyTensor(
                    rows: view.rows, columns: view.columns, dtype: source.dtype ?? .f32, expression: .constant(0))
        case .head where source.table[role] == nil: return nil
        default: return source.table[role]
        }
    }
}
