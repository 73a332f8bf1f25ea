import Checkpoints
import Glibc
import Planning
import Safetensors
import TestSupport
import Testing

/// Whether two numbers are the same to a share of the second.
func isClose(_ value: Double, _ expected: Double, _ tolerance: Double) -> Bool {
    abs(value - expected) <= tolerance * abs(expected)
}

/// The error with which something is refused; it is a failure of the test if it is not.
func refusal<T>(_ body: () throws -> T) -> CheckpointError? {
    #expect(throws: CheckpointError.self) { _ = try body() }
}

/// A published law with its constants.
func published(_ name: String) throws -> ScalingLaw { try #require(PublishedLaw.named(name)).law() }

@Suite("Scaling laws")
struct LawTests {
    // The paper's transformation with its E_start and E_max, by hand to the printed digits.
    @Test(
        "The effective number of experts",
        arguments: [(1, 2.0732), (2, 3.0556), (4, 5.0005), (8, 8.8124), (16, 16.1386), (32, 29.7042)])
    func effectiveExperts(_ experts: Double, _ expected: Double) throws {
        #expect(abs(try published("joint").effectiveExperts(experts) - expected) < 5e-5)
    }

    // 2502.05172's formula and constants in Python, to the printed digits.
    @Test(
        "The joint law",
        arguments: [
            (1e9, 1e10, 1, 2.6521), (1e9, 1e10, 8, 2.5910), (1e9, 2e10, 8, 2.5088), (1.3e8, 2.6e9, 8, 3.0708),
        ])
    func joint(_ n: Double, _ d: Double, _ e: Double, _ expected: Double) throws {
        let loss = try published("joint").loss(LawPoint(parameters: n, tokens: d, experts: e))
        #expect(abs(loss - expected) < 5e-5)
    }

    // Table 4 of 2502.05172: for each number of experts L = m N^μ + n D^ν + c.
    @Test(
        "For a number of experts the joint law is a power law with the paper's coefficients",
        arguments: [
            (1, 30.3640, -0.1817, 53.9838, -0.1965), (2, 27.7982, -0.1780, 66.8401, -0.2065),
            (4, 24.8462, -0.1731, 87.7022, -0.2192), (8, 21.8330, -0.1676, 119.9126, -0.2338),
            (16, 19.0159, -0.1617, 167.5073, -0.2494), (32, 16.5424, -0.1557, 234.6726, -0.2652),
        ])
    func table4(_ e: Double, _ m: Double, _ mu: Double, _ n: Double, _ nu: Double) throws {
        let law = try published("joint")
        func loss(_ parameters: Double, _ tokens: Double) -> Double {
            law.loss(LawPoint(parameters: parameters, tokens: tokens, experts: e))
        }
        // With one of the two terms vanishing, two points give the other's coefficient and exponent.
        let (a, b) = (loss(1e8, 1e120) - 1.3637, loss(1e10, 1e120) - 1.3637)
        #expect(abs(log(b / a) / log(100) - mu) < 2e-4)
        #expect(isClose(a / pow(1e8, mu), m, 0.01))
        let (c, d) = (loss(1e120, 1e8) - 1.3637, loss(1e120, 1e10) - 1.3637)
        #expect(abs(log(d / c) / log(100) - nu) < 2e-4)
        #expect(isClose(c / pow(1e8, nu), n, 0.01))
    }

    private static let worked = [
        "A": 0.01, "alpha": 0.5, "B": 0.02, "beta": 0.3, "C": 0.05, "gamma": 0.7, "F": 0.1, "d": 0.01,
    ]

    // log10: -0.955782 + 0.01 * 9 * 0.903090 = -0.874503; ln: -2.200768 + 0.01 * 20.723266 * 2.079442 = -1.769840.
    // e^-0.874503 = 0.417 takes log10 inside and e outside, and is right in neither base.
    @Test(
        "The base of the logarithm is what the constants are for",
        arguments: [(LogarithmBase.ten, 0.133505), (.e, 0.170360)]
    )
    func base(_ base: LogarithmBase, _ expected: Double) throws {
        let law = try ScalingLaw(LawForm.yun.withPlainExperts, constants: Self.worked, base: base)
        let loss = law.loss(LawPoint(parameters: 1e9, tokens: 1e10, experts: 8))
        #expect(abs(loss - expected) < 5e-7)
        #expect(abs(loss - 0.417) > 0.2)
        #expect(abs((law.constants.last?.value ?? 0) - 0.01) < 1e-15)
    }

    @Test("The cross term's factor is divided by ln 10 to go from base 10 to base e")
    func conversion() throws {
        var constants = Self.worked
        constants["d"] = 0.004342945
        let law = try ScalingLaw(LawForm.yun.withPlainExperts, constants: constants, base: .e)
        #expect(abs(law.loss(LawPoint(parameters: 1e9, tokens: 1e10, experts: 8)) - 0.133505) < 5e-7)
    }

    // Python: the papers' formulas with their printed constants, in double precision.
    @Test(
        "The other laws",
        arguments: [
            ("clark-s-base", LawPoint(parameters: 1.3e9, experts: 1), 2.2373570568867955),
            ("clark-rl-r", LawPoint(parameters: 3.7e8, experts: 64), 2.2862963646634396),
            ("clark-hash", LawPoint(parameters: 1e9, experts: 8), 2.212540181984148),
            ("krajewski", LawPoint(parameters: 4.3e9, tokens: 4.37e9, experts: 64), 3.224496022886626),
            (
                "krajewski", LawPoint(parameters: 4.3e9, tokens: 4.37e9, experts: 64, granularity: 8),
                3.1097178380380734
            ),
            (
                "liew-upcycled", LawPoint(parameters: 1e9, tokens: 3.7e10, experts: 8, sunkTokens: 7.4e10),
                2.1442035821423575
            ),
            ("liew-dense", LawPoint(parameters: 1e9, tokens: 7.4e10), 2.2525304168471387),
            ("liew-scratch", LawPoint(parameters: 1e9, tokens: 1e11, experts: 8), 2.050537902307234),
            ("chinchilla", LawPoint(parameters: 7e10, tokens: 1.4e12), 1.9208352039108185),
            ("chinchilla-replication", LawPoint(parameters: 7e10, tokens: 1.4e12), 1.9738818631585637),
        ])
    func others(_ name: String, _ point: LawPoint, _ expected: Double) throws {
        #expect(isClose(try published(name).loss(point), expected, 1e-12))
    }

    // Python: exp(log(6/N^.15 + 1.2/x^.4 + 9/D^.17 + 1.1) + .0016 log N log x), x = Ê(8; 1.9, 60).
    @Test("Yun's law with the saturating number of experts")
    func yun() throws {
        let law = try ScalingLaw(
            .yun,
            constants: [
                "A": 6, "alpha": 0.15, "B": 1.2, "beta": 0.4, "C": 9, "gamma": 0.17, "F": 1.1, "d": 0.0016,
                "E_start": 1.9, "E_max": 60,
            ], base: .e)
        #expect(isClose(law.loss(LawPoint(parameters: 5e8, tokens: 1e10, experts: 8)), 2.2478564537884425, 1e-12))
    }

    @Test("Gradients are central differences'", arguments: LawForm.all.map(\.name))
    func gradients(_ name: String) throws {
        let form = try #require(LawForm.all.first { $0.name == name })
        var generator = SeededGenerator(seed: 5)
        let point = LawPoint(parameters: 3e8, tokens: 7e9, experts: 6, granularity: 4, sunkTokens: 2e10)
        let evaluation = LawEvaluation(form, point)
        let theta = form.constants.map { constant in
            (constant.starts.first ?? 0) + Double.random(in: -0.2...0.2, using: &generator)
        }
        var gradient = theta.map { _ in 0.0 }
        _ = evaluation.logLoss(theta, addingTo: &gradient) { _ in 1 }
        for index in theta.indices {
            var (above, below) = (theta, theta)
            above[index] += 1e-6
            below[index] -= 1e-6
            let slope = (evaluation.logLoss(above) - evaluation.logLoss(below)) / 2e-6
            #expect(abs(gradient[index] - slope) < 1e-6 * max(1, abs(slope)), "\(form.constants[index].name)")
        }
    }

    @Test("Beyond what a law was fitted to there is a warning for each number")
    func ranges() throws {
        let joint = try #require(PublishedLaw.named("joint"))
        #expect(joint.warnings(LawPoint(parameters: 1e9, tokens: 1e10, experts: 8)).isEmpty)
        let warnings = joint.warnings(LawPoint(parameters: 7e10, tokens: 1e12, experts: 64))
        #expect(warnings.count == 3)
        #expect(warnings.first?.contains("N is 70 B") == true)
    }

    @Test("What makes no sense is refused with what is allowed")
    func refusals() throws {
        let points = [
            LawPoint(parameters: -1, tokens: 1e9), LawPoint(parameters: 0, tokens: 1e9),
            LawPoint(parameters: 1e9, tokens: 0), LawPoint(parameters: 1e9, tokens: 1e9, experts: 0.5),
            LawPoint(parameters: .nan, tokens: 1e9), LawPoint(parameters: .infinity, tokens: 1e9),
        ]
        for point in points {
            let error = refusal { try point.check(for: .joint) }
            #expect(error?.code == .usage)
            #expect(error?.message.contains("a number from 1 to 1e30") == true)
        }
        let dense = refusal { try LawPoint(parameters: 1e9, tokens: 1e9, experts: 8).check(for: .chinchilla) }
        #expect(dense?.message.contains("dense models only") == true)
        #expect(refusal { try published("yun") }?.message.contains("prints no constants") == true)
        var constants = Self.worked
        constants["E_start"] = 60
        constants["E_max"] = 2
        #expect(
            refusal { try ScalingLaw(.yun, constants: constants, base: .e) }?.message.contains("must be smaller")
                == true)
        constants["A"] = -1
        #expect(refusal { try ScalingLaw(.yun, constants: constants, base: .e) }?.message.contains("positive") == true)
        constants["A"] = nil
        #expect(refusal { try ScalingLaw(.yun, constants: constants, base: .e) }?.message.contains("missing") == true)
        constants["x"] = 1
        #expect(
            refusal { try ScalingLaw(.yun, constants: constants, base: .e) }?.message.contains("no constant x") == true)
    }

    @Test("A law comes back from its file")
    func files() throws {
        let folder = try TemporaryFolder()
        let range = LawRange(parameters: 1e8...2e9, tokens: 1e9...1e10, experts: 1...8)
        for base in LogarithmBase.allCases {
            var constants = Self.worked
            constants["E_start"] = 1.5
            constants["E_max"] = 200
            let law = try ScalingLaw(.yun, constants: constants, base: base)
            let text = JSON.object(LawFile(law: law, range: range).json).serialized()
            let file = try LawFile(contentsOf: folder.write("law.json", Array(text.utf8)))
            let point = LawPoint(parameters: 5e8, tokens: 2e9, experts: 4)
            #expect(isClose(file.law.loss(point), law.loss(point), 1e-12))
            #expect(file.range == range)
        }
        let bad = [
            "[]", "{}", #"{"law": "nobody's"}"#, #"{"law": "joint"}"#, #"{"law": "joint", "constants": {"a": "1"}}"#,
            #"{"law": "joint", "constants": {"a": 1}}"#, #"{"law": "yun", "base": "2", "constants": {}}"#,
            #"{"law": "chinchilla", "constants": {"A": 1, "alpha": 1, "B": 1, "beta": 1, "E": 1}, "range": {"tokens": [2, 1]}}"#,
        ]
        for text in bad {
            let path = try folder.write("bad.json", Array(text.utf8))
            #expect(refusal { try LawFile(contentsOf: path) }?.code == .malformed, "\(text)")
        }
    }
}
