import CPlatform
import Numerics

/// A routing decision sorted by expert: every expert's tokens are rows one after the other, so that each expert is one
/// matrix product.
package struct ExpertSlots {
    /// Expert e has the slots `starts[e] ..< starts[e + 1]`.
    package let starts: [Int]
    /// The token of each slot.
    package let token: [Int32]
    /// The gate of each slot.
    package let gate: [Float]
    /// The slot of each of the decision's entries.
    package let slotOfEntry: [Int32]
    /// The decision's entries of token t are `entryStarts[t] ..< entryStarts[t + 1]`.
    package let entryStarts: [Int]

    package init(_ decision: RoutingDecision) {
        var counts = [Int](repeating: 0, count: decision.experts + 1)
        for expert in decision.selected { counts[Int(expert) + 1] += 1 }
        for expert in 0..<decision.experts { counts[expert + 1] += counts[expert] }
        starts = counts
        var next = counts
        var token = [Int32](repeating: 0, count: decision.selected.count)
        var gate = [Float](repeating: 0, count: decision.selected.count)
        var slotOfEntry = [Int32](repeating: 0, count: decision.selected.count)
        for row in 0..<decision.tokens {
            for entry in decision.starts[row]..<decision.starts[row + 1] {
                let slot = next[Int(decision.selected[entry])]
                next[Int(decision.selected[entry])] += 1
                token[slot] = Int32(row)
                gate[slot] = decision.gates[entry]
                slotOfEntry[entry] = Int32(slot)
            }
        }
        self.token = token
        self.gate = gate
        self.slotOfEntry = slotOfEntry
        entryStarts = decision.starts
    }

    package var count: Int { token.count }
    package var experts: Int { starts.count - 1 }
    /// The slots of an expert.
    package func slots(of expert: Int) -> Range<Int> { starts[expert]..<starts[expert + 1] }

    /// The rows of the slots' tokens, `[slots, columns]`.
    func gathered(_ rows: Matrix, _ workers: Workers) -> Matrix {
        let result = Matrix(rows: count, columns: rows.columns)
        workers.forEachRange(of: count, size: 128) { slots in
            for slot in slots { result.row(slot).update(from: rows.row(Int(token[slot])), count: rows.columns) }
        }
        return result
    }

    /// Multiplies each slot's row by its gate.
    func scale(_ rows: Matrix, _ workers: Workers) {
        workers.forEachRange(of: count, size: 128) { slots in
            for slot in slots { ctransformer_scale(rows.row(slot), rows.row(slot), gate[slot], rows.columns) }
        }
    }

    /// The products of each slot's row and its token's.
    func dots(_ slotRows: Matrix, with tokenRows: Matrix, _ workers: Workers) -> [Float] {
        let result = Matrix(rows: 1, columns: max(count, 1))
        workers.forEachRange(of: count, size: 128) { slots in
            for slot in slots {
                result.values[slot] = ctransformer_dot(
                    slotRows.row(slot), tokenRows.row(Int(token[slot])), slotRows.columns)
            }
        }
        return Array(result.array.prefix(count))
    }

    /// Adds each token's slots to its row, times their gates or as they are.
    func combine(_ outputs: Matrix, weighted: Bool, into target: Matrix, replacing: Bool, _ workers: Workers) {
        workers.forEachRange(of: target.rows, size: 64) { rows in
            for row in rows {
                let out = target.row(row)
                if replacing { out.update(repeating: 0, count: target.columns) }
                for entry in entryStarts[row]..<entryStarts[row + 1] {
                    let slot = Int(slotOfEntry[entry])
                    ctransformer_add_scaled(out, outputs.row(slot), weighted ? gate[slot] : 1, target.columns)
                }
            }
        }
    }
}
