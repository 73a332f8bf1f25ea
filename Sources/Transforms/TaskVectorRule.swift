import Checkpoints
import Glibc
import Numerics
import Safetensors

/// Base plus a combination of sparsified task vectors, with or without an election of signs.
struct TaskVectorRule: Combining {
    private enum Sparsification: Sendable {
        case none
        /// Magnitudes between the given ones are kept, for each model.
        case magnitudes(Deferred<[ClosedRange<Float>]>)
        /// Each entry is kept with its model's density.
        case random
        /// The probability of being kept grows with the rank in the row, from density - epsilon to density + epsilon.
        case ranked
    }

    private let sparsification: Sparsification
    private let elects: Bool
    private let normalises: Bool
    private let rescaling: Rescaling
    private let parameters: MergeParameters
    private let keys: [KeyedRandom]
    /// For each model, the sum of magnitudes before over that after sparsification; computed where it is asked for.
    private var scales: Deferred<[Double]>?

    init(
        _ method: MergeMethod, _ inputs: [TensorExpression], base: TensorExpression, _ shape: MatrixSizes,
        _ parameters: MergeParameters, name: String, seed: UInt64
    ) throws {
        self.parameters = parameters
        keys = inputs.indices.map { KeyedRandom(seed: seed, tensor: name, purpose: "drop \($0)") }
        elects = [.ties, .dareTies, .della, .breadcrumbsTies].contains(method)
        normalises = parameters.normalises ?? [.ties, .della].contains(method)
        for density in parameters.densities where !(0...1).contains(density) {
            throw CheckpointError(.usage, tensor: name, message: "the density \(density) is not between 0 and 1")
        }
        let isDense = parameters.densities.allSatisfy { $0 == 1 }
        switch method {
        case .dareLinear, .dareTies: sparsification = isDense ? .none : .random
        case .della, .dellaLinear:
            sparsification = isDense ? .none : .ranked
            for (density, epsilon) in zip(parameters.densities, parameters.epsilons) where density < 1 && density > 0 {
                guard epsilon >= 0, density - epsilon > 0, density + epsilon < 1 else {
                    throw CheckpointError(
                        .usage, tensor: name,
                        message: "density \(density) and epsilon \(epsilon): density - epsilon and density + epsilon "
                            + "must lie between 0 and 1")
                }
            }
        case .ties, .breadcrumbs, .breadcrumbsTies:
            sparsification =
                isDense
                ? .none
                : .magnitudes(
                    Self.bounds(
                        inputs, base, shape, parameters, dropsLargest: method != .ties))
        default: sparsification = .none
        }
        switch sparsification {
        case .none: rescaling = .none
        case .magnitudes: rescaling = parameters.rescaling == .l1 ? .l1 : .none
        case .random, .ranked: rescaling = parameters.rescaling ?? .paper
        }
        guard rescaling == .l1 else { return }
        let rule = self
        scales = Deferred { evaluator in
            try inputs.enumerated().map { index, input in
                var (before, after) = (0.0, 0.0)
                try evaluator.forEachWideBlock(
                    of: [base, input], rows: shape.rows, columns: shape.columns,
                    whole: shape.columns == 1 && rule.needsWholeVectors
                ) { rows, values in
                    try withScratch(of: Double.self, count: values[0].count) { delta in
                        for i in delta.indices { delta[i] = values[1][i] - values[0][i] }
                        for value in delta { before += abs(value) }
                        try rule.sparsify(delta, index, rows: rows, columns: shape.columns, evaluator)
                        for value in delta { after += abs(value) }
                    }
                }
                return before > 0 && after > 0 ? before / after : 1
            }
        }
    }

    /// The magnitudes that are kept: the largest `density`, without the largest `gamma` where those are dropped. Entries
    /// of equal magnitude are kept or dropped together.
    private static func bounds(
        _ inputs: [TensorExpression], _ base: TensorExpression, _ shape: MatrixSizes, _ parameters: MergeParameters,
        dropsLargest: Bool
    ) -> Deferred<[ClosedRange<Float>]> {
        Deferred(workspace: 2 << 20) { evaluator in
            try inputs.enumerated().map { index, input in
                let count = shape.count
                let kept = Int(saturating: parameters.densities[index] * Double(count))
                guard kept < count else { return 0...Float.infinity }
                guard kept > 0 else { return Float.infinity...Float.infinity }
                let largest = Int(saturating: parameters.gammas[index] * Double(count))
                let top = dropsLargest ? min(largest, count - kept) : 0
                let found = try magnitudes(atRanks: [count - kept - top, count - top - 1]) { take in
                    try evaluator.forEachWideBlock(of: [base, input], rows: shape.rows, columns: shape.columns) {
                        _, values in
                        withScratch(of: Float.self, count: values[0].count) { delta in
                            for i in delta.indices { delta[i] = Float(values[1][i] - values[0][i]) }
                            take(UnsafeBufferPointer(delta))
                        }
                    }
                }
                return found[0]...max(found[0], top > 0 ? found[1] : .infinity)
            }
        }
    }

    var isDeferred: Bool {
        if case .magnitudes = sparsification { return true }
        return scales != nil
    }

    var needsWholeVectors: Bool {
        if case .ranked = sparsification { return true }
        return false
    }

    /// Sets dropped entries to zero, and scales the others by one over the probability of being kept.
    private func sparsify(
        _ delta: UnsafeMutableBufferPointer<Double>, _ index: Int, rows: Range<Int>, columns: Int,
        _ evaluator: Evaluator
    ) throws {
        let density = parameters.densities[index]
        guard density < 1 else { return }
        switch sparsification {
        case .none: break
        case .magnitudes(let bounds):
            let range = try bounds.resolve(evaluator)[index]
            for i in delta.indices where !range.contains(Float(delta[i]).magnitude) { delta[i] = 0 }
        case .random:
            let scale = rescaling == .paper && density > 0 ? 1 / density : 1
            withScratch(of: Float.self, count: delta.count) { draws in
                keys[index].fillUniform(draws, from: rows.lowerBound * columns)
                for i in delta.indices { delta[i] = Double(draws[i]) < density ? delta[i] * scale : 0 }
            }
        case .ranked:
            let width = columns == 1 ? delta.count : columns
            guard width > 0 else { return }
            try withScratch(of: Float.self, count: delta.count) { draws in
                keys[index].fillUniform(draws, from: rows.lowerBound * columns)
                for start in stride(from: 0, to: delta.count, by: width) {
                    let row = UnsafeMutableBufferPointer(rebasing: delta[start..<start + width])
                    let drawn = UnsafeBufferPointer(rebasing: draws[start..<start + width])
                    try drop(row, drawn, density: density, epsilon: parameters.epsilons[index])
                }
            }
        }
    }

    /// MagPrune on one row; equal magnitudes are ranked by their position.
    private func drop(
        _ row: UnsafeMutableBufferPointer<Double>, _ draws: UnsafeBufferPointer<Float>, density: Double,
        epsilon: Double
    ) throws {
        guard density > 0 else {
            row.update(repeating: 0)
            return
        }
        let order = row.indices.sorted {
            let (a, b) = (row[$0].magnitude, row[$1].magnitude)
            return a != b ? a < b : $0 < $1
        }
        let last = Double(max(row.count - 1, 1))
        for (rank, position) in order.enumerated() {
            let probability = density - epsilon + Double(rank) / last * 2 * epsilon
            let isKept = Double(draws[position]) < probability
            row[position] = isKept ? (rescaling == .paper ? row[position] / probability : row[position]) : 0
        }
    }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        let base = inputs[0]
        let models = inputs.count - 1
        let count = out.count
        let scales = try scales?.resolve(evaluator)
        try withScratch(of: Double.self, count: count * models) { deltas in
            for model in 0..<models {
                let delta = UnsafeMutableBufferPointer(rebasing: deltas[model * count..<(model + 1) * count])
                let input = inputs[model + 1]
                for i in 0..<count { delta[i] = input[i] - base[i] }
                try sparsify(delta, model, rows: rows, columns: columns, evaluator)
                let factor = parameters.weights[model] * (scales?[model] ?? 1)
                if factor != 1 { for i in 0..<count { delta[i] *= factor } }
            }
            let total = parameters.weights.reduce(0, +)
            for i in 0..<count {
                var sum = 0.0
                for model in 0..<models { sum += deltas[model * count + i] }
                var divisor = total
                if elects {
                    let isPositive = sum >= 0
                    sum = 0
                    divisor = 0
                    for model in 0..<models {
                        let delta = deltas[model * count + i]
                        guard isPositive ? delta > 0 : delta < 0 else { continue }
                        sum += delta
                        divisor += parameters.weights[model]
                    }
                }
                if normalises, divisor != 0 { sum /= divisor }
                out[i] = base[i] + parameters.lambda * sum
            }
        }
    }
}
