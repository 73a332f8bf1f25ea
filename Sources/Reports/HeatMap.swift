import Safetensors

/// A matrix of values as colours, with the values in the cells where they fit and a colour bar.
package struct HeatMap: Sendable {
    package struct Cell: Hashable, Sendable {
        package let row: Int
        package let column: Int

        package init(_ row: Int, _ column: Int) {
            self.row = row
            self.column = column
        }
    }

    /// What rows and columns are: "model", "domain".
    package var rowTitle: String
    package var columnTitle: String
    package var rows: [String]
    package var columns: [String]
    /// What a value is, its unit and form.
    package var value: Axis
    /// `[rows][columns]`; what is missing or not finite is a cell without a value.
    package var values: [[Double]]
    /// What the ends of the colour bar stand for; by default the smallest and the largest value.
    package var range: ClosedRange<Double>?
    /// Cells with a frame, and what it means.
    package var marks: Set<Cell> = []
    package var markName = ""
    /// What a cell without a value means.
    package var holeName = "no finite value"
    /// What stands in such a cell; by default what it holds.
    package var holeText: String?

    package init(
        _ value: Axis, rowTitle: String, _ rows: [String], columnTitle: String, _ columns: [String],
        _ values: [[Double]]
    ) {
        self.value = value
        self.rowTitle = rowTitle
        self.columnTitle = columnTitle
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// Colours of the bar.
    static let levels = 20

    func value(_ row: Int, _ column: Int) -> Double {
        guard values.indices.contains(row), values[row].indices.contains(column) else { return .nan }
        return values[row][column]
    }

    func text(_ value: Double) -> String {
        value.isFinite ? self.value.format.text(value) : holeText ?? self.value.format.text(value)
    }

    /// The ends of the colour bar; nil where there is no value.
    /// Complexity: O(rows columns).
    package var bounds: (low: Double, high: Double)? {
        if let range, range.lowerBound.isFinite, range.upperBound.isFinite {
            return (range.lowerBound, range.upperBound)
        }
        let finite = values.lazy.flatMap { $0 }.filter(\.isFinite)
        guard let low = finite.min(), let high = finite.max() else { return nil }
        return (low, high)
    }

    /// The colour of a value between the ends of the bar: 0 for the lowest.
    package static func level(_ value: Double, in bounds: (low: Double, high: Double)) -> Int? {
        guard value.isFinite else { return nil }
        // By halves: the width of the whole range of doubles is no double.
        let share = (value / 2 - bounds.low / 2) / (bounds.high / 2 - bounds.low / 2)
        guard share.isFinite else { return levels / 2 }
        return Int((min(max(share, 0), 1) * Double(levels - 1)).rounded())
    }
}

extension HeatMap: Plot {
    var notes: [String] {
        if rows.isEmpty || columns.isEmpty { return ["There are no values."] }
        var notes: [String] = []
        let (down, across) = (binned(rows.count), binned(columns.count))
        if down > 1 { notes.append("A row of cells is the mean of \(down) rows.") }
        if across > 1 { notes.append("A column of cells is the mean of \(across) columns.") }
        return notes
    }

    var legend: [LegendEntry] {
        var entries: [LegendEntry] = []
        if !marks.isEmpty { entries.append(LegendEntry(sample: .ring, name: markName)) }
        let hasHoles = rows.indices.contains { row in columns.indices.contains { !value(row, $0).isFinite } }
        if hasHoles { entries.append(LegendEntry(sample: .box("none"), name: holeName)) }
        return entries
    }

    var table: DataTable {
        DataTable(header: [rowTitle] + columns, count: rows.count) { row in
            [rows[row]]
                + columns.indices.prefix(DataTable.columnLimit).map { column in
                    text(value(row, column)) + (marks.contains(Cell(row, column)) ? "*" : "")
                }
        }
    }

    var json: JSONObject {
        var object: JSONObject = [
            "kind": "heat map", "value": .axis(value), "row_title": .string(rowTitle), "rows": .strings(rows),
            "column_title": .string(columnTitle), "columns": .strings(columns),
            "values": .array(rows.indices.map { row in .numbers(columns.indices.map { value(row, $0) }) }),
        ]
        if !marks.isEmpty {
            let sorted = marks.sorted { ($0.row, $0.column) < ($1.row, $1.column) }
            object["marked"] = .object([
                "name": .string(markName),
                "cells": .array(sorted.map { .array([JSON($0.row), JSON($0.column)]) }),
            ])
        }
        return object
    }

    /// More cells than these in a direction are too fine to be seen: how many share one.
    func binned(_ count: Int) -> Int { max(1, (count + 255) / 256) }
}
