extension LineChart {
    private static let fontSize = 12.0

    func drawing(width: Double) -> Drawing {
        let isWide = width > 500
        let height = isWide ? 320.0 : 280
        let (top, bottom) = (30.0, height - 44)
        var drawing = Drawing(width: width, height: height)
        let points = drawnSeries.flatMap(\.points).filter(shows)
        var vertical = Mapping(y, points.map(\.y), from: bottom, to: top)
        let rows = 5
        vertical.extendToTicks(count: rows)
        let (values, step) = vertical.ticks(count: rows)
        let texts = y.format.tickTexts(values, step: step)
        let left = 8 + (texts.map { TextMetrics.width($0, size: Self.fontSize) }.max() ?? 0) + 6
        let right = width - 14
        for (value, text) in zip(values, texts) {
            guard let place = vertical.position(value) else { continue }
            drawing.line(left, place, right, place, "grid")
            drawing.text(text, left - 6, place + 4, "tick", .end)
        }
        drawing.text(y.title, 4, 14, "axis")
        let horizontal = Mapping(x, points.map(\.x), from: left + 8, to: right - 8)
        drawHorizontal(&drawing, horizontal, left, right, bottom)
        drawing.text(x.title, right, height - 6, "axis", .end)
        for index in drawnSeries.indices {
            draw(series[index], style(index), &drawing, horizontal, vertical)
        }
        drawFrontier(&drawing, horizontal, vertical)
        drawLabels(&drawing, horizontal, vertical, left: left, right: right, top: top, bottom: bottom)
        return drawing
    }

    private func drawHorizontal(
        _ drawing: inout Drawing, _ mapping: Mapping, _ left: Double, _ right: Double, _ bottom: Double
    ) {
        drawing.line(left, bottom, right, bottom, "base")
        // As many ticks as have room for their texts.
        var count = Int((right - left) / 70)
        while true {
            let (values, step) = mapping.ticks(count: max(count, 1))
            let isWhole = points(areWhole: \.x) && x.scale == .linear
            let shown = isWhole ? values.filter { $0.rounded() == $0 } : values
            let texts = x.format.tickTexts(shown, step: isWhole ? max(step ?? 1, 1) : step)
            let places = shown.map { mapping.position($0) ?? left }
            let halves = texts.map { TextMetrics.width($0, size: Self.fontSize) / 2 }
            let overlaps = places.indices.dropFirst().contains {
                places[$0] - halves[$0] < places[$0 - 1] + halves[$0 - 1] + 8
            }
            if overlaps, count > 1 {
                count -= 1
                continue
            }
            for (index, place) in places.enumerated() where index == 0 || !overlaps {
                drawing.line(place, bottom, place, bottom + 4, "base")
                let inside = min(max(place, halves[index] + 2), drawing.width - halves[index] - 2)
                drawing.text(texts[index], inside, bottom + 17, "tick", .middle)
            }
            return
        }
    }

    private func points(areWhole path: KeyPath<Point, Double>) -> Bool {
        series.allSatisfy { $0.points.allSatisfy { $0[keyPath: path].rounded() == $0[keyPath: path] } }
    }

    private func draw(
        _ series: Series, _ style: SeriesStyle, _ drawing: inout Drawing, _ horizontal: Mapping, _ vertical: Mapping
    ) {
        // What has no place breaks the line.
        let places = series.points.map { point -> (x: Double, y: Double)? in
            guard let x = horizontal.position(point.x), let y = vertical.position(point.y) else { return nil }
            return (x, y)
        }
        let hasMarkers = series.style == .points || series.style == .both
        if series.style != .points {
            var path = ""
            for run in places.split(whereSeparator: { $0 == nil }) {
                let points = Self.thinned(run.compactMap { $0 })
                for (index, point) in points.enumerated() {
                    path += "\(index == 0 ? "M" : "L")\(coordinate(point.x)) \(coordinate(point.y))"
                }
                // A point alone is a line without length.
                if points.count == 1, !hasMarkers { drawing.marker(style, points[0].x, points[0].y) }
            }
            if !path.isEmpty { drawing.path(path, style.lineClass) }
        }
        guard hasMarkers else { return }
        // More than these are a band.
        let every = max(1, (places.count + 1999) / 2000)
        for (index, place) in places.enumerated() where index % every == 0 {
            guard let place else { continue }
            let point = series.points[index]
            let name = point.label.map { "\($0), " } ?? ""
            drawing.marker(
                style, place.x, place.y,
                title: places.count > 300
                    ? nil
                    : "\(series.name): \(name)\(x.label) \(x.format.text(point.x)), \(y.label) \(y.format.text(point.y))"
            )
        }
    }

    /// The line as it is seen with fewer points: of those in a column of the drawing the first, the lowest, the highest and
    /// the last.
    private static func thinned(_ points: [(x: Double, y: Double)]) -> [(x: Double, y: Double)] {
        guard points.count > 1500 else { return points }
        var result: [(x: Double, y: Double)] = []
        var index = 0
        while index < points.count {
            let column = points[index].x.rounded(.down)
            var end = index
            while end < points.count, points[end].x.rounded(.down) == column { end += 1 }
            let range = index..<end
            let low = range.min { points[$0].y < points[$1].y } ?? index
            let high = range.max { points[$0].y < points[$1].y } ?? index
            for kept in Set([index, low, high, end - 1]).sorted() { result.append(points[kept]) }
            index = end
        }
        return result
    }

    private func drawFrontier(_ drawing: inout Drawing, _ horizontal: Mapping, _ vertical: Mapping) {
        let places = optimal.compactMap { point -> (x: Double, y: Double)? in
            guard let x = horizontal.position(point.x), let y = vertical.position(point.y) else { return nil }
            return (x, y)
        }
        var path = ""
        for (index, place) in places.enumerated() {
            path += "\(index == 0 ? "M" : "L")\(coordinate(place.x)) \(coordinate(place.y))"
            drawing.rectangle(place.x - 6.5, place.y - 6.5, 13, 13, "ring")
        }
        if places.count > 1 { drawing.path(path, "front") }
    }

    /// Names beside points, each where it covers nothing; without room a point goes without.
    private func drawLabels(
        _ drawing: inout Drawing, _ horizontal: Mapping, _ vertical: Mapping, left: Double, right: Double, top: Double,
        bottom: Double
    ) {
        let labelled = drawnSeries.flatMap(\.points).filter { $0.label != nil }
        guard !labelled.isEmpty, labelled.count <= 200 else { return }
        typealias Box = (x: Double, y: Double, width: Double, height: Double)
        func overlap(_ a: Box, _ b: Box) -> Bool {
            a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
        }
        var taken = drawnSeries.flatMap(\.points).prefix(2000).compactMap { point -> Box? in
            guard let x = horizontal.position(point.x), let y = vertical.position(point.y) else { return nil }
            return (x - 5, y - 5, 10, 10)
        }
        // Optimal points are named first.
        let best = Set(optimal.map { [$0.x, $0.y] })
        let ordered =
            labelled.filter { best.contains([$0.x, $0.y]) } + labelled.filter { !best.contains([$0.x, $0.y]) }
        for point in ordered {
            guard let label = point.label, let x = horizontal.position(point.x), let y = vertical.position(point.y)
            else { continue }
            let text = TextMetrics.fitted(label, size: 11, in: 140)
            let (width, height) = (TextMetrics.width(text, size: 11), 14.0)
            let boxes: [Box] = [
                (x + 9, y - 7, width, height), (x - 9 - width, y - 7, width, height),
                (x - width / 2, y - 23, width, height), (x - width / 2, y + 9, width, height),
            ]
            let free = boxes.first { box in
                box.x >= left && box.x + box.width <= right && box.y >= top - 6 && box.y + box.height <= bottom
                    && !taken.contains { overlap($0, box) }
            }
            guard let free else { continue }
            taken.append(free)
            drawing.text(text, free.x, free.y + 11, "name")
        }
    }
}
