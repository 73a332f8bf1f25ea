import Glibc
import Safetensors

/// Writes a message to standard error, options as the command line spells them; one that cannot be delivered is not worth a
/// failure.
func standardError(_ text: String) {
    _ = writeAll(OptionSpelling.flags(in: text), to: STDERR_FILENO)
}

/// Writes a line to standard output, options as the command line spells them.
///
/// - Throws: as `standardOutput(content:terminator:)`.
func standardOutput(_ text: String, terminator: String = "\n") throws {
    try standardOutput(content: OptionSpelling.flags(in: text), terminator: terminator)
}

/// Writes what a model or a tokenizer made to standard output, as it is.
///
/// - Throws: `SafetensorsError` where it is closed or its disk full: what the user asked to see is then lost.
func standardOutput(content text: String, terminator: String = "\n") throws {
    guard writeAll(text + terminator, to: STDOUT_FILENO) else {
        // Who reads no more has seen enough, as `head` has.
        if errno == EPIPE { throw ExitStatus(code: 128 + SIGPIPE) }
        throw SafetensorsError(
            .io, file: "standard output", message: "cannot be written: \(String(cString: strerror(errno)))")
    }
}

/// Writes a path on a line of its own, for scripts: the bytes that it has in the file system.
func standardOutput(path: String) throws {
    guard writeAll(systemBytes(path) + [0x0A], to: STDOUT_FILENO) else {
        throw SafetensorsError(
            .io, file: "standard output", message: "cannot be written: \(String(cString: strerror(errno)))")
    }
}

private func writeAll(_ text: String, to descriptor: Int32) -> Bool { writeAll(Array(text.utf8), to: descriptor) }

private func writeAll(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
        let count = bytes[done...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        done += count
    }
    return true
}

/// A table for the terminal: columns aligned, numbers to the right.
struct TextTable {
    enum Alignment { case left, right }

    /// What is left of a name on the narrowest terminal.
    private static let leastName = 12

    private let alignments: [Alignment]
    private var rows: [[String]] = []

    init(_ alignments: [Alignment]) {
        self.alignments = alignments
    }

    mutating func add(_ cells: String...) { rows.append(cells) }
    mutating func add(row cells: [String]) { rows.append(cells) }

    /// The rows, each with its line feed; on a terminal that is too narrow for a table of figures its columns are folded
    /// into several tables, each with the first column, and names that are too long keep their ends.
    var text: String { text(columns: Terminal.columns(of: STDOUT_FILENO)) }

    func text(columns limit: Int?) -> String {
        var widths = alignments.map { _ in 0 }
        for row in rows {
            for (column, cell) in row.enumerated() where column < widths.count {
                widths[column] = max(widths[column], Terminal.width(of: cell))
            }
        }
        let figures = alignments.count { $0 == .right }
        func whole() -> Int { widths.reduce(-2) { $0 + $1 + 2 } }
        guard let limit, figures > 1, whole() > limit else { return text(of: Array(widths.indices), widths) }
        if alignments[0] == .left { widths[0] = min(widths[0], max(limit / 3, Self.leastName)) }
        if whole() <= limit { return text(of: Array(widths.indices), widths) }
        let room = max(limit - widths[0] - 2, Self.leastName)
        for column in widths.indices.dropFirst() { widths[column] = min(widths[column], room) }
        var groups: [[Int]] = []
        var width = limit
        for column in widths.indices.dropFirst() {
            width += widths[column] + 2
            if width > limit {
                groups.append([0])
                width = widths[0] + widths[column] + 2
            }
            groups[groups.count - 1].append(column)
        }
        return groups.map { text(of: $0, widths) }.joined(separator: "\n")
    }

    private func text(of columns: [Int], _ widths: [Int]) -> String {
        rows.map { row in
            var line = ""
            for column in columns where column < row.count {
                let cell = Terminal.suffix(of: row[column], columns: widths[column])
                let pad = String(repeating: " ", count: max(widths[column] - Terminal.width(of: cell), 0))
                if column != columns[0] { line += "  " }
                line += alignments[column] == .left ? cell + pad : pad + cell
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
