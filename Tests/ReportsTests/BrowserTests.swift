import Foundation
import Reports
import Safetensors
import TestSupport
import Testing

/// A page as a browser lays it out: what text really takes, no estimate of ours says.
@Suite(.serialized, .enabled(if: Browser.path != nil, "no chromium is installed (apt-get install chromium)"))
struct BrowserTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test(arguments: [1200, 720, 390, 320], [false, true])
    func pagesAreWhole(width: Int, isDark: Bool) throws {
        let found = try Browser.measure(Self.page.html, width: width, isDark: isDark, in: folder)
        #expect(found["figures"]?.int == Self.page.figures.count)
        #expect(found["empty"] == .array([]), "every figure has an area")
        #expect(found["overlaps"] == .array([]), "no label lies on another")
        #expect(found["outside"] == .array([]), "no label is cut off")
        #expect(found["scroll"]?.int == 0, "the page is no wider than the window")
        #expect(found["resources"]?.int == 0, "nothing is fetched")
        let light = try #require(found["background"]?.double)
        #expect(isDark ? light < 64 : light > 192)
    }

    /// All kinds of figures, with what makes labels meet: long names, many of them, values far apart, none, one.
    private static var page: Report {
        var report = Report("Everything that is hard to lay out", command: ["moe-tool", "a", "command line"])
        report.summary = String(repeating: "unbroken", count: 40)
        report.facts = [("a fact", String(repeating: "long", count: 50)), ("another", "short")]
        let loss = Axis("loss", unit: "nats a token", format: .four)
        let long = (0..<12).map { "a rather long name of a domain, number \($0)" }
        let log = Axis("compute", unit: "FLOP", scale: .logarithmic)
        let runs = (0..<30).map { LineChart.Point(pow(1.9, Double($0)), 3 + 9 / Double($0 + 1), label: "run \($0)") }
        let noise = (0..<4000).map { sin(Double($0 * $0)) + 3 }
        let charts = [
            LineChart(x: log, y: loss, [.init("runs", .points, runs)], frontier: .leastBoth),
            LineChart(x: Axis("updates"), y: loss, [.init("noise", .faint, values: noise)]),
            LineChart(
                x: log, y: Axis("loss", scale: .logarithmic),
                (2..<14).map { k in
                    .init(
                        "exponent \(k)", .both, (1...6).map { .init(pow(10, Double($0)), pow(Double($0), -Double(k))) })
                }),
            LineChart(x: Axis("x"), y: loss, [.init("alone", .both, [.init(123_456_789, 1e-9)])]),
            LineChart(x: Axis("x"), y: loss, [.init("alike", .line, values: [2, 2, 2, .nan, 2, .infinity])]),
            LineChart(x: Axis("x"), y: loss, [.init("huge", .line, [.init(-1e300, -1e300), .init(1e300, 1e300)])]),
            LineChart(x: Axis("x"), y: loss, []),
        ]
        report.figures += charts.map { Figure("Lines", .lines($0)) }
        report.figures += charts.prefix(2).map { Figure("Lines beside each other", isHalf: true, .lines($0)) }
        func map(_ rows: [String], _ columns: [String], _ format: ValueFormat = .percent) -> Figure {
            let values = rows.indices.map { row in columns.indices.map { Double((row * 7 + $0 * 3) % 11) / 10 } }
            var map = HeatMap(
                Axis("share", format: format), rowTitle: "row", rows, columnTitle: "column", columns, values)
            map.marks = [.init(0, 0)]
            map.markName = "marked"
            return Figure("A map of \(rows.count) and \(columns.count)", .map(map))
        }
        func numbers(_ count: Int) -> [String] { (0..<count).map(String.init) }
        report.figures += [
            map(long, long), map(numbers(4), numbers(8)), map(numbers(61), numbers(256)), map(long, numbers(3000)),
            map(["one"], ["one"]), map(numbers(32), numbers(64), .general), map([], []),
            map(numbers(2), ["law", "python"]),
        ]
        let values = long.indices.map { Double($0) * 1.37 - 4 }
        report.figures += [
            Figure(
                "Bars", .bars(BarChart(loss, categoryTitle: "domain", long, [.init("a", values), .init("b", values)]))),
            Figure("A bar", .bars(BarChart(loss, categoryTitle: "", ["x"], [.init("a", [.nan])]))),
            Figure(
                "Huge bars", .bars(BarChart(Axis("x"), categoryTitle: "c", ["x", "y"], [.init("a", [1e300, -1e300])]))),
            Figure(
                "Stacks",
                .stacks(
                    StackedBars(
                        Axis("size", format: .bytes), categoryTitle: "layer", long,
                        (0..<10).map { part in .init("part \(part)", values.map { abs($0) * Double(part * part) * 1e6 })
                        }
                    ))),
        ]
        return report
    }
}

/// Debian's chromium, without a window.
private enum Browser {
    static let path = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    /// Lays a page out and measures it.
    ///
    /// The page is a frame of another one, whose script measures it: a window has a least width, and the page itself
    /// allows no script.
    static func measure(_ html: String, width: Int, isDark: Bool, in folder: TemporaryFolder) throws -> JSONObject {
        let frame = html.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "\"", with: "&quot;")
        let wrapper =
            "<!DOCTYPE html><body><script>\(script)</script>"
            + "<iframe id=\"f\" style=\"width:\(width)px;height:20000px\" srcdoc=\"\(frame)\"></iframe>"
        let file = try folder.write("wrapper.html", Array(wrapper.utf8))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path ?? "")
        process.arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
            "--user-data-dir=\(folder.path)/profile", "--blink-settings=preferredColorScheme=\(isDark ? 0 : 1)",
            "--dump-dom", file,
        ]
        let errors = folder.path + "/errors.txt"
        try folder.write("errors.txt", [])
        let output = Pipe()
        process.standardOutput = output
        process.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: errors))
        try process.run()
        DispatchQueue.global().asyncAfter(deadline: .now() + 120) { if process.isRunning { process.terminate() } }
        let document = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        // What a page's console would show, a refused resource included.
        let log = String(decoding: try contents(errors), as: UTF8.self)
        let console = log.split(separator: "\n").filter { $0.contains("CONSOLE") }
        #expect(console.isEmpty, "\(console)")
        let parts = document.components(separatedBy: "@@@")
        try #require(parts.count >= 3, "the browser measured nothing: \(log.suffix(2000))")
        return try #require(try JSON(parsing: Array(parts[parts.count - 2].utf8), file: "measurements").object)
    }

    /// Boxes of text are compared as they are turned, less the eighth at top and bottom that no letter reaches.
    private static let script = """
        function box(t) {
          const b = t.getBBox(), m = t.getScreenCTM(), i = b.height / 8;
          const at = (x, y) => ({ x: m.a * x + m.c * y + m.e, y: m.b * x + m.d * y + m.f });
          return [at(b.x, b.y + i), at(b.x + b.width, b.y + i), at(b.x + b.width, b.y + b.height - i),
            at(b.x, b.y + b.height - i)];
        }
        function overlap(a, b) {
          for (const box of [a, b]) for (let k = 0; k < 4; k++) {
            const p = box[k], q = box[(k + 1) % 4], x = q.y - p.y, y = p.x - q.x, slack = Math.hypot(x, y) / 2;
            const along = c => c.map(r => r.x * x + r.y * y), s = along(a), t = along(b);
            if (Math.max(...s) <= Math.min(...t) + slack || Math.max(...t) <= Math.min(...s) + slack) return false;
          }
          return true;
        }
        onload = () => {
          const f = document.getElementById("f"), d = f.contentDocument;
          const out = { figures: 0, empty: [], overlaps: [], outside: [] };
          out.scroll = d.documentElement.scrollWidth - d.documentElement.clientWidth;
          out.resources = f.contentWindow.performance.getEntriesByType("resource").length;
          out.background = Number(f.contentWindow.getComputedStyle(d.body).backgroundColor.match(/[0-9]+/)[0]);
          for (const svg of d.querySelectorAll("figure>svg")) {
            const r = svg.getBoundingClientRect(), name = svg.getAttribute("aria-label");
            if (f.contentWindow.getComputedStyle(svg).display == "none") continue;
            out.figures++;
            if (r.width < 200 || r.height < 30) out.empty.push(name);
            const texts = [...svg.querySelectorAll("text")].map(t => ({ text: t.textContent, box: box(t) }));
            texts.forEach((a, i) => {
              if (a.box.some(p => p.x < r.left - 1 || p.x > r.right + 1 || p.y < r.top - 1 || p.y > r.bottom + 1))
                out.outside.push(name + ": " + a.text);
              for (const b of texts.slice(0, i))
                if (overlap(a.box, b.box)) out.overlaps.push(name + ": " + a.text + " | " + b.text);
            });
          }
          // In two halves, so that this script does not hold the mark itself.
          document.body.append("@@" + "@" + JSON.stringify(out).replace(/[<>&]/g, "?") + "@@" + "@");
        };
        """
}
