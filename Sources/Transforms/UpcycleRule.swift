package import Checkpoints
import Safetensors

/// How a family is made from a dense one, as the target's architecture file says it under `upcycle`.
package struct UpcycleRule: Sendable {
    package let target: Architecture
    private let rule: JSONObject
    private let pair: JSONObject

    /// What a target must be able to say.
    package struct Needs: Sendable {
        let sharedExpert: Bool
        let choosesLayers: Bool

        package init(sharedExpert: Bool = false, layers: [Bool] = []) {
            self.sharedExpert = sharedExpert
            choosesLayers = layers.contains(false)
        }

        /// What the family cannot say; nil where it can say everything.
        func missing(in family: Architecture, _ rule: JSONObject) -> String? {
            if sharedExpert, rule["sharedInner"] == nil { return "a \(family.modelType) has no shared experts" }
            if choosesLayers, family.layerKeys.dense == nil, family.layerKeys.firstDense == nil {
                return "every layer of a \(family.modelType) is a mixture of experts: use --layers all"
            }
            return nil
        }
    }

    /// The rule for a dense family.
    ///
    /// - Parameters:
    ///   - target: the family asked for; nil for the first that can say what is needed.
    ///   - needs: what the result is to have.
    /// - Throws: `CheckpointError` that says what the family can become.
    package init(from source: Architecture, to target: String?, needs: Needs = Needs()) throws {
        var targets: [String] = []
        var missing: String?
        var able: String?
        for name in Architecture.names {
            guard let candidate = try Architecture.named(name), let rule = candidate.upcycling,
                let pair = rule["from"]?.object?[source.modelType]?.object
            else { continue }
            targets.append(name)
            if let lack = needs.missing(in: candidate, rule) {
                if target == nil || target == name { missing = missing ?? lack }
                continue
            }
            able = able ?? name
            guard target == nil || target == name else { continue }
            self.target = candidate
            self.rule = rule
            self.pair = pair
            return
        }
        if let missing {
            throw CheckpointError(
                .incompatible,
                message: missing
                    + (able.map { ", or --target \($0)" }
                        ?? "; no family of mixtures here that a \(source.modelType) can become says it"))
        }
        let possible =
            targets.isEmpty
            ? "no family of mixtures here computes what \(source.modelType) computes"
            : "\(source.modelType) can become \(targets.joined(separator: " or "))"
        throw CheckpointError(
            .incompatible,
            message: (target.map { "\(source.modelType) cannot become \($0): " }
                ?? "\(source.modelType) cannot be upcycled: ")
                + possible)
    }

    /// Whether the target has a shared expert in every mixture.
    var hasSharedExpert: Bool { rule["sharedInner"] != nil }

    /// Whether the target always has a bias that the dense family need not have: it is zero then.
    func addsBias(_ kind: Role.Kind) -> Bool {
        (rule["biases"]?.array ?? []).contains { $0.string == kind.rawValue }
    }

    /// The narrowest shared expert that the target's configuration can say.
    func smallestSharedWidth(_ expertWidth: Int) -> Int {
        rule["sharedInner"]?.object?["unit"]?.string == "expert_inner" ? expertWidth : 1
    }

    /// - Throws: `CheckpointError` for what the dense checkpoint has and the target cannot say.
    package func check(_ source: ModelDescription) throws {
        for requirement in pair["requires"]?.array ?? [] {
            guard let requirement = requirement.object else { continue }
            let reason = requirement["because"]?.string ?? ""
            if let key = requirement["key"]?.string, try source.config.value(key, source.architecture)?.bool == true {
                throw CheckpointError(
                    .incompatible, file: source.config.file,
                    message: "\(key) is true and \(target.modelType) cannot say that: \(reason)")
            }
            if let size = requirement["size"]?.string, let expression = requirement["equals"]?.string {
                let found = try source.size(size)
                let expected = try source.value(of: expression)
                guard found == expected else {
                    throw CheckpointError(
                        .incompatible, file: source.config.file,
                        message: "\(size) is \(found), and \(target.modelType) needs \(expected): \(reason)")
                }
            }
        }
    }

    /// The target's configuration.
    func config(
        _ source: ModelDescription, experts: Int, topK: Int, expertWidth: Int, sharedWidth: Int?,
        layers: LayerSelection, normalises: Bool
    ) throws -> ModelConfig {
        var config = source.config
        // What the dense class assumes for absent keys may not be what the target's class assumes.
        if let rope = try config.ropeParameters(source.architecture) {
            config.object["rope_parameters"] = .object(rope)
        }
        config.object["rope_theta"] = nil
        config.object["rope_scaling"] = nil
        for key in source.architecture.defaults.keys where config.object[key] == nil && key != "rope_theta" {
            config.object[key] = source.architecture.defaults[key]
        }
        config.object["model_type"] = .string(target.modelType)
        config.object["architectures"] = .array(target.classNames.prefix(1).map { .string($0) })
        for settings in [rule["set"]?.object, pair["set"]?.object] {
            for key in settings?.keys ?? [] { config.object[key] = try setting(settings?[key], source) }
        }
        let minimum = rule["minimumExperts"]?.int ?? 1
        guard experts >= minimum else {
            throw CheckpointError(
                .incompatible,
                message: "a \(target.modelType) needs at least \(minimum) experts, and there would be "
                    + "\(experts)")
        }
        try set(rule["experts"], to: experts, in: &config)
        try set(rule["topK"], to: topK, in: &config)
        try set(rule["expertInner"], to: expertWidth, in: &config)
        if let shared = rule["sharedInner"]?.object, let sharedWidth {
            let unit = shared["unit"]?.string == "expert_inner" ? expertWidth : 1
            if shared["key"] != nil {
                try set(shared["key"], to: sharedWidth / unit, in: &config)
            } else if sharedWidth != unit {
                throw CheckpointError(
                    .incompatible,
                    message:
                        "a \(target.modelType)'s shared expert is as wide as the others (\(expertWidth)), and would "
                        + "be \(sharedWidth)")
            }
        }
        if let key = target.router?.renormalizationKey { config.object[key] = .bool(normalises) }
        try setLayers(layers, source, in: &config)
        if let form = pair["windows"]?.string { try config.spellWindows(of: source, as: form, for: target) }
        try source.setMixers(for: target, in: &config)
        for key in rule["remove"]?.array ?? [] { if let key = key.string { config.object[key] = nil } }
        try config.spellSizes(of: source, for: target)
        // Another spelling of a key that was set would contradict it.
        for (key, spellings) in target.aliases {
            for spelling in spellings where spelling != key { config.object[spelling] = nil }
        }
        return config
    }

    private func set(_ key: JSON?, to value: Int, in config: inout ModelConfig) throws {
        guard let key = key?.string else {
            throw CheckpointError(.internalFailure, message: "the rule for \(target.modelType) lacks a key")
        }
        config.object[key] = JSON(value)
    }

    private func setting(_ value: JSON?, _ source: ModelDescription) throws -> JSON? {
        if let size = value?.object?["size"]?.string { return JSON(try source.size(size)) }
        guard let size = value?.object?["inverseSquareRootOf"]?.string else { return value }
        return JSON(1 / Double(try source.size(size)).squareRoot())
    }

    private func setLayers(_ selection: LayerSelection, _ source: ModelDescription, in config: inout ModelConfig) throws
    {
        let mask = selection.mask(layers: source.layerCount)
        if case .listed(let layers) = selection, let beyond = layers.max(), beyond >= source.layerCount {
            throw CheckpointError(
                .usage, message: "--layers names layer \(beyond), and there are \(source.layerCount), counted from 0")
        }
        guard mask.contains(true) else {
            throw CheckpointError(
                .usage, message: "--layers chooses none of the \(source.layerCount) layers (they are counted from 0)")
        }
        let keys = target.layerKeys
        if let step = keys.step, let dense = keys.dense {
            if case .every(let every) = selection {
                config.object[step] = JSON(every)
                config.object[dense] = .array([])
            } else {
                config.object[step] = JSON(1)
                config.object[dense] = .array(mask.indices.filter { !mask[$0] }.map { JSON($0) })
            }
            return
        }
        if let first = keys.firstDense {
            let dense = mask.prefix { !$0 }.count
            guard mask.dropFirst(dense).allSatisfy({ $0 }) else {
                throw CheckpointError(
                    .incompatible,
                    message: "\(target.modelType) can only say that the first layers are dense: "
                        + "use --layers first-dense:N or all")
            }
            config.object[first] = JSON(dense)
            return
        }
        guard mask.allSatisfy({ $0 }) else {
            throw CheckpointError(
                .incompatible, message: "every layer of a \(target.modelType) is a mixture of experts: use --layers all"
            )
        }
    }
}
