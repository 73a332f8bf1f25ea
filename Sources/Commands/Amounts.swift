import ArgumentParser
import MoEToolkit

/// A number of tokens: `100M`, `1.5B`, `20k`, `4096`.
struct TokenCount: ExpressibleByArgument, Sendable {
    let tokens: Int

    init?(argument: String) {
        let units: [(Character, Double)] = [("k", 1e3), ("m", 1e6), ("b", 1e9), ("t", 1e12)]
        let text = argument.lowercased()
        let unit = units.first { text.last == $0.0 }
        guard let number = Double(unit == nil ? text : String(text.dropLast())), number.isFinite else { return nil }
        let tokens = (number * (unit?.1 ?? 1)).rounded()
        guard tokens >= 1, tokens < 1e18 else { return nil }
        self.tokens = Int(tokens)
    }
}

/// A number of steps, or a share of all: `100`, `3%`.
struct StepShare: ExpressibleByArgument, Sendable {
    let amount: TrainingSettings.Warmup

    init(steps: Int) { amount = .steps(steps) }

    init?(argument: String) {
        if argument.hasSuffix("%") {
            guard let percent = Double(argument.dropLast()), percent >= 0, percent <= 100 else { return nil }
            amount = .share(percent / 100)
        } else {
            guard let steps = Int(argument), steps >= 0 else { return nil }
            amount = .steps(steps)
        }
    }

    var defaultValueDescription: String { amount.text }
}

/// A share in percent, above 0 and below 100: `5%`.
struct Percentage: ExpressibleByArgument, Sendable {
    let share: Double

    init?(argument: String) {
        guard argument.hasSuffix("%"), let percent = Double(argument.dropLast()), percent > 0, percent < 100 else {
            return nil
        }
        share = percent / 100
    }
}
