extension HeatMap {
    private static let fontSize = 12.0

    func drawing(width: Double) -> Drawing {
        var drawing = Drawing(width: width)
        let (down, across) = (binned(rows.count), binned(columns.count))
        let (rowCount, columnCount) = ((rows.count + down - 1) / down, (columns.count + across - 1) / across)
        guard rowCount > 0, columnCount > 0 else {
            drawing.height = 40
            drawing.text("no values", width / 2, 24, "tick", .middle)
            return drawing
        }
        let labelWidth = min(
            rows.map { TextMetrics.width($0, size: Self.fontSize) }.max() ?? 0, width * 0.34)
        let left = max(labelWidth + 10, 14)
        let right = width - 8
        let cellWidth = min((right - left) / Double(columnCount), 120)
        let cellHeight = rowCount <= 12 ? 28.0 : rowCount <= 40 ? 18 : max(3, min(12, 640 / Double(rowCount)))
        let top = 24.0
        let bottom = top + cellHeight * Double(rowCount)
        drawing.text(rowTitle, 4, 14, "axis")
        drawCells(&drawing, left, top, cellWidth, cellHeight, rowCount, columnCount, down, across)
        drawRowLabels(&drawing, left, top, cellHeight, rowCount, down, labelWidth)
        let labelsEnd = drawColumnLabels(&drawing, left, bottom, cellWidth, columnCount, across)
        drawing.text(
            columnTitle, min(left + cellWidth * Double(columnCount), right), labelsEnd + 14, "axis", .end)
        drawing.height = drawBar(&drawing, left: 4, top: labelsEnd + 26)
        return drawing
    }

    private func drawCells(
        _ drawing: inout Drawing, _ left: Double, _ top: Double, _ width: Double, _ height: Double, _ rowCount: Int,
        _ columnCount: Int, _ down: Int, _ across: Int
    ) {
        let gap = min(width, height) > 8 ? 1.0 : 0
        let bounds = bounds ?? (0, 0)
        let isBinned = down > 1 || across > 1
        let hasTitles = rowCount * columnCount <= 2500
        // The largest size at which every value has room; none where there is none.
        let widest = isBinned ? .infinity : widestText
        let size = [12.0, 11, 10, 9].first { widest * $0 <= width - 5 && height >= $0 + 4 }
        for row in 0..<rowCount {
            for column in 0..<columnCount {
                let found = mean(row * down, down, column * across, across)
                let (x, y) = (left + Double(column) * width, top + Double(row) * height)
                let level = Self.level(found, in: bounds)
                let text = text(found)
                let isMarked = !isBinned && marks.contains(Cell(row, column))
                drawing.rectangle(
                    x, y, width - gap, height - gap, level.map { "h\($0)" } ?? "none",
                    title: hasTitles ? "\(rows[row * down]), \(columns[column * across]): \(text)" : nil)
                if isMarked { drawing.rectangle(x + 1.5, y + 1.5, width - gap - 3, height - gap - 3, "ring") }
                guard let size else { continue }
                drawing.text(
                    text, x + (width - gap) / 2, y + (height - gap) / 2 + size * 0.36,
                    "v\(Int(size)) " + (level.map { "t\($0)" } ?? "tick"), .middle)
            }
        }
    }

    /// The width of the longest value at size 1.
    private var widestText: Double {
        guard rows.count * columns.count <= 4096 else { return .infinity }
        var widest = 0.0
        for row in rows.indices {
            for column in columns.indices {
                widest = max(widest, TextMetrics.width(text(value(row, column)), size: 1))
            }
        }
        return widest
    }

    private func mean(_ row: Int, _ down: Int, _ column: Int, _ across: Int) -> Double {
        if down == 1, across == 1 { return value(row, column) }
        var sum = 0.0
        var count = 0.0
        for r in row..<min(row + down, rows.count) {
            for c in column..<min(column + across, columns.count) where value(r, c).isFinite {
                sum += value(r, c)
                count += 1
            }
        }
        return count > 0 ? sum / count : .nan
    }

    private func drawRowLabels(
        _ drawing: inout Drawing, _ left: Double, _ top: Double, _ height: Double, _ count: Int, _ down: Int,
        _ width: Double
    ) {
        let every = max(1, Int((15 / height).rounded(.up)))
        for row in 0..<count where row % every == 0 {
            let text = TextMetrics.fitted(rows[row * down], size: Self.fontSize, in: width)
            drawing.text(text, left - 6, top + (Double(row) + 0.5) * height + 4, "tick", .end)
        }
    }

    /// - Returns: where the labels end.
    private func drawColumnLabels(
        _ drawing: inout Drawing, _ left: Double, _ bottom: Double, _ cell: Double, _ count: Int, _ across: Int
    ) -> Double {
        let names = (0..<count).map { columns[$0 * across] }
        let widest = names.map { TextMetrics.width($0, size: Self.fontSize) }.max() ?? 0
        let areNumbers = names.allSatisfy { Double($0) != nil }
        func middle(_ column: Int) -> Double { left + (Double(column) + 0.5) * cell }
        if widest + 6 <= cell || areNumbers {
            let every = max(1, Int(((widest + 6) / max(cell, 0.1)).rounded(.up)))
            for column in 0..<count where column % every == 0 {
                drawing.text(names[column], middle(column), bottom + 16, "tick", .middle)
            }
            return bottom + 20
        }
        // Long names are turned, and cut to what the margin before the first has room for.
        let room = max(60, min(130, (middle(0) - 4) / 0.75))
        let every = max(1, Int((20 / max(cell, 0.1)).rounded(.up)))
        var deepest = 0.0
        for column in 0..<count where column % every == 0 {
            let most = min(room, (middle(column) - 4) / 0.75)
            let text = TextMetrics.fitted(names[column], size: Self.fontSize, in: most)
            deepest = max(deepest, TextMetrics.width(text, size: Self.fontSize))
            drawing.text(text, middle(column) + 4, bottom + 14, "tick", .end, turned: -45)
        }
        return bottom + 16 + deepest * 0.72
    }

    /// - Returns: where the bar ends.
    private func drawBar(_ drawing: inout Drawing, left: Double, top: Double) -> Double {
        guard let (low, high) = bounds else { return top }
        let width = min(240, drawing.width - 12)
        drawing.text(value.title, left, top + 10, "axis")
        let (barTop, part) = (top + 16, width / Double(Self.levels))
        for level in 0..<Self.levels {
            drawing.rectangle(left + Double(level) * part, barTop, part + 0.5, 10, "h\(level)")
        }
        let (first, last) = (value.format.text(low), value.format.text(high))
        let middle = value.format.text(low / 2 + high / 2)
        let widths = [first, middle, last].map { TextMetrics.width($0, size: Self.fontSize) }
        drawing.text(first, left, barTop + 24, "tick")
        if low == high { return barTop + 30 }
        drawing.text(last, left + width, barTop + 24, "tick", .end)
        if widths[0] + widths[1] / 2 + 8 < width / 2, widths[2] + widths[1] / 2 + 8 < width / 2, middle != first,
            middle != last
        {
            drawing.text(middle, left + width / 2, barTop + 24, "tick", .middle)
        }
        return barTop + 30
    }
}
