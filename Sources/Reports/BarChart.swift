import Safetensors

/// Bars from 0 for each category, side by side: before and after, one model and another.
package struct BarChart: Sendable {
    package struct Series: Sendable {
        package var name: String
        /// One for each category; what is not finite has no bar.
        package var values: [Double]

        package init(_ name: String, _ values: [Double]) {
            self.name = name
            self.values = values
        }
    }

    /// What the categories are: "domain".
    package var categoryTitle: String
    package var categories: [String]
    package var value: Axis
    package var series: [Series]

    package init(_ value: Axis, categoryTitle: String, _ categories: [String], _ series: [Series]) {
        self.value = value
        self.categoryTitle = categoryTitle
        self.categories = categories
        self.series = series
    }

    /// More than these are no longer read.
    private static let barLimit = 160

    /// How many categories are drawn.
    private var drawnCount: Int { min(categories.count, max(1, Self.barLimit / max(series.count, 1))) }
    private var drawnSeries: ArraySlice<Series> { series.prefix(Self.barLimit) }

    private func value(_ series: Series, _ category: Int) -> Double {
        series.values.indices.contains(category) ? series.values[category] : .nan
    }
}

extension BarChart: Plot {
    var notes: [String] {
        if categories.isEmpty || series.isEmpty { return ["There are no values."] }
        return drawnCount < categories.count ? ["The first \(drawnCount) of \(categories.count) are drawn."] : []
    }

    var legend: [LegendEntry] {
        drawnSeries.enumerated().map { LegendEntry(sample: .box(SeriesStyle($0).fillClass), name: $1.name) }
    }

    var table: DataTable {
        DataTable(header: [categoryTitle] + series.map { "\($0.name), \(value.title)" }, count: categories.count) {
            row in
            [categories[row]] + series.map { value.format.text(value($0, row)) }
        }
    }

    var json: JSONObject {
        [
            "kind": "bars", "value": .axis(value), "category_title": .string(categoryTitle),
            "categories": .strings(categories),
            "series": .array(
                series.map { series in
                    .object([
                        "name": .string(series.name), "values": .numbers(categories.indices.map { value(series, $0) }),
                    ])
                }),
        ]
    }

    func drawing(width: Double) -> Drawing {
        var drawing = Drawing(width: width)
        let size = 12.0
        let values = drawnSeries.flatMap { series in (0..<drawnCount).map { value(series, $0) } }
        // Names stand beside their bars where there is room, and above them where there is not.
        let isBeside = width > 500
        let names = categories.prefix(drawnCount).map {
            TextMetrics.fitted($0, size: size, in: isBeside ? width * 0.42 : width - 16)
        }
        let nameWidth = names.map { TextMetrics.width($0, size: size) }.max() ?? 0
        let numberWidth = values.map { TextMetrics.width(value.format.text($0), size: 11) }.max() ?? 0
        let hasNegative = values.contains { $0 < 0 && $0.isFinite }
        let left = (isBeside ? nameWidth + 14 : 8) + (hasNegative ? numberWidth + 8 : 0)
        let right = width - numberWidth - 14
        let mapping = Mapping(value, values, from: left, to: max(right, left + 20), includesZero: true)
        let zero = mapping.position(0) ?? left
        let bar = series.count > 4 ? 13.0 : series.count > 1 ? 15 : 18
        var top = categoryTitle.isEmpty ? 8.0 : 24
        drawing.text(categoryTitle, 4, 14, "axis")
        for (category, name) in names.enumerated() {
            if !isBeside {
                drawing.text(name, 4, top + 11, "tick")
                top += 16
            }
            let height = bar * Double(max(drawnSeries.count, 1))
            // Names above the bars begin where the line of 0 is: it is drawn beside bars alone.
            drawing.line(zero, top - 2, zero, top + height + (isBeside ? 8 : 0), "base")
            if isBeside { drawing.text(name, nameWidth + 6, top + height / 2 + 4, "tick", .end) }
            for (index, series) in drawnSeries.enumerated() {
                let found = value(series, category)
                let text = value.format.text(found)
                let end = mapping.position(found) ?? zero
                if found.isFinite {
                    drawing.rectangle(
                        min(zero, end), top, abs(end - zero), bar - 2, SeriesStyle(index).fillClass,
                        title: "\(categories[category]), \(series.name): \(text)")
                }
                let isNegative = found < 0 && found.isFinite
                drawing.text(
                    text, isNegative ? end - 4 : end + 4, top + bar / 2 + 3, "number", isNegative ? .end : .start)
                top += bar
            }
            top += 8
        }
        drawValueTicks(&drawing, mapping, value.format, top)
        drawing.height = top + 42
        drawing.text(value.title, width - 8, top + 36, "axis", .end)
        return drawing
    }
}

/// Ticks of a horizontal axis of values, as many as have room.
func drawValueTicks(_ drawing: inout Drawing, _ mapping: Mapping, _ format: ValueFormat, _ top: Double) {
    for count in stride(from: Int(abs(mapping.end - mapping.start) / 70), through: 0, by: -1) {
        let (values, step) = mapping.ticks(count: max(count, 1))
        let texts = format.tickTexts(values, step: step)
        let halves = texts.map { TextMetrics.width($0, size: 12) / 2 }
        let places = values.map { mapping.position($0) ?? mapping.start }
        // Texts at the ends of the drawing are moved inside.
        let centers = places.indices.map { min(max(places[$0], halves[$0] + 2), drawing.width - halves[$0] - 2) }
        let overlaps = centers.indices.dropFirst().contains {
            centers[$0] - halves[$0] < centers[$0 - 1] + halves[$0 - 1] + 8
        }
        if overlaps, count > 0 { continue }
        for index in centers.indices where index == 0 || !overlaps {
            drawing.line(places[index], top, places[index], top + 4, "base")
            drawing.text(texts[index], centers[index], top + 17, "tick", .middle)
        }
        return
    }
}
