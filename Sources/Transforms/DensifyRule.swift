import Checkpoints
import Safetensors

/// How a mixture's family becomes dense, by the rules of its architecture file.
struct DensifyRule {
    let target: Architecture
    private let rules: DensificationRules
    private let pair: DensificationRules.Target

    var form: DensificationRules.Form { pair.form }

    /// - Throws: `CheckpointError` that says what the family can become, or why nothing.
    init(_ source: Architecture, to wanted: String?) throws {
        guard let rules = source.densification else {
            throw CheckpointError(.incompatible, message: "\(source.modelType) has no experts, and is dense already")
        }
        guard let pair = wanted.map({ name in rules.targets.first { $0.family == name } }) ?? rules.targets.first,
            let target = try Architecture.named(pair.family)
        else {
            let reason =
                rules.reason
                ?? "\(source.modelType) can become \(rules.targets.map(\.family).joined(separator: " or "))"
            throw CheckpointError(
                .incompatible,
                message: "\(source.modelType) cannot become "
                    + (wanted.map { "\($0): " } ?? "dense: ") + reason)
        }
        self.rules = rules
        self.pair = pair
        self.target = target
    }

    /// - Throws: `CheckpointError` for what the mixture has and the result cannot say.
    func check(_ source: ModelDescription) throws {
        for requirement in pair.requirements { try requirement.check(source, for: target.modelType) }
    }

    /// The result's configuration, with networks of `width` hidden units.
    func config(_ source: ModelDescription, width: Int) throws -> ModelConfig {
        var config = source.config
        try config.become(target, from: source)
        if let windows = pair.windows { try config.spellWindows(of: source, as: windows, for: target) }
        for key in pair.removedKeys ?? rules.removedKeys { config.object[key] = nil }
        try source.setMixers(for: target, in: &config)
        for (key, setting) in pair.settings { config.object[key] = try setting.resolved(source) }
        try config.spellSizes(of: source, for: target)
        config.object[pair.innerKey ?? rules.innerKey] = JSON(width)
        switch form {
        case .family: break
        case .denseLayers:
            let keys = target.layerKeys
            guard keys.firstDense != nil || keys.types != nil || keys.when != nil || keys.dense != nil else {
                throw CheckpointError(.internalFailure, message: "\(target.modelType) cannot say that layers are dense")
            }
            if let key = keys.firstDense { config.object[key] = JSON(source.layerCount) }
            if let key = keys.types {
                config.object[key] = .array([JSON](repeating: "dense", count: source.layerCount))
            }
            if let key = keys.dense { config.object[key] = .array((0..<source.layerCount).map { JSON($0) }) }
            if let key = keys.when { config.object[key] = 0 }
        case .oneExpert:
            config = try source.configuration(setting: "experts", to: 1, in: config)
            config = try source.configuration(setting: "top_k", to: 1, in: config)
        }
        return config
    }
}
