import Checkpoints
package import Safetensors

/// Which law, and the models it is of.
public struct LawSelection: Sendable, Hashable {
    /// A published law's name, or a .json file with one that was fitted.
    public var law = "joint"
    /// The law's constants by name, instead of the paper's.
    public var constants: [String: Double]?
    /// The base of the logarithms that `constants` are for; by default the law's.
    public var base: LogarithmBase?
    /// Take the number of experts itself where the law has the saturating one; goes with `constants`.
    public var usesPlainExperts = false

    /// The defaults: the joint law of Ludziejewski et al.
    public init() {}
}

/// A law, and what is known of it.
public struct ChosenLaw: Sendable {
    package let law: ScalingLaw
    /// What it was chosen by.
    public let name: String
    /// Where it is from: the paper, or that it was fitted.
    public let source: String
    package let range: LawRange
    package let shape: ModelShape
    /// What one should know of it.
    public let notes: [String]

    /// - Throws: `CheckpointError`: `.usage` for a law that is not known and for constants that do not fit it, `.malformed`
    ///   for a file that holds no law; `SafetensorsError` for one that cannot be read.
    public init(_ selection: LawSelection = LawSelection()) throws {
        func usage(_ message: String) -> CheckpointError { CheckpointError(.usage, message: message) }
        let name = selection.law
        if name.hasSuffix(".json") {
            guard selection.constants == nil, selection.base == nil, !selection.usesPlainExperts else {
                throw usage("`law` \(name) has its own constants, base and number of experts")
            }
            let file = try LawFile(contentsOf: name)
            let family = PublishedLaw.all.first { $0.form.name == file.law.form.name }
            self.init(
                law: file.law, name: name, source: "fitted, \(file.law.form.name)", range: file.range,
                shape: family?.shape ?? ModelShape(counted: .active), notes: [])
            return
        }
        guard let published = PublishedLaw.named(name) else {
            throw usage(
                "`law` \(name): give \(PublishedLaw.all.map(\.name).joined(separator: ", ")), or a .json file")
        }
        if selection.usesPlainExperts, published.form.experts != .saturating {
            throw usage("`plainExperts`: \(name) has no saturating number of experts")
        }
        guard let constants = selection.constants else {
            if selection.base != nil || selection.usesPlainExperts {
                throw usage("`logBase` and `plainExperts` say how `constants` are meant: give those too")
            }
            self.init(
                law: try published.law(), name: name, source: published.source, range: published.range,
                shape: published.shape, notes: published.notes)
            return
        }
        let form = selection.usesPlainExperts ? published.form.withPlainExperts : published.form
        self.init(
            law: try ScalingLaw(form, constants: constants, base: selection.base ?? published.base), name: name,
            source: published.source + ", constants given", range: published.range, shape: published.shape,
            notes: published.notes)
    }

    private init(
        law: ScalingLaw, name: String, source: String, range: LawRange, shape: ModelShape, notes: [String]
    ) {
        (self.law, self.name, self.source, self.range, self.shape, self.notes) = (
            law, name, source, range, shape, notes
        )
    }

    /// The names of the published laws.
    public static var names: [String] { PublishedLaw.all.map(\.name) }

    package func warnings(_ points: [LawPoint]) -> [String] {
        range.warnings(points, law: name, variables: law.form.variables)
    }

    /// The number of experts where none is asked for.
    package var defaultExperts: Double { law.form.fixedExperts ?? 1 }

    /// Constants, formula and source.
    package var json: JSON {
        var constants = JSONObject()
        for (name, value) in law.constants { constants[name] = JSON(value) }
        return .object([
            "name": .string(name), "source": .string(source), "formula": .string(law.form.formula),
            "log_base": .string(law.base.rawValue), "constants": .object(constants),
            "n_counts": .string(law.form.meaningOfSize), "notes": .strings(notes),
        ])
    }
}
