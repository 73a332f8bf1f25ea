/// The text fit for HTML and SVG, between tags and in quoted attributes.
///
/// Names come from files. What would end an element or an attribute is replaced by its entity; control characters, which
/// are no text in either, and those that turn the direction of what follows by U+FFFD.
package func markup(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        default:
            switch scalar.value {
            case 0x9, 0xA: result += " "
            case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069, 0xFFFE, 0xFFFF:
                result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
    }
    return result
}

/// How wide text is, before a browser has drawn it.
///
/// The widths are those of DejaVu Sans, the widest of the fonts that browsers take by default: what fits by them fits
/// everywhere.
enum TextMetrics {
    /// An upper bound of the width in the units of `size`.
    static func width(_ text: String, size: Double) -> Double {
        text.unicodeScalars.reduce(0) { $0 + width($1) } * size
    }

    private static func width(_ scalar: Unicode.Scalar) -> Double {
        switch scalar {
        case "i", "j", "l", "I", "'", ".", ",", ":", ";", "|", " ": 0.34
        case "f", "t", "r", "(", ")", "[", "]", "-", "/": 0.45
        case "m", "w", "M", "W", "%", "@", "…": 1.02
        case "0"..."9": 0.64
        case "A"..."Z": 0.75
        case "=", "+", "−", "<", ">", "~", "#": 0.84
        case "\u{20}"..."\u{7E}": 0.64
        default: scalar.value < 0x1100 ? 0.8 : 1.1
        }
    }

    /// The text, cut with an ellipsis where it would be wider.
    static func fitted(_ text: String, size: Double, in width: Double) -> String {
        if self.width(text, size: size) <= width { return text }
        var result = String.UnicodeScalarView()
        var used = self.width("…", size: size)
        for scalar in text.unicodeScalars {
            used += self.width(scalar) * size
            if used > width { break }
            result.append(scalar)
        }
        return String(result) + "…"
    }
}

/// A number as SVG takes it: a tenth of a unit is finer than can be seen.
func coordinate(_ value: Double) -> String {
    guard value.isFinite, abs(value) < 1e7 else { return "0" }
    let tenths = Int((value * 10).rounded())
    let rest = abs(tenths % 10)
    return (tenths < 0 ? "-" : "") + "\(abs(tenths / 10))" + (rest == 0 ? "" : ".\(rest)")
}
