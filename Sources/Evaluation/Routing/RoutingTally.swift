import Models
import Numerics

/// Sums over the tokens of one domain that went through one mixture layer.
package struct RoutingTally: Sendable {
    package internal(set) var tokens = 0
    /// How many tokens went to each expert.
    package internal(set) var routed: [Int]
    /// The sum of each expert's gates.
    package internal(set) var gateMass: [Double]
    /// The sum of the router's probabilities for each expert, selected or not.
    package internal(set) var probability: [Double]
    /// The sum of the entropies of those probabilities, in nats.
    package internal(set) var entropy = 0.0
    /// The sum of the gates of the shared expert; nil where it has none.
    package internal(set) var sharedGate: Double?
    /// The sum of what the router saw, `[hidden]`.
    package internal(set) var input: [Double]

    package init(experts: Int, hidden: Int) {
        routed = [Int](repeating: 0, count: experts)
        gateMass = [Double](repeating: 0, count: experts)
        probability = gateMass
        input = [Double](repeating: 0, count: hidden)
    }

    /// Adds tokens of which only the loads are known.
    package mutating func add(tokens: Int, routed: [Int]) {
        self.tokens += tokens
        for (expert, count) in routed.enumerated() { self.routed[expert] += count }
    }

    mutating func add(_ other: RoutingTally) {
        tokens += other.tokens
        entropy += other.entropy
        for e in routed.indices {
            routed[e] += other.routed[e]
            gateMass[e] += other.gateMass[e]
            probability[e] += other.probability[e]
        }
        for i in input.indices { input[i] += other.input[i] }
        if let gate = other.sharedGate { sharedGate = (sharedGate ?? 0) + gate }
    }

    /// Adds some of the tokens of a batch.
    mutating func add(_ record: MixtureRecord, _ rows: Range<Int>, _ distribution: GateDistribution) {
        let decision = record.decision
        tokens += rows.count
        for slot in decision.starts[rows.lowerBound]..<decision.starts[rows.upperBound] {
            routed[Int(decision.selected[slot])] += 1
            gateMass[Int(decision.selected[slot])] += Double(decision.gates[slot])
        }
        withUnsafeTemporaryAllocation(of: Float.self, capacity: decision.experts) { scratch in
            for row in rows {
                entropy += Double(distribution.probabilities(decision.logits.row(row), into: scratch))
                for e in scratch.indices { probability[e] += Double(scratch[e]) }
            }
        }
        input.withUnsafeMutableBufferPointer { sum in
            for row in rows {
                let values = record.input.row(row)
                for i in sum.indices { sum[i] += Double(values[i]) }
            }
        }
        if let gates = record.sharedGate {
            sharedGate = rows.reduce(sharedGate ?? 0) { $0 + Double(gates.values[$1]) }
        }
    }
}

/// Sums over what the experts of one layer gave, and over their logits: what densify and prune are made by.
package struct OutputTally: Sendable {
    /// The sum of the norms of each expert's outputs, and of gate times norm.
    package internal(set) var norm: [Double]
    package internal(set) var weightedNorm: [Double]
    /// The sum of each expert's outputs, `[experts, hidden]`.
    package internal(set) var output: [Double]
    /// The sum of products of experts' logits, `[experts, experts]`.
    package internal(set) var gram: [Double]

    init(experts: Int, hidden: Int) {
        norm = [Double](repeating: 0, count: experts)
        weightedNorm = norm
        output = [Double](repeating: 0, count: experts * hidden)
        gram = [Double](repeating: 0, count: experts * experts)
    }

    mutating func add(_ record: MixtureRecord, _ workers: Workers) {
        let slots = record.slots
        let (experts, hidden) = (slots.experts, record.outputs.columns)
        norm.withUnsafeMutableBufferPointer { norm in
            weightedNorm.withUnsafeMutableBufferPointer { weightedNorm in
                output.withUnsafeMutableBufferPointer { output in
                    // Each piece is an expert, with sums of its own.
                    nonisolated(unsafe) let (norm, weightedNorm, output) = (norm, weightedNorm, output)
                    workers.forEach(experts) { expert in
                        let sum = UnsafeMutableBufferPointer(
                            rebasing: output[expert * hidden..<(expert + 1) * hidden])
                        for slot in slots.slots(of: expert) {
                            let values = record.outputs.row(slot)
                            for i in sum.indices { sum[i] += Double(values[i]) }
                            let length = Double(squaredNorm(values, hidden)).squareRoot()
                            norm[expert] += length
                            weightedNorm[expert] += Double(slots.gate[slot]) * length
                        }
                    }
                }
            }
        }
        let logits = record.decision.logits
        let product = Matrix(rows: experts, columns: experts)
        workers.multiply(logits.span, logits.span, .first, into: product.span)
        for i in gram.indices { gram[i] += Double(product.values[i]) }
    }
}

/// `sum x[i]^2`, in the order of eight lanes.
private func squaredNorm(_ x: UnsafePointer<Float>, _ count: Int) -> Float {
    var lanes = SIMD8<Float>(repeating: 0)
    var i = 0
    while i + 8 <= count {
        let values = UnsafeRawPointer(x + i).loadUnaligned(as: SIMD8<Float>.self)
        lanes += values * values
        i += 8
    }
    var sum = lanes.sum()
    while i < count {
        sum += x[i] * x[i]
        i += 1
    }
    return sum
}
