package import Checkpoints
import Safetensors

/// How the tensors of several models become one.
public enum MergeMethod: String, Sendable, Hashable, CaseIterable {
    /// The weighted mean (model soup, Wortsman et al. 2022, 2203.05482).
    case linear
    /// The point at a share t of the great circle from the first model to the second (Shoemake 1985).
    case slerp
    /// Slerp whose t comes from the weights, between task vectors where there is a base.
    case nuslerp
    /// The weighted mean in the tangent space at the mean direction (Goddard 2025, "Multi-SLERP").
    case multislerp
    /// The Riemannian mean of the directions (Karcher 1977), times the mean norm.
    case karcher
    /// Base plus lambda times the weighted sum of the task vectors (Ilharco et al. 2023, 2212.04089).
    case taskArithmetic = "task-arithmetic"
    /// Trim each task vector to its largest entries, elect a sign, average what agrees (Yadav et al. 2023, 2306.01708).
    case ties
    /// Task vectors with random entries dropped and the rest rescaled, summed (DARE, Yu et al. 2024, 2311.03099).
    case dareLinear = "dare-linear"
    /// DARE's dropping, then the sign election of TIES.
    case dareTies = "dare-ties"
    /// Dropping with a probability that falls with the rank in the row (MagPrune), then the sign election
    /// (DELLA-Merging, Deep et al. 2024, 2406.11617).
    case della
    /// MagPrune without the sign election.
    case dellaLinear = "della-linear"
    /// Task vectors without their largest and smallest entries (Model Breadcrumbs, Davari and Belilovsky 2024,
    /// 2312.06795).
    case breadcrumbs
    /// Model Breadcrumbs, then the sign election of TIES.
    case breadcrumbsTies = "breadcrumbs-ties"
    /// Between base and mean, by the mean cosine of the task vectors (Model Stock, Jang et al. 2024, 2403.19522, eq. 5).
    case modelStock = "model-stock"
    /// Select entries of high variance, weight by energy, erase the minority sign (SCE, Wan et al. 2024, 2408.07990).
    case sce
    /// The base's tensors.
    case base
    /// The tensors that all models have, which must be equal bit for bit (FlexOlmo, Shi et al. 2025, 2507.07024).
    case frozen

    /// Whether it is defined relative to a base.
    public var needsBase: Bool {
        switch self {
        case .taskArithmetic, .ties, .dareLinear, .dareTies, .della, .dellaLinear, .breadcrumbs, .breadcrumbsTies,
            .modelStock, .sce, .base:
            true
        case .linear, .slerp, .nuslerp, .multislerp, .karcher, .frozen: false
        }
    }

    /// How many models it can combine.
    public var modelCounts: ClosedRange<Int> {
        switch self {
        case .slerp, .nuslerp: 2...2
        case .modelStock: 2...Int.max
        default: 1...Int.max
        }
    }

    /// The method by its name here or in mergekit.
    public init?(name: String) {
        self.init(rawValue: name.replacing("_", with: "-"))
    }
}

/// How what is left of a sparsified task vector is scaled up.
public enum Rescaling: String, Sendable, Hashable, CaseIterable {
    /// By one over the probability of being kept, as DARE's and DELLA's papers have it.
    case paper
    /// So that the sum of magnitudes is what it was, as mergekit has it.
    case l1
    /// Not at all.
    case none
}

/// The numbers of a method for one tensor.
package struct MergeParameters: Sendable, Hashable {
    /// For each model.
    package var weights: [Double]
    package var densities: [Double]
    package var gammas: [Double]
    package var epsilons: [Double]
    package var t = 0.5
    package var lambda = 1.0
    /// Whether the sum is divided by the weights; nil for the method's default.
    package var normalises: Bool?
    package var rescaling: Rescaling?
    package var selectTopK = 1.0
    package var maximumIterations = 10
    package var tolerance = 1e-5
    /// Rows by themselves instead of the whole tensor, for nuslerp and model-stock.
    package var isRowWise = false

    package init(models: Int) {
        weights = Array(repeating: 1, count: models)
        densities = Array(repeating: 1, count: models)
        gammas = Array(repeating: 0.01, count: models)
        epsilons = Array(repeating: 0.15, count: models)
    }

    /// Refuses numbers that no method takes, wherever they came from.
    ///
    /// - Throws: `CheckpointError` of `.usage` with what is allowed.
    func check(for tensor: String) throws {
        let shares = [("density", densities), ("gamma", gammas), ("epsilon", epsilons), ("select-topk", [selectTopK])]
        let factors = [("weight", weights), ("t", [t]), ("lambda", [lambda])]
        for (numbers, range) in [(shares, 0...1.0), (factors, -1e6...1e6)] {
            for (name, values) in numbers {
                guard let value = values.first(where: { !range.contains($0) }) else { continue }
                throw CheckpointError(
                    .usage, tensor: tensor,
                    message: "\(name) is \(numberText(value)): give a number from \(numberText(range.lowerBound)) to "
                        + numberText(range.upperBound))
            }
        }
        guard (1...1_000_000).contains(maximumIterations), tolerance >= 0, tolerance.isFinite else {
            throw CheckpointError(
                .usage, tensor: tensor,
                message: "max_iter is \(maximumIterations) and tol \(numberText(tolerance)): give 1 to 1000000 "
                    + "iterations and a tolerance from 0 up")
        }
    }
}

extension MergeMethod {
    /// The expression of a tensor that is merged.
    ///
    /// - Parameters:
    ///   - models: the models' tensors, of the same sizes.
    ///   - base: the base's, where the method needs one.
    ///   - name: what draws are keyed by, with the seed.
    /// - Throws: `CheckpointError` for numbers that the method does not take.
    package func expression(
        _ models: [LazyTensor], base: LazyTensor?, _ parameters: MergeParameters, name: String, seed: UInt64
    ) throws -> TensorExpression {
        guard let first = models.first else {
            throw CheckpointError(.internalFailure, tensor: name, message: "there is nothing to merge")
        }
        if needsBase, base == nil {
            throw CheckpointError(.usage, message: "`average` \(rawValue) needs a base: name it with `base`")
        }
        guard modelCounts.contains(models.count) else {
            throw CheckpointError(
                .usage,
                message: "`average` \(rawValue) takes "
                    + (modelCounts.upperBound == 2 ? "two models" : "at least \(modelCounts.lowerBound) models")
                    + ", and there are \(models.count)")
        }
        let inputs = models.map(\.expression)
        let rows = first.rows
        let shape = MatrixSizes(rows: rows, columns: first.columns)
        func span(_ form: SpanRule.Form, relative: Bool) -> TensorExpression {
            let origin = relative ? base?.expression : nil
            return .combined(
                [origin].compactMap { $0 } + inputs,
                SpanRule(form, inputs, origin: origin, shape, isRowWise: parameters.isRowWise), rows: rows)
        }
        switch self {
        case .linear:
            if models.count == 1 { return first.expression }
            return .combined(
                inputs,
                try LinearRule(parameters.weights, divides: parameters.normalises ?? true, name: name), rows: rows)
        case .slerp: return span(.slerp(t: parameters.t), relative: false)
        case .nuslerp:
            let sum = parameters.weights.reduce(0, +)
            return span(.nuslerp(t: abs(sum) < 1e-6 ? 0.5 : parameters.weights[1] / sum), relative: base != nil)
        case .multislerp:
            if models.count == 1 { return first.expression }
            return span(
                .multislerp(parameters.weights, normalises: parameters.normalises ?? true), relative: base != nil)
        case .karcher:
            if models.count == 1 { return first.expression }
            return span(
                .karcher(iterations: parameters.maximumIterations, tolerance: parameters.tolerance), relative: false)
        case .modelStock: return span(.modelStock, relative: true)
        case .base, .frozen: return (base ?? first).expression
        case .sce:
            guard let base else { return first.expression }
            return .combined(
                [base.expression] + inputs,
                SelectFuseRule(inputs, base: base.expression, shape, share: parameters.selectTopK), rows: rows)
        case .taskArithmetic, .ties, .dareLinear, .dareTies, .della, .dellaLinear, .breadcrumbs, .breadcrumbsTies:
            guard let base else { return first.expression }
            return .combined(
                [base.expression] + inputs,
                try TaskVectorRule(self, inputs, base: base.expression, shape, parameters, name: name, seed: seed),
                rows: rows)
        }
    }
}

/// The sizes of a matrix.
struct MatrixSizes: Sendable {
    let rows: Int
    let columns: Int
    var count: Int { rows * columns }
}
