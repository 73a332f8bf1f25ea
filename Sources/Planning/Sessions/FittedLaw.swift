package import Checkpoints
public import Safetensors

/// How a law is fitted to runs.
public struct LawFitOptions: Sendable, Hashable {
    /// The law's form, by name.
    public var law = "joint"
    /// The base of the logarithms that constants are told for.
    public var base = LogarithmBase.e
    /// Take the number of experts itself where the form has the saturating one.
    public var usesPlainExperts = false
    /// Residuals of ln L beyond this count by their size, not their square; above 0.
    public var delta = 1e-3
    /// Points of the grid that a search begins at.
    public var starts = 32
    /// Resamples for the intervals; 0 for none.
    public var resamples = 100
    /// The share of the runs, the largest, that are predicted from the others, from 0 to below 1; 0 for none.
    public var heldOut = 0.2
    /// The seed of the resamples.
    public var seed: UInt64 = 0

    /// The defaults.
    public init() {}

    /// The names of the forms.
    public static var names: [String] { LawForm.all.map(\.name) }

    /// - Throws: `CheckpointError` of `.usage` for a form that is not known.
    package func form() throws -> LawForm {
        // The names of published laws name forms too, where that is what somebody tries first.
        guard let form = LawForm.all.first(where: { $0.name == law }) ?? PublishedLaw.named(law)?.form else {
            throw CheckpointError(.usage, message: "`law` \(law): give \(Self.names.joined(separator: ", "))")
        }
        guard usesPlainExperts else { return form }
        guard form.experts == .saturating else {
            throw CheckpointError(
                .usage, message: "`plainExperts`: \(law) has no saturating number of experts")
        }
        return form.withPlainExperts
    }
}

/// A law that was fitted to measured runs.
public struct FittedLaw: JSONResult {
    package let result: LawFit.Result
    package let measured: MeasuredRuns
    package let file: LawFile

    /// Minimises the sum over the runs of Huber's loss of ln L - ln L_measured by L-BFGS, from the best points of a grid.
    ///
    /// - Parameter runs: a CSV file with a header: columns N, D, E, G, D1 as far as the law has them, and loss.
    /// - Throws: `SafetensorsError` and `CheckpointError` for a file that cannot be read or has too few runs, and `.usage`
    ///   for a form that is not known; `.cancelled`.
    public init(runs: String, _ options: LawFitOptions = LawFitOptions()) async throws {
        let form = try options.form()
        let measured = try MeasuredRuns(contentsOf: runs, for: form)
        var fit = LawFit(form)
        fit.base = options.base
        fit.delta = options.delta
        fit.starts = options.starts
        fit.resamples = options.resamples
        fit.heldOut = options.heldOut
        fit.seed = options.seed
        let search = fit
        result = try await runningOnThread { try search.fit(measured) }
        self.measured = measured
        file = LawFile(law: result.law, range: result.range)
    }

    /// The law's constants, for the base that was asked for.
    public var constants: [(name: String, value: Double)] { result.law.constants }
    /// The root mean square of ln L - ln L_measured.
    public var rootMeanSquare: Double { result.rootMeanSquare }

    /// Writes the law where `LawSelection.law` can name it.
    ///
    /// - Throws: `CheckpointError` and `SafetensorsError` for a place that cannot be written to.
    public func write(to path: String, overwrite: Bool = false) throws {
        try write(to: OutputFile(path, .law, overwrite: overwrite))
    }

    package func write(to output: OutputFile) throws {
        try output.write(Array((JSON.object(file.json).serialized() + "\n").utf8))
    }

    /// What the runs leave open.
    public var warnings: [String] {
        var warnings: [String] = []
        if !result.isConverged {
            warnings.append("the search did not converge: the runs may not determine the constants")
        }
        let unknown = zip(result.law.constants, result.isIdentified).filter { !$0.1 }.map(\.0.name)
        if !unknown.isEmpty {
            warnings.append(
                "these runs do not determine \(unknown.joined(separator: ", ")): other values fit them as well, and the law "
                    + "says nothing beyond the runs")
        }
        return warnings
    }

    /// Constants with intervals, residuals, and how the largest runs are predicted from the others.
    public var json: JSONObject {
        var object = file.json
        if !result.intervals.isEmpty {
            var intervals = JSONObject()
            for (index, interval) in result.intervals.enumerated() {
                intervals[result.law.constants[index].name] =
                    result.isIdentified[index]
                    ? .array([JSON(interval.lowerBound), JSON(interval.upperBound)]) : .null
            }
            object["intervals"] = .object(intervals)
        }
        object["runs"] = JSON(measured.runs.count)
        object["objective"] = JSON(result.objective)
        object["rms_log_error"] = JSON(result.rootMeanSquare)
        object["searches"] = JSON(result.starts)
        object["agreeing_searches"] = JSON(result.agreeingStarts)
        object["converged"] = .bool(result.isConverged)
        object["not_identified"] = .strings(
            zip(result.law.constants, result.isIdentified).filter { !$0.1 }.map(\.0.name))
        object["warnings"] = .strings(warnings)
        if let check = result.check {
            object["held_out"] = .object([
                "fitted": JSON(check.fitted), "held_out": JSON(check.heldOut),
                "fitted_rms_log_error": JSON(check.fittedError), "held_out_rms_log_error": JSON(check.heldOutError),
                "held_out_mean_log_error": JSON(check.heldOutBias),
            ])
        }
        object["residuals"] = .array(result.residuals.map { JSON($0) })
        return object
    }
}
