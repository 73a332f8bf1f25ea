import Safetensors
import Synchronization

/// What of an unfinished checkpoint is known to be on disk.
///
/// A text file: a line with the fingerprint of what is being made, then one line for each range, `file begin end`. A
/// range is named only after the file that holds it has been synced, so that whatever a journal names survives a power
/// failure; a line that was cut short is ignored.
final class Journal: Sendable {
    private static let magic = "moe-tool journal 1"

    private let file: PosixFile
    private struct State {
        var end: Int
        var done: [String: ByteRanges] = [:]
    }
    private let state: Mutex<State>

    /// Starts a journal in a new file.
    init(creating path: String, fingerprint: String) throws {
        file = try PosixFile.create(path)
        let line = Array("\(Self.magic) \(fingerprint)\n".utf8)
        try file.writeExactly(line, at: 0)
        try file.sync()
        state = Mutex(State(end: line.count))
    }

    /// Goes on with a journal; nil where the file is of another format or of another run's making.
    init?(resuming path: String, fingerprint: String) throws {
        let opened = try PosixFile.openForUpdate(path)
        let bytes = try opened.bytes(at: 0, count: opened.size())
        var lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        guard let first = lines.first, String(decoding: first, as: UTF8.self) == "\(Self.magic) \(fingerprint)" else {
            return nil
        }
        // What follows the last line feed was cut short.
        let tail = lines.removeLast()
        var done: [String: ByteRanges] = [:]
        for line in lines.dropFirst() {
            let fields = String(decoding: line, as: UTF8.self).split(separator: " ")
            guard fields.count == 3, let begin = Int(fields[1]), let end = Int(fields[2]), begin >= 0, begin <= end
            else { continue }
            done[String(fields[0]), default: ByteRanges()].insert(begin..<end)
        }
        file = opened
        state = Mutex(State(end: bytes.count - tail.count, done: done))
    }

    /// The ranges of `file` that are on disk.
    func done(in file: String) -> ByteRanges { state.withLock { $0.done[file] ?? ByteRanges() } }

    /// Notes ranges of files that have been synced.
    func append(_ ranges: [(file: String, range: Range<Int>)]) throws {
        guard !ranges.isEmpty else { return }
        let text = ranges.map { "\($0.file) \($0.range.lowerBound) \($0.range.upperBound)\n" }.joined()
        try state.withLock { state in
            let bytes = Array(text.utf8)
            try file.writeExactly(bytes, at: state.end)
            try file.syncData()
            state.end += bytes.count
            for entry in ranges { state.done[entry.file, default: ByteRanges()].insert(entry.range) }
        }
    }
}
