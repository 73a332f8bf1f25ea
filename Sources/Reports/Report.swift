import Checkpoints
package import Safetensors

/// A page about what a command did: figures, the facts in words, the command line and the version.
///
/// ```swift
/// var report = Report("Held-out loss", command: ["moe-tool", "evaluate", "seed", "--data", "texts/"])
/// let loss = Axis("loss", unit: "nats", format: .four)
/// report.figures.append(
///     Figure("Loss", .bars(BarChart(loss, categoryTitle: "domain", ["law", "code"], [.init("seed", [3.6, 4.1])]))))
/// try ReportFile("report.html").write(report)
/// ```
package struct Report: Sendable {
    package var title: String
    /// A sentence under the title.
    package var summary = ""
    /// What is no number over an axis: sizes, verdicts, warnings.
    package var facts: [(name: String, text: String)] = []
    package var figures: [Figure] = []
    /// What the command's `--json` prints, where it prints more than the figures show.
    package var result: JSON?
    /// The command line, word by word.
    package let command: [String]

    package init(_ title: String, command: [String]) {
        self.title = title
        self.command = command
    }

    /// The first key of the document and the page's generator, by which a report is told from other files.
    static let mark = "moe-tool report"
    /// The version of the document's form.
    static let form = 1

    /// The document beside the page, as `Formats/schemas/report.schema.json` describes it.
    package var json: JSON {
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
    package var html: String {
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
        text += "<footer><p><code>\(markup(commandLine))</code></p><p>moe-tool \(markup(ToolVersion.current)). "
        return text + "The same data as JSON are in the file of the same name beside this page.</p></footer>\n"
            + "</body>\n</html>\n"
    }
}
