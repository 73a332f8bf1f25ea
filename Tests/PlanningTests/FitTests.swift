import Checkpoints
import Glibc
import Planning
import TestSupport
import Testing

/// The fixtures are made by make_runs.py beside them: runs of laws with known constants, with normal noise on ln L.
@Suite("Fitting laws")
struct FitTests {
    private func fixture(_ name: String, _ form: LawForm) throws -> MeasuredRuns {
        try MeasuredRuns(contentsOf: Fixtures.file("planning/\(name).csv"), for: form)
    }

    private func fit(_ form: LawForm, resamples: Int = 0) -> LawFit {
        var fit = LawFit(form)
        fit.resamples = resamples
        return fit
    }

    /// The law that the runs were made with.
    private func truth(_ name: String) throws -> ScalingLaw {
        switch name {
        case "joint", "krajewski", "liew-upcycled", "chinchilla": return try published(name)
        case "clark": return try published("clark-s-base")
        default:
            return try ScalingLaw(
                .yun,
                constants: [
                    "A": 400, "alpha": 0.34, "B": 0.5, "beta": 0.5, "C": 1000, "gamma": 0.33, "F": 1.5, "d": -0.001,
                    "E_start": 1.9, "E_max": 60,
                ], base: .e)
        }
    }

    // Exponents of N and D to a share that the noise allows; what several constants share is held to the loss they give,
    // which must be the truth's to twice the noise of one run.
    @Test(
        "A law comes back from noisy runs",
        arguments: [
            ("joint", 1e-4, ["alpha", "beta"], 0.1), ("yun", 1e-4, ["alpha", "gamma"], 0.05),
            ("clark", 1e-3, ["a", "b", "E_max"], 0.2), ("krajewski", 1e-4, ["alpha", "beta", "gamma"], 0.1),
            ("liew-upcycled", 1e-4, ["beta"], 0.1), ("chinchilla", 2e-3, ["alpha", "beta", "E"], 0.1),
        ])
    func recovery(_ name: String, _ noise: Double, _ constants: [String], _ tolerance: Double) throws {
        let truth = try truth(name)
        let runs = try fixture(name, truth.form)
        var fit = fit(truth.form)
        fit.base = truth.base
        fit.heldOut = 0
        let result = try fit.fit(runs)
        #expect(isClose(result.rootMeanSquare, noise, 0.25), "\(result.rootMeanSquare)")
        let expected = Dictionary(uniqueKeysWithValues: truth.constants.map { ($0.name, $0.value) })
        for (constant, value) in result.law.constants where constants.contains(constant) {
            #expect(isClose(value, expected[constant] ?? 0, tolerance), "\(constant) \(value)")
        }
        let errors = runs.runs.map { abs(log(result.law.loss($0.point) / truth.loss($0.point))) }
        #expect((errors.max() ?? 1) < 2 * noise, "\(errors.max() ?? 1)")
    }

    @Test("Intervals hold the constants that the runs were made with, and the largest runs are predicted")
    func intervals() throws {
        var fit = fit(.chinchilla, resamples: 60)
        fit.starts = 8
        let result = try fit.fit(try fixture("chinchilla", .chinchilla))
        for (interval, constant) in zip(result.intervals, try published("chinchilla").constants) {
            #expect(interval.contains(constant.value), "\(constant) \(interval)")
            #expect(interval.lowerBound < interval.upperBound)
        }
        let check = try #require(result.check)
        #expect(check.fitted == 96 && check.heldOut == 24)
        #expect(check.heldOutError < 4e-3 && abs(check.heldOutBias) < 2e-3)
    }

    @Test("The same seed gives the same intervals")
    func determinism() throws {
        var fit = fit(.chinchilla, resamples: 5)
        fit.starts = 2
        fit.heldOut = 0
        let runs = try fixture("chinchilla", .chinchilla)
        let (first, second) = (try fit.fit(runs), try fit.fit(runs))
        #expect(first.intervals == second.intervals)
        fit.seed = 1
        #expect(try fit.fit(runs).intervals != first.intervals)
    }

    @Test("Huber's loss is not led away by a run that went wrong")
    func outlier() throws {
        let runs = try fixture("chinchilla", .chinchilla)
        var broken = runs.runs
        broken[60] = MeasuredRuns.Run(point: broken[60].point, loss: broken[60].loss * 1.5)
        var fit = fit(.chinchilla)
        fit.heldOut = 0
        fit.starts = 8
        let result = try fit.fit(MeasuredRuns(broken))
        let truth = try published("chinchilla")
        let errors = runs.runs.map { abs(log(result.law.loss($0.point) / truth.loss($0.point))) }
        #expect((errors.max() ?? 1) < 4e-3)
    }

    @Test("Runs that say nothing are refused")
    func refusals() throws {
        let few = MeasuredRuns([MeasuredRuns.Run(point: LawPoint(parameters: 1e9, tokens: 1e9), loss: 3)])
        #expect(refusal { try fit(.chinchilla).fit(few) }?.code == .incompatible)
        let same = MeasuredRuns(
            (1...20).map {
                MeasuredRuns.Run(point: LawPoint(parameters: Double($0) * 1e8, tokens: 1e9), loss: 3 + 1 / Double($0))
            })
        #expect(refusal { try fit(.chinchilla).fit(same) }?.message.contains("D is the same") == true)
        for text in [
            "N,D\n1,2\n", "N,D,loss\n1,2,-3\n", "N,D,loss\n0,2,3\n", "N,D,loss\n1,2\n", "N,D,loss\na,2,3\n", "",
        ] {
            #expect(
                refusal { try MeasuredRuns(Array(text.utf8), file: "r.csv", for: .chinchilla) }?.code == .malformed,
                "\(text)")
        }
    }
}
