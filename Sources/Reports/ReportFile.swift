import Checkpoints
import Glibc
import Safetensors

/// Where a report goes: a page, and the same data as JSON beside it.
package struct ReportFile: Sendable {
    package let path: String
    /// Whether a report that is there is replaced.
    package var replaces: Bool

    /// - Throws: `CheckpointError` of `.usage` for a name that does not end in .html.
    package init(_ path: String, replaces: Bool = false) throws {
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard name.hasSuffix(".html"), name.count > ".html".count else {
            throw CheckpointError(.usage, file: path, message: "--report: give a page a name that ends in .html")
        }
        self.path = path
        self.replaces = replaces
    }

    /// The JSON's path: the page's with another ending.
    package var jsonPath: String { String(path.dropLast(5)) + ".json" }

    /// Refuses what cannot be written, before the work that it is to report.
    ///
    /// - Throws: `CheckpointError`: `.usage` where a file is there and is not to be replaced, or is no report; `.io` where
    ///   there is no folder to write to.
    package func check() throws {
        for file in [path, jsonPath] where fileExists(file) {
            guard replaces else {
                throw CheckpointError(
                    .usage, file: file,
                    message: "it exists: choose another name for --report, or replace it with --force"
                )
            }
            // A configuration, say, lies where the JSON of config.html would.
            guard Self.isReport(file) else {
                throw CheckpointError(
                    .usage, file: file,
                    message: "it is no report, and is not replaced: choose another name for --report")
            }
        }
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { String(path[...$0]) } ?? "."
        guard access(folder, W_OK) == 0 else {
            throw CheckpointError(
                .io, file: path, message: "the folder cannot be written to: \(String(cString: strerror(errno)))")
        }
    }

    /// Writes both files; each appears whole or not at all.
    ///
    /// - Throws: as `check`, and `SafetensorsError` of `.io` where the disk refuses.
    package func write(_ report: Report) throws {
        try check()
        try PosixFile.replace(jsonPath, with: Array((report.json.serialized() + "\n").utf8))
        try PosixFile.replace(path, with: Array(report.html.utf8))
    }

    private static func isReport(_ path: String) -> Bool {
        guard let file = try? PosixFile.open(path), let size = try? file.size(),
            let head = try? file.bytes(at: 0, count: min(size, 512))
        else { return false }
        let text = String(decoding: head, as: UTF8.self)
        return text.contains("content=\"\(Report.mark)\"") || text.hasPrefix("{\n  \"\(Report.mark)\":")
    }
}
