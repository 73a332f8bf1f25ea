extension Int {
    /// The whole part of a number, the nearest that there is where it is beyond all whole numbers; 0 for NaN: for amounts
    /// and rates that are shown, and counts that are bounded next.
    package init(saturating value: Double) {
        self = value.isNaN ? 0 : Int(exactly: value.rounded(.towardZero)) ?? (value < 0 ? .min : .max)
    }
}

/// A number of bytes as people read it: "2.2 GB", in units of 1000.
package func byteText(_ bytes: Int) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 999.5, unit + 1 < units.count {
        value /= 1000
        unit += 1
    }
    return unit == 0 ? (bytes == 1 ? "1 byte" : "\(bytes) bytes") : "\(threeDigits(value)) \(units[unit])"
}

/// A count as people read it: "7.24 B" for billions.
package func countText(_ count: Int) -> String {
    let units = ["", " K", " M", " B", " T"]
    var value = Double(count)
    var unit = 0
    while value >= 999.5, unit + 1 < units.count {
        value /= 1000
        unit += 1
    }
    return unit == 0 ? "\(count)" : threeDigits(value) + units[unit]
}

/// A number with as many digits as say something: whole where it is, three or four otherwise.
package func numberText(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.rounded() == value, abs(value) < 1e15 { return String(Int(value)) }
    let magnitude = abs(value)
    guard magnitude >= 1e-3, magnitude < 1e6 else { return scientific(value) }
    var scale = 1.0
    while magnitude * scale < 1000 { scale *= 10 }
    return trimmed(String((value * scale).rounded() / scale))
}

private func scientific(_ value: Double) -> String {
    guard value.isFinite else { return value < 0 ? "-infinity" : "infinity" }
    var exponent = 0
    var mantissa = abs(value)
    while mantissa >= 10 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 1, mantissa > 0 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return (value < 0 ? "-" : "") + trimmed(String((mantissa * 100).rounded() / 100)) + "e\(exponent)"
}

private func threeDigits(_ value: Double) -> String {
    let scale = value < 9.995 ? 100.0 : value < 99.95 ? 10.0 : 1.0
    return trimmed(String((value * scale).rounded() / scale))
}

private func trimmed(_ text: String) -> String { text.hasSuffix(".0") ? String(text.dropLast(2)) : text }

/// A number with so many digits after the point, for columns.
package func fixedText(_ value: Double, digits: Int) -> String {
    guard value.isFinite else { return value.isNaN ? "NaN" : value < 0 ? "-infinity" : "infinity" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (abs(value) * scale).rounded()
    guard scaled < 1e15 else { return numberText(value) }
    var text = String(Int(scaled))
    while text.count <= digits { text = "0" + text }
    let point = text.index(text.endIndex, offsetBy: -digits)
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return sign + text[..<point] + (digits > 0 ? "." + text[point...] : "")
}

/// "99.6 %".
package func percentText(_ share: Double) -> String { numberText((share * 1000).rounded() / 10) + " %" }
