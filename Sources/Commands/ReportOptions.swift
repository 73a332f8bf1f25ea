import ArgumentParser
import Reports
import Safetensors

/// What every command takes that draws what it measured.
struct ReportOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Also write a page with figures, and the same data as JSON beside it.", valueName: "page.html"),
        completion: .file())
    var report: String?

    /// Where the report goes, checked before the work; nil where none is wanted.
    ///
    /// - Throws: `CheckpointError` where there is something that is not to be replaced, or no folder.
    func file(replaces: Bool) throws -> ReportFile? {
        guard let report else { return nil }
        let file = try ReportFile(report, replaces: replaces)
        try file.check()
        return file
    }
}

/// `--report` of a command that writes nothing else, and so has no other `--force`.
struct ReplacingReportOptions: ParsableArguments {
    @OptionGroup var options: ReportOptions

    @Flag(help: "Replace a report (evaluate: and statistics) that exists.")
    var force = false

    func file() throws -> ReportFile? { try options.file(replaces: force) }
}

extension Report {
    /// A report on this run of the program.
    init(_ title: String) { self.init(title, command: ["moe-tool"] + CommandLine.arguments.dropFirst()) }
}

extension ReportFile {
    /// Writes the report and says where.
    func write(_ report: Report, _ common: CommonOptions) throws {
        try write(report)
        if !common.quiet { standardError("Report: \(escaped(path))\n") }
    }
}

/// Names of models short enough for a figure: the ends of their paths that tell them apart.
func shortNames(_ paths: [String]) -> [String] {
    let parts = paths.map { path in
        // An ensemble's name is none of a path.
        path.hasPrefix("ensemble (") ? [Substring(path)] : path.split(separator: "/")
    }
    let longest = parts.map(\.count).max() ?? 0
    var names = paths
    for count in stride(from: 1, through: max(longest, 1), by: 1) {
        names = zip(paths, parts).map { $1.isEmpty ? $0 : $1.suffix(count).joined(separator: "/") }
        if Set(names).count == Set(paths).count { break }
    }
    return names
}
