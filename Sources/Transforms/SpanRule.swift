import Checkpoints
import Glibc

/// Methods whose result is a combination of the tensors with coefficients that depend on their inner products alone:
/// the products are gathered in one pass, the result in another.
struct SpanRule: Combining {
    enum Form: Sendable {
        case slerp(t: Double)
        case nuslerp(t: Double)
        case multislerp([Double], normalises: Bool)
        case karcher(iterations: Int, tolerance: Double)
        case modelStock
    }

    private let form: Form
    private let hasOrigin: Bool
    private let isRowWise: Bool
    private let coefficients: Deferred<[Double]>

    /// - Parameter origin: what the tensors are taken relative to; nil for zero.
    init(
        _ form: Form, _ inputs: [TensorExpression], origin: TensorExpression?, _ shape: MatrixSizes, isRowWise: Bool
    ) {
        self.form = form
        self.isRowWise = isRowWise
        hasOrigin = origin != nil
        let hasOrigin = hasOrigin
        coefficients = Deferred { evaluator in
            var gram = Gram(count: inputs.count)
            try evaluator.forEachWideBlock(
                of: [origin].compactMap { $0 } + inputs, rows: shape.rows, columns: shape.columns
            ) { _, values in
                gram.add(values, hasOrigin: hasOrigin, 0..<(values.first?.count ?? 0))
            }
            return try form.coefficients(gram)
        }
    }

    var isDeferred: Bool { !isRowWise }
    var needsWholeVectors: Bool { isRowWise }

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        guard isRowWise else {
            apply(try coefficients.resolve(evaluator), inputs, out.indices, out)
            return
        }
        let width = columns == 1 ? out.count : columns
        guard width > 0 else { return }
        for start in stride(from: 0, to: out.count, by: width) {
            var gram = Gram(count: inputs.count - (hasOrigin ? 1 : 0))
            gram.add(inputs, hasOrigin: hasOrigin, start..<start + width)
            apply(try form.coefficients(gram), inputs, start..<start + width, out)
        }
    }

    private func apply(
        _ coefficients: [Double], _ inputs: [UnsafeBufferPointer<Double>], _ range: Range<Int>,
        _ out: UnsafeMutableBufferPointer<Double>
    ) {
        let models = inputs.dropFirst(hasOrigin ? 1 : 0)
        if hasOrigin, let origin = inputs.first {
            for i in range { out[i] = origin[i] }
            for (coefficient, model) in zip(coefficients, models) {
                for i in range { out[i] += coefficient * (model[i] - origin[i]) }
            }
        } else {
            for i in range { out[i] = 0 }
            for (coefficient, model) in zip(coefficients, models) {
                for i in range { out[i] += coefficient * model[i] }
            }
        }
    }
}

private func sum(_ x: [Double], _ y: [Double], times factor: Double) -> [Double] {
    zip(x, y).map { $0 + factor * $1 }
}

extension SpanRule.Form {
    /// The coefficients of the result.
    ///
    /// - Throws: `CheckpointError` where the directions cancel each other.
    func coefficients(_ gram: Gram) throws -> [Double] {
        switch self {
        case .slerp(let t):
            // Nearly colinear directions are interpolated linearly, as mergekit has it.
            return arc(t, gram, isColinear: { abs($0) > 0.9995 })
        case .nuslerp(let t):
            return arc(t, gram, isColinear: { sin(acos($0)) < 1e-8 })
        case .multislerp(let weights, let normalises):
            return try tangentMean(gram, weights, normalises: normalises)
        case .karcher(let iterations, let tolerance):
            return karcherMean(gram, iterations: iterations, tolerance: tolerance)
        case .modelStock:
            return stock(gram)
        }
    }

    private func arc(_ t: Double, _ gram: Gram, isColinear: (Double) -> Bool) -> [Double] {
        let norms = gram.norms
        let scale = norms[0] * norms[1]
        let cosine = scale > 0 ? min(max(gram.product(0, 1) / scale, -1), 1) : 1
        guard !isColinear(cosine) else { return [1 - t, t] }
        let angle = acos(cosine)
        return [sin((1 - t) * angle) / sin(angle), sin(t * angle) / sin(angle)]
    }

    private func tangentMean(_ gram: Gram, _ weights: [Double], normalises: Bool) throws -> [Double] {
        let norms = gram.norms
        let total = weights.reduce(0, +)
        guard !normalises || total != 0 else {
            throw CheckpointError(.usage, message: "`average` multislerp: the weights sum to zero")
        }
        let weights = normalises ? weights.map { $0 / total } : weights
        let units = (0..<gram.count).map { index in
            gram.unit(index).map { norms[index] > 0 ? $0 / norms[index] : 0 }
        }
        var mean = Array(repeating: 0.0, count: gram.count)
        for (unit, weight) in zip(units, weights) { mean = sum(mean, unit, times: weight) }
        let length = gram.norm(mean)
        if norms.allSatisfy({ $0 == 0 }) { return weights }
        guard length > 1e-8 else {
            guard gram.count > 2 else { return weights }
            throw CheckpointError(
                .incompatible,
                message: "`average` multislerp: the weighted directions cancel each other; choose other weights")
        }
        mean = mean.map { $0 / length }
        var tangent = Array(repeating: 0.0, count: gram.count)
        for (unit, weight) in zip(units, weights) {
            tangent = sum(tangent, sum(unit, mean, times: -gram.product(unit, mean)), times: weight)
        }
        let angle = gram.norm(tangent)
        let direction =
            angle > 1e-12
            ? sum(mean.map { $0 * cos(angle) }, tangent, times: sin(angle) / angle) : mean
        let radius = zip(norms, weights).reduce(0) { $0 + $1.0 * $1.1 }
        return direction.map { $0 * radius }
    }

    private func karcherMean(_ gram: Gram, iterations: Int, tolerance: Double) -> [Double] {
        let norms = gram.norms
        let valid = norms.indices.filter { norms[$0] > tolerance }
        guard let first = valid.first else { return norms.map { _ in 1 / Double(norms.count) } }
        let share = 1 / Double(valid.count)
        let units = valid.map { index in gram.unit(index).map { $0 / norms[index] } }
        var mean = Array(repeating: 0.0, count: gram.count)
        for unit in units { mean = sum(mean, unit, times: share) }
        let length = gram.norm(mean)
        mean = length < tolerance ? gram.unit(first).map { $0 / norms[first] } : mean.map { $0 / length }
        for _ in 0..<iterations {
            var tangent = Array(repeating: 0.0, count: gram.count)
            for unit in units {
                let cosine = min(max(gram.product(mean, unit), -1), 1)
                let angle = acos(cosine)
                guard angle >= tolerance else { continue }
                tangent = sum(
                    tangent, sum(unit, mean, times: -cosine), times: share * angle / sin(angle))
            }
            let step = gram.norm(tangent)
            guard step >= tolerance else { break }
            mean = sum(mean.map { $0 * cos(step) }, tangent, times: sin(step) / step)
            let size = gram.norm(mean)
            if size > tolerance { mean = mean.map { $0 / size } }
        }
        let radius = norms.reduce(0, +) / Double(norms.count)
        return mean.map { $0 * radius }
    }

    /// t = N cos / (1 + (N - 1) cos) of the mean, and the rest of the base; the base where a task vector is zero.
    private func stock(_ gram: Gram) -> [Double] {
        let norms = gram.norms
        let count = Double(gram.count)
        var total = 0.0
        for a in 0..<gram.count {
            for b in a + 1..<gram.count {
                let scale = norms[a] * norms[b]
                total += scale > 0 ? min(max(gram.product(a, b) / scale, -1), 1) : 0
            }
        }
        let cosine = total / (count * (count - 1) / 2)
        let divisor = 1 + (count - 1) * cosine
        let t = divisor != 0 ? count * cosine / divisor : 0
        return norms.map { _ in t / count }
    }
}
