import Checkpoints
import Safetensors

/// A table of numbers with named columns: a header line, then a line for each row; `#` begins a comment.
package struct CSVTable {
    package let file: String
    package let columns: [String]
    /// The cells of each row, and the line it is on.
    package let rows: [(line: Int, cells: [String])]

    private static let maximumSize = 64 << 20

    /// - Throws: `SafetensorsError` for a file that cannot be read, `CheckpointError.malformed` for one whose rows have
    ///   other numbers of cells than its header.
    package init(contentsOf path: String) throws {
        try self.init(try PosixFile.contents(path, limit: Self.maximumSize), file: path)
    }

    package init(_ bytes: [UInt8], file: String) throws {
        self.file = file
        var columns: [String]?
        var rows: [(line: Int, cells: [String])] = []
        var parser = CSVParser(bytes)
        while let (line, cells) = try parser.next(file: file) {
            if cells.count == 1, cells[0].isEmpty { continue }
            if cells[0].hasPrefix("#") { continue }
            guard let header = columns else {
                guard Set(cells).count == cells.count else {
                    throw CheckpointError(.malformed, file: file, message: "two columns have the same name")
                }
                columns = cells
                continue
            }
            guard cells.count == header.count else {
                throw CheckpointError(
                    .malformed, file: "\(file), line \(line)",
                    message: "expected \(header.count) cells as the header has, found \(cells.count)")
            }
            rows.append((line, cells))
        }
        guard let columns else { throw CheckpointError(.malformed, file: file, message: "expected a header line") }
        self.columns = columns
        self.rows = rows
    }

    /// Where a column is that may have any of several names.
    func index(of names: [String]) -> Int? { columns.firstIndex { names.contains($0) } }

    /// - Throws: `CheckpointError.malformed` where there is none.
    func requiredIndex(of names: [String]) throws -> Int {
        guard let index = index(of: names) else {
            throw CheckpointError(
                .malformed, file: file,
                message: "there is no column \(names.joined(separator: " or ")); its columns are "
                    + escaped(columns.joined(separator: ", ")))
        }
        return index
    }

    /// The number of a row in a column.
    ///
    /// - Throws: `CheckpointError.malformed` where it is none, or not in the range.
    func number(_ row: Int, _ column: Int, in range: ClosedRange<Double>) throws -> Double {
        let (line, cells) = rows[row]
        // Decimal alone: the runtime's parser takes 0x10 and what a NUL follows for numbers as well.
        let isDecimal = cells[column].utf8.allSatisfy { "0123456789+-.eE".utf8.contains($0) }
        guard isDecimal, let value = Double(cells[column]), range.contains(value) else {
            throw CheckpointError(
                .malformed, file: "\(file), line \(line)",
                message: "\(escaped(columns[column])) is \"\(escaped(cells[column]))\": expected a number from "
                    + "\(numberText(range.lowerBound)) to \(numberText(range.upperBound))")
        }
        return value
    }
}
