/// A formula for the loss, with its constants still to be given.
///
/// All laws here have one shape: the logarithm of the loss is
///
///     ln L = ln Σₖ exp(wₖ · θ) + v · θ
///
/// a sum of power terms, times a power. What a term's weights wₖ and the factor's weights v are depends on N, D, G and, in
/// a straight line, on ln Ê; θ are the constants, positive ones as their logarithm. One evaluation and one gradient serve
/// them all, and a fit has no bounds to mind.
package struct LawForm: Sendable {
    /// What the command line calls it.
    package let name: String
    /// The formula, as it is printed.
    package let formula: String
    /// The constants in their order.
    package let constants: [LawConstant]
    /// What the loss depends on.
    package let variables: Set<LawVariable>
    /// Which parameters N counts.
    package let meaningOfSize: String
    /// The number of experts that a law has which does not depend on it.
    package let fixedExperts: Double?
    /// How E enters.
    package let experts: ExpertCount
    let terms: @Sendable (LawPoint) -> LawTerms

    /// How the number of experts enters a formula.
    package enum ExpertCount: Sendable, Hashable {
        /// Not at all.
        case unused
        /// As it is.
        case plain
        /// Saturating (Clark et al. 2022): 1/Ê = 1/(E − 1 + (1/E_start − 1/E_max)⁻¹) + 1/E_max, so that a dense model
        /// counts as E_start and no number of experts as more than E_max. E_start and E_max are the last two constants.
        case saturating
    }

    package init(
        name: String, formula: String, constants: [LawConstant], variables: Set<LawVariable>, meaningOfSize: String,
        fixedExperts: Double? = nil, experts: ExpertCount = .unused,
        terms: @escaping @Sendable (LawPoint) -> LawTerms
    ) {
        self.name = name
        self.formula = formula
        self.constants = constants + (experts == .saturating ? [.expertStart, .expertMaximum] : [])
        self.variables = variables
        self.meaningOfSize = meaningOfSize
        self.fixedExperts = fixedExperts
        self.experts = experts
        self.terms = terms
    }

    /// The form with E itself in the place of Ê.
    package var withPlainExperts: LawForm {
        guard experts == .saturating else { return self }
        return LawForm(
            name: name, formula: formula + ", Ê = E", constants: Array(constants.dropLast(2)), variables: variables,
            meaningOfSize: meaningOfSize, fixedExperts: fixedExperts, experts: .plain, terms: terms)
    }
}

/// A constant of a law.
package struct LawConstant: Sendable, Hashable {
    /// How the constant is told, and how it is fitted.
    package enum Kind: Sendable, Hashable {
        /// Positive; θ is its logarithm.
        case coefficient
        /// Any number; θ is the number.
        case exponent
        /// The factor of a product of two logarithms, stated for logarithms to a base b: θ is it over ln b, since
        /// log_b L = d log_b x log_b y is ln L = (d / ln b) ln x ln y.
        case crossTerm
        /// Added to a logarithm of the loss to a base b: θ is it times ln b.
        case intercept
        /// E_start; θ is ln q, 1/q = 1/E_start − 1/E_max.
        case expertStart
        /// E_max; θ is its logarithm.
        case expertMaximum
    }

    package let name: String
    package let kind: Kind
    /// The values of θ that a fit starts from.
    package let starts: [Double]

    package init(_ name: String, _ kind: Kind, starts: [Double]) {
        self.name = name
        self.kind = kind
        self.starts = starts
    }

    static let expertStart = LawConstant("E_start", .expertStart, starts: [0, 1])
    static let expertMaximum = LawConstant("E_max", .expertMaximum, starts: [4, 6])
}

/// The weights of a law's terms at a point.
package struct LawTerms: Sendable {
    /// The part of one constant: θ times (`base` + `perExperts` · ln Ê).
    struct Weight: Sendable {
        let constant: Int
        let base: Double
        let perExperts: Double

        init(_ constant: Int, _ base: Double = 1, experts: Double = 0) {
            self.constant = constant
            self.base = base
            perExperts = experts
        }
    }

    /// The terms one after another, at most eight.
    let weights: [Weight]
    /// Where each term ends in `weights`.
    let ends: [Int]
    let factor: [Weight]

    init(_ sum: [[Weight]], factor: [Weight] = []) {
        weights = sum.flatMap { $0 }
        ends = sum.reduce(into: []) { $0.append(($0.last ?? 0) + $1.count) }
        self.factor = factor
    }
}
