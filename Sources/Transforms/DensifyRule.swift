import Checkpoints
import Safetensors

/// How a mixture's family becomes dense, as its architecture file says it under `densify`.
struct DensifyRule {
    /// What the result is.
    enum Form: String {
        /// Another family, which has no experts.
        case family
        /// The same family with dense layers only.
        case denseLayers
        /// The same family with one expert in each layer.
        case oneExpert
    }

    let target: Architecture
    let form: Form
    private let rule: JSONObject
    private let pair: JSONObject

    /// - Throws: `CheckpointError` that says what the family can become, or why nothing.
    init(_ source: Architecture, to wanted: String?) throws {
        guard let rule = source.densification, let targets = rule["to"]?.object else {
            throw CheckpointError(.incompatible, message: "\(source.modelType) has no experts, and is dense already")
        }
        guard let name = wanted ?? targets.keys.first, let pair = targets[name]?.object,
            let target = try Architecture.named(name)
        else {
            let reason =
                rule["because"]?.string
                ?? "\(source.modelType) can become \(targets.keys.joined(separator: " or "))"
            throw CheckpointError(
                .incompatible,
                message: "\(source.modelType) cannot become "
                    + (wanted.map { "\($0): " } ?? "dense: ") + reason)
        }
        self.rule = rule
        self.pair = pair
        self.target = target
        form = pair["form"]?.string.flatMap { Form(rawValue: $0) } ?? .family
    }

    /// - Throws: `CheckpointError` for what the mixture has and the result cannot say.
    func check(_ source: ModelDescription) throws {
        for requirement in (rule["requires"]?.array ?? []) + (pair["requires"]?.array ?? []) {
            guard let requirement = requirement.object, let key = requirement["key"]?.string else { continue }
            if let exception = requirement["unless"]?.string, source.config.object[exception] != nil { continue }
            let value = try source.config.value(key, source.architecture)
            guard let value, value.bool != false else { continue }
            throw CheckpointError(
                .incompatible, file: source.config.file,
                message: "\(key) is \(value.serialized()) and \(target.modelType) cannot say that: "
                    + (requirement["because"]?.string ?? ""))
        }
    }

    /// The result's configuration, with networks of `width` hidden units.
    func config(_ source: ModelDescription, width: Int) throws -> ModelConfig {
        var config = source.config
        if let rope = try config.ropeParameters(source.architecture) {
            config.object["rope_parameters"] = .object(rope)
        }
        config.object["rope_theta"] = nil
        config.object["rope_scaling"] = nil
        // What the mixture's class assumes for absent keys may not be what the dense class assumes.
        for key in source.architecture.defaults.keys where config.object[key] == nil && key != "rope_theta" {
            config.object[key] = source.architecture.defaults[key]
        }
        if let windows = pair["windows"]?.string { try config.spellWindows(of: source, as: windows, for: target) }
        for key in rule["remove"]?.array ?? [] { if let key = key.string { config.object[key] = nil } }
        config.object["model_type"] = .string(target.modelType)
        config.object["architectures"] = .array(target.classNames.prefix(1).map { .string($0) })
        try source.setMixers(for: target, in: &config)
        for key in pair["set"]?.object?.keys ?? [] { config.object[key] = pair["set"]?.object?[key] }
        guard let inner = rule["inner"]?.string else {
            throw CheckpointError(.internalFailure, message: "the rule for \(target.modelType) lacks a key")
        }
        try config.spellSizes(of: source, for: target)
        config.object[inner] = JSON(width)
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
