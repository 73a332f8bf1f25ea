import Reports
import Safetensors
import TestSupport
import Testing

@Suite struct ReportFileTests {
    private let folder: TemporaryFolder
    private var report: Report { Report("A title", command: ["moe-tool", "inspect"]) }

    init() throws { folder = try TemporaryFolder() }

    @Test func pageAndDocumentLieSideBySide() throws {
        try ReportFile(folder.path + "/a.html").write(report)
        #expect(folder.names == ["a.html", "a.json"])
        let page = String(decoding: try contents(folder.path + "/a.html"), as: UTF8.self)
        #expect(page.hasPrefix("<!DOCTYPE html>") && page.hasSuffix("</html>\n"))
        let json = try JSON(parsing: contents(folder.path + "/a.json"), file: "a.json").object
        #expect(json?.keys == ["moe-tool report", "version", "command", "title", "summary", "facts", "figures"])
        #expect(json?["command"] == .array(["moe-tool", "inspect"]))
    }

    @Test func whatExistsIsKept() throws {
        let path = folder.path + "/a.html"
        try ReportFile(path).write(report)
        #expect(throws: (any Error).self) { try ReportFile(path).write(report) }
        try ReportFile(path, replaces: true).write(report)
        // A file that is no report is not replaced at all, and of two neither.
        let config = try folder.write("config.json", Array("{}".utf8))
        #expect(throws: (any Error).self) { try ReportFile(folder.path + "/config.html", replaces: true).write(report) }
        #expect(try contents(config) == Array("{}".utf8))
        #expect(folder.names == ["a.html", "a.json", "config.json"])
    }

    @Test func namesAndFoldersAreChecked() throws {
        for name in ["page", ".html", "a/.html", "page.json", ""] {
            #expect(throws: (any Error).self, "\(name)") { try ReportFile(name) }
        }
        #expect(throws: (any Error).self) { try ReportFile(folder.path + "/none/a.html").check() }
    }
}
