import Checkpoints
import Safetensors

/// A law as a paper has it: its form, constants if it prints any, where they hold, and the models they are of.
package struct PublishedLaw: Sendable {
    /// What `--law` calls it.
    package let name: String
    package let source: String
    package let form: LawForm
    /// Nil where the paper prints no constants.
    package let constants: [String: Double]?
    package let base: LogarithmBase
    package let range: LawRange
    package let shape: ModelShape
    /// What to know before the law is used.
    package let notes: [String]
    /// Half a unit of each constant's last printed digit, where a conclusion may depend on it.
    package let halfUnits: [String: Double]

    init(
        _ name: String, source: String, form: LawForm, constants: [String: Double]?, base: LogarithmBase = .e,
        range: LawRange, shape: ModelShape, notes: [String] = [], halfUnits: [String: Double] = [:]
    ) {
        self.name = name
        self.source = source
        self.form = form
        self.constants = constants
        self.base = base
        self.range = range
        self.shape = shape
        self.notes = notes
        self.halfUnits = halfUnits
    }

    /// The law with its constants.
    ///
    /// - Throws: `CheckpointError.usage` where the paper prints none.
    package func law() throws -> ScalingLaw {
        guard let constants else {
            throw CheckpointError(
                .usage,
                message: "the paper behind \(name) prints no constants: give `constants` "
                    + form.constants.map { "\($0.name)=..." }.joined(separator: ",")
                    + ", or the file that a fit of `law` \(name) wrote")
        }
        return try ScalingLaw(form, constants: constants, base: base)
    }

    /// What the user should know about a law's answers at some points.
    package func warnings(_ points: LawPoint...) -> [String] {
        range.warnings(points, law: name, variables: form.variables)
    }

    package static func named(_ name: String) -> PublishedLaw? { all.first { $0.name == name } }

    package static let all: [PublishedLaw] =
        [joint, yun] + clark + [krajewski, liewUpcycled, liewScratch, liewDense, chinchilla, replication]
}

extension PublishedLaw {
    private static let joint = PublishedLaw(
        "joint", source: "Ludziejewski et al. 2025, arXiv:2502.05172", form: .joint,
        constants: [
            "a": 35.91, "alpha": -0.1889, "delta": -0.2285, "gamma": 0.0098, "b": 35.98, "beta": -0.1775,
            "omega": 0.5529, "zeta": -0.0259, "E_start": 2.0732, "E_max": 290.4521, "c": 1.3637,
        ],
        range: LawRange(parameters: 7.9e7...2.7e9, tokens: 5e8...8e10, experts: 1...32),
        // 2 d V + (4 + 9 E) d² parameters a layer, one expert of E for each token.
        shape: ModelShape(counted: .active, topK: 1, feedForward: 9, vocabulary: 50257),
        notes: ["the width is taken to be 64 times the number of layers"])

    private static let yun = PublishedLaw(
        "yun", source: "Yun et al. 2024, arXiv:2404.02852", form: .yun, constants: nil,
        range: LawRange(parameters: 1e8...7.3e8, tokens: 2.5e9...2e10, experts: 1...32),
        // Every second layer, two thirds of it in the feed-forward network: c = 1/3 in (1 + (E - 1) c) N.
        shape: ModelShape(counted: .dense, topK: 2, mixtureEvery: 2, countsEmbeddings: false))

    private static let clark: [PublishedLaw] = [
        ("s-base", -0.082, -0.108, 0.009, 1.104, 1.847, 314.478),
        ("rl-r", -0.083, -0.126, 0.012, 1.111, 1.880, 469.982),
        ("hash", -0.087, -0.136, 0.012, 1.157, 4.175, 477.741),
    ].map { (router, a, b, c, d, start, maximum) in
        PublishedLaw(
            "clark-" + router, source: "Clark et al. 2022, arXiv:2202.01169", form: .clark,
            constants: ["a": a, "b": b, "c": c, "d": d, "E_start": start, "E_max": maximum], base: .ten,
            range: LawRange(parameters: 1.5e7...1.3e9, experts: 1...512),
            shape: ModelShape(counted: .dense, mixtureEvery: 2),
            notes: ["all models saw 130 B tokens: the law does not know D"])
    }

    private static let krajewski = PublishedLaw(
        "krajewski", source: "Krajewski et al. 2024, arXiv:2402.07871", form: .krajewski,
        constants: ["a": 18.1, "alpha": 0.115, "b": 30.8, "beta": 0.147, "g": 2.1, "gamma": 0.58, "c": 0.47],
        range: LawRange(parameters: 1.29e8...3.7e9, tokens: 1.6e10...1.3e11, experts: 64...64, granularity: 1...16),
        // F = (12 d² 6 + d E G 14) D for a layer: 14 is the router's, forward and backward.
        shape: ModelShape(counted: .total, routerFLOPs: 14),
        notes: ["E, the experts at granularity 1, is 64"])

    private static let liewUpcycled = PublishedLaw(
        "liew-upcycled", source: liewSource, form: .liewUpcycled,
        constants: [
            "A": 16.3, "alpha1": 0.043, "alpha2": 0.085, "alpha3": 7.98e-4, "B": 8.53, "beta": 0.112, "c": 0.165,
        ],
        range: LawRange(parameters: 1e6...1e9, tokens: 1...3.7e10, experts: 8...8, sunkTokens: 1...7.4e10),
        shape: liewShape,
        notes: ["eight experts, top-2; 1 B parameters and 74 + 37 B tokens are the largest run the paper reports"],
        halfUnits: [
            "A": 0.05, "alpha1": 0.0005, "alpha2": 0.0005, "alpha3": 0.005e-4, "B": 0.005, "beta": 0.0005,
        ])

    private static let liewScratch = PublishedLaw(
        "liew-scratch", source: liewSource, form: .liew,
        constants: ["A": 32.0, "alpha": 0.161, "B": 7.05, "beta": 0.080, "c": 0.165],
        range: LawRange(parameters: 1e6...1e9, tokens: 1...1.11e11, experts: 8...8), shape: liewShape,
        notes: ["eight experts, top-2, trained from scratch"],
        halfUnits: ["A": 0.05, "alpha": 0.0005, "B": 0.005, "beta": 0.0005])

    private static let liewDense = PublishedLaw(
        "liew-dense", source: liewSource, form: .liewDense,
        constants: ["A": 8.83, "alpha": 0.088, "B": 12.3, "beta": 0.116, "c": 0.165],
        range: LawRange(parameters: 1e6...1e9, tokens: 1...1.11e11, experts: 1...1), shape: liewShape)

    private static let liewSource = "Liew, Kato, Takase 2025, arXiv:2502.03009"
    private static let liewShape = ModelShape(counted: .dense, topK: 2)

    private static let chinchilla = PublishedLaw(
        "chinchilla", source: "Hoffmann et al. 2022, arXiv:2203.15556, approach 3", form: .chinchilla,
        constants: ["A": 406.4, "alpha": 0.3392, "B": 410.7, "beta": 0.2849, "E": 1.6934],
        range: chinchillaRange, shape: ModelShape(counted: .dense),
        notes: ["its fit was found to have stopped early: chinchilla-replication corrects it"])

    private static let replication = PublishedLaw(
        "chinchilla-replication", source: "Besiroglu et al. 2024, arXiv:2404.10102", form: .chinchilla,
        constants: ["A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658, "E": 1.8172],
        range: chinchillaRange, shape: ModelShape(counted: .dense))

    private static let chinchillaRange = LawRange(parameters: 4.4e7...1.6e10, tokens: 5e9...5e11, experts: 1...1)
}
