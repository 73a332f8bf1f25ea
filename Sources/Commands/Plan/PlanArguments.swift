public import ArgumentParser
import Checkpoints
public import MoEToolkit
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

    /// The law and what is known of it.
    func chosen() throws -> ChosenLaw { try ChosenLaw(selection()) }

    func selection() throws -> LawSelection {
        var selection = LawSelection()
        selection.law = law
        selection.base = logBase
        selection.usesPlainExperts = plainExperts
        guard let constants else { return selection }
        var values: [String: Double] = [:]
        for part in constants.split(separator: ",") {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2, let value = Double(sides[1]), value.isFinite, values[String(sides[0])] == nil else {
                throw usage("--constants: \"\(part)\" is not NAME=NUMBER, or is there twice")
            }
            values[String(sides[0])] = value
        }
        selection.constants = values
        return selection
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

    var options: ShapeOptions {
        var options = ShapeOptions()
        options.topK = topK?.value
        options.mixtureEvery = moeEvery?.value
        options.vocabulary = vocabulary?.value
        options.aspect = aspect?.value
        return options
    }
}

/// Tells what the user should know; with `--json` it is in the document. `--quiet` leaves out notes, never a warning.
func warn(_ warnings: [String], notes: [String] = [], _ common: CommonOptions) {
    guard !common.json else { return }
    if !common.quiet { for note in notes { standardError("note: \(note)\n") } }
    for warning in warnings { standardError("warning: \(warning)\n") }
}
