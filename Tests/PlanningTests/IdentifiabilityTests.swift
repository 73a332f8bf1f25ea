import Checkpoints
import Glibc
import Planning
import Testing

/// Runs of known laws on designs that cannot determine them: what is refused, and what is named, is arithmetic. A power of a
/// variable and the constant that all terms share have three numbers, which two values do not determine.
@Suite("Fits without information")
struct IdentifiabilityTests {
    private func run(_ n: Double, _ d: Double, _ loss: Double, experts e: Double = 1) -> MeasuredRuns.Run {
        MeasuredRuns.Run(point: LawPoint(parameters: n, tokens: d, experts: e), loss: loss)
    }

    private func chinchilla(_ n: Double, _ d: Double) -> Double { 1.69 + 406.4 / pow(n, 0.34) + 410.7 / pow(d, 0.28) }

    /// Without resamples, from few starts: what is refused is refused before the search.
    private func fit(_ form: LawForm, _ runs: [MeasuredRuns.Run]) throws -> LawFit.Result {
        var fit = LawFit(form)
        fit.resamples = 0
        fit.heldOut = 0
        fit.starts = 2
        return try fit.fit(MeasuredRuns(runs, file: "runs.csv"))
    }

    private func message(_ form: LawForm, _ runs: [MeasuredRuns.Run]) -> String {
        guard let error = refusal({ try fit(form, runs) }) else { return "" }
        #expect(error.code == .incompatible)
        return error.message
    }

    private let sizes = (0..<6).map { 1e8 * pow(3, Double($0)) }
    private let tokens = (0..<6).map { 1e9 * pow(2, Double($0)) }

    @Test("Two values of N or of D are named")
    func values() {
        let fewSizes = sizes.prefix(2).flatMap { n in tokens.map { run(n, $0, chinchilla(n, $0)) } }
        #expect(message(.chinchilla, fewSizes).contains("N takes 2 values"))
        let fewTokens = sizes.flatMap { n in tokens.prefix(2).map { run(n, $0, chinchilla(n, $0)) } }
        #expect(message(.chinchilla, fewTokens).contains("D takes 2 values"))
        let enough = sizes.prefix(3).flatMap { n in tokens.prefix(3).map { run(n, $0, chinchilla(n, $0)) } }
        #expect(throws: Never.self) { try fit(.chinchilla, enough) }
    }

    @Test("Variables that go together, the same loss, and the same runs again are named", arguments: [1.0, 0.7, -0.5])
    func degenerate(_ power: Double) {
        let tied = (0..<20).map { index in
            let n = 1e8 * pow(1.3, Double(index))
            let d = 1e10 * pow(n / 1e8, power)
            return run(n, d, chinchilla(n, d))
        }
        let text = message(.chinchilla, tied)
        #expect(text.contains("N follows from D") || text.contains("D follows from N"), "\(text)")
        let flat = sizes.flatMap { n in tokens.map { run(n, $0, 3) } }
        #expect(message(.chinchilla, flat).contains("loss is the same"))
        let same = (0..<40).map { index in
            let (n, d) = (sizes[index % 2], tokens[index / 2 % 2])
            return run(n, d, chinchilla(n, d) + 0.001 * Double(index))
        }
        #expect(message(.chinchilla, same).contains("4 different points"))
        let oneD = (0..<20).map { run(1e8 * Double($0 + 1), 1e9, chinchilla(1e8 * Double($0 + 1), 1e9)) }
        #expect(message(.chinchilla, oneD).contains("D is the same"))
    }

    @Test(
        "Experts that are all one, or of two numbers, do not determine a law of experts", arguments: [[1.0], [1, 8]])
    func experts(_ numbers: [Double]) {
        let runs = sizes.flatMap { n in
            tokens.flatMap { d in numbers.map { run(n, d, chinchilla(n, d) / pow($0, 0.05), experts: $0) } }
        }
        let text = message(.joint, runs)
        #expect(numbers.count == 1 ? text.contains("E is the same") : text.contains("E takes 2 values"), "\(text)")
    }

    // Noise that depends on nothing: there is a minimum, and no constant of it says anything.
    @Test("Where only noise varies, exponents are not identified")
    func noise() throws {
        let runs = sizes.enumerated().flatMap { i, n in
            tokens.enumerated().map { j, d in run(n, d, 3 * exp(0.01 * sin(Double(37 * i + 101 * j)))) }
        }
        let result = try fit(.chinchilla, runs)
        #expect(result.isIdentified.contains(false), "\(result.law.constants.map(\.name))")
    }

    @Test("Runs of a law on a grid identify it")
    func identified() throws {
        let runs = sizes.enumerated().flatMap { i, n in
            tokens.enumerated().map { j, d in
                run(n, d, chinchilla(n, d) * exp(0.0005 * sin(Double(37 * i + 101 * j))))
            }
        }
        let result = try fit(.chinchilla, runs)
        #expect(result.isIdentified.allSatisfy { $0 }, "\(result.isIdentified)")
    }
}
