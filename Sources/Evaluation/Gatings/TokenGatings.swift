import Glibc
import Models
import Numerics

/// The softmax of each row of logits.
func softmaxRows(_ logits: Matrix) -> [[Float]] {
    (0..<logits.rows).map { row in
        let values = (0..<logits.columns).map { logits[row, $0] }
        let top = values.max() ?? 0
        let powers = values.map { expf($0 - top) }
        let sum = powers.reduce(0, +)
        return powers.map { $0 / sum }
    }
}

/// All experts for every token, by the softmax of all logits: of the token alone, or averaged over the sequence so far.
final class SoftGating: Gating {
    private let length: Int
    private let averagesPast: Bool

    init(length: Int, averagesPast: Bool) {
        self.length = length
        self.averagesPast = averagesPast
    }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let experts = context.logits.columns
        let rows = context.logits.rows
        var gates = softmaxRows(context.logits)
        if averagesPast {
            for start in stride(from: 0, to: rows, by: length) {
                var sum = [Float](repeating: 0, count: experts)
                for row in start..<min(rows, start + length) {
                    for e in 0..<experts { sum[e] += gates[row][e] }
                    let count = Float(row - start + 1)
                    gates[row] = sum.map { $0 / count }
                }
            }
        }
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: (0...rows).map { $0 * experts },
                selected: (0..<rows).flatMap { _ in (0..<experts).map { Int32($0) } }, gates: gates.flatMap { $0 }))
    }
}

/// The family's router, with noise on what experts are selected by.
final class NoisyGating: Gating {
    private let deviation: Float
    private let seed: UInt64
    private let batch: Int

    init(deviation: Float, seed: UInt64, batch: Int) {
        self.deviation = deviation
        self.seed = seed
        self.batch = batch
    }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let noisy = Matrix(rows: context.logits.rows, columns: context.logits.columns)
        KeyedRandom(seed: seed, tensor: "router of layer \(context.layer)", purpose: "noisy gating, batch \(batch)")
            .fillNormal(noisy.buffer, from: 0)
        for i in 0..<noisy.count { noisy.values[i] = context.logits.values[i] + deviation * noisy.values[i] }
        // Noise on the logits, and gates made of them: h = z + n, softmax(topk(h)).
        let made = context.rule.decide(noisy, correction: context.correction, workers)
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: made.starts, selected: made.selected, gates: made.gates))
    }
}

/// Every expert takes the tokens that it scores highest.
final class ExpertChoiceGating: Gating {
    private let capacity: Double

    init(capacity: Double) { self.capacity = capacity }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let (rows, experts) = (context.logits.rows, context.logits.columns)
        let scores = softmaxRows(context.logits)
        let count = min(rows, max(1, Int((capacity * Double(rows) / Double(experts)).rounded())))
        var entries = [[(expert: Int32, gate: Float)]](repeating: [], count: rows)
        for expert in 0..<experts {
            // The first of equal ones.
            let order = (0..<rows).sorted { a, b in
                scores[a][expert] != scores[b][expert] ? scores[a][expert] > scores[b][expert] : a < b
            }
            for row in order.prefix(count) { entries[row].append((Int32(expert), scores[row][expert])) }
        }
        var starts = [0]
        for entry in entries { starts.append((starts.last ?? 0) + entry.count) }
        let all = entries.flatMap { $0 }
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: starts, selected: all.map(\.expert), gates: all.map(\.gate)))
    }
}

/// Experts by a random table of token ids, equally weighted.
final class TableGating: Gating {
    private let experts: Int
    private let topK: Int
    private let seed: UInt64
    private let ids: [Int32]

    init(experts: Int, topK: Int, seed: UInt64, ids: [Int32]) {
        self.experts = experts
        self.topK = topK
        self.seed = seed
        self.ids = ids
    }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        var known: [Int32: [Int32]] = [:]
        let selected = ids.flatMap { id -> [Int32] in
            if let row = known[id] { return row }
            let row = KeyedRandom(seed: seed, tensor: "hash gating of layer \(context.layer)", purpose: "token \(id)")
                .sample(topK, of: experts).map { Int32($0) }
            known[id] = row
            return row
        }
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: (0...ids.count).map { $0 * topK }, selected: selected,
                gates: [Float](repeating: 1 / Float(topK), count: selected.count)))
    }
}

/// One expert for all tokens.
final class FixedGating: Gating {
    private let expert: Int

    init(expert: Int) { self.expert = expert }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let rows = context.logits.rows
        return .routed(
            RoutingDecision(
                logits: context.logits, starts: Array(0...rows),
                selected: [Int32](repeating: Int32(expert), count: rows),
                gates: [Float](repeating: 1, count: rows)))
    }
}

/// Networks whose weights are means of all experts', one for each sequence or segment of it.
final class MergingGating: Gating {
    private let length: Int
    /// Tokens of a segment; nil for one network a sequence.
    private let segment: Int?

    init(length: Int, segment: Int?) {
        self.length = length
        self.segment = segment
    }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let experts = context.logits.columns
        func mean(_ rows: [[Float]]) -> [Float] {
            (0..<experts).map { e in rows.reduce(Float(0)) { $0 + $1[e] } / Float(max(rows.count, 1)) }
        }
        var result: [MergedSegment] = []
        for start in stride(from: 0, to: context.logits.rows, by: length) {
            let end = min(context.logits.rows, start + length)
            guard let segment else {
                let own = Matrix(rows: start..<end, of: context.logits)
                result.append(MergedSegment(tokens: start..<end, weights: mean(softmaxRows(own))))
                continue
            }
            for first in stride(from: start, to: end, by: segment) {
                let last = min(end, first + segment)
                // The segment before decides, so that no token sees what comes after it; the first has none before it.
                let source = first == start ? first..<last : first - segment..<first
                // The router is linear: the logits of the mean input are the mean of the logits.
                let logits = Matrix(zeros: 1, experts)
                for row in source {
                    for e in 0..<experts { logits[0, e] += context.logits[row, e] / Float(source.count) }
                }
                result.append(MergedSegment(tokens: first..<last, weights: softmaxRows(logits)[0]))
            }
        }
        return .merged(result)
    }
}
