import Glibc
import Safetensors

/// Terminals, and how text fits them.
enum Terminal {
    /// The columns of the terminal that a descriptor is of; nil where it is of none, or does not say.
    static func columns(of descriptor: Int32) -> Int? {
        guard isatty(descriptor) == 1 else { return nil }
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
        return Int(size.ws_col)
    }

    /// The columns that a text takes: two for East Asian wide characters and pictures, none for combining marks.
    static func width(of text: String) -> Int { text.reduce(0) { $0 + width(of: $1) } }

    private static func width(of character: Character) -> Int {
        guard let scalar = character.unicodeScalars.first else { return 0 }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60,
            0x1F300...0x1FAFF, 0x20000...0x3FFFD:
            return 2
        default: return 1
        }
    }

    /// The end of a text that is too long, after an ellipsis: of a path it is the end that tells it from others.
    static func suffix(of text: String, columns: Int) -> String {
        guard width(of: text) > columns else { return text }
        guard columns > 1 else { return "" }
        var (kept, taken) = ([Character](), 0)
        for character in text.reversed() {
            taken += width(of: character)
            guard taken < columns else { break }
            kept.append(character)
        }
        return "…" + String(kept.reversed())
    }

    /// The beginning of a text that is too long.
    static func prefix(of text: String, columns: Int) -> String {
        guard width(of: text) > columns else { return text }
        var (kept, taken) = ("", 0)
        for character in text {
            taken += width(of: character)
            guard taken < columns else { break }
            kept.append(character)
        }
        return kept + (columns > 0 ? "…" : "")
    }
}

/// What a progress line says, cut to a width: a name, then parts of falling worth from both ends to the middle.
struct ProgressText {
    /// What is worked on; shortened from its beginning.
    var label = ""
    /// How far it has come comes first and the time left last: what is between goes where there is no room.
    var parts: [String]

    /// The widest that the bar is drawn, and the narrowest.
    private static let barWidths = 8...24
    private static let leastLabel = 12

    /// The line, with a bar where `share` says how much is done.
    func line(columns: Int, share: Double?) -> String {
        // The last column stays empty: a terminal goes to the next line after it.
        let room = max(columns - 1, 1)
        var parts = parts
        let wanted = min(Terminal.width(of: label), Self.leastLabel)
        func detail() -> String { parts.joined(separator: "  ") }
        while parts.count > 2, wanted + 1 + Terminal.width(of: detail()) > room { parts.remove(at: parts.count - 2) }
        let text = detail()
        let used = Terminal.width(of: text) + (label.isEmpty ? 0 : 1)
        let full = room - used - Terminal.width(of: label) - 1
        var bar = ""
        if let share {
            // A long name gives way to a bar of middling width.
            let space = min(max(full, min(room - used - wanted - 1, 12)), Self.barWidths.upperBound)
            if space >= Self.barWidths.lowerBound {
                let filled = min(max(Int(saturating: share * Double(space)), 0), space)
                bar = String(repeating: "█", count: filled) + String(repeating: "░", count: space - filled) + " "
            }
        }
        let left = max(room - used - Terminal.width(of: bar), 0)
        let name = label.isEmpty ? "" : Terminal.suffix(of: label, columns: left)
        return Terminal.prefix(of: bar + name + (name.isEmpty ? "" : " ") + text, columns: room)
    }

    /// The line where nobody cuts it.
    var whole: String { ([label].filter { !$0.isEmpty } + [parts.joined(separator: "  ")]).joined(separator: " ") }
}
