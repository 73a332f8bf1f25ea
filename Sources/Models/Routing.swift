import CPlatform
package import Checkpoints
import Glibc
package import Numerics

/// Which experts each token of a layer goes to, and with what gates.
///
/// A token's slots are `starts[token] ..< starts[token + 1]`; most routers give every token the same number.
package struct RoutingDecision {
    package let tokens: Int
    package let experts: Int
    /// The router's logits, `[tokens, experts]`.
    package let logits: Matrix
    package var starts: [Int]
    /// The expert of each slot.
    package var selected: [Int32]
    /// The gate of each slot.
    package var gates: [Float]

    package init(logits: Matrix, starts: [Int], selected: [Int32], gates: [Float]) {
        tokens = logits.rows
        experts = logits.columns
        self.logits = logits
        self.starts = starts
        self.selected = selected
        self.gates = gates
    }
}

/// What a router computes from its logits, token by token.
package struct RouterRule: Sendable {
    package let configuration: DecoderConfiguration.Router
    package let topK: Int

    package init(_ configuration: DecoderConfiguration.Router, topK: Int) {
        self.configuration = configuration
        self.topK = topK
    }

    /// - Parameters:
    ///   - logits: `[tokens, experts]`.
    ///   - correction: what is added to the scores for the selection alone, `[1, experts]`.
    ///   - preference: values that experts are selected by instead of the logits (noise added to them), `[tokens,
    ///     experts]`; the gates are still made of the logits.
    package func decide(
        _ logits: Matrix, correction: Matrix?, preference: Matrix? = nil, _ workers: Workers
    ) -> RoutingDecision {
        let slots = min(topK, logits.columns)
        var selected = [Int32](repeating: 0, count: logits.rows * slots)
        var gates = [Float](repeating: 0, count: logits.rows * slots)
        selected.withUnsafeMutableBufferPointer { selected in
            gates.withUnsafeMutableBufferPointer { gates in
                // Each piece writes to slots of its own.
                nonisolated(unsafe) let selected = selected
                nonisolated(unsafe) let gates = gates
                workers.forEachRange(of: logits.rows, size: 128) { rows in
                    var scratch = Scratch(experts: logits.columns)
                    for row in rows {
                        let slot = row * slots..<(row + 1) * slots
                        decide(
                            UnsafeBufferPointer(start: logits.row(row), count: logits.columns),
                            correction: correction?.values, preference: preference?.row(row),
                            selected: UnsafeMutableBufferPointer(rebasing: selected[slot]),
                            gates: UnsafeMutableBufferPointer(rebasing: gates[slot]), &scratch)
                    }
                }
            }
        }
        return RoutingDecision(
            logits: logits, starts: (0...logits.rows).map { $0 * slots }, selected: selected, gates: gates)
    }

    /// Memory for one token's scores.
    private struct Scratch {
        var scores: [Float]
        var choice: [Float]

        init(experts: Int) {
            scores = [Float](repeating: 0, count: experts)
            choice = scores
        }
    }

    private func decide(
        _ logits: UnsafeBufferPointer<Float>, correction: UnsafePointer<Float>?, preference: UnsafePointer<Float>?,
        selected: UnsafeMutableBufferPointer<Int32>, gates: UnsafeMutableBufferPointer<Float>, _ scratch: inout Scratch
    ) {
        let experts = logits.count
        if case .sparseMixer(let threshold) = configuration.score {
            sparseMixer(logits, threshold, selected, gates, &scratch)
            return
        }
        switch configuration.score {
        case .sigmoid:
            for e in 0..<experts { scratch.scores[e] = 1 / (1 + expf(-logits[e])) }
        default:
            softmax(logits, into: &scratch.scores)
        }
        for e in 0..<experts {
            let base = preference.map { $0[e] } ?? (configuration.score.isOfSelected ? logits[e] : scratch.scores[e])
            scratch.choice[e] = base + (correction.map { $0[e] } ?? 0)
        }
        if let groups = configuration.groups { keepGroups(groups, &scratch.choice) }
        takeLargest(&scratch.choice, selected)
        for slot in selected.indices {
            let expert = Int(selected[slot])
            gates[slot] = configuration.score.isOfSelected ? logits[expert] : scratch.scores[expert]
        }
        if configuration.score.isOfSelected {
            let top = gates.max() ?? 0
            var sum: Float = 0
            for slot in gates.indices {
                gates[slot] = expf(gates[slot] - top)
                sum += gates[slot]
            }
            for slot in gates.indices { gates[slot] *= configuration.scale / sum }
            return
        }
        let sum =
            configuration.renormalizes ? max(gates.reduce(0, +) + configuration.sumOffset, configuration.leastSum) : 1
        for slot in gates.indices { gates[slot] *= configuration.scale / sum }
    }

    private func softmax(_ logits: UnsafeBufferPointer<Float>, into scores: inout [Float]) {
        let top = logits.max() ?? 0
        var sum: Float = 0
        for e in logits.indices {
            scores[e] = expf(logits[e] - top)
            sum += scores[e]
        }
        for e in logits.indices { scores[e] /= sum }
    }

    /// Experts of groups that are not kept can no longer be chosen.
    private func keepGroups(_ groups: DecoderConfiguration.Router.Groups, _ choice: inout [Float]) {
        let size = choice.count / groups.count
        var worth: [Float] = []
        for group in 0..<groups.count {
            var (best, second) = (-Float.infinity, -Float.infinity)
            for e in group * size..<(group + 1) * size {
                if choice[e] > best { (best, second) = (choice[e], best) } else { second = max(second, choice[e]) }
            }
            worth.append(groups.score == .best ? best : best + second)
        }
        var kept = [Int32](repeating: 0, count: groups.kept)
        kept.withUnsafeMutableBufferPointer { takeLargest(&worth, $0) }
        for group in 0..<groups.count where !kept.contains(Int32(group)) {
            for e in group * size..<(group + 1) * size { choice[e] = -.infinity }
        }
    }

    /// The indices of the largest values, the first of equal ones; what was taken is minus infinity afterwards.
    private func takeLargest(_ values: inout [Float], _ out: UnsafeMutableBufferPointer<Int32>) {
        for slot in out.indices {
            var best = -1
            var top = -Float.infinity
            for i in values.indices where values[i] > top { (best, top) = (i, values[i]) }
            // Only what cannot be chosen is left (or NaN): the first that was not taken.
            if best < 0 { best = values.indices.first { !out[..<slot].contains(Int32($0)) } ?? 0 }
            out[slot] = Int32(best)
            values[best] = -.infinity
        }
    }

    private func sparseMixer(
        _ logits: UnsafeBufferPointer<Float>, _ threshold: Float, _ selected: UnsafeMutableBufferPointer<Int32>,
        _ gates: UnsafeMutableBufferPointer<Float>, _ scratch: inout Scratch
    ) {
        for slot in selected.indices {
            let top = Self.mixerProbabilities(logits, threshold, without: selected[..<slot], into: &scratch.scores)
            selected[slot] = Int32(top)
            gates[slot] = scratch.scores[top] * configuration.scale
        }
    }

    /// The softmax of the logits that are close to the largest of those left, and the largest's index.
    private static func mixerProbabilities(
        _ logits: UnsafeBufferPointer<Float>, _ threshold: Float,
        without taken: Slice<UnsafeMutableBufferPointer<Int32>>,
        into scores: inout [Float]
    ) -> Int {
        var best = -1
        for e in logits.indices where !taken.contains(Int32(e)) && (best < 0 || logits[e] > logits[best]) { best = e }
        let top = logits[max(best, 0)]
        var sum: Float = 0
        for e in logits.indices {
            let isFar = (top - logits[e]) / max(abs(logits[e]), top) > threshold
            scores[e] = isFar || taken.contains(Int32(e)) ? 0 : expf(logits[e] - top)
            sum += scores[e]
        }
        for e in logits.indices { scores[e] /= sum }
        return max(best, 0)
    }

    /// The gradient of the logits from that of the gates, `[tokens, experts]`.
    ///
    /// - Parameter slopes: the gradient of each slot's gate.
    package func backward(_ decision: RoutingDecision, _ slopes: [Float], _ workers: Workers) -> Matrix {
        let result = Matrix(zeros: decision.tokens, decision.experts)
        workers.forEachRange(of: decision.tokens, size: 128) { rows in
            var scores = [Float](repeating: 0, count: decision.experts)
            for row in rows {
                backward(decision, row, slopes, &scores, into: result.row(row))
            }
        }
        return result
    }

    private func backward(
        _ decision: RoutingDecision, _ row: Int, _ slopes: [Float], _ scores: inout [Float],
        into out: UnsafeMutablePointer<Float>
    ) {
        let slots = decision.starts[row]..<decision.starts[row + 1]
        let logits = UnsafeBufferPointer(start: decision.logits.row(row), count: decision.experts)
        let scale = configuration.scale
        switch configuration.score {
        case .softmaxOfSelected:
            // g = scale * softmax: dl = g / scale * (scale * dg - sum(dg * g))
            let mean = slots.reduce(Float(0)) { $0 + slopes[$1] * decision.gates[$1] }
            for slot in slots {
                out[Int(decision.selected[slot])] += decision.gates[slot] * (slopes[slot] - mean / scale)
            }
        case .sparseMixer(let threshold):
            var selected = slots.map { decision.selected[$0] }
            selected.withUnsafeMutableBufferPointer { selected in
                for (order, slot) in slots.enumerated() {
                    let top = Self.mixerProbabilities(logits, threshold, without: selected[..<order], into: &scores)
                    let slope = slopes[slot] * scale * scores[top]
                    for e in 0..<decision.experts { out[e] -= slope * scores[e] }
                    out[top] += slope
                }
            }
        case .softmax, .sigmoid:
            let isSigmoid = configuration.score.isSigmoid
            if isSigmoid {
                for e in logits.indices { scores[e] = 1 / (1 + expf(-logits[e])) }
            } else {
                softmax(logits, into: &scores)
            }
            var sum: Float = 1
            var mean: Float = 0
            if configuration.renormalizes {
                sum = slots.reduce(configuration.sumOffset) { $0 + scores[Int(decision.selected[$1])] }
                if sum > configuration.leastSum {
                    mean = slots.reduce(Float(0)) { $0 + slopes[$1] * scores[Int(decision.selected[$1])] / sum }
                } else {
                    sum = configuration.leastSum
                }
            }
            // The gradient of the selected scores, then that of the logits.
            var shared: Float = 0
            for slot in slots {
                let expert = Int(decision.selected[slot])
                let slope = scale * (slopes[slot] - mean) / sum
                if isSigmoid {
                    out[expert] += slope * scores[expert] * (1 - scores[expert])
                } else {
                    out[expert] += slope * scores[expert]
                    shared += slope * scores[expert]
                }
            }
            if !isSigmoid { for e in logits.indices { out[e] -= scores[e] * shared } }
        }
    }
}

extension DecoderConfiguration.Router.Score {
    /// Whether the gates are made of the selected logits alone.
    var isOfSelected: Bool { if case .softmaxOfSelected = self { true } else { false } }
    var isSigmoid: Bool { if case .sigmoid = self { true } else { false } }
}
