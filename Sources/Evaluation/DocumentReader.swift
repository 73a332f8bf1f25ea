package import Checkpoints
import Safetensors

/// A text, and where it came from.
package struct Document: Sendable {
    /// Valid UTF-8.
    package let text: [UInt8]
    package let file: String
    /// The line of a file of lines, from 1.
    package let line: Int?

    /// File and line, for messages.
    var place: String { line.map { "\(file), line \($0)" } ?? file }
}

/// The documents of files, one after another, each held as a whole.
///
/// A file of text is one document, a line of JSON another; empty lines are passed over. A byte order mark at the beginning
/// of a file is no part of its text. Memory is bounded by the longest document, and that by `DataOptions.documentLimit`.
package final class DocumentReader {
    private let options: DataOptions
    private var files: ArraySlice<DataFile>
    private var current: OpenFile?
    /// Documents given so far.
    package private(set) var documentCount = 0
    /// Documents, and files or rests of files, that were left out.
    package private(set) var skippedCount = 0
    /// Why the first of them was.
    package private(set) var firstSkipped: CheckpointError?

    /// A file being read.
    private struct OpenFile {
        let file: DataFile
        var lines: LineReader
        var hasContent = false
    }

    init(_ files: [DataFile], options: DataOptions) {
        self.files = files[...]
        self.options = options
    }

    /// Reads the texts of a source.
    ///
    /// - Throws: as `DataFile.files`; `.usage` where the source is of tokens.
    package convenience init(_ source: DataSource, options: DataOptions) throws {
        let files = try DataFile.files(of: source)
        if let file = files.first(where: { $0.kind == .tokens }) {
            throw CheckpointError(.usage, file: file.path, message: "expected text, and this is a file of tokens")
        }
        self.init(files, options: options)
    }

    /// The next document; nil after the last.
    ///
    /// - Throws: `.malformed`, with file and line, for what is broken, unless that is to be skipped; `SafetensorsError`
    ///   where the system fails.
    package func next() throws -> Document? {
        while true {
            try Interruption.check()
            do {
                guard let document = try nextOrBroken() else { return nil }
                documentCount += 1
                return document
            } catch let error as CheckpointError where error.code == .malformed && options.skipsBad {
                skip(error)
            }
        }
    }

    /// Counts something that is left out.
    func skip(_ error: CheckpointError) {
        skippedCount += 1
        if firstSkipped == nil { firstSkipped = error }
    }

    private func nextOrBroken() throws -> Document? {
        while true {
            if current == nil {
                guard let file = files.popFirst() else { return nil }
                if file.kind == .text { return try wholeText(file) }
                current = OpenFile(
                    file: file,
                    lines: LineReader(try file.open(), file: file.path, limit: options.documentLimit))
            }
            guard var open = current else { return nil }
            // Taken out while it is read, so that its buffer has one owner.
            current = nil
            let line: [UInt8]?
            do {
                line = try open.lines.next()
            } catch {
                open.hasContent = true
                current = open
                throw error
            }
            guard let line else {
                guard open.hasContent else { throw Self.empty(open.file.path) }
                continue
            }
            let number = open.lines.lineNumber
            let content = number == 1 ? Self.withoutMark(line[...]) : line[...]
            let isBlank = content.allSatisfy { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            open.hasContent = open.hasContent || !isBlank
            let path = open.file.path
            current = open
            if !isBlank { return try parsed(Array(content), file: path, line: number) }
        }
    }

    private func parsed(_ line: [UInt8], file: String, line number: Int) throws -> Document {
        let place = "\(file), line \(number)"
        let value: JSON
        do {
            value = try JSON(parsing: line, file: place)
        } catch {
            let isCut = error.message.contains("the end of the text") && (line.first == 0x7B || line.first == 0x5B)
            throw CheckpointError(
                .malformed, file: place,
                message: isCut
                    ? "a line of JSON that goes on in the next: each document has a line of its own; make them with "
                        + "`jq -c . FILE > NEW` (`jq -c '.[]'` for one list of all)" : error.message)
        }
        let field = "the field \"\(escaped(options.textField))\""
        guard let object = value.object else {
            throw CheckpointError(.malformed, file: place, message: "expected a JSON object with \(field)")
        }
        guard let member = object[options.textField] else {
            let keys = object.keys.prefix(8).map { "\"\(escaped($0))\"" }.joined(separator: ", ")
            throw CheckpointError(
                .malformed, file: place,
                message: "\(field) is missing (there are: \(keys.isEmpty ? "none" : keys)): `textField` names another")
        }
        guard let text = member.string else {
            throw CheckpointError(.malformed, file: place, message: "\(field) is not a string")
        }
        return Document(text: Array(text.utf8), file: file, line: number)
    }

    private func wholeText(_ file: DataFile) throws -> Document {
        let stream = try file.open()
        var text: [UInt8] = []
        while true {
            let piece = try stream.next()
            if piece.isEmpty { break }
            guard text.count + piece.count <= options.documentLimit else {
                throw CheckpointError(
                    .malformed, file: file.path,
                    message: "longer than the \(options.documentLimit) bytes that a document may have: split it into "
                        + "documents, a line of .jsonl each")
            }
            text += piece
        }
        guard !text.isEmpty else { throw Self.empty(file.path) }
        if String(validating: text, as: UTF8.self) == nil {
            let (offset, line) = Self.firstInvalid(text)
            throw CheckpointError(
                .malformed, file: "\(file.path), line \(line)", message: "not valid UTF-8 at byte \(offset)")
        }
        return Document(text: Array(Self.withoutMark(text[...])), file: file.path, line: nil)
    }

    /// The byte at which text stops being UTF-8, and the line that it is in.
    static func firstInvalid(_ text: [UInt8]) -> (offset: Int, line: Int) {
        var parser = Unicode.UTF8.ForwardParser()
        var bytes = text.makeIterator()
        var (offset, line) = (0, 1)
        while case .valid(let scalar) = parser.parseScalar(from: &bytes) {
            offset += scalar.count
            if scalar.first == 0x0A { line += 1 }
        }
        return (offset, line)
    }

    private static func withoutMark(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        text.starts(with: [0xEF, 0xBB, 0xBF]) ? text.dropFirst(3) : text
    }

    private static func empty(_ path: String) -> CheckpointError {
        CheckpointError(.malformed, file: path, message: "empty: there is no document in it")
    }
}
