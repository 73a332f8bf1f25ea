public import Checkpoints
import Numerics
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

private struct Densification {
    /// The networks that a layer's units come from, one after the other.
    private struct Layer {
        var gate: [LazyTensor] = []
        var up: [LazyTensor] = []
        var down: [LazyTensor] = []
        /// Biases of the one network, where the family has them.
        var biases: [Role.Kind: LazyTensor] = [:]
        var width: Int { gate.reduce(0) { $0 + $1.rows } }
    }

    private let source: Checkpoint
    private let options: DensifyOptions
    private let rule: DensifyRule
    private let experts: Int
    private let topK: Int
    private let granularity: Int
    private let normalises: Bool
    private let scale: Double
    private let fisher: SafetensorsFile?

    init(_ source: Checkpoint, _ options: DensifyOptions) throws {
        self.source = source
        self.options = options
        let description = source.description
        guard source.isMixture, let router = description.architecture.router else {
            throw CheckpointError(
                .incompatible, file: description.config.file, message: "it is dense already; densify takes a mixture")
        }
        rule = try DensifyRule(description.architecture, to: options.target)
        try rule.check(description)
        experts = try description.size("experts")
        topK = try description.size("top_k")
        normalises =
            try router.alwaysRenormalizes
            || router.renormalizationKey.map {
                try description.config.value($0, description.architecture)?.bool == true
            }
                ?? false
        scale =
            try router.scaleKey.flatMap { try description.config.value($0, description.architecture)?.double } ?? 1
        granularity = try Self.granularity(source, options, experts: experts)
        if case .fisher(let path) = options.method { fisher = try SafetensorsFile(path: path) } else { fisher = nil }
        if options.method == .concatenate, topK != experts {
            throw CheckpointError(
                .usage,
                message:
                    "--method concatenate: a token sees \(topK) of \(experts) experts, and a network made of all of "
                    + "them would compute something else")
        }
        if options.aligns, granularity > 1 || options.method != .average {
            throw CheckpointError(.usage, message: "--align permutation goes with --method average of whole experts")
        }
    }

    private static func granularity(_ source: Checkpoint, _ options: DensifyOptions, experts: Int) throws -> Int {
        var granularity = options.granularity
        if options.method == .concatenate { granularity = experts }
        if granularity == nil, options.method == .average,
            let step = source.history.last(where: { $0["command"]?.string == "upcycle" })
        {
            granularity = step["init"]?.string == "partition" ? experts : step["granularity"]?.int
        }
        let result = granularity ?? 1
        guard result >= 1, experts % result == 0 else {
            throw CheckpointError(
                .usage,
                message: "--granularity \(result): \(experts) experts cannot be grouped into networks of \(result)")
        }
        return result
    }

    func run() throws -> (checkpoint: Checkpoint, report: DensifyReport) {
        var approximations: [String] = []
        var layers: [Int: Layer] = [:]
        var width = 0
        for (layer, isMoE) in source.description.moeLayers.enumerated() {
            if isMoE {
                let made = try network(layer, &approximations)
                layers[layer] = made
                width = max(width, made.width)
            } else if let dense = source.table[.feedForward(layer, .gate)] {
                width = max(width, dense.rows)
            }
        }
        let config = try rule.config(source.description, width: width)
        let target = try ModelDescription(rule.target, config)
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
        let report = DensifyReport(width: width, granularity: granularity, approximations: approximations)
        return (result.recording(step), report)
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

    private func expert(_ layer: Int, _ expert: Int, _ projection: Role.Projection) throws -> LazyTensor {
        let role = Role.expert(layer, expert, projection)
        guard let tensor = source.table[role] else {
            throw CheckpointError(.incompatible, file: source.description.config.file, message: "there is no \(role)")
        }
        return tensor
    }

    private func value(_ values: [Double], _ layer: Int) -> Double? {
        values.count == source.description.layerCount ? values[layer] : values.first
    }

    private func network(_ layer: Int, _ approximations: inout [String]) throws -> Layer {
        var result = Layer()
        let downs = try (0..<experts).map { try expert(layer, $0, .down) }
        let routedIsZero = try isZero(downs)
        let shared = source.table[.sharedExpert(layer, .down)]
        let sharedIsZero = try shared.map { try isZero([$0]) } ?? true
        if !routedIsZero || sharedIsZero {
            try addRouted(to: &result, layer, hasShared: !sharedIsZero, &approximations)
        }
        guard !sharedIsZero, let down = shared, let gate = source.table[.sharedExpert(layer, .gate)],
            let up = source.table[.sharedExpert(layer, .up)]
        else { return result }
        if case .learned = options.method { return result }
        var factor = 1.0
        if let router = source.table[Role(.sharedExpertRouter, layer: layer)] {
            factor = value(options.sharedGate, layer) ?? 0.5
            if options.sharedGate.isEmpty, try !isZero([router]) {
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

    private func note(_ notes: inout [String], _ text: String) {
        if !notes.contains(text) { notes.append(text) }
    }

    /// The sum of the selected experts' gates.
    private func gateMass(_ layer: Int, _ approximations: inout [String]) throws -> Double {
        if let mass = value(options.gateMass, layer) { return mass * scale }
        if normalises { return scale }
        let router = source.table[.router(layer)]
        if try router.map({ try !isZero([$0]) }) ?? true {
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

    private func addRouted(
        to result: inout Layer, _ layer: Int, hasShared: Bool, _ approximations: inout [String]
    ) throws {
        let mass = try gateMass(layer, &approximations)
        switch options.method {
        case .average, .concatenate, .fisher:
            let copies = experts / granularity
            for part in 0..<granularity {
                let members = (0..<copies).map { $0 * granularity + part }
                let orders = options.aligns ? try alignment(layer, members) : nil
                let factor = mass / Double(granularity)
                result.gate.append(try mean(layer, members, .gate, orders, factor: 1))
                result.up.append(try mean(layer, members, .up, orders, factor: 1))
                result.down.append(try mean(layer, members, .down, orders, factor: factor))
            }
            if granularity == 1 { try addBiases(to: &result, layer, weights: weights(layer), factor: mass) }
        case .expert(let numbers):
            let number = numbers.count == source.description.layerCount ? numbers[layer] : numbers.first ?? 0
            guard numbers.count == 1 || numbers.count == source.description.layerCount else {
                throw CheckpointError(
                    .usage,
                    message: "--method expert: \(numbers.count) numbers for \(source.description.layerCount) layers: "
                        + "give one, or one for each")
            }
            guard (0..<experts).contains(number) else {
                throw CheckpointError(
                    .usage, message: "--method expert:\(number): there are \(experts) experts, counted from 0")
            }
            result.gate.append(try expert(layer, number, .gate))
            result.up.append(try expert(layer, number, .up))
            result.down.append(try expert(layer, number, .down).scaled(by: Float(mass)))
            try addBiases(
                to: &result, layer, weights: (0..<experts).map { $0 == number ? 1 : 0 }, factor: mass)
        case .topNeurons: try addTopNeurons(to: &result, layer, mass)
        case .svd:
            result.gate.append(try leading(layer, .gate, factor: 1))
            result.up.append(try leading(layer, .up, factor: 1))
            result.down.append(try leading(layer, .down, factor: mass))
            try addBiases(to: &result, layer, weights: weights(layer), factor: mass)
        case .learned(let lambda, let alphas):
            guard let alpha = alphas[layer], alpha.count == experts else {
                throw CheckpointError(
                    .usage, message: "--method learned: layer \(layer) needs \(experts) numbers")
            }
            let largest = alpha.max() ?? 0
            let powers = alpha.map { exponential($0 - largest) }
            let total = powers.reduce(0, +)
            for projection in Role.Projection.allCases {
                var inputs = try (0..<experts).map { try expert(layer, $0, projection) }
                var shares = powers.map { (1 - (hasShared ? lambda : 0)) * $0 / total }
                if hasShared, let shared = source.table[.sharedExpert(layer, projection)] {
                    guard shared.rows == inputs[0].rows, shared.columns == inputs[0].columns else {
                        throw CheckpointError(
                            .incompatible, message: "--method learned: the shared expert is not as wide as the others")
                    }
                    inputs.append(shared)
                    shares.append(lambda)
                }
                try add(
                    LazyTensor(
                        rows: inputs[0].rows, columns: inputs[0].columns, dtype: inputs[0].dtype,
                        expression: .combined(
                            inputs.map(\.expression), try LinearRule(shares, divides: false, name: "learned"),
                            rows: inputs[0].rows)), projection, to: &result)
            }
        }
    }

    private func add(_ tensor: LazyTensor, _ projection: Role.Projection, to result: inout Layer) throws {
        switch projection {
        case .gate: result.gate.append(tensor)
        case .up: result.up.append(tensor)
        case .down: result.down.append(tensor)
        }
    }

    private func weights(_ layer: Int) throws -> [Double] {
        guard let usage = options.usage[layer] else { return Array(repeating: 1, count: experts) }
        guard usage.count == experts, usage.allSatisfy({ $0 >= 0 && $0.isFinite }), usage.contains(where: { $0 > 0 })
        else {
            throw CheckpointError(
                .usage, message: "the usage of layer \(layer) should be \(experts) numbers, not all of them zero")
        }
        return usage
    }

    /// The mean of some experts; a copy where there is one, or where all are known to be the same by a factor of one.
    private func mean(
        _ layer: Int, _ members: [Int], _ projection: Role.Projection, _ orders: [Deferred<[Int]>?]?, factor: Double
    ) throws -> LazyTensor {
        var inputs = try members.map { try expert(layer, $0, projection) }
        if inputs.count == 1 { return inputs[0].scaled(by: Float(factor)) }
        if let orders {
            for (index, order) in orders.enumerated() {
                guard let order else { continue }
                inputs[index].expression = .picked(
                    inputs[index].expression, projection == .down ? .columns : .rows, .deferred(order),
                    columns: inputs[index].columns)
            }
        }
        let name = "\(Role.expert(layer, members[0], projection))"
        var operands = inputs.map(\.expression)
        let rule: any Combining
        if let fisher {
            operands += try members.map { member in
                try information(fisher, layer, member, projection, like: inputs[0]).expression
            }
            rule = FisherRule(count: members.count, factor: factor)
        } else {
            let all = try weights(layer)
            rule = try LinearRule(members.map { all[$0] }, factor: factor, name: name)
        }
        return LazyTensor(
            rows: inputs[0].rows, columns: inputs[0].columns, dtype: inputs[0].dtype,
            expression: .combined(operands, rule, rows: inputs[0].rows))
    }

    private func information(
        _ file: SafetensorsFile, _ layer: Int, _ member: Int, _ projection: Role.Projection, like tensor: LazyTensor
    ) throws -> LazyTensor {
        let role = Role.expert(layer, member, projection)
        let name = try source.description.expectedTensors(layout: "per-expert").first { expected in
            expected.placements.contains { $0.role == role }
        }?.name
        guard let name, let info = file.header.tensors.first(where: { $0.name == name }) else {
            throw CheckpointError(
                .incompatible, file: file.path, tensor: name, message: "there is no Fisher information for \(role)")
        }
        let found = LazyTensor(whole: SourceTensor(file: file, info: info))
        guard found.rows == tensor.rows, found.columns == tensor.columns, found.dtype.isConvertible else {
            throw CheckpointError(
                .incompatible, file: file.path, tensor: name,
                message: "expected \(tensor.rows) x \(tensor.columns), found \(info.shape)")
        }
        return found
    }

    private func addBiases(to result: inout Layer, _ layer: Int, weights: [Double], factor: Double) throws {
        for kind in [Role.Kind.expertGateBias, .expertUpBias, .expertDownBias] {
            let inputs = (0..<experts).compactMap { source.table[Role(kind, layer: layer, expert: $0)] }
            guard inputs.count == experts, let first = inputs.first else { continue }
            let used = inputs.indices.filter { weights[$0] != 0 }
            if used.count == 1 {
                result.biases[kind] = inputs[used[0]].scaled(by: kind == .expertDownBias ? Float(factor) : 1)
                continue
            }
            result.biases[kind] = LazyTensor(
                rows: first.rows, columns: first.columns, dtype: first.dtype,
                expression: .combined(
                    inputs.map(\.expression),
                    try LinearRule(weights, factor: kind == .expertDownBias ? factor : 1, name: "\(kind)"),
                    rows: first.rows))
        }
    }

    /// As many units in all as an expert has, the same share of each expert.
    private func addTopNeurons(to result: inout Layer, _ layer: Int, _ mass: Double) throws {
        let width = try expert(layer, 0, .gate).rows
        guard width >= experts else {
            throw CheckpointError(
                .incompatible,
                message: "--method top-neurons: experts of \(width) units cannot give one each of \(experts)")
        }
        guard source.table[Role(.expertGateBias, layer: layer, expert: 0)] == nil else {
            throw CheckpointError(
                .incompatible, message: "--method top-neurons: the experts have biases, which is not supported")
        }
        for number in 0..<experts {
            let kept = width / experts + (number < width % experts ? 1 : 0)
            let (gate, up) = (try expert(layer, number, .gate), try expert(layer, number, .up))
            let down = try expert(layer, number, .down)
            let order = HiddenUnits(gate: gate, up: up, down: down).largest(kept)
            func picked(_ tensor: LazyTensor, _ axis: Selection.Axis) -> LazyTensor {
                LazyTensor(
                    rows: axis == .rows ? kept : tensor.rows, columns: axis == .columns ? kept : tensor.columns,
                    dtype: tensor.dtype,
                    expression: .picked(tensor.expression, axis, .deferred(order), columns: tensor.columns))
            }
            result.gate.append(picked(gate, .rows))
            result.up.append(picked(up, .rows))
            result.down.append(picked(down, .columns).scaled(by: Float(mass)))
        }
    }

    /// The sum of each expert's leading singular directions.
    private func leading(_ layer: Int, _ projection: Role.Projection, factor: Double) throws -> LazyTensor {
        let inputs = try (0..<experts).map { try expert(layer, $0, projection) }
        let first = inputs[0]
        let rank = max(1, min(first.rows, first.columns) / experts)
        let small = min(first.rows, first.columns)
        let values = Deferred<[Float]>(workspace: first.rows * first.columns * 12 + small * small * 24) { evaluator in
            var sum = [Double](repeating: 0, count: first.rows * first.columns)
            for input in inputs {
                let part = leadingDirections(
                    try evaluator.values(of: input), rows: input.rows, columns: input.columns, rank: rank)
                for i in sum.indices { sum[i] += part[i] }
            }
            return sum.map { Float($0 * factor) }
        }
        return LazyTensor(
            rows: first.rows, columns: first.columns, dtype: first.dtype,
            expression: .whole(values, from: inputs.map(\.expression)))
    }

    /// For each member, which of its units stands where the reference's do; nil for the reference, the most used.
    private func alignment(_ layer: Int, _ members: [Int]) throws -> [Deferred<[Int]>?] {
        let usage = try weights(layer)
        let reference = members.max { usage[$0] < usage[$1] || (usage[$0] == usage[$1] && $0 > $1) } ?? 0
        guard source.table[Role(.expertGateBias, layer: layer, expert: reference)] == nil else {
            throw CheckpointError(
                .incompatible, message: "--align permutation: the experts have biases, which is not supported")
        }
        func units(_ number: Int) throws -> HiddenUnits {
            HiddenUnits(
                gate: try expert(layer, number, .gate), up: try expert(layer, number, .up),
                down: try expert(layer, number, .down))
        }
        let target = try units(reference)
        return try members.map { $0 == reference ? nil : try units($0).order(matching: target) }
    }

    /// Whether every value of some matrices is zero; it stops at the first that is not.
    private func isZero(_ tensors: [LazyTensor]) throws -> Bool {
        let evaluator = Evaluator(loaded: LoadedSources())
        for tensor in tensors {
            var start = 0
            var step = 1
            while start < tensor.rows {
                let rows = start..<min(start + step, tensor.rows)
                let hasValue = try withScratch(of: Float.self, count: rows.count * tensor.columns) { values in
                    try evaluator.evaluate(tensor.expression, rows: rows, columns: tensor.columns, into: values)
                    return values.contains { $0 != 0 }
                }
                if hasValue { return false }
                start = rows.upperBound
                step = min(step * 8, max(1, Evaluator.elementsPerBlock / max(1, tensor.columns)))
            }
        }
        return true
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

/// `factor * sum F_i w_i / sum F_i`, element by element; the mean where no F is positive.
private struct FisherRule: Combining {
    let count: Int
    let factor: Double

    var isDeferred: Bool { false }
    var needsWholeVectors: Bool { false }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        for i in out.indices {
            var (sum, total, plain) = (0.0, 0.0, 0.0)
            for member in 0..<count {
                let weight = inputs[count + member][i]
                sum += weight * inputs[member][i]
                total += weight
                plain += inputs[member][i]
            }
            out[i] = factor * (total > 0 ? sum / total : plain / Double(count))
        }
    }
}
