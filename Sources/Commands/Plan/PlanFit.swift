import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct PlanFit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fit", abstract: "Fit a law to measured runs.",
        discussion: """
            Minimises the sum over the runs of Huber's loss of ln L - ln L_measured by L-BFGS, from the best points of a \
            grid. RUNS is a CSV file with a header; columns N (or parameters), D (tokens), E (experts), G (granularity), \
            D1 (sunk_tokens), as far as the law has them, and loss. Prints the constants with 95 % bootstrap intervals, \
            the residuals, and how a fit to the smaller runs predicts the largest.

              moe-tool plan fit --runs runs.csv --law yun --output law.json
              moe-tool plan optimal --law law.json --flops 1e20
            """)

    @Option(help: ArgumentHelp("Measured runs.", valueName: "file.csv"), completion: .file())
    var runs: String

    @Option(
        help: "The law's form: \(LawForm.all.map(\.name).joined(separator: ", ")).",
        completion: .list(LawForm.all.map(\.name)))
    var law = "joint"

    @Option(help: "The base of the logarithms that constants are printed for: e or 10.")
    var logBase: LogarithmBase = .e

    @Flag(help: "Take E itself where the law has the saturating number of experts.")
    var plainExperts = false

    @Option(help: "Residuals of ln L beyond this count by their size, not their square.")
    var delta = 1e-3

    @Option(help: "Points of the grid that a search begins at.")
    var starts = 32

    @Option(help: "Resamples for the intervals; 0 for none.")
    var bootstrap = 100

    @Option(help: "The share of the runs, the largest, that are predicted from the others; 0 for none.")
    var heldOut = 0.2

    @Option(help: "The seed of the resamples.")
    var seed: UInt64 = 0

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Write the law, for --law of the other commands.", valueName: "file.json"),
        completion: .file())
    var output: String?

    @Flag(help: "Replace the output and the report if they exist.")
    var force = false

    @Flag(help: "List every run's residual.")
    var residuals = false

    @OptionGroup var reporting: ReportOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard delta > 0, delta <= 1e3 else {
            throw ValidationError("--delta \(numberText(delta)): give a number above 0")
        }
        guard (1...100_000).contains(starts) else { throw ValidationError("--starts \(starts): give 1 to 100000") }
        guard (0...100_000).contains(bootstrap) else {
            throw ValidationError("--bootstrap \(bootstrap): give 0 to 100000")
        }
        guard heldOut >= 0, heldOut < 1 else {
            throw ValidationError("--held-out \(numberText(heldOut)): give a share from 0 to below 1")
        }
    }

    func run() async throws {
        var options = LawFitOptions()
        options.law = law
        options.base = logBase
        options.usesPlainExperts = plainExperts
        options.delta = delta
        options.starts = starts
        options.resamples = bootstrap
        options.heldOut = heldOut
        options.seed = seed
        _ = try options.form()
        let target = try output.map { try OutputFile($0, .law, overwrite: force) }
        let page = try reporting.file(replaces: force)
        let fit = try await FittedLaw(runs: runs, options)
        if let target { try fit.write(to: target) }
        try page?.write(Report(fit), common)
        try standardOutput(
            common.json ? fit.jsonText : text(fit.result, fit.measured), terminator: common.json ? "\n" : "")
        warn(fit.warnings, common)
    }

    private func text(_ result: LawFit.Result, _ measured: MeasuredRuns) -> String {
        var table = TextTable([.left, .right, .left])
        for (index, constant) in result.law.constants.enumerated() {
            let interval = result.intervals.indices.contains(index) ? result.intervals[index] : nil
            table.add(
                constant.name, numberText(constant.value),
                !result.isIdentified[index]
                    ? "not identified"
                    : interval.map { "\(numberText($0.lowerBound)) to \(numberText($0.upperBound))" } ?? "")
        }
        var text = "\(result.law.form.formula), logarithms to base \(result.law.base.rawValue)\n\n" + table.text + "\n"
        var facts = TextTable([.left, .left])
        facts.add("runs", "\(measured.runs.count)")
        facts.add("error", "\(percent(result.rootMeanSquare)) of the loss (root mean square of ln L)")
        let worst = result.residuals.max { abs($0) < abs($1) } ?? 0
        facts.add("largest", percent(abs(worst)))
        facts.add("searches", "\(result.agreeingStarts) of \(result.starts) ended here")
        if let check = result.check {
            facts.add(
                "held out",
                "\(check.heldOut) largest runs, predicted from \(check.fitted): error \(percent(check.heldOutError)), "
                    + "\(check.heldOutBias < 0 ? "too low" : "too high") by \(percent(abs(check.heldOutBias))) on average"
            )
        }
        text += facts.text
        guard residuals else { return text }
        var list = TextTable([.right, .right, .right, .right, .right, .right])
        list.add("N", "D", "E", "loss", "predicted", "error")
        for (run, residual) in zip(measured.runs, result.residuals) {
            list.add(
                shortText(run.point.parameters), shortText(run.point.tokens), shortText(run.point.experts),
                fixedText(run.loss, digits: 4), fixedText(result.law.loss(run.point), digits: 4),
                (residual < 0 ? "-" : "") + percent(abs(residual)))
        }
        return text + "\n" + list.text
    }

    private func percent(_ value: Double) -> String { "\(fixedText(value * 100, digits: 3)) %" }
}
