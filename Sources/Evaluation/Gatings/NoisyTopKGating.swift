import Checkpoints
import Glibc
import Models
import Numerics

/// The family's own routing, but experts are selected by logits with normal noise on them (Shazeer et al. 2017, 1701.06538,
/// equation 4, with one deviation for all in place of a learned one).
///
/// The gates are made of the logits without noise.
final class NoisyTopKGating: BatchGating {
    private let deviation: Float
    private let seed: UInt64
    private var context: BatchContext?

    init(deviation: Float, seed: UInt64) {
        self.deviation = deviation
        self.seed = seed
    }

    func begins(_ context: BatchContext) { self.context = context }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let logits = context.logits
        let random = KeyedRandom(
            seed: seed, tensor: "layer \(context.layer), domain \(self.context?.domain ?? 0)", purpose: "gating noise")
        let preference = Matrix(rows: logits.rows, columns: logits.columns)
        random.fillNormal(preference.buffer, from: (self.context?.firstToken ?? 0) * logits.columns)
        for i in 0..<logits.count { preference.values[i] = logits.values[i] + deviation * preference.values[i] }
        // Selection is by scores: groups add them up, and corrections are on their scale.
        for row in 0..<preference.rows { Self.score(preference.row(row), preference.columns, context.rule) }
        return .routed(
            context.rule.decide(logits, correction: context.correction, preference: preference, workers))
    }

    private static func score(_ values: UnsafeMutablePointer<Float>, _ count: Int, _ rule: RouterRule) {
        switch rule.configuration.score {
        case .sigmoid: for e in 0..<count { values[e] = 1 / (1 + expf(-values[e])) }
        case .softmax:
            var (top, sum) = (-Float.infinity, Float(0))
            for e in 0..<count { top = max(top, values[e]) }
            for e in 0..<count {
                values[e] = expf(values[e] - top)
                sum += values[e]
            }
            for e in 0..<count { values[e] /= sum }
        case .softmaxOfSelected, .sparseMixer: break
        }
    }
}
