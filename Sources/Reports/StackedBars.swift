import Safetensors

/// What wholes are made of: a bar for each category, cut into parts.
package struct StackedBars: Sendable {
    package var categoryTitle: String
    package var categories: [String]
    package var value: Axis
    /// What is negative or not finite in them counts as nothing.
    package var parts: [BarChart.Series]

    package init(_ value: Axis, categoryTitle: String, _ categories: [String], _ parts: [BarChart.Series]) {
        self.value = value
        self.categoryTitle = categoryTitle
        self.categories = categories
        self.parts = parts
    }

    private static let categoryLimit = 160
    private static let partLimit = 24

    private func value(_ part: BarChart.Series, _ category: Int) -> Double {
        guard part.values.indices.contains(category) else { return 0 }
        let found = part.values[category]
        return found.isFinite && found > 0 ? found : 0
    }

    private func total(_ category: Int) -> Double {
        min(parts.reduce(0) { $0 + value($1, category) }, .greatestFiniteMagnitude)
    }
}

extension StackedBars: Plot {
    var notes: [String] {
        if categories.isEmpty || parts.isEmpty { return ["There are no values."] }
        var notes: [String] = []
        let wrong = parts.reduce(0) { $0 + $1.values.count { !($0.isFinite && $0 >= 0) } }
        if wrong > 0 { notes.append("Not drawn: \(counted(wrong, "value")) below 0 or not finite.") }
        if categories.count > Self.categoryLimit {
            notes.append("The first \(Self.categoryLimit) of \(categories.count) are drawn.")
        }
        if parts.count > Self.partLimit {
            notes.append("The first \(Self.partLimit) of \(parts.count) parts are drawn.")
        }
        return notes
    }

    var legend: [LegendEntry] {
        parts.prefix(Self.partLimit).enumerated().map {
            LegendEntry(sample: .box(SeriesStyle($0).fillClass), name: $1.name)
        }
    }

    var table: DataTable {
        DataTable(header: [categoryTitle] + parts.map(\.name) + ["together"], count: categories.count) { row in
            [categories[row]]
                + parts.map { value.format.text($0.values.indices.contains(row) ? $0.values[row] : .nan) }
                + [value.format.text(total(row))]
        }
    }

    var json: JSONObject {
        [
            "kind": "stacked bars", "value": .axis(value), "category_title": .string(categoryTitle),
            "categories": .strings(categories),
            "series": .array(
                parts.map { .object(["name": .string($0.name), "values": .numbers($0.values)]) }),
        ]
    }

    func drawing(width: Double) -> Drawing {
        var drawing = Drawing(width: width)
        let count = min(categories.count, Self.categoryLimit)
        let totals = (0..<count).map(total)
        let names = categories.prefix(count).map { TextMetrics.fitted($0, size: 12, in: width * 0.3) }
        let left = (names.map { TextMetrics.width($0, size: 12) }.max() ?? 0) + 14
        let numberWidth = totals.map { TextMetrics.width(value.format.text($0), size: 11) }.max() ?? 0
        let right = max(width - numberWidth - 14, left + 20)
        let mapping = Mapping(value, totals, from: left, to: right, includesZero: true)
        let height = count <= 6 ? 30.0 : count <= 40 ? 19 : 15
        let start = categoryTitle.isEmpty ? 8.0 : 24
        var top = start
        drawing.text(categoryTitle, 4, 14, "axis")
        for (category, name) in names.enumerated() {
            drawing.text(name, left - 6, top + height / 2 + 3, "tick", .end)
            var sum = 0.0
            for (index, part) in parts.prefix(Self.partLimit).enumerated() {
                let found = value(part, category)
                guard found > 0, let start = mapping.position(sum),
                    let end = mapping.position(min(sum + found, .greatestFiniteMagnitude))
                else { continue }
                sum = min(sum + found, .greatestFiniteMagnitude)
                let text = value.format.text(found)
                // A part too thin to be seen is still there.
                let wide = max(end - start - 1, 0.6)
                drawing.rectangle(
                    start, top, wide, height - 3, SeriesStyle(index).fillClass,
                    title: "\(categories[category]), \(part.name): \(text)")
                if height >= 19, TextMetrics.width(text, size: 11) + 8 <= wide {
                    drawing.text(
                        text, start + wide / 2, top + height / 2 + 2.5, "v11 o\(index % SeriesStyle.colors)", .middle)
                }
            }
            drawing.text(
                value.format.text(totals[category]), (mapping.position(totals[category]) ?? left) + 5,
                top + height / 2 + 3, "number")
            top += height
        }
        top += 4
        drawing.line(left, start - 2, left, top, "base")
        drawValueTicks(&drawing, mapping, value.format, top)
        drawing.height = top + 42
        drawing.text(value.title, width - 8, top + 36, "axis", .end)
        return drawing
    }
}
