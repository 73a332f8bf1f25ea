package import Models
import Numerics

/// Where in the text a batch is.
package struct BatchContext {
    package let batch: TokenBatch
    /// The index of the domain that it is of.
    package let domain: Int
    /// Tokens of the domain before it: what is drawn for a token does not depend on how the text is cut into batches.
    package let firstToken: Int

    package init(batch: TokenBatch, domain: Int = 0, firstToken: Int = 0) {
        self.batch = batch
        self.domain = domain
        self.firstToken = firstToken
    }
}

/// A gating that is told about each batch before it goes through the layers.
package protocol BatchGating: Gating {
    func begins(_ context: BatchContext)
}

extension RoutingDecision {
    /// Every token goes to the same number of experts.
    ///
    /// - Parameter choose: appends the experts of a token and their gates.
    init(
        logits: Matrix, slots: Int,
        _ choose: (_ token: Int, _ selected: inout [Int32], _ gates: inout [Float]) -> Void
    ) {
        var selected: [Int32] = []
        var gates: [Float] = []
        selected.reserveCapacity(logits.rows * slots)
        gates.reserveCapacity(logits.rows * slots)
        for token in 0..<logits.rows { choose(token, &selected, &gates) }
        self.init(
            logits: logits, starts: (0...logits.rows).map { $0 * slots }, selected: selected, gates: gates)
    }
}

extension GateDistribution {
    /// The probabilities of every token, `[tokens, experts]`.
    func probabilities(_ logits: Matrix, _ workers: Workers) -> Matrix {
        let result = Matrix(rows: logits.rows, columns: logits.columns)
        workers.forEachRange(of: logits.rows, size: 256) { rows in
            for row in rows {
                probabilities(
                    logits.row(row), into: UnsafeMutableBufferPointer(start: result.row(row), count: result.columns))
            }
        }
        return result
    }
}
