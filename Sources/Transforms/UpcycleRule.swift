package import Checkpoints
import Safetensors

/// How a family is made from a dense one, by the rules of the target's architecture file.
package struct UpcycleRule: Sendable {
    package let target: Architecture
    private let rules: UpcyclingRules
    private let pair: UpcyclingRules.Source

    /// What a target must be able to say.
    package struct Needs: Sendable {
        let sharedExpert: Bool
        let choosesLayers: Bool

        package init(sharedExpert: Bool = false, layers: [Bool] = []) {
            self.sharedExpert = sharedExpert
            choosesLayers = layers.contains(false)
        }

        /// What the family cannot say; nil where it can say everything.
        func missing(in family: Architecture, _ rules: UpcyclingRules) -> String? {
            if sharedExpert, rules.sharedWidth == nil { return "a \(family.modelType) has no shared experts" }
            if choosesLayers, family.layerKeys.dense == nil, family.layerKeys.firstDense == nil {
                return "every layer of a \(family.modelType) is a mixture of experts: use `layers` all"
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
            guard let candidate = try Architecture.named(name), let rules = candidate.upcycling,
                let pair = rules.sources[source.modelType]
            else { continue }
            targets.append(name)
            if let lack = needs.missing(in: candidate, rules) {
                if target == nil || target == name { missing = missing ?? lack }
                continue
            }
            able = able ?? name
            guard target == nil || target == name else { continue }
            self.target = candidate
            self.rules = rules
            self.pair = pair
            return
        }
        if let missing {
            throw CheckpointError(
                .incompatible,
                message: missing
                    + (able.map { ", or `target` \($0)" }
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
    var hasSharedExpert: Bool { rules.sharedWidth != nil }

    /// Whether the target always has a bias that the dense family need not have: it is zero then.
    func addsBias(_ kind: Role.Kind) -> Bool { rules.biases.contains(kind) }

    /// The narrowest shared expert that the target's configuration can say.
    func smallestSharedWidth(_ expertWidth: Int) -> Int {
        if rules.sharedWidth?.mayBeAbsent == true { return 0 }
        return rules.sharedWidth?.countsExperts == true ? expertWidth : 1
    }

    /// - Throws: `CheckpointError` for what the dense checkpoint has and the target cannot say.
    package func check(_ source: ModelDescription) throws {
        for requirement in pair.requirements { try requirement.check(source, for: target.modelType) }
    }

    /// The target's configuration.
    func config(
        _ source: ModelDescription, experts: Int, topK: Int, expertWidth: Int, sharedWidth: Int?,
        layers: LayerSelection, normalises: Bool
    ) throws -> ModelConfig {
        var config = source.config
        try config.become(target, from: source)
        for (key, setting) in rules.settings + pair.settings { config.object[key] = try setting.resolved(source) }
        guard experts >= rules.minimumExperts else {
            throw CheckpointError(
                .incompatible,
                message: "a \(target.modelType) needs at least \(rules.minimumExperts) experts, and there would be "
                    + "\(experts)")
        }
        config.object[rules.expertsKey] = JSON(experts)
        config.object[rules.topKKey] = JSON(topK)
        config.object[rules.expertInnerKey] = JSON(expertWidth)
        if let shared = rules.sharedWidth, let sharedWidth {
            let unit = shared.countsExperts ? expertWidth : 1
            if let key = shared.key {
                config.object[key] = JSON(sharedWidth / unit)
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
        if let form = pair.windows { try config.spellWindows(of: source, as: form, for: target) }
        try source.setMixers(for: target, in: &config)
        for key in rules.removedKeys { config.object[key] = nil }
        try config.spellSizes(of: source, for: target)
        // Another spelling of a key that was set would contradict it.
        for (key, spellings) in target.aliases {
            for spelling in spellings where spelling != key { config.object[spelling] = nil }
        }
        return config
    }

    private func setLayers(_ selection: LayerSelection, _ source: ModelDescription, in config: inout ModelConfig) throws
    {
        let mask = selection.mask(layers: source.layerCount)
        if case .listed(let layers) = selection, let beyond = layers.max(), beyond >= source.layerCount {
            throw CheckpointError(
                .usage, message: "`layers` names layer \(beyond), and there are \(source.layerCount), counted from 0")
        }
        guard mask.contains(true) else {
            throw CheckpointError(
                .usage, message: "`layers` chooses none of the \(source.layerCount) layers (they are counted from 0)")
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
                        + "use `layers` first-dense:N or all")
            }
            config.object[first] = JSON(dense)
            return
        }
        guard mask.allSatisfy({ $0 }) else {
            throw CheckpointError(
                .incompatible, message: "every layer of a \(target.modelType) is a mixture of experts: use `layers` all"
            )
        }
    }
}
