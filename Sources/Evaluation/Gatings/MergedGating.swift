import Models
import Numerics

/// One network for many tokens, its weights the experts' mean by the router's mean probabilities.
///
/// SMEAR (Muqeeth et al. 2023, 2306.03745) averages over the sequence, here a window. Lory (Zhong et al. 2024, 2405.03133)
/// cuts it into segments, each with the probabilities of the one before; the first has none before it and goes by its own.
/// In training the paper stops the gradient there; nothing is trained here. Both papers average what the router sees and
/// take its probabilities once; here it is the probabilities that are averaged.
final class MergedGating: BatchGating {
    private let distribution: GateDistribution
    private let scale: Float
    /// Tokens of a segment; nil for the window.
    private let segment: Int?
    private var length = 1

    init(distribution: GateDistribution, scale: Float, segment: Int?) {
        self.distribution = distribution
        self.scale = scale
        self.segment = segment
    }

    func begins(_ context: BatchContext) { length = max(context.batch.length, 1) }

    func decide(_ context: GatingContext, _ workers: Workers) -> GatingOutcome {
        let probabilities = distribution.probabilities(context.logits, workers)
        var segments: [MergedSegment] = []
        for window in stride(from: 0, to: probabilities.rows, by: length) {
            let end = min(window + length, probabilities.rows)
            let size = segment ?? length
            for first in stride(from: window, to: end, by: size) {
                let tokens = first..<min(first + size, end)
                let seen = first == window ? tokens : first - size..<first
                segments.append(
                    MergedSegment(tokens: tokens, weights: Self.mean(probabilities, seen), scale: scale))
            }
        }
        return .merged(segments)
    }

    private static func mean(_ probabilities: Matrix, _ rows: Range<Int>) -> [Float] {
        (0..<probabilities.columns).map { e in
            Float(rows.reduce(0.0) { $0 + Double(probabilities[$1, e]) } / Double(rows.count))
        }
    }
}
