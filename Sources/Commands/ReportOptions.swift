import ArgumentParser
import MoEToolkit
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

extension ReportFile {
    /// Writes the report of this run of the program, and says where.
    func write(_ report: Report, _ common: CommonOptions) throws {
        var report = report
        report.facts = report.facts.map { ($0.name, OptionSpelling.flags(in: $0.text)) }
        report.command = ["moe-tool"] + CommandLine.arguments.dropFirst()
        try write(report)
        if !common.quiet { standardError("Report: \(escaped(path))\n") }
    }
}
