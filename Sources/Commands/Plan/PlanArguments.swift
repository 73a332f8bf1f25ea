import ArgumentParser
import Checkpoints
import Planning
import Safetensors

/// A number as people write it: `1e9`, `7B`, `1.5T`, `300M`.
struct Quantity: ExpressibleByArgument, Sendable {
    let value: Double

    init(value: Double) { self.value = value }

    init?(argument: String) {
        let units: [(Character, Double)] = [("K", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12)]
        let unit = units.first { argument.uppercased().last == $0.0 }
        guard let number = Double(argument.dropLast(unit == nil ? 0 : 1)) else { return nil }
        value = number * (unit?.1 ?? 1)
        guard value.isFinite else { return nil }
    }

    var defaultValueDescription: String { shortText(value) }
}

/// Numbers separated by commas.
struct QuantityList: ExpressibleByArgument, Sendable {
    let values: [Double]

    init(values: [Double]) { self.values = values }

    init?(argument: String) {
        let parts = argument.split(separator: ",", omittingEmptySubsequences: false)
            .map { Quantity(argument: String($0))?.value }
        guard !parts.isEmpty, parts.allSatisfy({ $0 != nil }) else { return nil }
        values = parts.compactMap { $0 }
    }

    var defaultValueDescription: String { values.map(shortText).joined(separator: ",") }
}

/// A refusal of what was asked for: a `ValidationError` thrown while a command runs would print the usage of the wrong
/// command after it.
func usage(_ message: String) -> CheckpointError { CheckpointError(.usage, message: message) }

/// Which law, and the models it is of.
struct LawArguments: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "\(PublishedLaw.all.map(\.name).joined(separator: ", ")), or a file that `plan fit` wrote.",
            valueName: "law"), completion: .list(PublishedLaw.all.map(\.name)))
    var law = "joint"

    @Option(help: ArgumentHelp("The law's constants, instead of the paper's.", valueName: "A=x,alpha=y,..."))
    var constants: String?

    @Option(help: "The base of the logarithms that --constants are for: e or 10.")
    var logBase: LogarithmBase?

    @Flag(help: "Take E itself where the law has the saturating number of experts.")
    var plainExperts = false

    /// A law, and what is known of it.
    struct Chosen {
        let law: ScalingLaw
        let name: String
        let source: String
        let range: LawRange
        let shape: ModelShape
        let notes: [String]

        func warnings(_ points: [LawPoint]) -> [String] {
            range.warnings(points, law: name, variables: law.form.variables)
        }

        /// The number of experts where none is asked for.
        var defaultExperts: Double { law.form.fixedExperts ?? 1 }
    }

    func chosen() throws -> Chosen {
        if law.hasSuffix(".json") {
            guard constants == nil, logBase == nil, !plainExperts else {
                throw usage("--law \(law) has its own constants, base and number of experts")
            }
            let file = try LawFile(contentsOf: law)
            let family = PublishedLaw.all.first { $0.form.name == file.law.form.name }
            return Chosen(
                law: file.law, name: law, source: "fitted, \(file.law.form.name)", range: file.range,
                shape: family?.shape ?? ModelShape(counted: .active), notes: [])
        }
        guard let published = PublishedLaw.named(law) else {
            throw usage(
                "--law \(law): give \(PublishedLaw.all.map(\.name).joined(separator: ", ")), or a .json file")
        }
        if plainExperts, published.form.experts != .saturating {
            throw usage("--plain-experts: \(law) has no saturating number of experts")
        }
        guard let constants else {
            if logBase != nil || plainExperts {
                throw usage("--log-base and --plain-experts say how --constants are meant: give those too")
            }
            return Chosen(
                law: try published.law(), name: law, source: published.source, range: published.range,
                shape: published.shape, notes: published.notes)
        }
        var values: [String: Double] = [:]
        for part in constants.split(separator: ",") {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let value = Double(sides[1]), value.isFinite, values[String(sides[0])] == nil else {
                throw usage("--constants: \"\(part)\" is not NAME=NUMBER, or is there twice")
            }
            values[String(sides[0])] = value
        }
        let form = plainExperts ? published.form.withPlainExperts : published.form
        let law = try ScalingLaw(form, constants: values, base: logBase ?? published.base)
        return Chosen(
            law: law, name: self.law, source: published.source + ", constants given", range: published.range,
            shape: published.shape, notes: published.notes)
    }
}

extension LogarithmBase: ExpressibleByArgument {}

/// How models grow, where it differs from what the law's paper has.
struct ShapeArguments: ParsableArguments {
    @Option(help: "Experts a token is routed to; by default as in the law's paper.")
    var topK: Quantity?

    @Option(help: "Every how many layers there is a mixture; by default as in the law's paper.")
    var moeEvery: Quantity?

    @Option(help: "Tokens in the vocabulary; by default as in the law's paper, 0 where it leaves embeddings out.")
    var vocabulary: Quantity?

    @Option(help: "The width over the number of layers.")
    var aspect: Quantity?

    func shape(_ law: LawArguments.Chosen) throws -> ModelShape { try shape(law.shape) }

    func shape(_ base: ModelShape) throws -> ModelShape {
        var shape = base
        if let topK { shape.topK = topK.value }
        if let moeEvery { shape.mixtureEvery = moeEvery.value }
        if let vocabulary { shape.vocabulary = vocabulary.value }
        if let aspect { shape.aspect = aspect.value }
        try shape.check()
        return shape
    }
}

/// Tells what the user should know; with `--json` it is in the document. `--quiet` leaves out notes, never a warning.
func warn(_ warnings: [String], notes: [String] = [], _ common: CommonOptions) {
    guard !common.json else { return }
    if !common.quiet { for note in notes { standardError("note: \(note)\n") } }
    for warning in warnings { standardError("warning: \(warning)\n") }
}

extension LawArguments.Chosen {
    var json: JSON {
        var constants = JSONObject()
        for (name, value) in law.constants { constants[name] = JSON(value) }
        return .object([
            "name": .string(name), "source": .string(source), "formula": .string(law.form.formula),
            "log_base": .string(law.base.rawValue), "constants": .object(constants),
            "n_counts": .string(law.form.meaningOfSize), "notes": .strings(notes),
        ])
    }
}

extension ModelSizes {
    var json: JSONObject {
        [
            "active_parameters": JSON(active), "total_parameters": JSON(total), "width": JSON(width),
            "layers": JSON(layers), "training_flops_per_token": JSON(trainingFLOPs),
            "inference_flops_per_token": JSON(inferenceFLOPs),
        ]
    }
}

extension LawPoint {
    func json(_ form: LawForm) -> JSONObject {
        var object = JSONObject()
        for variable in LawVariable.allCases where form.variables.contains(variable) || variable == .experts {
            object[variable.rawValue] = JSON(self[variable])
        }
        return object
    }
}
