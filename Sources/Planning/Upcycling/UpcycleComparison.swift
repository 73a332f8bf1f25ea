import Checkpoints
import Glibc
import Numerics

/// Whether a budget is better spent on upcycling a dense model or on training the mixture from scratch.
///
/// By the laws of Liew et al. 2025 (eight experts, top-2). The two losses are close and their constants are printed to
/// two or three digits, so that the number of tokens at which from-scratch training overtakes depends on the rounding: the
/// comparison is repeated with every constant drawn anew within half a unit of its last printed digit, and what does not
/// survive that is not called.
package struct UpcycleComparison: Sendable, Hashable {
    /// What is expected to win.
    package enum Verdict: String, Sendable {
        case upcycling
        case scratch = "from scratch"
        case open = "too close to call"
    }

    /// N of the dense model.
    package let parameters: Double
    /// D1.
    package let sunkTokens: Double
    /// D2, of either.
    package let tokens: Double
    package let upcycledLoss: Double
    package let scratchLoss: Double
    /// The share of draws in which the upcycled model's loss is lower.
    package let shareForUpcycling: Double
    /// Tokens from which on training from scratch is ahead: the 5th and 95th percentile of the draws; nil where more than
    /// one in twenty do not cross below 10^15 tokens.
    package let crossover: ClosedRange<Double>?

    package var verdict: Verdict {
        shareForUpcycling >= 0.95 ? .upcycling : shareForUpcycling <= 0.05 ? .scratch : .open
    }

    /// - Throws: `CheckpointError.usage` for numbers below one.
    package init(parameters: Double, sunkTokens: Double, tokens: Double) throws {
        self.parameters = parameters
        self.sunkTokens = sunkTokens
        self.tokens = tokens
        guard let upcycling = PublishedLaw.named("liew-upcycled"), let training = PublishedLaw.named("liew-scratch")
        else {
            throw CheckpointError(.internalFailure, message: "the laws of Liew et al. are missing")
        }
        func point(_ tokens: Double) -> LawPoint {
            LawPoint(parameters: parameters, tokens: tokens, experts: 8, sunkTokens: sunkTokens)
        }
        try point(tokens).check(for: upcycling.form)
        upcycledLoss = try upcycling.law().loss(point(tokens))
        scratchLoss = try training.law().loss(point(tokens))
        let draws = 400
        let steps = 100
        let step = log(1e15) / Double(steps)
        var wins = 0
        var crossings: [Double] = []
        for draw in 0..<draws {
            let upcycled = try Self.redrawn(upcycling, draw)
            let scratch = try Self.redrawn(training, draw)
            func isAhead(_ logarithm: Double) -> Bool {
                upcycled.loss(point(exp(logarithm))) < scratch.loss(point(exp(logarithm)))
            }
            if isAhead(log(tokens)) { wins += 1 }
            // Far beyond any run, where only the terms of N are left, the order may turn again: the first crossing counts.
            guard let behind = (0...steps).first(where: { !isAhead(Double($0) * step) }) else { continue }
            let low = Double(max(behind - 1, 0)) * step
            crossings.append(exp(last(from: low, to: Double(behind) * step, where: isAhead)))
        }
        shareForUpcycling = Double(wins) / Double(draws)
        crossings.sort()
        let isKnown = crossings.count * 20 >= draws * 19
        crossover = isKnown ? crossings[crossings.count / 20]...crossings[crossings.count * 19 / 20] : nil
    }

    /// A law that is printed as this one is: the same of each number every time.
    private static func redrawn(_ law: PublishedLaw, _ number: Int) throws -> ScalingLaw {
        var constants = law.constants ?? [:]
        let names = law.form.constants.map(\.name)
        var draws = [Float](repeating: 0, count: names.count)
        draws.withUnsafeMutableBufferPointer {
            KeyedRandom(seed: 0, tensor: law.name, purpose: "rounding \(number)").fillUniform($0, from: 0)
        }
        for (name, draw) in zip(names, draws) {
            guard let half = law.halfUnits[name], let value = constants[name] else { continue }
            constants[name] = value + half * (2 * Double(draw) - 1)
        }
        return try ScalingLaw(law.form, constants: constants, base: law.base)
    }
}
