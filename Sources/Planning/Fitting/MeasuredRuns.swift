import Checkpoints
import Safetensors

/// Training runs whose loss was measured.
package struct MeasuredRuns: Sendable {
    package struct Run: Sendable, Hashable {
        package let point: LawPoint
        /// Nats per token.
        package let loss: Double

        package init(point: LawPoint, loss: Double) {
            self.point = point
            self.loss = loss
        }
    }

    package let runs: [Run]
    /// The file, for messages.
    package let file: String

    package init(_ runs: [Run], file: String = "runs") {
        self.runs = runs
        self.file = file
    }

    /// Reads a CSV file with a column for each variable of the law, by its name or letter (`parameters` or `N`, `tokens`
    /// or `D`, `experts` or `E`, `granularity` or `G`, `sunk_tokens` or `D1`), and `loss`.
    ///
    /// - Throws: `SafetensorsError` where it cannot be read, `CheckpointError.malformed` for a column that is missing or a
    ///   number that is none.
    package init(contentsOf path: String, for form: LawForm) throws {
        try self.init(CSVTable(contentsOf: path), for: form)
    }

    package init(_ bytes: [UInt8], file: String, for form: LawForm) throws {
        try self.init(CSVTable(bytes, file: file), for: form)
    }

    private init(_ table: CSVTable, for form: LawForm) throws {
        var columns: [(variable: LawVariable, column: Int)] = []
        for variable in LawVariable.allCases where form.variables.contains(variable) {
            columns.append((variable, try table.requiredIndex(of: [variable.rawValue, variable.letter])))
        }
        let loss = try table.requiredIndex(of: ["loss", "L"])
        var runs: [Run] = []
        for row in table.rows.indices {
            var point = LawPoint(parameters: 1, tokens: 1, experts: form.fixedExperts ?? 1)
            for (variable, column) in columns {
                point[variable] = try table.number(row, column, in: LawVariable.sensible)
            }
            runs.append(Run(point: point, loss: try table.number(row, loss, in: 1e-9...1e9)))
        }
        self.init(runs, file: table.file)
    }

    /// The range of each variable.
    package func range(_ variables: Set<LawVariable>) -> LawRange {
        var range = LawRange()
        for variable in variables {
            let values = runs.map { $0.point[variable] }
            if let least = values.min(), let most = values.max() { range[variable] = least...most }
        }
        return range
    }

    /// Checks that there is something to fit.
    ///
    /// - Throws: `CheckpointError.incompatible` for fewer runs than constants, and for runs that cannot determine them: see
    ///   `Identifiability`.
    package func check(for form: LawForm) throws {
        guard runs.count > form.constants.count else {
            throw CheckpointError(
                .incompatible, file: file,
                message:
                    "\(form.name) has \(form.constants.count) constants, and there are \(runs.count) runs: at least "
                    + "\(form.constants.count + 1) are needed")
        }
        try Identifiability(form: form, measured: self).check()
    }
}
