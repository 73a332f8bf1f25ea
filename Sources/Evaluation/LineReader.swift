import Checkpoints

/// The lines of a stream, each held as a whole.
struct LineReader {
    private let stream: any ByteStream
    private let file: String
    private let limit: Int
    private var piece: ArraySlice<UInt8> = []
    /// What is still to be passed over, at most, of a line that was too long.
    private var discardable = 0
    /// The number of the line that was given last, from 1.
    private(set) var lineNumber = 0

    init(_ stream: any ByteStream, file: String, limit: Int) {
        self.stream = stream
        self.file = file
        self.limit = limit
    }

    /// The next line, without its line feed; nil at the end.
    ///
    /// - Throws: `.malformed` for a line that is longer than the limit, and then goes on with the one after it; for one
    ///   that is many times longer (a few kilobytes of Zstandard can be one of gigabytes), the file ends there.
    mutating func next() throws -> [UInt8]? {
        guard try finishDiscarding() else { return nil }
        var line: [UInt8] = []
        var isInLine = false
        while true {
            if piece.isEmpty {
                piece = try stream.next()[...]
                if piece.isEmpty {
                    if isInLine { return line }
                    return nil
                }
            }
            if !isInLine {
                isInLine = true
                lineNumber += 1
            }
            let end = piece.firstIndex(of: 0x0A)
            let part = piece[..<(end ?? piece.endIndex)]
            guard line.count + part.count <= limit else {
                discardable = 16 * min(limit, 1 << 40)
                throw CheckpointError(
                    .malformed, file: "\(file), line \(lineNumber)", message: "longer than \(limit) bytes")
            }
            line += part
            if let end {
                piece = piece[(end + 1)...]
                return line
            }
            piece = []
        }
    }

    /// Passes over the rest of a line that was too long; false where the file ends within it.
    private mutating func finishDiscarding() throws -> Bool {
        while discardable > 0 {
            if let end = piece.firstIndex(of: 0x0A) {
                piece = piece[(end + 1)...]
                discardable = 0
                return true
            }
            discardable -= piece.count
            piece = try stream.next()[...]
            if piece.isEmpty || discardable <= 0 {
                piece = []
                discardable = .max
                return false
            }
        }
        return true
    }
}
