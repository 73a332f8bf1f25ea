public import Checkpoints
import Numerics
import Safetensors

/// What is expected to be lost where fewer networks take the place of a mixture's experts, as far as their weights say.
///
/// For each layer the energy of what the weights change by over that of all its experts' weights,
/// `sum |W - W_e|^2 / sum |W_e|^2`, W being what stands for expert e: 0 where all experts are the network in their place,
/// more the less they have in common. It is no loss on text, which depends on what the weights are multiplied with.
public struct WeightLoss: Sendable, Hashable {
    /// The share of the energy that is lost, by layer.
    public let layers: [Int: Double]
    /// Whether some of the rows stand for all.
    public let isSampled: Bool
    /// Layers that are mixtures; more than `layers` has where to measure all takes as long as the transform itself.
    public let layerCount: Int

    /// The mean over the layers; nil where none could be measured.
    public var mean: Double? { layers.isEmpty ? nil : layers.values.reduce(0, +) / Double(layers.count) }

    /// The layer that loses most.
    public var worst: (layer: Int, share: Double)? {
        layers.max { ($0.value, $1.key) < ($1.value, $0.key) }.map { (layer: $0.key, share: $0.value) }
    }

    /// Whether nothing is lost but to rounding, found in all weights of all layers.
    public var isNone: Bool {
        !isSampled && layers.count == layerCount && layers.values.allSatisfy { $0 <= Self.rounding }
    }

    /// A weight that went through one F32 multiplication is off by 2^-24 of itself.
    fileprivate static let rounding = 1e-13

    /// A matrix of each of some networks, and that of each of the experts that they stand for.
    struct Replacement: Sendable {
        let made: [LazyTensor]
        let experts: [LazyTensor]
    }

    /// The matrices of the same networks and experts: the nearest network counts for each expert.
    typealias Group = [Replacement]
}

extension WeightLoss {
    /// Values of a layer's experts that are looked at before it is said that something is lost.
    private static let sampledValues = 1 << 20
    /// From this workspace on, making the matrices takes as long as the transform itself, and one layer stands for all.
    private static let cheapWorkspace = 256 << 20

    /// - Parameter groups: by layer.
    init(_ groups: [Int: [Group]]) throws {
        // What is no floating-point number has no energy; it may be copied all the same.
        let sorted = groups.keys.sorted().filter { layer in
            (groups[layer] ?? []).joined().allSatisfy { replacement in
                (replacement.made + replacement.experts).allSatisfy(\.dtype.isConvertible)
            }
        }
        let isCostly = groups.values.joined().joined().contains { replacement in
            replacement.made.contains { $0.expression.workspace > Self.cheapWorkspace }
        }
        let measured = isCostly && !sorted.isEmpty ? [sorted[sorted.count / 2]] : sorted
        let loaded = LoadedSources()
        let evaluator = Evaluator(loaded: loaded)
        func shares(limit: Int?) throws -> (layers: [Int: Double], isSampled: Bool) {
            var (layers, isSampled) = ([Int: Double](), false)
            for layer in measured {
                var (lost, energy) = (0.0, 0.0)
                for group in groups[layer] ?? [] {
                    let part: (lost: Double, all: Double, isSampled: Bool)
                    do { part = try Self.energies(group, limit: limit, evaluator) } catch let error as CheckpointError {
                        // Where a decomposition fails for what is not a number, that is the reason.
                        guard error.code == .incompatible, let (tensor, count) = loaded.nonfiniteSource else {
                            throw error
                        }
                        throw CheckpointError.nonfinite(
                            tensor: tensor, count: count, making: "the network of layer \(layer)")
                    }
                    lost += part.lost
                    energy += part.all
                    isSampled = isSampled || part.isSampled
                }
                layers[layer] = energy > 0 ? lost / energy : lost == 0 ? 0 : 1
            }
            return (layers, isSampled)
        }
        var found = try shares(limit: Self.sampledValues)
        // Nothing is said to be exact before all of it was seen.
        if found.isSampled, found.layers.values.allSatisfy({ $0 <= Self.rounding }) { found = try shares(limit: nil) }
        (layers, isSampled) = found
        layerCount = groups.count
    }

    /// The energy that is lost, and all of it.
    ///
    /// - Parameter limit: the values of a layer's experts that are looked at; nil for all, and then of the networks that an
    ///   expert might be nearest to only the first counts, since that is for finding whether all are one.
    private static func energies(
        _ group: Group, limit: Int?, _ evaluator: Evaluator
    ) throws -> (lost: Double, all: Double, isSampled: Bool) {
        guard let first = group.first else { return (0, 0, false) }
        let networks = limit == nil ? min(1, first.made.count) : first.made.count
        var differences = [Double](repeating: 0, count: networks * first.experts.count)
        var energy = 0.0
        var isSampled = false
        for replacement in group {
            guard let shape = replacement.made.first else { continue }
            let columns = shape.columns
            let each = limit.map { max(1, $0 / max(1, 3 * replacement.experts.count) / max(1, columns)) }
            let blocks = Self.blocks(rows: shape.rows, columns: columns, limit: each)
            isSampled = isSampled || blocks.reduce(0) { $0 + $1.count } < shape.rows
            let size = (blocks.map(\.count).max() ?? 0) * columns
            try withScratch(of: Float.self, count: size) { made in
                try withScratch(of: Float.self, count: size * replacement.experts.count) { experts in
                    for block in blocks {
                        let count = block.count * columns
                        for (index, expert) in replacement.experts.enumerated() {
                            let part = UnsafeMutableBufferPointer(
                                rebasing: experts[index * size..<index * size + count])
                            try evaluator.evaluate(expert.expression, rows: block, columns: columns, into: part)
                            energy += part.reduce(0) { $0 + Double($1) * Double($1) }
                        }
                        let part = UnsafeMutableBufferPointer(rebasing: made[0..<count])
                        for (number, tensor) in replacement.made.prefix(networks).enumerated() {
                            try evaluator.evaluate(tensor.expression, rows: block, columns: columns, into: part)
                            for index in replacement.experts.indices {
                                var sum = 0.0
                                for i in 0..<count {
                                    let difference = Double(part[i]) - Double(experts[index * size + i])
                                    sum += difference * difference
                                }
                                differences[number * first.experts.count + index] += sum
                            }
                        }
                    }
                }
            }
            for tensor in replacement.made { tensor.expression.release() }
        }
        let lost = first.experts.indices.reduce(0.0) { sum, index in
            sum + ((0..<networks).map { differences[$0 * first.experts.count + index] }.min() ?? 0)
        }
        return (lost, energy, isSampled)
    }

    /// Rows from all over a matrix, in blocks that fit into a cache.
    private static func blocks(rows: Int, columns: Int, limit: Int?) -> [Range<Int>] {
        let step = max(1, (1 << 16) / max(1, columns))
        guard let limit, limit < rows else {
            return stride(from: 0, to: rows, by: step).map { $0..<min($0 + step, rows) }
        }
        let count = max(1, min(16, limit))
        let size = max(1, limit / count)
        return (0..<count).map { index in
            let start = (rows - size) * index / max(count - 1, 1)
            return start..<start + size
        }.flatMap { range in
            stride(from: range.lowerBound, to: range.upperBound, by: step).map { $0..<min($0 + step, range.upperBound) }
        }
    }
}

extension LazyTensor {
    /// Whether some matrices are one, all of their values seen.
    static func areOne(_ groups: [[LazyTensor]]) throws -> Bool {
        let replacements = groups.compactMap { all in all.first.map { WeightLoss.Replacement(made: [$0], experts: all) }
        }
        return try WeightLoss([0: replacements.map { [$0] }]).isNone
    }
}

extension Checkpoint {
    /// What becoming dense is expected to lose.
    ///
    /// - Throws: as `densified(_:)`.
    public func weightLoss(densifying options: DensifyOptions) throws -> WeightLoss {
        var approximations: [String] = []
        let layers = try Densification(self, options).networks(&approximations)
        return try WeightLoss(layers.mapValues { $0.replacements.map { [$0] } })
    }
}
