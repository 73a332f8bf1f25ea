import Checkpoints
import Glibc
import Safetensors

/// Whether runs can determine a law's constants, from the derivatives of ln L by them.
///
/// Where a combination of the constants can change without changing the prediction of any run, a fit ends anywhere along it
/// and looks exact. With two values of N, for instance, a power of N and a constant have three numbers for two.
struct Identifiability {
    let form: LawForm
    let measured: MeasuredRuns

    /// A combination of scaled derivatives that is nearer to nothing than this is nothing, in the precision that the
    /// derivatives have.
    private static let tolerance = 1e-9
    /// Variables that are within this share of a power of one another, or of being the same, are not told apart by losses
    /// of three or four digits.
    private static let resolution = 1e-3
    /// Losses that are the same to this share.
    private static let lossResolution = 1e-9
    /// Losses are known to six digits at best, whatever a file says.
    private static let leastError = 1e-6

    /// - Throws: `CheckpointError.incompatible`, naming the variable that should vary, or vary otherwise.
    func check() throws {
        let points = Set(measured.runs.map { run in LawVariable.allCases.map { run.point[$0] } })
        let count = form.constants.count
        guard points.count > count else {
            throw failure(
                "\(form.name) has \(count) constants, and the \(measured.runs.count) runs are of \(points.count) different "
                    + "points: runs of the same point say nothing new, at least \(count + 1) different ones are needed")
        }
        let losses = measured.runs.map { log($0.loss) }
        guard let least = losses.min(), let most = losses.max(), most - least > Self.lossResolution else {
            throw failure("the loss is the same in all runs: what it depends on cannot be fitted")
        }
        try checkVariables()
        let theta = genericConstants
        let found = columns(measured.runs.map(\.point), theta)
        guard found.rank < count else { return }
        let names = found.dependent.map { form.constants[$0].name }
        let needed = variables.filter { variable in
            columns(spread(variable), theta).rank > found.rank
        }
        let advice = needed.map { variable in
            let values = Set(measured.runs.map { $0.point[variable] }).count
            return "\(variable.letter) takes \(values) values"
        }
        throw failure(
            "these runs do not determine \(names.joined(separator: ", ")): \(form.name) needs more different values of "
                + (needed.isEmpty
                    ? "its variables, in more combinations" : needed.map(\.letter).joined(separator: " or "))
                + (advice.isEmpty ? "" : " (" + advice.joined(separator: ", ") + ")"))
    }

    /// The standard error of each constant as `LawForm` has them in its sum, by the derivatives at the fitted constants and
    /// the scatter of the residuals; infinite where the runs do not determine it.
    func standardErrors(_ theta: [Double], residuals: [Double]) -> [Double] {
        let freedom = Double(max(residuals.count - theta.count, 1))
        let scatter = (residuals.reduce(0) { $0 + $1 * $1 } / freedom).squareRoot()
        let error = max(scatter, Self.leastError)
        return columns(measured.runs.map(\.point), theta).inverseLengths.map { $0 * error }
    }

    private var variables: [LawVariable] { LawVariable.allCases.filter { form.variables.contains($0) } }

    private func failure(_ message: String) -> CheckpointError {
        CheckpointError(.incompatible, file: measured.file, message: message)
    }

    /// Each variable must vary by itself: its logarithm must not be a combination of the others' and a constant.
    private func checkVariables() throws {
        let runs = measured.runs
        func centred(_ variable: LawVariable) -> [Double] {
            let values = runs.map { log($0.point[variable]) }
            let mean = values.reduce(0, +) / Double(values.count)
            return values.map { $0 - mean }
        }
        let all = variables.map(centred)
        func spread(_ values: [Double]) -> Double {
            (values.reduce(0) { $0 + $1 * $1 } / Double(max(values.count, 1))).squareRoot()
        }
        for (variable, values) in zip(variables, all) where spread(values) < Self.resolution {
            throw failure(
                "\(variable.letter) is the same in all runs: what \(form.name) says of it cannot be fitted")
        }
        for index in variables.indices {
            let others = variables.indices.filter { $0 != index }
            guard !others.isEmpty else { continue }
            var rest = all[index]
            var basis: [[Double]] = []
            for other in others {
                var column = all[other]
                for direction in basis { remove(direction, from: &column) }
                let length = spread(column)
                guard length >= Self.resolution else { continue }
                basis.append(column.map { $0 / length / Double(column.count).squareRoot() })
            }
            for direction in basis { remove(direction, from: &rest) }
            guard spread(rest) < Self.resolution else { continue }
            let names = others.map { variables[$0].letter }.joined(separator: ", ")
            throw failure(
                "\(variables[index].letter) follows from \(names) in all runs (a fixed power of them): what \(form.name) "
                    + "says of each cannot be told apart; vary \(variables[index].letter) without \(names)")
        }
    }

    private func remove(_ direction: [Double], from column: inout [Double]) {
        let part = zip(direction, column).reduce(0) { $0 + $1.0 * $1.1 }
        for i in column.indices { column[i] -= part * direction[i] }
    }

    /// Derivatives of ln L by each constant, a column for each, in the points.
    private func columns(_ points: [LawPoint], _ theta: [Double]) -> PivotedColumns {
        var columns = [[Double]](repeating: [], count: theta.count)
        for point in points {
            var gradient = [Double](repeating: 0, count: theta.count)
            _ = LawEvaluation(form, point).logLoss(theta, addingTo: &gradient) { _ in 1 }
            for index in theta.indices { columns[index].append(gradient[index]) }
        }
        return PivotedColumns(columns, tolerance: Self.tolerance)
    }

    /// Constants in the middle of where a fit starts, none of them special, as 0 or two equal exponents would be.
    private var genericConstants: [Double] {
        form.constants.enumerated().map { index, constant in
            constant.starts.reduce(0, +) / Double(max(constant.starts.count, 1)) + 0.07 * sin(Double(3 * index + 1))
        }
    }

    /// The runs' points with a variable that takes another value in each.
    private func spread(_ variable: LawVariable) -> [LawPoint] {
        let values = measured.runs.map { log($0.point[variable]) }
        let (least, most) = (values.min() ?? 0, max(values.max() ?? 1, (values.min() ?? 0) + 1))
        return measured.runs.enumerated().map { index, run in
            var point = run.point
            // Multiples of the golden ratio are spread evenly, and in no order that the runs could have.
            let share = (Double(index) * 0.618_033_988_749_895).truncatingRemainder(dividingBy: 1)
            point[variable] = exp(least + share * (most - least))
            return point
        }
    }
}
