import Glibc

/// What an axis shows and how.
package struct Axis: Sendable {
    package enum Scale: String, Sendable { case linear, logarithmic }

    package var label: String
    /// "nats", "tokens": what the numbers count.
    package var unit: String?
    package var scale: Scale
    package var format: ValueFormat

    package init(_ label: String, unit: String? = nil, scale: Scale = .linear, format: ValueFormat = .general) {
        self.label = label
        self.unit = unit
        self.scale = scale
        self.format = format
    }

    /// "loss (nats)".
    package var title: String { unit.map { "\(label) (\($0))" } ?? label }

    /// Whether the axis has a place for a value.
    func shows(_ value: Double) -> Bool { value.isFinite && (scale == .linear || value > 0) }
}

/// An axis laid over a range of values and of the drawing.
package struct Mapping {
    private let scale: Axis.Scale
    /// The ends, with finite different values; positive on a logarithmic axis.
    private var low: Double
    private var high: Double
    let start: Double
    let end: Double

    /// - Parameters:
    ///   - values: what is shown; those that the axis has no place for do not count.
    ///   - includesZero: whether a linear axis begins or ends at 0 at least.
    package init(
        _ axis: Axis, _ values: some Sequence<Double>, from start: Double, to end: Double, includesZero: Bool = false
    ) {
        scale = axis.scale
        self.start = start
        self.end = end
        var (low, high) = (Double.infinity, -Double.infinity)
        for value in values where axis.shows(value) { (low, high) = (min(low, value), max(high, value)) }
        if low > high { (low, high) = (scale == .linear ? 0 : 0.1, 1) }
        if includesZero, scale == .linear { (low, high) = (min(low, 0), max(high, 0)) }
        (self.low, self.high) = (low, high)
        widen()
    }

    /// Ranges too narrow to tell their ends apart get a width.
    private mutating func widen() {
        if scale == .logarithmic {
            if log10(high) - log10(low) < 1e-6 { (low, high) = (low / 2, high * 2) }
            low = max(low, .leastNormalMagnitude)
            high = min(max(high, low * 2), .greatestFiniteMagnitude)
            return
        }
        let size = max(abs(low), abs(high))
        guard high / 2 - low / 2 <= size * 1e-9 || size < 1e-300 else { return }
        let room = size < 1e-300 ? 0.5 : size * 0.05
        low = max(low - room, -.greatestFiniteMagnitude)
        high = min(high + room, .greatestFiniteMagnitude)
    }

    /// The range up to whole steps on both sides.
    package mutating func extendToTicks(count: Int) {
        guard scale == .linear, let step = step(count: count) else { return }
        let (first, last) = ((low / step - 1e-9).rounded(.down) * step, (high / step + 1e-9).rounded(.up) * step)
        if first.isFinite, last.isFinite { (low, high) = (first, last) }
    }

    /// Where a value lies; nil where the axis has no place for it.
    package func position(_ value: Double) -> Double? {
        guard value.isFinite, scale == .linear || value > 0 else { return nil }
        let share: Double
        if scale == .logarithmic {
            share = (log10(value) - log10(low)) / (log10(high) - log10(low))
        } else {
            // By halves: the width of the whole range of doubles is no double.
            share = (value / 2 - low / 2) / (high / 2 - low / 2)
        }
        guard share.isFinite else { return nil }
        return start + share * (end - start)
    }

    // MARK: Ticks

    /// The multiple of 1, 2 or 5 and a power of ten that divides the range into about `count` parts.
    func step(count: Int) -> Double? {
        let raw = (high / 2 - low / 2) / Double(max(count, 1)) * 2
        let magnitude = pow(10, log10(raw).rounded(.down))
        guard raw.isFinite, magnitude > 0, magnitude.isFinite else { return nil }
        let ratio = raw / magnitude
        let step = magnitude * (ratio < 1.5 ? 1 : ratio < 3.5 ? 2 : ratio < 7.5 ? 5 : 10)
        return step.isFinite ? step : nil
    }

    /// Values with a tick in rising order, and the step between them where there is one; at least one, at most about twice
    /// `count`.
    package func ticks(count: Int) -> (values: [Double], step: Double?) {
        scale == .linear ? linearTicks(count) : logarithmicTicks(count)
    }

    private func linearTicks(_ count: Int) -> (values: [Double], step: Double?) {
        guard let step = step(count: count) else { return ([low, high], nil) }
        let (first, last) = ((low / step - 1e-9).rounded(.up), (high / step + 1e-9).rounded(.down))
        guard first.isFinite, last.isFinite, last >= first, last - first < 1000 else { return ([low, high], nil) }
        // Multiples of a whole divisor: 3 * 0.1 is not 0.3, and 3 / 10 is.
        let inverse = (1 / step).rounded()
        let isExact = step < 1 && inverse < 1e15 && abs(inverse * step - 1) < 1e-9
        let values = (0...Int(last - first)).map { index -> Double in
            let multiple = first + Double(index)
            return (isExact ? multiple / inverse : multiple * step) + 0
        }
        return (values, step)
    }

    private func logarithmicTicks(_ count: Int) -> (values: [Double], step: Double?) {
        let (bottom, top) = (log10(low), log10(high))
        let decades = top - bottom
        if decades < 1 {
            let linear = linearTicks(count)
            let inside = linear.values.filter { $0 >= low * (1 - 1e-9) && $0 > 0 }
            return inside.isEmpty ? ([low, high], nil) : (inside, linear.step)
        }
        let multiples: [Double] = decades < Double(count) / 3 ? [1, 2, 5] : [1]
        let every = max(1, (decades / Double(max(count, 1))).rounded(.up))
        var values: [Double] = []
        var exponent = (bottom / every).rounded(.down) * every
        while exponent <= top + 1e-9 {
            for multiple in multiples {
                let value = exponent < 0 ? multiple / pow(10, -exponent) : multiple * pow(10, exponent)
                if value.isFinite, value >= low * (1 - 1e-9), value <= high * (1 + 1e-9) { values.append(value) }
            }
            exponent += every
        }
        return values.isEmpty ? ([low, high], nil) : (values, nil)
    }
}
