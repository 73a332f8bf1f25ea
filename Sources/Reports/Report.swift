import Checkpoints
public import Safetensors

/// A page about what a command did: figures, the facts in words, the command line and the version.
///
/// ```swift
/// var report = Report("Held-out loss", command: ["moe-tool", "evaluate", "seed", "--data", "texts/"])
/// let loss = Axis("loss", unit: "nats", format: .four)
/// report.figures.append(
///     Figure("Loss", .bars(BarChart(loss, categoryTitle: "domain", ["law", "code"], [.init("seed", [3.6, 4.1])]))))
/// try ReportFile("report.html").write(report)
/// ```
public struct Report: Sendable {
    /// What it is called.
    public var title: String
    /// A sentence under the title.
    public var summary = ""
    /// What is no number over an axis: sizes, verdicts, warnings.
    public var facts: [(name: String, text: String)] = []
    /// Drawings with their numbers.
    package var figures: [Figure] = []
    /// The result's own document, where it has more than the figures show.
    public var result: JSON?
    /// The command line that made it, word by word; empty where none did.
    package var command: [String]

    package init(_ title: String, command: [String] = []) {
        self.title = title
        self.command = command
    }

    /// Writes the page, and beside it the same data as JSON.
    ///
    /// - Parameters:
    ///   - path: the page's; it ends in .html.
    ///   - overwrite: replace a report that is there.
    /// - Throws: `CheckpointError`: `.usage` where something is there that is not to be replaced, `.io` where there is no
    ///   folder to write to; `SafetensorsError` where the disk refuses.
    public func write(to path: String, overwrite: Bool = false) throws {
        try ReportFile(path, replaces: overwrite).write(self)
    }

    /// The first key of the document and the page's generator, by which a report is told from other files.
    static let mark = "moe-tool report"
    /// The version of the document's form.
    static let form = 1

    /// The document beside the page, as `Formats/schemas/report.schema.json` describes it.
    public var json: JSON {
        var object: JSONObject = [
            Self.mark: JSON(Self.form), "version": .string(ToolVersion.current), "command": .strings(command),
            "title": .string(title), "summary": .string(summary),
            "facts": .array(facts.map { .object(["name": .string($0.name), "text": .string($0.text)]) }),
            "figures": .array(figures.map(\.json)),
        ]
        object["result"] = result
        return .object(object)
    }

    /// The words as a shell takes them.
    var commandLine: String {
        command.map { word in
            let isPlain =
                !word.isEmpty
                && word.unicodeScalars.allSatisfy {
                    ("a"..."z").contains($0) || ("A"..."Z").contains($0) || ("0"..."9").contains($0)
                        || "-_./=:,+@%".unicodeScalars.contains($0)
                }
            return isPlain
                ? word
                : "'"
                    + word.split(separator: "'", omittingEmptySubsequences: false)
                    .joined(separator: "'\\''") + "'"
        }.joined(separator: " ")
    }

    /// The page: everything is in it, nothing is fetched or run.
    public var html: String {
        var text = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="generator" content="\(Self.mark)">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(markup(title))</title>
            <style>\(StyleSheet.text)</style>
            </head>
            <body>
            <main>
            <h1>\(markup(title))</h1>

            """
        if !summary.isEmpty { text += "<p class=\"summary\">\(markup(summary))</p>\n" }
        if !facts.isEmpty {
            let items = facts.map { "<div><dt>\(markup($0.name))</dt><dd>\(markup($0.text))</dd></div>" }
            text += "<dl>\(items.joined())</dl>\n"
        }
        text += "<div class=\"figures\">\n" + figures.map(\.html).joined() + "</div>\n</main>\n"
        let line = command.isEmpty ? "" : "<p><code>\(markup(commandLine))</code></p>"
        text += "<footer>\(line)<p>moe-tool \(markup(ToolVersion.current)). "
        return text + "The same data as JSON are in the file of the same name beside this page.</p></footer>\n"
            + "</body>\n</html>\n"
    }
}
