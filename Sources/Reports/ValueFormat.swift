import Glibc
import Safetensors

/// How a figure writes its numbers.
package enum ValueFormat: String, Sendable {
    /// As many digits as say something.
    case general
    /// Two, three and four digits after the point.
    case two, three, four
    /// A share of one as a percentage with one digit after the point.
    case percent
    /// Bytes in units of 1000.
    case bytes
    /// "7.24 B" for billions.
    case count

    /// The number as people read it; what is not finite by its name.
    package func text(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "−∞" : "∞" }
        switch self {
        case .general: return numberText(value)
        case .two: return fixed(value, 2)
        case .three: return fixed(value, 3)
        case .four: return fixed(value, 4)
        case .percent: return fixed(value * 100, 1) + " %"
        case .bytes: return abs(value) < 9e18 ? byteText(Int(value)) : numberText(value)
        case .count: return abs(value) < 9e18 ? countText(Int(value)) : numberText(value)
        }
    }

    /// Ticks of an axis, alike in form: as many digits as the step between them needs.
    package func tickTexts(_ ticks: [Double], step: Double?) -> [String] {
        switch self {
        case .bytes, .count: return ticks.map(text)
        case .percent:
            let digits = step.map { Self.digits(of: $0 * 100) } ?? 1
            return ticks.map { fixed($0 * 100, digits) + " %" }
        case .general, .two, .three, .four:
            let largest = ticks.map { abs($0) }.max() ?? 0
            guard let step, largest < 1e5, largest >= 1e-2 else { return ticks.map(Self.short) }
            return ticks.map { fixed($0, Self.digits(of: step)) }
        }
    }

    /// Digits after the point that tell multiples of a step apart.
    private static func digits(of step: Double) -> Int {
        guard step > 0, step.isFinite else { return 0 }
        return min(12, max(0, -Int(log10(step).rounded(.down))))
    }

    /// A tick of a logarithmic axis, or far from one: few characters.
    private static func short(_ value: Double) -> String {
        guard value != 0, value.isFinite else { return value == 0 ? "0" : "" }
        let exponent = log10(abs(value)).rounded(.down)
        if exponent >= -2, exponent <= 4 { return numberText((value * 1e6).rounded() / 1e6) }
        // In two steps: the power of a very small number is itself out of range.
        let mantissa =
            value / pow(10, (exponent / 2).rounded(.down)) / pow(10, exponent - (exponent / 2).rounded(.down))
        return numberText((mantissa * 100).rounded() / 100) + "e\(Int(exponent))"
    }

    private func fixed(_ value: Double, _ digits: Int) -> String {
        let text = fixedText(abs(value), digits: digits)
        let isZero = !text.contains { ("1"..."9").contains($0) }
        // A number that is not 0 should not read as if it were.
        if isZero, value != 0, self != .percent { return numberText(value) }
        return (value < 0 && !isZero ? "−" : "") + text
    }
}
