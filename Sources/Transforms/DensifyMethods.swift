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
            let powers = alpha.map { exp($0 - largest) }
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
                try Interruption.check()
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
}
