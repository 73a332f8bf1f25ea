import Glibc

/// The learning rate of each step: a linear warm-up, then a way down to a smallest rate.
///
/// For steps from 0: `peak (step + 1) / warmup` while `step < warmup`; after that, with
/// `x = (step - warmup) / max(1, steps - warmup)`:
///
/// | shape    | rate                                                                            |
/// |----------|---------------------------------------------------------------------------------|
/// | cosine   | `minimum + (peak - minimum) (1 + cos(pi x)) / 2` (Loshchilov and Hutter 2017)    |
/// | linear   | `peak + (minimum - peak) x`                                                     |
/// | constant | `peak`                                                                          |
/// | wsd      | `peak`, and over the last share of all steps linear to `minimum` (MiniCPM, 2404.06395) |
package struct LearningRateSchedule: Sendable, Equatable {
    /// The way down.
    package enum Shape: Sendable, Equatable {
        case cosine
        case linear
        case constant
        /// Warm-up, stable, decay; the share of all steps that the decay takes.
        case wsd(decay: Double)

        /// The share where none is given: 10 to 20 % of the steps give what a cosine does (Hägele et al., 2405.18392).
        package static let usualDecay = 0.2

        /// Reads `cosine`, `linear`, `constant`, `wsd` or `wsd:0.1`; nil for anything else.
        package init?(_ text: String) {
            let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            switch (parts.first, parts.count) {
            case ("cosine", 1): self = .cosine
            case ("linear", 1): self = .linear
            case ("constant", 1): self = .constant
            case ("wsd", 1): self = .wsd(decay: Self.usualDecay)
            case ("wsd", 2):
                guard let share = Double(parts[1]), share >= 0, share <= 1 else { return nil }
                self = .wsd(decay: share)
            default: return nil
            }
        }
    }

    package var shape: Shape
    /// The rate at the end of the warm-up.
    package var peak: Double
    /// The rate that the way down ends at.
    package var minimum: Double
    /// Steps of the warm-up; 0 for none.
    package var warmup: Int
    /// Steps of the whole run.
    package var steps: Int

    package init(shape: Shape = .cosine, peak: Double, minimum: Double = 0, warmup: Int = 0, steps: Int) {
        self.shape = shape
        self.peak = peak
        self.minimum = minimum
        self.warmup = warmup
        self.steps = steps
    }

    /// The rate of a step, counted from 0; beyond the last step, the rate that the way down ends at.
    package func rate(at step: Int) -> Double {
        if step < warmup { return peak * Double(step + 1) / Double(warmup) }
        switch shape {
        case .cosine:
            return minimum + 0.5 * (peak - minimum) * (1 + cos(.pi * progress(step, from: warmup)))
        case .linear:
            return peak + (minimum - peak) * progress(step, from: warmup)
        case .constant:
            return peak
        case .wsd(let decay):
            let start = max(warmup, steps - Int((decay * Double(steps)).rounded()))
            return step < start ? peak : peak + (minimum - peak) * progress(step, from: start)
        }
    }

    /// How much of the way from `start` to the end lies behind, 0 to 1.
    private func progress(_ step: Int, from start: Int) -> Double {
        min(1, Double(step - start) / Double(max(1, steps - start)))
    }
}
