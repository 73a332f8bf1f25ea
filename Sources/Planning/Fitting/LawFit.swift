import Checkpoints
import Glibc
import Numerics
import Safetensors

/// Fits a law to measured runs, as Hoffmann et al. 2022 do: the sum over the runs of Huber's loss of
/// ln L_predicted − ln L_measured, minimised by L-BFGS from a grid of starts.
///
/// The terms are summed, not averaged (Besiroglu et al. 2024). Every point of the grid is evaluated; the search begins at
/// the best of them, first with squares, which lead to the neighbourhood of the minimum from far away, then with Huber's
/// loss, and once more with Huber's loss from the start itself, for runs with outliers that squares would follow.
package struct LawFit: Sendable {
    package var form: LawForm
    package var base = LogarithmBase.e
    /// δ: residuals beyond it count by their size, not their square.
    package var delta = 1e-3
    /// The points of the grid that a search begins at.
    package var starts = 32
    /// Resamples of the runs for the intervals; 0 for none.
    package var resamples = 100
    /// The share of the runs, those of the largest N · D, that the law is checked on after a fit to the others.
    package var heldOut = 0.2
    package var seed: UInt64 = 0
    package var optimiser = LBFGS()

    package init(_ form: LawForm) { self.form = form }

    /// The law, and how good it is.
    package struct Result: Sendable {
        package let law: ScalingLaw
        package let range: LawRange
        /// The sum that was minimised.
        package let objective: Double
        /// ln L_predicted − ln L_measured of each run.
        package let residuals: [Double]
        /// Of each constant, from the 2.5th to the 97.5th percentile over the resamples; empty where there are none.
        package let intervals: [ClosedRange<Double>]
        /// Whether the runs determine each constant, in the law's order.
        package let isIdentified: [Bool]
        package let check: HeldOutCheck?
        /// Searches, and how many of them ended at this minimum.
        package let starts: Int
        package let agreeingStarts: Int
        package let isConverged: Bool

        package var rootMeanSquare: Double { LawFit.rootMeanSquare(residuals) }
    }

    /// What a fit to the smaller runs says of the largest.
    package struct HeldOutCheck: Sendable, Hashable {
        package let fitted: Int
        package let heldOut: Int
        /// Root mean squares of ln L_predicted − ln L_measured.
        package let fittedError: Double
        package let heldOutError: Double
        /// Mean on the held-out runs: positive where the law predicts too much.
        package let heldOutBias: Double
    }

    /// - Throws: `CheckpointError.incompatible` where the runs cannot determine the law's constants.
    package func fit(_ measured: MeasuredRuns) throws -> Result {
        try measured.check(for: form)
        let problem = Problem(form, measured.runs)
        let search = try search(problem, starts: grid())
        let law = ScalingLaw(form, theta: search.best.point, base: base)
        let residuals = problem.residuals(search.best.point)
        let errors = Identifiability(form: form, measured: measured)
            .standardErrors(search.best.point, residuals: residuals)
        return Result(
            law: law, range: measured.range(form.variables), objective: search.best.value, residuals: residuals,
            intervals: try intervals(measured.runs, from: search.best.point),
            isIdentified: form.constants.indices.map { index in
                Self.isIdentified(form.constants[index], search.best.point[index], error: errors[index])
            },
            check: try heldOutCheck(measured), starts: search.count, agreeingStarts: search.agreeing,
            isConverged: search.best.isConverged)
    }

    /// Two standard errors of a constant that is determined are within a factor of e³, of an exponent within itself or one
    /// half: beyond that the runs allow nearly anything.
    private static func isIdentified(_ constant: LawConstant, _ value: Double, error: Double) -> Bool {
        let most: Double =
            switch constant.kind {
            case .exponent, .crossTerm: max(0.5, abs(value))
            case .coefficient, .intercept, .expertStart, .expertMaximum: 3
            }
        return value.isFinite && 2 * error < most
    }

    private func heldOutCheck(_ measured: MeasuredRuns) throws -> HeldOutCheck? {
        let count = Int((Double(measured.runs.count) * heldOut).rounded())
        guard count > 0, count < measured.runs.count else { return nil }
        let usesTokens = form.variables.contains(.tokens)
        let order = measured.runs.enumerated().sorted {
            let (a, b) = ($0.element.point, $1.element.point)
            let (first, second) = (
                a.parameters * (usesTokens ? a.tokens : 1), b.parameters * (usesTokens ? b.tokens : 1)
            )
            return (first, $0.offset) < (second, $1.offset)
        }.map(\.element)
        let smaller = MeasuredRuns(Array(order.dropLast(count)), file: measured.file)
        // A check that the runs are too few for is left out rather than a reason to refuse the fit.
        do { try smaller.check(for: form) } catch { return nil }
        let problem = Problem(form, smaller.runs)
        let theta = try search(problem, starts: grid()).best.point
        let residuals = Problem(form, Array(order.suffix(count))).residuals(theta)
        return HeldOutCheck(
            fitted: smaller.runs.count, heldOut: count, fittedError: Self.rootMeanSquare(problem.residuals(theta)),
            heldOutError: Self.rootMeanSquare(residuals),
            heldOutBias: residuals.reduce(0, +) / Double(residuals.count))
    }

    /// Percentiles over fits to runs drawn with replacement, each begun at the law that is fitted to all.
    private func intervals(_ runs: [MeasuredRuns.Run], from theta: [Double]) throws -> [ClosedRange<Double>] {
        guard resamples > 0 else { return [] }
        var samples = [[Double]](repeating: [], count: form.constants.count)
        for resample in 0..<resamples {
            var draws = [Float](repeating: 0, count: runs.count)
            draws.withUnsafeMutableBufferPointer {
                KeyedRandom(seed: seed, tensor: "runs", purpose: "bootstrap \(resample)").fillUniform($0, from: 0)
            }
            let drawn = draws.map { runs[min(Int($0 * Float(runs.count)), runs.count - 1)] }
            let best = try search(Problem(form, drawn), starts: [theta]).best
            guard best.value.isFinite else { continue }
            for (index, constant) in ScalingLaw(form, theta: best.point, base: base).constants.enumerated() {
                samples[index].append(constant.value)
            }
        }
        return samples.compactMap { values in
            let sorted = values.sorted()
            guard let least = sorted.first else { return nil }
            func quantile(_ share: Double) -> Double {
                sorted[min(Int((share * Double(sorted.count - 1)).rounded()), sorted.count - 1)]
            }
            return max(least, quantile(0.025))...max(least, quantile(0.975))
        }
    }

    /// All combinations of the constants' starts.
    private func grid() -> [[Double]] {
        form.constants.reduce([[]]) { points, constant in
            points.flatMap { point in constant.starts.map { point + [$0] } }
        }
    }

    private func search(
        _ problem: Problem, starts grid: [[Double]]
    ) throws -> (best: LBFGS.Result, count: Int, agreeing: Int) {
        var scratch = [Double](repeating: 0, count: form.constants.count)
        let ranked = grid.enumerated().map {
            (index: $0.offset, value: problem.value($0.element, &scratch, delta: delta))
        }
        .sorted {
            ($0.value.isNaN ? .infinity : $0.value, $0.index) < ($1.value.isNaN ? .infinity : $1.value, $1.index)
        }
        var best: LBFGS.Result?
        var values: [Double] = []
        for (index, _) in ranked.prefix(max(starts, 1)) {
            var coarse = optimiser
            coarse.maximumIterations = min(optimiser.maximumIterations, 300)
            let squares = coarse.minimise(from: grid[index]) { problem.value($0, &$1, delta: .infinity) }
            var lowest = Double.infinity
            for start in [squares.point, grid[index]] {
                let result = optimiser.minimise(from: start) { problem.value($0, &$1, delta: delta) }
                lowest = min(lowest, result.value)
                if result.value < best?.value ?? .infinity { best = result }
            }
            values.append(lowest)
            try Interruption.check()
        }
        let result =
            best
            ?? LBFGS.Result(
                point: grid.first ?? [], value: .infinity, gradientNorm: .infinity, iterations: 0, isConverged: false)
        return (result, values.count, values.count { $0 <= result.value * (1 + 1e-3) + 1e-15 })
    }

    private static func rootMeanSquare(_ residuals: [Double]) -> Double {
        residuals.isEmpty ? 0 : (residuals.reduce(0) { $0 + $1 * $1 } / Double(residuals.count)).squareRoot()
    }
}

/// The sum that a fit minimises.
private struct Problem {
    private let runs: [(evaluation: LawEvaluation, logLoss: Double)]

    init(_ form: LawForm, _ runs: [MeasuredRuns.Run]) {
        self.runs = runs.map { (LawEvaluation(form, $0.point), log($0.loss)) }
    }

    /// The sum over the runs of r²/2, or δ(|r| − δ/2) where |r| is more than δ.
    func value(_ theta: [Double], _ gradient: inout [Double], delta: Double) -> Double {
        for index in gradient.indices { gradient[index] = 0 }
        var sum = 0.0
        for (evaluation, measured) in runs {
            _ = evaluation.logLoss(theta, addingTo: &gradient) { predicted in
                let residual = predicted - measured
                if abs(residual) <= delta {
                    sum += residual * residual / 2
                    return residual
                }
                sum += delta * (abs(residual) - delta / 2)
                return residual < 0 ? -delta : delta
            }
        }
        return sum
    }

    func residuals(_ theta: [Double]) -> [Double] { runs.map { $0.evaluation.logLoss(theta) - $0.logLoss } }
}
