import Checkpoints
import Glibc
package import Models
package import Numerics
public import Safetensors

/// How far what two models say of the same tokens is apart: proof that one computes the other's function.
public struct OutputComparison: JSONResult {
    /// Tokens whose logits were compared.
    public private(set) var tokens = 0
    /// The largest difference of two logits; infinite where one of them is no number.
    public private(set) var maximumDifference = 0.0
    /// Tokens for which both models have the same likeliest token.
    public private(set) var agreeing = 0

    private var absoluteSum = 0.0
    private var squaredSum = 0.0
    private var varianceSum = 0.0
    private var divergenceSum = 0.0
    private var logitCount = 0
    /// The root mean square of each token's differences.
    private var tokenDifferences: [Float] = []

    package init() {}

    /// The mean difference of two logits.
    public var meanDifference: Double { absoluteSum / Double(max(logitCount, 1)) }
    /// The mean of KL(A‖B), in nats a token.
    public var meanDivergence: Double { divergenceSum / Double(max(tokens, 1)) }
    /// The share of tokens for which both models have the same likeliest token.
    public var agreement: Double { tokens > 0 ? Double(agreeing) / Double(tokens) : 1 }
    /// The root mean square of the differences over the spread of A's logits, the root mean square about each token's
    /// mean: it depends neither on the vocabulary nor on the size of the logits.
    public var relativeDifference: Double {
        relative((squaredSum / Double(max(logitCount, 1))).squareRoot())
    }
    /// The same of the token in the middle, when tokens are ordered by theirs: some tokens whose routers chose another
    /// expert, because two of them were nearly the same to it, do not decide it.
    public var medianRelativeDifference: Double {
        let sorted = tokenDifferences.sorted()
        return sorted.isEmpty ? 0 : relative(Double(sorted[sorted.count / 2]))
    }

    private func relative(_ difference: Double) -> Double {
        if difference == 0 { return 0 }
        let spread = (varianceSum / Double(max(logitCount, 1))).squareRoot()
        return spread > 0 && difference.isFinite ? difference / spread : .infinity
    }

    /// Adds what another comparison found.
    package mutating func add(_ other: OutputComparison) {
        tokens += other.tokens
        maximumDifference = max(maximumDifference, other.maximumDifference)
        agreeing += other.agreeing
        absoluteSum += other.absoluteSum
        squaredSum += other.squaredSum
        varianceSum += other.varianceSum
        divergenceSum += other.divergenceSum
        logitCount += other.logitCount
        tokenDifferences += other.tokenDifferences
    }

    /// Refuses models whose logits do not stand for the same tokens.
    ///
    /// - Throws: `.incompatible` for vocabularies of different sizes.
    package static func check(_ a: Decoder, _ b: Decoder) throws {
        guard a.configuration.vocabulary == b.configuration.vocabulary else {
            throw CheckpointError(
                .incompatible,
                message: "\(a.checkpoint.name) has a vocabulary of \(a.configuration.vocabulary) and "
                    + "\(b.checkpoint.name) one of \(b.configuration.vocabulary): their logits cannot be compared")
        }
    }

    /// Runs both models over the same tokens and adds what they say.
    ///
    /// - Throws: `CheckpointError` for tokens that the models do not know.
    package mutating func add(_ a: Decoder, _ b: Decoder, _ batch: TokenBatch) throws {
        try Self.check(a, b)
        let first = try a.forward(batch)
        let second = try b.forward(batch)
        let step = min(a.logitRows, b.logitRows)
        var row = 0
        while row < first.rows {
            let rows = row..<min(first.rows, row + step)
            add(try a.logits(first.span(rows: rows)), try b.logits(second.span(rows: rows)), a.workers)
            row = rows.upperBound
        }
    }

    /// Adds two models' logits of the same tokens, `[tokens, vocabulary]`.
    package mutating func add(_ a: Matrix, _ b: Matrix, _ workers: Workers) {
        var parts = [RowComparison](repeating: RowComparison(), count: a.rows)
        parts.withUnsafeMutableBufferPointer { parts in
            // Each row has a result of its own; they are added in order, so that threads do not change the sums.
            nonisolated(unsafe) let parts = parts
            workers.forEachRange(of: a.rows, size: 8) { rows in
                for row in rows {
                    parts[row] = RowComparison(
                        UnsafeBufferPointer(start: a.row(row), count: a.columns),
                        UnsafeBufferPointer(start: b.row(row), count: b.columns))
                }
            }
        }
        for part in parts {
            tokens += 1
            maximumDifference = max(maximumDifference, part.maximum)
            agreeing += part.agrees ? 1 : 0
            absoluteSum += part.absoluteSum
            squaredSum += part.squaredSum
            varianceSum += part.varianceSum
            divergenceSum += part.divergence
            let difference = (part.squaredSum / Double(max(a.columns, 1))).squareRoot()
            // NaN has no place in an order.
            tokenDifferences.append(difference.isNaN ? .infinity : Float(difference))
        }
        logitCount += a.count
    }

    /// The comparison as a JSON document; what is not finite is null.
    public var json: JSONObject {
        func number(_ value: Double) -> JSON { value.isFinite ? JSON(value) : .null }
        return [
            "tokens": JSON(tokens), "maximum_difference": number(maximumDifference),
            "mean_difference": number(meanDifference), "relative_difference": number(relativeDifference),
            "median_relative_difference": number(medianRelativeDifference),
            "kl": number(meanDivergence), "top_token_agreement": JSON(agreement),
        ]
    }
}

/// Two rows of logits.
private struct RowComparison {
    var maximum = 0.0
    var absoluteSum = 0.0
    var squaredSum = 0.0
    /// Of A's logits about their mean.
    var varianceSum = 0.0
    var divergence = 0.0
    var agrees = true

    init() {}

    init(_ a: UnsafeBufferPointer<Float>, _ b: UnsafeBufferPointer<Float>) {
        var (bestA, bestB) = (0, 0)
        var mean = 0.0
        for i in a.indices {
            if a[i] > a[bestA] { bestA = i }
            if b[i] > b[bestB] { bestB = i }
            let difference = abs(Double(a[i]) - Double(b[i]))
            // NaN on either side is a difference without a bound.
            maximum = difference <= maximum ? maximum : difference.isNaN ? .infinity : difference
            absoluteSum += difference
            squaredSum += difference * difference
            mean += Double(a[i]) / Double(a.count)
        }
        agrees = bestA == bestB
        let (topA, topB) = (Double(a[bestA]), Double(b[bestB]))
        var (sumA, sumB, weighted) = (0.0, 0.0, 0.0)
        for i in a.indices {
            let (x, y) = (Double(a[i]), Double(b[i]))
            varianceSum += (x - mean) * (x - mean)
            let weight = exp(x - topA)
            sumA += weight
            sumB += exp(y - topB)
            weighted += weight * (x - y)
        }
        // sum p_A (log p_A - log p_B); what rounding makes of nothing may be below zero.
        divergence = max(weighted / sumA - (topA + log(sumA)) + (topB + log(sumB)), 0)
    }
}
