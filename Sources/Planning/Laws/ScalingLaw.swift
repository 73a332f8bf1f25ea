import Checkpoints
import Glibc
import Safetensors

/// The base of the logarithms that a law's constants are stated for.
///
/// A sum of powers does not know a base; the factor of a product of two logarithms does. d = 0.01 in base 10 is
/// d / ln 10 = 0.00434 in base e, and a formula that takes log₁₀ inside and e^ outside is right in neither.
public enum LogarithmBase: String, Sendable, CaseIterable {
    /// Base 10.
    case ten = "10"
    /// Natural logarithms.
    case e

    /// The natural logarithm of the base.
    package var logarithm: Double { self == .ten ? log(10) : 1 }
}

/// A law with its constants.
package struct ScalingLaw: Sendable {
    package let form: LawForm
    /// The base that the constants are stated for.
    package let base: LogarithmBase
    /// The constants as `LawForm` has them in its sum.
    package let theta: [Double]

    /// A law from the numbers of a fit.
    package init(_ form: LawForm, theta: [Double], base: LogarithmBase = .e) {
        self.form = form
        self.theta = theta
        self.base = base
    }

    /// A law from constants as they are printed.
    ///
    /// - Throws: `CheckpointError.usage` for a constant that is missing, unknown or impossible.
    package init(_ form: LawForm, constants: [String: Double], base: LogarithmBase) throws {
        let names = form.constants.map(\.name)
        for name in constants.keys.sorted() where !names.contains(name) {
            throw CheckpointError(
                .usage,
                message: "\(form.name) has no constant \(escaped(name)); it has \(names.joined(separator: ", "))")
        }
        var theta: [Double] = []
        for constant in form.constants {
            guard let value = constants[constant.name] else {
                throw CheckpointError(
                    .usage,
                    message: "the constant \(constant.name) of \(form.name) is missing: \(form.formula) needs "
                        + names.joined(separator: ", "))
            }
            guard value.isFinite, abs(value) <= 1e30 else {
                throw CheckpointError(.usage, message: "\(constant.name) is \(numberText(value)), and must be finite")
            }
            switch constant.kind {
            case .exponent: theta.append(value)
            case .crossTerm: theta.append(value / base.logarithm)
            case .intercept: theta.append(value * base.logarithm)
            case .coefficient, .expertStart, .expertMaximum:
                guard value > 0 else {
                    throw CheckpointError(
                        .usage, message: "\(constant.name) is \(numberText(value)), and must be positive")
                }
                theta.append(log(value))
            }
        }
        if form.experts == .saturating, let start = constants["E_start"], let maximum = constants["E_max"] {
            guard start < maximum else {
                throw CheckpointError(
                    .usage,
                    message: "E_start is \(numberText(start)) and E_max \(numberText(maximum)): E_start must be smaller"
                )
            }
            theta[theta.count - 2] = -log(1 / start - 1 / maximum)
        }
        self.init(form, theta: theta, base: base)
    }

    /// The constants as they are printed, in the form's order.
    package var constants: [(name: String, value: Double)] {
        zip(form.constants, theta).map { constant, value in
            switch constant.kind {
            case .exponent: (constant.name, value)
            case .crossTerm: (constant.name, value * base.logarithm)
            case .intercept: (constant.name, value / base.logarithm)
            case .coefficient, .expertMaximum: (constant.name, exp(value))
            case .expertStart: (constant.name, 1 / (exp(-value) + exp(-theta[theta.count - 1])))
            }
        }
    }

    /// The loss in nats per token.
    package func loss(_ point: LawPoint) -> Double {
        exp(LawEvaluation(form, point).logLoss(theta))
    }

    /// Ê: the number of experts as the law counts it.
    package func effectiveExperts(_ experts: Double) -> Double {
        exp(LawEvaluation(form, LawPoint(parameters: 1, tokens: 1, experts: experts)).experts(theta).logarithm)
    }
}

/// A law at a point, ready for many constants.
package struct LawEvaluation: Sendable {
    private let terms: LawTerms
    private let kind: LawForm.ExpertCount
    private let experts: Double
    private let count: Int

    package init(_ form: LawForm, _ point: LawPoint) {
        terms = form.terms(point)
        kind = form.experts
        experts = point.experts
        count = form.constants.count
    }

    /// ln Ê, and its derivatives by the last two numbers of θ.
    func experts(_ theta: [Double]) -> (logarithm: Double, byStart: Double, byMaximum: Double) {
        switch kind {
        case .unused: return (0, 0, 0)
        case .plain: return (log(experts), 0, 0)
        case .saturating:
            let (start, maximum) = (exp(theta[count - 2]), exp(theta[count - 1]))
            let shifted = experts - 1 + start
            let effective = 1 / (1 / shifted + 1 / maximum)
            return (log(effective), effective * start / (shifted * shifted), effective / maximum)
        }
    }

    /// ln L.
    package func logLoss(_ theta: [Double]) -> Double {
        let (logExperts, _, _) = experts(theta)
        return sum(theta, logExperts).logLoss
    }

    /// ln L, with `scale(ln L)` times its gradient by θ added to `gradient`.
    package func logLoss(_ theta: [Double], addingTo gradient: inout [Double], scale: (Double) -> Double) -> Double {
        let (logExperts, byStart, byMaximum) = experts(theta)
        let (logLoss, exponents, logSum) = sum(theta, logExperts)
        let scale = scale(logLoss)
        var byExperts = 0.0
        var first = 0
        for (term, end) in terms.ends.enumerated() {
            let share = scale * exp(exponents[term] - logSum)
            for weight in terms.weights[first..<end] {
                gradient[weight.constant] += share * (weight.base + weight.perExperts * logExperts)
                byExperts += share * weight.perExperts * theta[weight.constant]
            }
            first = end
        }
        for weight in terms.factor {
            gradient[weight.constant] += scale * (weight.base + weight.perExperts * logExperts)
            byExperts += scale * weight.perExperts * theta[weight.constant]
        }
        if kind == .saturating {
            gradient[count - 2] += byExperts * byStart
            gradient[count - 1] += byExperts * byMaximum
        }
        return logLoss
    }

    private func sum(
        _ theta: [Double], _ logExperts: Double
    ) -> (logLoss: Double, exponents: SIMD8<Double>, logSum: Double) {
        var exponents = SIMD8<Double>(repeating: -.infinity)
        var largest = -Double.infinity
        var first = 0
        for (term, end) in terms.ends.enumerated() {
            var exponent = 0.0
            for weight in terms.weights[first..<end] {
                exponent += theta[weight.constant] * (weight.base + weight.perExperts * logExperts)
            }
            exponents[term] = exponent
            largest = max(largest, exponent)
            first = end
        }
        var total = 0.0
        for term in terms.ends.indices { total += exp(exponents[term] - largest) }
        let logSum = largest + log(total)
        var logLoss = logSum
        for weight in terms.factor {
            logLoss += theta[weight.constant] * (weight.base + weight.perExperts * logExperts)
        }
        return (logLoss, exponents, logSum)
    }
}
