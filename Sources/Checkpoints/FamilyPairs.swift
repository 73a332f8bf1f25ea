package import Safetensors

/// What a source's configuration must be for a pair of families to hold.
package struct PairRequirement: Sendable {
    enum Condition: Sendable {
        /// A key must not be set; it may be where the configuration has another one.
        case unset(String, unless: String?)
        /// The rotary embeddings must be stretched in another way.
        case ropeType(isNot: String)
        /// A size must have a value.
        case size(String, is: DimensionExpression)
    }

    let condition: Condition
    let reason: String

    /// - Parameter target: the family that cannot say what the source says, for the message.
    /// - Throws: `CheckpointError` of `incompatible`.
    package func check(_ source: ModelDescription, for target: String) throws {
        func refusal(_ message: String) -> CheckpointError {
            CheckpointError(.incompatible, file: source.config.file, message: "\(message): \(reason)")
        }
        switch condition {
        case .unset(let key, let exception):
            if let exception, source.config.object[exception] != nil { return }
            guard try source.config.holds(key, source.architecture) else { return }
            let value = try source.config.value(key, source.architecture)?.serialized() ?? "set"
            throw refusal("\(key) is \(escaped(value)) and \(target) cannot say that")
        case .ropeType(let type):
            guard try source.config.ropeParameters(source.architecture)?["rope_type"]?.string == type else { return }
            throw refusal("rope_type is \(type) and \(target) cannot say that")
        case .size(let symbol, let expression):
            let (found, expected) = (try source.size(symbol), try source.value(of: expression.text))
            guard found == expected else { throw refusal("\(symbol) is \(found), and \(target) needs \(expected)") }
        }
    }
}

/// A value that a target's configuration is given.
package enum PairSetting: Sendable {
    case value(JSON)
    /// A size of the source.
    case size(String)
    /// One over the root of a size of the source.
    case inverseSquareRoot(String)

    fileprivate init(_ value: JSON) {
        if let symbol = value.object?["size"]?.string {
            self = .size(symbol)
        } else if let symbol = value.object?["inverseSquareRootOf"]?.string {
            self = .inverseSquareRoot(symbol)
        } else {
            self = .value(value)
        }
    }

    /// - Throws: `CheckpointError` where the source does not have the size.
    package func resolved(_ source: ModelDescription) throws -> JSON {
        switch self {
        case .value(let value): value
        case .size(let symbol): JSON(try source.size(symbol))
        case .inverseSquareRoot(let symbol): JSON(1 / Double(try source.size(symbol)).squareRoot())
        }
    }
}

/// How a target says which layers have a sliding window.
package enum WindowSpelling: String, Sendable {
    /// All layers have it, or none.
    case uniform
    /// A list of the layers' kinds.
    case layerTypes
}

/// How a family of mixtures is made from dense ones.
package struct UpcyclingRules: Sendable {
    /// What one dense family needs.
    package struct Source: Sendable {
        package let requirements: [PairRequirement]
        package let settings: [(key: String, setting: PairSetting)]
        package let windows: WindowSpelling?
    }

    /// Where the configuration says how wide the shared expert is.
    package struct SharedWidth: Sendable {
        /// Absent where it is as wide as the others.
        package let key: String?
        /// Whether it is counted in widths of an expert, not in units.
        package let countsExperts: Bool
        /// Whether a mixture may do without one.
        package let mayBeAbsent: Bool
    }

    package let sources: [String: Source]
    /// The keys of the number of experts, of those that a token is routed to, and of their width.
    package let expertsKey: String, topKKey: String, expertInnerKey: String
    /// Nil where the family has no shared expert.
    package let sharedWidth: SharedWidth?
    /// The fewest experts that the family's own code takes.
    package let minimumExperts: Int
    package let settings: [(key: String, setting: PairSetting)]
    /// Biases that it always has, which are zero where the dense family has none.
    package let biases: [Role.Kind]
    /// Keys of the dense family that mean nothing here.
    package let removedKeys: [String]
}

/// What a family of mixtures becomes without experts.
package struct DensificationRules: Sendable {
    /// What the result is.
    package enum Form: String, Sendable {
        /// Another family, which has no experts.
        case family
        /// The same family with dense layers only.
        case denseLayers
        /// The same family with one expert in each layer.
        case oneExpert
    }

    package struct Target: Sendable {
        package let family: String
        package let form: Form
        package let requirements: [PairRequirement]
        package let settings: [(key: String, setting: PairSetting)]
        package let windows: WindowSpelling?
        /// The key of the network's width and the keys that go, where they are not those of the other targets.
        package let innerKey: String?
        package let removedKeys: [String]?
    }

    /// The first is the default.
    package let targets: [Target]
    /// The key of the network's width.
    package let innerKey: String
    package let removedKeys: [String]
    /// Why there is no target; nil where there is one.
    package let reason: String?
}

extension ArchitectureParser {
    func upcycling(_ value: JSON) throws -> UpcyclingRules {
        let object = try object(value, "upcycle")
        let pairs = try self.object(object["from"], "upcycle.from")
        var sources: [String: UpcyclingRules.Source] = [:]
        for family in pairs.keys {
            let pair = try self.object(pairs[family], "upcycle.from")
            sources[family] = UpcyclingRules.Source(
                requirements: try requirements(pair), settings: settings(pair), windows: try windows(pair))
        }
        let shared = object["sharedInner"]?.object
        return UpcyclingRules(
            sources: sources, expertsKey: try string(object["experts"], "upcycle.experts"),
            topKKey: try string(object["topK"], "upcycle.topK"),
            expertInnerKey: try string(object["expertInner"], "upcycle.expertInner"),
            sharedWidth: shared.map {
                UpcyclingRules.SharedWidth(
                    key: $0["key"]?.string, countsExperts: $0["unit"]?.string == "expert_inner",
                    mayBeAbsent: $0["mayBeAbsent"]?.bool == true)
            },
            minimumExperts: object["minimumExperts"]?.int ?? 1, settings: settings(object),
            biases: try (object["biases"]?.array ?? []).map { try kind($0, "upcycle.biases") },
            removedKeys: try object["remove"].map { try strings($0, "upcycle.remove") } ?? [])
    }

    func densification(_ value: JSON) throws -> DensificationRules {
        let object = try object(value, "densify")
        let pairs = try self.object(object["to"], "densify.to")
        let targets = try pairs.keys.map { family in
            let pair = try self.object(pairs[family], "densify.to")
            let form = pair["form"]?.string ?? DensificationRules.Form.family.rawValue
            guard let form = DensificationRules.Form(rawValue: form) else { throw failure("densify.to.form") }
            return DensificationRules.Target(
                family: family, form: form, requirements: try requirements(object) + requirements(pair),
                settings: settings(pair), windows: try windows(pair), innerKey: pair["inner"]?.string,
                removedKeys: try pair["remove"].map { try strings($0, "densify.to.remove") })
        }
        return DensificationRules(
            targets: targets, innerKey: targets.isEmpty ? "" : try string(object["inner"], "densify.inner"),
            removedKeys: try object["remove"].map { try strings($0, "densify.remove") } ?? [],
            reason: targets.isEmpty ? try string(object["because"], "densify.because") : nil)
    }

    private func requirements(_ pair: JSONObject) throws -> [PairRequirement] {
        try (pair["requires"]?.array ?? []).map { value in
            let object = try object(value, "requires")
            let reason = try string(object["because"], "requires.because")
            if let key = object["key"]?.string {
                return PairRequirement(condition: .unset(key, unless: object["unless"]?.string), reason: reason)
            }
            if let type = object["ropeType"]?.string {
                return PairRequirement(condition: .ropeType(isNot: type), reason: reason)
            }
            return PairRequirement(
                condition: .size(
                    try string(object["size"], "requires.size"),
                    is: try DimensionExpression(string(object["equals"], "requires.equals"))),
                reason: reason)
        }
    }

    private func settings(_ pair: JSONObject) -> [(key: String, setting: PairSetting)] {
        let object = pair["set"]?.object ?? JSONObject()
        return object.keys.compactMap { key in object[key].map { (key, PairSetting($0)) } }
    }

    private func windows(_ pair: JSONObject) throws -> WindowSpelling? {
        guard let text = pair["windows"]?.string else { return nil }
        guard let form = WindowSpelling(rawValue: text) else { throw failure("windows") }
        return form
    }
}
