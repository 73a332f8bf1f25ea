import Checkpoints
import Safetensors

/// Cuts text into rows of cells (RFC 4180): a cell in double quotes may hold commas, line ends and, doubled, quotes; lines
/// end with LF, CR LF or CR.
struct CSVParser {
    private let bytes: [UInt8]
    private var position = 0
    private var line = 1

    init(_ bytes: [UInt8]) { self.bytes = Array(ForeignContent.withoutMark(bytes[...])) }

    /// The next row and the line that it begins on; nil after the last.
    ///
    /// - Throws: `CheckpointError.malformed` for a quote that is not closed.
    mutating func next(file: String) throws -> (line: Int, cells: [String])? {
        guard position < bytes.count else { return nil }
        let first = line
        // A comment is a line of any text: its quotes are none.
        if bytes[position] == UInt8(ascii: "#") {
            var text: [UInt8] = []
            while position < bytes.count, !takeLineEnd() {
                text.append(bytes[position])
                position += 1
            }
            return (first, [String(decoding: text, as: UTF8.self)])
        }
        var cells: [String] = []
        var cell: [UInt8] = []
        var isQuoted = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\""), cell.allSatisfy({ $0 == 0x20 || $0 == 0x09 }), !isQuoted {
                cell = try quoted(file: file)
                isQuoted = true
            } else if byte == UInt8(ascii: ",") {
                position += 1
                cells.append(Self.text(cell, isQuoted))
                (cell, isQuoted) = ([], false)
            } else if takeLineEnd() {
                cells.append(Self.text(cell, isQuoted))
                return (first, cells)
            } else {
                position += 1
                // What follows a closing quote is white space, or belongs to the cell.
                if !isQuoted || (byte != 0x20 && byte != 0x09) { cell.append(byte) }
            }
        }
        cells.append(Self.text(cell, isQuoted))
        return (first, cells)
    }

    private mutating func takeLineEnd() -> Bool {
        switch bytes[position] {
        case 0x0A: position += 1
        case 0x0D: position += position + 1 < bytes.count && bytes[position + 1] == 0x0A ? 2 : 1
        default: return false
        }
        line += 1
        return true
    }

    private mutating func quoted(file: String) throws -> [UInt8] {
        let first = line
        var cell: [UInt8] = []
        position += 1
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if byte == UInt8(ascii: "\"") {
                guard position < bytes.count, bytes[position] == byte else { return cell }
                position += 1
            }
            if byte == 0x0A { line += 1 }
            cell.append(byte)
        }
        throw CheckpointError(.malformed, file: "\(file), line \(first)", message: "a quote is not closed")
    }

    private static func text(_ cell: [UInt8], _ isQuoted: Bool) -> String {
        let text = String(decoding: cell, as: UTF8.self)
        if isQuoted { return text }
        var trimmed = text[...]
        while let first = trimmed.first, first.isWhitespace { trimmed.removeFirst() }
        while let last = trimmed.last, last.isWhitespace { trimmed.removeLast() }
        return String(trimmed)
    }
}
