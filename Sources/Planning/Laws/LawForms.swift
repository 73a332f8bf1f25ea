import Glibc

extension LawForm {
    private typealias Weight = LawTerms.Weight

    /// All forms, by what the command line calls them.
    package static let all: [LawForm] = [.joint, .yun, .clark, .krajewski, .liewUpcycled, .liew, .chinchilla]

    /// Joint MoE law: Ludziejewski et al. 2025 (2502.05172).
    package static let joint = LawForm(
        name: "joint", formula: "L = a Ê^δ N^(α + γ ln Ê) + b Ê^ω D^(β + ζ ln Ê) + c",
        constants: [
            LawConstant("a", .coefficient, starts: [2, 4]), LawConstant("alpha", .exponent, starts: [-0.3, -0.15]),
            LawConstant("delta", .exponent, starts: [-0.2, 0.1]), LawConstant("gamma", .exponent, starts: [0]),
            LawConstant("b", .coefficient, starts: [2, 4]), LawConstant("beta", .exponent, starts: [-0.3, -0.15]),
            LawConstant("omega", .exponent, starts: [0.1, 0.6]), LawConstant("zeta", .exponent, starts: [0]),
            LawConstant("c", .coefficient, starts: [-0.5, 0.3]),
        ],
        variables: [.parameters, .tokens, .experts],
        meaningOfSize: "active parameters, embedding and head included", experts: .saturating
    ) { point in
        let (n, d) = (log(point.parameters), log(point.tokens))
        return LawTerms([
            [Weight(0), Weight(1, n), Weight(2, 0, experts: 1), Weight(3, 0, experts: n)],
            [Weight(4), Weight(5, d), Weight(6, 0, experts: 1), Weight(7, 0, experts: d)],
            [Weight(8)],
        ])
    }

    /// Yun et al. 2024 (2404.02852), equation 4.
    package static let yun = LawForm(
        name: "yun", formula: "log L = log(A/N^α + B/Ê^β + C/D^γ + F) + d log N log Ê",
        constants: [
            LawConstant("A", .coefficient, starts: [0, 5]), LawConstant("alpha", .exponent, starts: [0.2, 0.5]),
            LawConstant("B", .coefficient, starts: [-2, 1]), LawConstant("beta", .exponent, starts: [0.2, 1]),
            LawConstant("C", .coefficient, starts: [0, 5]), LawConstant("gamma", .exponent, starts: [0.2, 0.5]),
            LawConstant("F", .coefficient, starts: [-0.5, 0.5]), LawConstant("d", .crossTerm, starts: [0]),
        ],
        variables: [.parameters, .tokens, .experts],
        meaningOfSize: "parameters of the dense model of the same layers and width, without embeddings",
        experts: .saturating
    ) { point in
        let (n, d) = (log(point.parameters), log(point.tokens))
        return LawTerms(
            [
                [Weight(0), Weight(1, -n)], [Weight(2), Weight(3, 0, experts: -1)], [Weight(4), Weight(5, -d)],
                [Weight(6)],
            ],
            factor: [Weight(7, 0, experts: n)])
    }

    /// Clark et al. 2022 (2202.01169).
    package static let clark = LawForm(
        name: "clark", formula: "log L = a log N + b log Ê + c log N log Ê + d",
        constants: [
            LawConstant("a", .exponent, starts: [-0.2, -0.05]), LawConstant("b", .exponent, starts: [-0.2, -0.05]),
            LawConstant("c", .crossTerm, starts: [0]), LawConstant("d", .intercept, starts: [1, 3]),
        ],
        variables: [.parameters, .experts],
        meaningOfSize: "parameters of the dense model of the same layers and width", experts: .saturating
    ) { point in
        let n = log(point.parameters)
        return LawTerms([[Weight(0, n), Weight(1, 0, experts: 1), Weight(2, 0, experts: n), Weight(3)]])
    }

    /// Krajewski et al. 2024 (2402.07871).
    package static let krajewski = LawForm(
        name: "krajewski", formula: "L = c + (g/G^γ + a)/N^α + b/D^β",
        constants: [
            LawConstant("a", .coefficient, starts: [1, 4]), LawConstant("alpha", .exponent, starts: [0.1, 0.3]),
            LawConstant("b", .coefficient, starts: [1, 4]), LawConstant("beta", .exponent, starts: [0.1, 0.3]),
            LawConstant("g", .coefficient, starts: [-1, 2]), LawConstant("gamma", .exponent, starts: [0.3, 1]),
            LawConstant("c", .coefficient, starts: [-1, 0.5]),
        ],
        variables: [.parameters, .tokens, .granularity], meaningOfSize: "all parameters, of all experts",
        fixedExperts: 64
    ) { point in
        let (n, d, g) = (log(point.parameters), log(point.tokens), log(point.granularity))
        return LawTerms([
            [Weight(6)], [Weight(4), Weight(5, -g), Weight(1, -n)], [Weight(0), Weight(1, -n)],
            [Weight(2), Weight(3, -d)],
        ])
    }

    /// Liew et al. 2025 (2502.03009), for an upcycled model.
    package static let liewUpcycled = LawForm(
        name: "liew-upcycled", formula: "L = A D1^-α1 D^(-α2 + α3 ln D1) + B N^-β + c",
        constants: [
            LawConstant("A", .coefficient, starts: [1, 4]), LawConstant("alpha1", .exponent, starts: [0.02, 0.2]),
            LawConstant("alpha2", .exponent, starts: [0.05, 0.2]), LawConstant("alpha3", .exponent, starts: [0]),
            LawConstant("B", .coefficient, starts: [1, 4]), LawConstant("beta", .exponent, starts: [0.1, 0.3]),
            LawConstant("c", .coefficient, starts: [-2, 0]),
        ],
        variables: [.parameters, .tokens, .sunkTokens],
        meaningOfSize: "parameters of the dense model that was upcycled", fixedExperts: 8
    ) { point in
        let (n, d, sunk) = (log(point.parameters), log(point.tokens), log(point.sunkTokens))
        return LawTerms([
            [Weight(0), Weight(1, -sunk), Weight(2, -d), Weight(3, d * sunk)], [Weight(4), Weight(5, -n)], [Weight(6)],
        ])
    }

    /// Liew et al. 2025, for a model trained from scratch: as Chinchilla's, of eight experts.
    package static let liew = powers(
        name: "liew", formula: "L = A D^-α + B N^-β + c", names: ["B", "beta", "A", "alpha", "c"],
        meaningOfSize: "parameters of the dense model of the same layers and width", fixedExperts: 8)

    /// Liew et al. 2025, for the dense model.
    package static let liewDense = powers(
        name: "liew-dense", formula: "L = A D^-α + B N^-β + c", names: ["B", "beta", "A", "alpha", "c"],
        meaningOfSize: "all parameters", fixedExperts: 1)

    /// Hoffmann et al. 2022 (2203.15556), approach 3.
    package static let chinchilla = powers(
        name: "chinchilla", formula: "L = E + A/N^α + B/D^β", names: ["A", "alpha", "B", "beta", "E"],
        meaningOfSize: "all parameters", fixedExperts: 1)

    /// A power of N, a power of D and a constant: the starts are those of Hoffmann et al.
    private static func powers(
        name: String, formula: String, names: [String], meaningOfSize: String, fixedExperts: Double
    ) -> LawForm {
        let kinds: [(LawConstant.Kind, [Double])] = [
            (.coefficient, [0, 5, 10, 15, 20, 25]), (.exponent, [0, 0.5, 1, 1.5, 2]),
            (.coefficient, [0, 5, 10, 15, 20, 25]), (.exponent, [0, 0.5, 1, 1.5, 2]),
            (.coefficient, [-1, -0.5, 0, 0.5, 1]),
        ]
        return LawForm(
            name: name, formula: formula, constants: zip(names, kinds).map { LawConstant($0, $1.0, starts: $1.1) },
            variables: [.parameters, .tokens], meaningOfSize: meaningOfSize, fixedExperts: fixedExperts
        ) { point in
            LawTerms([
                [Weight(0), Weight(1, -log(point.parameters))], [Weight(2), Weight(3, -log(point.tokens))], [Weight(4)],
            ])
        }
    }
}
