package import Safetensors

/// What a report draws: one of the kinds of figures under a title.
package struct Figure: Sendable {
    package enum Content: Sendable {
        case lines(LineChart)
        case map(HeatMap)
        case bars(BarChart)
        case stacks(StackedBars)
    }

    package var title: String
    /// A sentence on what is seen, or nothing.
    package var caption: String
    package var content: Content
    /// Whether two stand side by side where there is room.
    package var isHalf: Bool

    package init(_ title: String, caption: String = "", isHalf: Bool = false, _ content: Content) {
        self.title = title
        self.caption = caption
        self.isHalf = isHalf
        self.content = content
    }

    /// The same figure by another name.
    package func titled(_ title: String) -> Figure {
        var figure = self
        figure.title = title
        return figure
    }

    private var plot: any Plot {
        switch content {
        case .lines(let chart): chart
        case .map(let map): map
        case .bars(let chart): chart
        case .stacks(let chart): chart
        }
    }

    /// `{"title", "caption", "kind", ...}` with every number of the figure.
    package var json: JSON {
        var object: JSONObject = ["title": .string(title), "caption": .string(caption)]
        let content = plot.json
        for key in content.keys { object[key] = content[key] }
        return .object(object)
    }

    /// The table under the figure.
    package var table: DataTable { plot.table }

    /// The figure element.
    package var html: String {
        let plot = plot
        var text = "<figure class=\"\(isHalf ? "half" : "full")\">\n<figcaption><h2>\(markup(title))</h2>"
        if !caption.isEmpty { text += "<p>\(markup(caption))</p>" }
        for note in plot.notes { text += "<p class=\"note\">\(markup(note))</p>" }
        text += "</figcaption>\n"
        if !plot.legend.isEmpty {
            text += "<ul class=\"legend\">" + plot.legend.map(\.html).joined() + "</ul>\n"
        }
        // Text in a drawing shrinks with it: a narrow page has a drawing of its own.
        if !isHalf { text += plot.drawing(width: 720).element("wide", label: title) }
        text += plot.drawing(width: 344).element(isHalf ? "any" : "narrow", label: title)
        return text + "\n<details><summary>The numbers</summary>\(plot.table.html)</details>\n</figure>\n"
    }
}

/// A kind of figure.
protocol Plot {
    /// What must be known to read it rightly: values that cannot be drawn, rows left out.
    var notes: [String] { get }
    var legend: [LegendEntry] { get }
    var table: DataTable { get }
    var json: JSONObject { get }

    func drawing(width: Double) -> Drawing
}

/// A line of a legend: a sample, and what it stands for.
struct LegendEntry {
    enum Sample {
        case line(SeriesStyle, hasMarker: Bool)
        case marker(SeriesStyle)
        case box(String)
        case ring
    }
    let sample: Sample
    let name: String

    var html: String {
        var drawing = Drawing(width: 26, height: 14)
        switch sample {
        case .line(let style, let hasMarker):
            drawing.line(1, 7, 25, 7, style.lineClass)
            if hasMarker { drawing.marker(style, 13, 7) }
        case .marker(let style): drawing.marker(style, 13, 7)
        case .box(let style): drawing.rectangle(7, 1, 12, 12, style)
        case .ring: drawing.rectangle(7.5, 1.5, 11, 11, "ring")
        }
        return "<li>\(drawing.element("sample", label: ""))\(markup(name))</li>"
    }
}

/// The numbers of a figure, to be read.
package struct DataTable {
    /// Beyond this many rows or columns a page is no place to read numbers in.
    private static let rowLimit = 200
    static let columnLimit = 64

    package let header: [String]
    private let count: Int
    /// What a row is, where some are left out.
    private let rowName: String
    /// Of a matrix of millions of numbers few are shown: rows are made when they are.
    private let row: (Int) -> [String]

    init(header: [String], rowName: String = "row", count: Int, _ row: @escaping (Int) -> [String]) {
        self.header = header
        self.rowName = rowName
        self.count = count
        self.row = row
    }

    /// All rows.
    package var rows: [[String]] { (0..<count).map(row) }

    var html: String {
        let every = max(1, (count + Self.rowLimit - 1) / Self.rowLimit)
        var notes: [String] = []
        if every > 1 { notes.append("Every \(every)th \(rowName) of \(count)") }
        if header.count > Self.columnLimit {
            notes.append("the first \(Self.columnLimit) columns of \(header.count)")
        }
        var text = ""
        if !notes.isEmpty {
            text += "<p class=\"note\">\(notes.joined(separator: ", ")); all are in the JSON beside this page.</p>"
        }
        text += "<div class=\"scroll\"><table><thead><tr>"
        text += header.prefix(Self.columnLimit).map { "<th>\(markup($0))</th>" }.joined()
        text += "</tr></thead><tbody>\n"
        for index in stride(from: 0, to: count, by: every) {
            let cells = row(index).prefix(Self.columnLimit).enumerated().map { column, cell in
                column == 0 ? "<th>\(markup(cell))</th>" : "<td>\(markup(cell))</td>"
            }
            text += "<tr>" + cells.joined() + "</tr>\n"
        }
        return text + "</tbody></table></div>"
    }
}

extension JSON {
    static func numbers(_ values: [Double]) -> JSON { .array(values.map { JSON($0) }) }
    static func axis(_ axis: Axis) -> JSON {
        .object([
            "label": .string(axis.label), "unit": axis.unit.map { .string($0) } ?? .null,
            "scale": .string(axis.scale.rawValue),
        ])
    }
}
