import Safetensors

/// Series of points over an axis, with lines between them, markers, or both; axes may be logarithmic.
package struct LineChart: Sendable {
    package struct Point: Sendable {
        package var x: Double
        package var y: Double
        /// A name beside the point, where there is room.
        package var label: String?

        package init(_ x: Double, _ y: Double, label: String? = nil) {
            self.x = x
            self.y = y
            self.label = label
        }
    }

    package struct Series: Sendable {
        package enum Style: String, Sendable {
            case line, points
            /// A line with a marker at each point.
            case both
            /// A line that stands back behind the others.
            case faint
            /// A level to compare with.
            case dashed
        }
        package var name: String
        package var style: Style
        package var points: [Point]

        package init(_ name: String, _ style: Style = .line, _ points: [Point]) {
            self.name = name
            self.style = style
            self.points = points
        }

        /// Values over 0, 1, 2 and so on.
        package init(_ name: String, _ style: Style = .line, values: [Double]) {
            self.init(name, style, values.enumerated().map { Point(Double($0.offset), $0.element) })
        }
    }

    /// Which points are Pareto-optimal: no other is at least as good in both, and better in one.
    package enum Frontier: String, Sendable {
        /// Less of both is better: cost and loss.
        case leastBoth = "least of both"
        /// Less of x and more of y is better: cost and accuracy.
        case leastXMostY = "least of x, most of y"
    }

    package var x: Axis
    package var y: Axis
    package var series: [Series]
    /// Which optimal points to mark; nil for none.
    package var frontier: Frontier?

    /// More than these are not told apart.
    static let seriesLimit = 24

    package init(x: Axis, y: Axis, _ series: [Series], frontier: Frontier? = nil) {
        self.x = x
        self.y = y
        self.series = series
        self.frontier = frontier
    }

    var drawnSeries: ArraySlice<Series> { series.prefix(Self.seriesLimit) }

    func shows(_ point: Point) -> Bool { x.shows(point.x) && y.shows(point.y) }

    /// The optimal points of all series, by rising x; empty unless they are to be marked.
    ///
    /// Complexity: O(n log n).
    package var optimal: [Point] {
        guard let frontier else { return [] }
        let sign = frontier == .leastBoth ? 1.0 : -1.0
        let all = series.flatMap(\.points).filter { $0.x.isFinite && $0.y.isFinite }
            .sorted { $0.x != $1.x ? $0.x < $1.x : sign * $0.y < sign * $1.y }
        var best = Double.infinity
        var result: [Point] = []
        for point in all {
            let isTwin = result.last.map { $0.x == point.x && $0.y == point.y } ?? false
            guard sign * point.y < best || isTwin else { continue }
            best = sign * point.y
            result.append(point)
        }
        return result
    }
}

extension LineChart: Plot {
    var notes: [String] {
        var notes: [String] = []
        let points = series.flatMap(\.points)
        if points.isEmpty { return ["There are no points."] }
        let infinite = points.count { !$0.x.isFinite || !$0.y.isFinite }
        let negative = points.count { $0.x.isFinite && $0.y.isFinite && !shows($0) }
        if infinite > 0 { notes.append("Not drawn: \(counted(infinite, "point")) with a value that is not finite.") }
        if negative > 0 {
            notes.append("Not drawn: \(counted(negative, "point")) that a logarithmic axis has no place for.")
        }
        if series.count > Self.seriesLimit {
            notes.append("The first \(Self.seriesLimit) of \(series.count) series are drawn.")
        }
        return notes
    }

    func style(_ index: Int) -> SeriesStyle {
        var style = SeriesStyle(index)
        guard series.indices.contains(index) else { return style }
        style.isDashed = series[index].style == .dashed
        style.isFaint = series[index].style == .faint
        return style
    }

    var legend: [LegendEntry] {
        var entries = drawnSeries.enumerated().map { index, series in
            LegendEntry(
                sample: series.style == .points
                    ? .marker(style(index)) : .line(style(index), hasMarker: series.style == .both), name: series.name)
        }
        if frontier != nil { entries.append(LegendEntry(sample: .ring, name: "Pareto-optimal")) }
        return entries
    }

    var table: DataTable {
        // Series over the same places are columns of one table.
        let places = series.first?.points.map(\.x) ?? []
        if frontier == nil, series.count > 1, series.allSatisfy({ $0.points.map(\.x) == places }) {
            return DataTable(header: [x.title] + series.map(\.name), rowName: "point", count: places.count) { row in
                [x.format.text(places[row])] + series.map { y.format.text($0.points[row].y) }
            }
        }
        let hasLabels = series.contains { $0.points.contains { $0.label != nil } }
        var header = ["series", x.title, y.title]
        if hasLabels { header.append("name") }
        if frontier != nil { header.append("Pareto-optimal") }
        let best = Set(optimal.map { [$0.x, $0.y] })
        let all = series.flatMap { series in series.points.map { (series.name, $0) } }
        return DataTable(header: header, rowName: "point", count: all.count) { row in
            let (name, point) = all[row]
            var cells = [name, x.format.text(point.x), y.format.text(point.y)]
            if hasLabels { cells.append(point.label ?? "") }
            if frontier != nil { cells.append(best.contains([point.x, point.y]) ? "yes" : "") }
            return cells
        }
    }

    var json: JSONObject {
        [
            "kind": "lines", "x": .axis(x), "y": .axis(y),
            "series": .array(
                series.map { series in
                    var object: JSONObject = [
                        "name": .string(series.name), "x": .numbers(series.points.map(\.x)),
                        "y": .numbers(series.points.map(\.y)),
                    ]
                    if series.points.contains(where: { $0.label != nil }) {
                        object["labels"] = .strings(series.points.map { $0.label ?? "" })
                    }
                    return .object(object)
                }),
            "pareto": frontier == nil
                ? .null : .array(optimal.map { .numbers([$0.x, $0.y]) }),
        ]
    }
}

/// "1 point", "2 points".
func counted(_ count: Int, _ name: String) -> String { count == 1 ? "1 \(name)" : "\(count) \(name)s" }
