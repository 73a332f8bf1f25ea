import Checkpoints
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
            throw CheckpointError(.usage, file: path, message: "`report`: give a page a name that ends in .html")
        }
        self.path = path
        self.replaces = replaces
    }

    /// The JSON's path: the page's with another ending.
    package var jsonPath: String { String(path.dropLast(5)) + ".json" }

    /// Refuses what cannot be written, before the work that it is to report.
    ///
    /// - Throws: `CheckpointError`: `.usage` where a file is there and is not to be replaced, or is no report, or an input;
    ///   `.io` where there is no folder to write to.
    package func check() throws { _ = try files() }

    /// Writes both files, which appear together: each whole or not at all.
    ///
    /// The page, which says everything by itself, takes its place first: where there is data, its page is there, even if
    /// the process was killed between the two.
    ///
    /// - Throws: as `check`, and `SafetensorsError` of `.io` where the disk refuses.
    package func write(_ report: Report) throws {
        let files = try files()
        try OutputFile.write([
            (files.page, Array(report.html.utf8)), (files.data, Array((report.json.serialized() + "\n").utf8)),
        ])
    }

    /// A report whose data was not put in its place any more, since its writing was killed between the two, is replaced
    /// whole.
    private func files() throws -> (page: OutputFile, data: OutputFile) {
        let isHalf = try !fileExists(jsonPath) && fileExists(PosixFile.growingPath(jsonPath))
        return (
            try OutputFile(path, .report, overwrite: replaces || isHalf),
            try OutputFile(jsonPath, .report, overwrite: replaces)
        )
    }
}

extension OutputKind {
    /// A page or its data.
    fileprivate static let report = OutputKind("a report") { path in
        let file = try PosixFile.open(path)
        let text = String(decoding: try file.bytes(at: 0, count: min(file.size(), 512)), as: UTF8.self)
        // A configuration, say, lies where the JSON of config.html would.
        let isReport = text.contains("content=\"\(Report.mark)\"") || text.hasPrefix("{\n  \"\(Report.mark)\":")
        return isReport ? nil : "this is none"
    }
}
