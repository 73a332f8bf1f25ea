import Checkpoints
import Glibc
import Safetensors

/// Which model to train with a given number of FLOPs: for each number of experts the size of the lowest loss.
///
/// Minimises L(N, D, E) subject to F = C_train(N, E) D + C_inference(N, E) D_inference, where C is 6 and 2 FLOPs for an
/// active parameter plus the router's, and where memory is limited to
/// `bytesPerParameter` · (N_total + 2 T l d) ≤ M (2502.05172, section 5).
package struct BudgetPlan: Sendable {
    package var law: ScalingLaw
    package var shape: ModelShape
    /// F.
    package var flops: Double
    /// Tokens that the model will be run on, which the budget pays for as well.
    package var inferenceTokens = 0.0
    /// M, in bytes; nil for no limit.
    package var memory: Double?
    /// T: tokens of context whose keys and values are in memory too.
    package var context = 0.0
    package var bytesPerParameter = 2.0
    package var granularity = 1.0
    package var sunkTokens = 0.0

    package init(law: ScalingLaw, shape: ModelShape, flops: Double) {
        self.law = law
        self.shape = shape
        self.flops = flops
    }

    /// A model, its training and the loss that is expected.
    package struct Candidate: Sendable, Hashable {
        package let point: LawPoint
        package let loss: Double
        package let sizes: ModelSizes
        /// Weights, and keys and values of the context.
        package let bytes: Double
        /// Whether a larger model would be better if it fitted.
        package var isLimitedByMemory = false

        /// FLOPs of the training.
        package var trainingFLOPs: Double { sizes.trainingFLOPs * point.tokens }
    }

    /// Sizes are looked for from here on.
    private static let smallest = 1e5

    /// The best model with so many experts.
    ///
    /// - Throws: `CheckpointError.usage` where the budget or the memory is too small for any model, or the law says
    ///   nothing about tokens.
    package func optimum(experts: Double) throws -> Candidate {
        let range = try sizes(experts: experts)
        let best = minimum(over: range.logarithms) { candidate(exp($0), experts).loss }
        var result = candidate(exp(best), experts)
        result.isLimitedByMemory = range.isLimitedByMemory && best > range.logarithms.upperBound - 1e-6
        return result
    }

    /// Models of evenly spaced log N with the whole budget spent: loss over N, as a curve.
    ///
    /// - Throws: as `optimum` does.
    package func curve(experts: Double, count: Int = 64) throws -> [Candidate] {
        let range = try sizes(experts: experts).logarithms
        let steps = max(count - 1, 1)
        return (0...steps).map { step in
            let share = Double(step) / Double(steps)
            return candidate(exp(range.lowerBound + share * (range.upperBound - range.lowerBound)), experts)
        }
    }

    /// The model of a size, trained on all tokens that the budget has for it.
    package func candidate(_ parameters: Double, _ experts: Double) -> Candidate {
        let sizes = shape.model(parameters: parameters, experts: experts, granularity: granularity)
        let point = LawPoint(
            parameters: parameters, tokens: tokens(sizes), experts: experts, granularity: granularity,
            sunkTokens: sunkTokens)
        return Candidate(point: point, loss: law.loss(point), sizes: sizes, bytes: bytes(sizes))
    }

    private func tokens(_ sizes: ModelSizes) -> Double {
        (flops - sizes.inferenceFLOPs * inferenceTokens) / sizes.trainingFLOPs
    }

    private func bytes(_ sizes: ModelSizes) -> Double {
        bytesPerParameter * (sizes.total + sizes.keyValueElements * context + sizes.stateElements)
    }

    /// The sizes that both budget and memory allow, as logarithms.
    func sizes(experts: Double) throws -> (logarithms: ClosedRange<Double>, isLimitedByMemory: Bool) {
        let point = LawPoint(
            parameters: 1, tokens: 1, experts: experts, granularity: granularity, sunkTokens: sunkTokens)
        try point.check(for: law.form)
        guard law.form.variables.contains(.tokens) else {
            throw CheckpointError(
                .usage, message: "\(law.form.name) does not know the number of tokens: it cannot divide a budget")
        }
        guard flops.isFinite, flops > 0, flops <= 1e40 else {
            throw CheckpointError(.usage, message: "`flops` \(numberText(flops)): a number above 0 is needed")
        }
        let least = log(Self.smallest)
        func model(_ logarithm: Double) -> ModelSizes {
            shape.model(parameters: exp(logarithm), experts: experts, granularity: granularity)
        }
        guard tokens(model(least)) >= 1 else {
            throw CheckpointError(
                .usage,
                message: "\(numberText(flops)) FLOPs are less than one token of a model of \(shortText(Self.smallest)) "
                    + "parameters, inference included: raise `flops`")
        }
        var most = last(from: least, to: least + 60) { tokens(model($0)) >= 1 }
        var isLimited = false
        if let memory {
            guard memory.isFinite, bytes(model(least)) <= memory else {
                throw CheckpointError(
                    .usage,
                    message: "`memory` \(bytesText(memory)): a model of \(shortText(Self.smallest)) parameters and "
                        + "\(shortText(experts)) experts needs \(bytesText(bytes(model(least))))")
            }
            let fitting = last(from: least, to: most) { bytes(model($0)) <= memory }
            isLimited = fitting < most
            most = fitting
        }
        return (least...max(least, most), isLimited)
    }
}

/// The largest number up to which a condition holds that holds at `low` and, once broken, stays so: by bisection.
func last(from low: Double, to high: Double, where holds: (Double) -> Bool) -> Double {
    if holds(high) { return high }
    var (low, high) = (low, high)
    for _ in 0..<200 where high - low > 1e-13 * max(1, abs(low)) {
        let middle = low + (high - low) / 2
        if holds(middle) { low = middle } else { high = middle }
    }
    return low
}

/// Where a function has its minimum: a scan, since it may have several, then golden section about the lowest.
func minimum(over range: ClosedRange<Double>, of function: (Double) -> Double) -> Double {
    let steps = 400
    let step = (range.upperBound - range.lowerBound) / Double(steps)
    guard step > 0 else { return range.lowerBound }
    var best = (x: range.lowerBound, value: Double.infinity)
    for index in 0...steps {
        let x = min(range.lowerBound + Double(index) * step, range.upperBound)
        let value = function(x)
        if value < best.value { best = (x, value) }
    }
    let ratio = (5.0.squareRoot() - 1) / 2
    var (low, high) = (max(best.x - step, range.lowerBound), min(best.x + step, range.upperBound))
    var (left, right) = (high - ratio * (high - low), low + ratio * (high - low))
    var (atLeft, atRight) = (function(left), function(right))
    for _ in 0..<100 where high - low > 1e-10 {
        if atLeft < atRight {
            (high, right, atRight) = (right, left, atLeft)
            left = high - ratio * (high - low)
            atLeft = function(left)
        } else {
            (low, left, atLeft) = (left, right, atRight)
            right = low + ratio * (high - low)
            atRight = function(right)
        }
    }
    let x = (low + high) / 2
    return function(x) <= best.value ? x : best.x
}
