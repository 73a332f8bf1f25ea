import Checkpoints
import Glibc
import Numerics
import Safetensors

/// How a layer's routed experts become one network.
extension Densification {
    func addRouted(
        to result: inout Layer, _ layer: Int, hasShared: Bool, _ approximations: inout [String]
    ) throws {
        let mass = try gateMass(layer, &approximations)
        switch options.method {
        case .average, .concatenate, .fisher, .topNeurons, .svd:
            let copies = experts / granularity
            for part in 0..<granularity {
                let members = (0..<copies).map { $0 * granularity + part }
                let orders = options.aligns ? try alignment(layer, members) : nil
                let factor = mass / Double(granularity)
                switch options.method {
                case .topNeurons: try addTopNeurons(of: members, layer, orders, factor: factor, to: &result)
                case .svd: try addLeading(of: members, layer, factor: factor, to: &result)
                default: try addMean(of: members, layer, orders, factor: factor, to: &result)
                }
            }
            if granularity == 1 { try addBiases(to: &result, layer, weights: weights(layer), factor: mass) }
        case .expert(let numbers):
            let number = numbers.count == source.description.layerCount ? numbers[layer] : numbers.first ?? 0
            guard numbers.count == 1 || numbers.count == source.description.layerCount else {
                throw CheckpointError(
                    .usage,
                    message: "`method` expert: \(numbers.count) numbers for \(source.description.layerCount) layers: "
                        + "give one, or one for each")
            }
            guard (0..<experts).contains(number) else {
                throw CheckpointError(
                    .usage, message: "`method` expert:\(number): there are \(experts) experts, counted from 0")
            }
            for projection in Role.Projection.allCases {
                let all = try aligned(Array(0..<experts), layer, projection, nil)
                try add(all[number], all, projection, factor: mass, to: &result)
            }
            if recordedGranularity > 1 {
                note(
                    &approximations,
                    "an expert is one of \(recordedGranularity) parts of a network, and the other parts are left out")
            }
            try addBiases(
                to: &result, layer, weights: (0..<experts).map { $0 == number ? 1 : 0 }, factor: mass)
        case .learned(let lambda, let alphas):
            guard let alpha = alphas[layer], alpha.count == experts else {
                throw CheckpointError(
                    .usage, message: "`method` learned: layer \(layer) needs \(experts) numbers")
            }
            let largest = alpha.max() ?? 0
            let powers = alpha.map { exp($0 - largest) }
            let total = powers.reduce(0, +)
            for projection in Role.Projection.allCases {
                var inputs = try (0..<experts).map { try expert(layer, $0, projection) }
                var shares = powers.map { (1 - (hasShared ? lambda : 0)) * $0 / total }
                if hasShared, let shared = source.table[.sharedExpert(layer, projection)] {
                    guard shared.rows == inputs[0].rows, shared.columns == inputs[0].columns else {
                        throw CheckpointError(
                            .incompatible, message: "`method` learned: the shared expert is not as wide as the others")
                    }
                    inputs.append(shared)
                    shares.append(lambda)
                }
                let made = LazyTensor(
                    rows: inputs[0].rows, columns: inputs[0].columns, dtype: inputs[0].dtype,
                    expression: .combined(
                        inputs.map(\.expression), try LinearRule(shares, divides: false, name: "learned"),
                        rows: inputs[0].rows))
                try add(made, inputs, projection, factor: 1, to: &result)
            }
        }
    }

    /// Adds a matrix of the layer's network, and keeps what it stands for.
    ///
    /// - Parameter factor: what the down projection is multiplied by.
    func add(
        _ tensor: LazyTensor, _ experts: [LazyTensor], _ projection: Role.Projection, factor: Double,
        to result: inout Layer
    ) throws {
        result.replacements.append(WeightLoss.Replacement(made: [tensor], experts: experts))
        switch projection {
        case .gate: result.gate.append(tensor)
        case .up: result.up.append(tensor)
        case .down: result.down.append(tensor.scaled(by: Float(factor)))
        }
    }

    /// How much each expert counts.
    func weights(_ layer: Int) throws -> [Double] {
        guard let usage = options.usage[layer] else { return Array(repeating: 1, count: experts) }
        guard usage.count == experts, usage.allSatisfy({ $0 >= 0 && $0.isFinite }), usage.contains(where: { $0 > 0 })
        else {
            throw CheckpointError(
                .usage, message: "the usage of layer \(layer) should be \(experts) numbers, not all of them zero")
        }
        return usage
    }

    /// Some experts' matrices, their units in the order that is given.
    func aligned(
        _ members: [Int], _ layer: Int, _ projection: Role.Projection, _ orders: [Deferred<[Int]>?]?
    ) throws -> [LazyTensor] {
        var inputs = try members.map { try expert(layer, $0, projection) }
        for (index, order) in (orders ?? []).enumerated() {
            guard let order else { continue }
            inputs[index].expression = .picked(
                inputs[index].expression, projection == .down ? .columns : .rows, .deferred(order),
                columns: inputs[index].columns)
        }
        return inputs
    }

    private func addMean(
        of members: [Int], _ layer: Int, _ orders: [Deferred<[Int]>?]?, factor: Double, to result: inout Layer
    ) throws {
        for projection in Role.Projection.allCases {
            let inputs = try aligned(members, layer, projection, orders)
            let made = try mean(of: inputs, layer, members, projection)
            // One rounding instead of two where the mean is scaled.
            let scaled =
                projection == .down && factor != 1
                ? try mean(of: inputs, layer, members, projection, factor: factor) : made
            try add(made, inputs, projection, factor: 1, to: &result)
            if projection == .down { result.down[result.down.count - 1] = scaled }
        }
    }

    /// The mean of some experts; a copy where there is one, or where all are known to be the same by a factor of one.
    private func mean(
        of inputs: [LazyTensor], _ layer: Int, _ members: [Int], _ projection: Role.Projection, factor: Double = 1
    ) throws -> LazyTensor {
        if inputs.count == 1 { return inputs[0].scaled(by: Float(factor)) }
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
        let layouts = source.description.architecture.layoutNames
        let expected = try source.description.expectedTensors(
            layout: layouts.contains("per-expert") ? "per-expert" : nil
        ).first { expected in expected.placements.contains { $0.role == role } }
        let name = expected?.name
        guard let expected, let view = expected.placements.first(where: { $0.role == role })?.view,
            let info = file.header.tensors.first(where: { $0.name == name })
        else {
            throw CheckpointError(
                .incompatible, file: file.path, tensor: name, message: "there is no Fisher information for \(role)")
        }
        let found = LazyTensor(SourceTensor(file: file, info: info), view: view)
        guard info.shape.dimensions == expected.shape, found.rows == tensor.rows, found.columns == tensor.columns,
            found.dtype.isConvertible
        else {
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

    /// For each member, which of its units stands where the reference's do; nil for the reference, the most used.
    private func alignment(_ layer: Int, _ members: [Int]) throws -> [Deferred<[Int]>?] {
        let usage = try weights(layer)
        let reference = members.max { usage[$0] < usage[$1] || (usage[$0] == usage[$1] && $0 > $1) } ?? 0
        guard source.table[Role(.expertGateBias, layer: layer, expert: reference)] == nil else {
            throw CheckpointError(
                .incompatible, message: "`align` permutation: the experts have biases, which is not supported")
        }
        func units(_ number: Int) throws -> HiddenUnits {
            HiddenUnits(
                gate: try expert(layer, number, .gate), up: try expert(layer, number, .up),
                down: try expert(layer, number, .down))
        }
        let target = try units(reference)
        return try members.map { $0 == reference ? nil : try units($0).order(matching: target) }
    }
}
