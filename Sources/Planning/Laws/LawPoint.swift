import Checkpoints
import Safetensors

/// What a scaling law is asked about: a model and its training.
package struct LawPoint: Sendable, Hashable {
    /// N, counted as the law counts it: see `LawForm.meaningOfSize`.
    package var parameters: Double
    /// D: training tokens; for an upcycled model those after the upcycling.
    package var tokens: Double
    /// E: experts of each mixture layer, 1 for a dense model.
    package var experts: Double
    /// G: the feed-forward width over an expert's width.
    package var granularity: Double
    /// D1: tokens the dense model was trained on before it was upcycled.
    package var sunkTokens: Double

    package init(
        parameters: Double, tokens: Double = 0, experts: Double = 1, granularity: Double = 1, sunkTokens: Double = 0
    ) {
        self.parameters = parameters
        self.tokens = tokens
        self.experts = experts
        self.granularity = granularity
        self.sunkTokens = sunkTokens
    }

    /// One of the numbers, by what it is.
    package subscript(variable: LawVariable) -> Double {
        get {
            switch variable {
            case .parameters: parameters
            case .tokens: tokens
            case .experts: experts
            case .granularity: granularity
            case .sunkTokens: sunkTokens
            }
        }
        set {
            switch variable {
            case .parameters: parameters = newValue
            case .tokens: tokens = newValue
            case .experts: experts = newValue
            case .granularity: granularity = newValue
            case .sunkTokens: sunkTokens = newValue
            }
        }
    }
}

/// What a law may depend on; the raw value is its column in a table of runs.
package enum LawVariable: String, Sendable, CaseIterable {
    case parameters
    case tokens
    case experts
    case granularity
    case sunkTokens = "sunk_tokens"

    /// The letter that formulas and options have for it.
    package var letter: String {
        switch self {
        case .parameters: "N"
        case .tokens: "D"
        case .experts: "E"
        case .granularity: "G"
        case .sunkTokens: "D1"
        }
    }

    /// The values that make sense of each: there is no half an expert, and no training on less than a token.
    static let sensible = 1.0...1e30
}

extension LawPoint {
    /// Checks what a law is asked about against what can be.
    ///
    /// - Throws: `CheckpointError.usage` with what is allowed.
    package func check(for form: LawForm) throws {
        for variable in LawVariable.allCases where form.variables.contains(variable) {
            let value = self[variable]
            guard LawVariable.sensible.contains(value) else {
                throw CheckpointError(
                    .usage,
                    message:
                        "\(variable.letter) is \(numberText(value)): a number from 1 to 1e30 is needed")
            }
        }
        if !form.variables.contains(.experts), let fixed = form.fixedExperts, experts != fixed {
            throw CheckpointError(
                .usage,
                message: fixed == 1
                    ? "E is \(numberText(experts)), and \(form.name) describes dense models only: E is 1"
                    : "E is \(numberText(experts)), and \(form.name) describes models of \(numberText(fixed)) experts only"
            )
        }
    }
}

/// The models that a law was fitted to: beyond them it is an extrapolation.
package struct LawRange: Sendable, Hashable {
    private var ranges: [LawVariable: ClosedRange<Double>] = [:]

    package init(
        parameters: ClosedRange<Double>? = nil, tokens: ClosedRange<Double>? = nil, experts: ClosedRange<Double>? = nil,
        granularity: ClosedRange<Double>? = nil, sunkTokens: ClosedRange<Double>? = nil
    ) {
        ranges[.parameters] = parameters
        ranges[.tokens] = tokens
        ranges[.experts] = experts
        ranges[.granularity] = granularity
        ranges[.sunkTokens] = sunkTokens
    }

    /// The range of one of the numbers; nil where it is not known.
    package subscript(variable: LawVariable) -> ClosedRange<Double>? {
        get { ranges[variable] }
        set { ranges[variable] = newValue }
    }

    /// What is outside of the range, a sentence for each number.
    package func warnings(_ points: [LawPoint], law: String, variables: Set<LawVariable>) -> [String] {
        LawVariable.allCases.compactMap { variable in
            guard variables.contains(variable) || variable == .experts, let range = self[variable] else { return nil }
            // A value that went through arithmetic may miss an end of the range by a rounding.
            let outside = points.map { $0[variable] }
                .filter { $0 < range.lowerBound * (1 - 1e-9) || $0 > range.upperBound * (1 + 1e-9) }
            guard let least = outside.min(), let most = outside.max() else { return nil }
            return "\(variable.letter) is \(span(least...most)), and \(law) was fitted to \(span(range)): "
                + "an extrapolation"
        }
    }

    private func span(_ range: ClosedRange<Double>) -> String {
        let (least, most) = (shortText(range.lowerBound), shortText(range.upperBound))
        return least == most ? least : "\(least) to \(most)"
    }
}

/// A size as it is said: "1.3 B" for a number of parameters or tokens, as it is below a thousand.
package func shortText(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 9e15 else { return numberText(value) }
    return abs(value) < 1000 ? numberText(value) : countText(Int(value.rounded()))
}

/// Bytes as people read them, of a number that may be larger than any file.
package func bytesText(_ bytes: Double) -> String {
    bytes.isFinite && abs(bytes) < 9e18 ? byteText(Int(bytes)) : numberText(bytes) + " bytes"
}
