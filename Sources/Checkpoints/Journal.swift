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

    /// Where a journal grows until its first lines are whole.
    static func growingPath(_ path: String) -> String { path + ".new" }

    /// Starts a journal, in the place of one that is there.
    ///
    /// - Parameters:
    ///   - replaces: what the finished checkpoint is to take the place of.
    ///   - done: ranges that are on disk already.
    init(
        starting path: String, fingerprint: String, replaces: String?, done: [(file: String, range: Range<Int>)] = []
    ) throws {
        var text = "\(Self.magic) \(fingerprint)\n"
        if let replaces { text += "replaces \(replaces)\n" }
        let growing = Self.growingPath(path)
        try PosixFile.write(growing, Array((text + Self.lines(done)).utf8))
        try PosixFile.rename(growing, path)
        try PosixFile.syncDirectory(WorkFolder.split(path).parent)
        file = try PosixFile.openForUpdate(path)
        state = Mutex(State(end: (text + Self.lines(done)).utf8.count))
        state.withLock { state in
            for entry in done { state.done[entry.file, default: ByteRanges()].insert(entry.range) }
        }
    }

    /// What a journal says of the run; nil where there is none, or it was cut short before it said anything.
    static func preamble(of path: String) throws -> (fingerprint: String, replaces: String?)? {
        guard try fileExists(path) else { return nil }
        let bytes = try PosixFile.contents(path, limit: .max)
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: false)
        guard lines.count > 1 else { return nil }
        let second = String(decoding: lines[1], as: UTF8.self).split(separator: " ")
        return (
            String(decoding: lines[0].dropFirst(magic.utf8.count + 1), as: UTF8.self),
            lines.count > 2 && second.count == 2 && second[0] == "replaces" ? String(second[1]) : nil
        )
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
        let text = Self.lines(ranges)
        try state.withLock { state in
            let bytes = Array(text.utf8)
            try file.writeExactly(bytes, at: state.end)
            try file.syncData()
            state.end += bytes.count
            for entry in ranges { state.done[entry.file, default: ByteRanges()].insert(entry.range) }
        }
    }

    private static func lines(_ ranges: [(file: String, range: Range<Int>)]) -> String {
        ranges.map { "\($0.file) \($0.range.lowerBound) \($0.range.upperBound)\n" }.joined()
    }
}
