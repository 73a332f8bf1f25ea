import Reports
import Safetensors
import TestSupport
import Testing

@Suite struct FigureTests {
    private let loss = Axis("loss", unit: "nats", format: .four)

    /// By hand: (1, 5) and (2, 3) and (4, 1) are beaten by none; (3, 3) is, by (2, 3), and (5, 2) by (4, 1).
    @Test func paretoPointsAreThoseThatNoneBeats() {
        let points = [(5.0, 2.0), (1, 5), (3, 3), (2, 3), (4, 1), (.nan, 0)].map { LineChart.Point($0.0, $0.1) }
        var chart = LineChart(x: Axis("cost"), y: loss, [.init("runs", .points, points)], frontier: .leastBoth)
        #expect(chart.optimal.map(\.x) == [1, 2, 4])
        // More of y is better: (1, 5) alone is beaten by none.
        chart.frontier = .leastXMostY
        #expect(chart.optimal.map(\.x) == [1])
        chart.frontier = nil
        #expect(chart.optimal.isEmpty)
    }

    /// 19 steps of the bar between its ends: the middle of 0 and 1 is 9.5, which rounds away from 0.
    @Test func colorsFollowValues() throws {
        let map = HeatMap(loss, rowTitle: "r", ["a"], columnTitle: "c", ["x", "y", "z"], [[0, 0.5, 1]])
        let bounds = try #require(map.bounds)
        #expect([0, 0.5, 1].map { HeatMap.level($0, in: bounds) } == [0, 10, 19])
        #expect(HeatMap.level(.nan, in: bounds) == nil)
        #expect(HeatMap.level(3, in: (3, 3)) == 10, "all alike")
    }

    @Test func tablesHoldTheNumbers() {
        let bars = BarChart(loss, categoryTitle: "domain", ["law"], [.init("before", [1.5]), .init("after", [1.25])])
        #expect(Figure("f", .bars(bars)).table.header == ["domain", "before, loss (nats)", "after, loss (nats)"])
        #expect(Figure("f", .bars(bars)).table.rows == [["law", "1.5000", "1.2500"]])
        let stacks = StackedBars(
            Axis("size", format: .bytes), categoryTitle: "", ["all"], [.init("F32", [1000]), .init("BF16", [500])])
        #expect(Figure("f", .stacks(stacks)).table.rows == [["all", "1 kB", "500 bytes", "1.5 kB"]])
    }

    @Test func documentHoldsEveryNumber() throws {
        let chart = LineChart(x: Axis("updates"), y: loss, [.init("training", .line, [.init(0, 2.5), .init(1, .nan)])])
        let json = Figure("Loss", .lines(chart)).json.object
        #expect(json?["kind"]?.string == "lines")
        let series = json?["series"]?.array?.first?.object
        #expect(series?["y"] == .array([.number("2.5"), .null]))
    }

    @Test func textFromFilesIsEscaped() {
        let nasty = "<script>alert('1')</script>\"&\u{202E}\u{0}\u{7}"
        var report = Report(nasty, command: ["moe-tool", "it's", nasty])
        report.summary = nasty
        report.facts = [(nasty, nasty)]
        let axis = Axis(nasty, unit: nasty)
        report.figures = [
            Figure(
                nasty, caption: nasty,
                .lines(LineChart(x: axis, y: axis, [.init(nasty, .points, [.init(1, 1, label: nasty)])]))),
            Figure(nasty, .map(HeatMap(axis, rowTitle: nasty, [nasty], columnTitle: nasty, [nasty], [[1]]))),
            Figure(nasty, .bars(BarChart(axis, categoryTitle: nasty, [nasty], [.init(nasty, [1])]))),
            Figure(nasty, .stacks(StackedBars(axis, categoryTitle: nasty, [nasty], [.init(nasty, [1])]))),
        ]
        let html = report.html
        #expect(!html.contains("<script") && !html.contains("\u{202E}") && !html.contains("\u{0}"))
        #expect(html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;\u{FFFD}\u{FFFD}\u{FFFD}"))
        #expect(html.contains("moe-tool &#39;it&#39;\\&#39;&#39;s&#39;"))
        #expect(!html.contains("http:") && !html.contains("https:") && !html.contains("url("))
    }

    /// Nothing that a run may measure stops the page.
    @Test func anyNumbersAreDrawn() {
        let values: [[Double]] = [
            [], [1], [0, 0, 0], [.nan], [.infinity, -.infinity], [.leastNonzeroMagnitude, -.leastNonzeroMagnitude],
            [1e308, -1e308], [1, .nan, 2],
            (0..<5000).map { Double($0) },
        ]
        for list in values {
            for scale in [Axis.Scale.linear, .logarithmic] {
                for format in [ValueFormat.general, .percent, .bytes, .count, .four] {
                    let axis = Axis("a", scale: scale, format: format)
                    let points = list.map { LineChart.Point($0, $0) }
                    for style in [LineChart.Series.Style.line, .both, .points] {
                        let chart = LineChart(x: axis, y: axis, [.init("s", style, points)], frontier: .leastBoth)
                        #expect(Figure("f", .lines(chart)).html.contains("<svg"))
                    }
                    let names = list.indices.map(String.init)
                    let map = HeatMap(axis, rowTitle: "r", ["0", "1"], columnTitle: "c", names, [list])
                    #expect(Figure("f", .map(map)).html.contains("<svg"))
                    let bars = BarChart(axis, categoryTitle: "c", names, [.init("s", list), .init("t", [])])
                    #expect(Figure("f", .bars(bars)).html.contains("<svg"))
                    let stacks = StackedBars(axis, categoryTitle: "c", names, [.init("s", list), .init("t", [])])
                    #expect(Figure("f", .stacks(stacks)).html.contains("<svg"))
                }
            }
        }
        let none = LineChart(x: loss, y: loss, [])
        #expect(Figure("f", .lines(none)).html.contains("There are no points."))
        let many = LineChart(x: loss, y: loss, (0..<3000).map { .init("\($0)", values: [1, 2]) })
        #expect(Figure("f", .lines(many)).html.contains("The first 24 of 3000 series are drawn."))
    }

    /// Thousands of columns share cells, and the page stays one that a browser opens.
    @Test func wideMatricesAreBinned() {
        let names = (0..<5000).map(String.init)
        let row = names.indices.map { Double($0 % 7) }
        let map = HeatMap(loss, rowTitle: "r", names, columnTitle: "c", names, .init(repeating: row, count: 5000))
        let html = Figure("f", .map(map)).html
        // 5000 / 256, rounded up.
        #expect(html.contains("A column of cells is the mean of 20 columns."))
        #expect(html.utf8.count < 20_000_000)
    }
}
