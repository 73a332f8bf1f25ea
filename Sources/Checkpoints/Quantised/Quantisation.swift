package import Safetensors

/// How a checkpoint's weights are quantised, as its configuration says.
package struct Quantisation: Sendable {
    /// The ways that are read; the raw values are those of `quant_method`.
    package enum Method: String, Sendable, CaseIterable {
        case fp8
        case mxfp4
        case compressedTensors = "compressed-tensors"
        case modelOpt = "modelopt"
        case gptq
        case awq
        case bitsAndBytes = "bitsandbytes"
        case torchAO = "torchao"
        /// mlx-lm's, whose settings name no method.
        case mlx
    }

    package let method: Method
    /// The settings: what `quantization_config` says, or the file that stands for it.
    package let settings: JSONObject
    /// The file that they are in.
    package let file: String
    /// What goes with the weights where they stay quantised and belongs to none of them: scales of keys and values.
    package var others: [SourceTensor] = []

    /// What two checkpoints have in common whose weights can lie side by side.
    var scheme: String {
        var common = settings
        for key in settings.keys where Self.isOwn(key) || method == .mlx && settings[key]?.object != nil {
            common[key] = nil
        }
        if var groups = common["config_groups"]?.object {
            for key in groups.keys {
                var group = groups[key]?.object ?? JSONObject()
                group["targets"] = nil
                groups[key] = .object(group)
            }
            common["config_groups"] = .object(groups)
        }
        return method.rawValue + " " + JSON.object(common).line
    }

    /// Whether a key is about one checkpoint's modules, or how it was made.
    private static func isOwn(_ key: String) -> Bool {
        QuantisedNames.lists.contains(key)
            || [
                "version", "quantized_layers", "global_compression_ratio", "producer", "kv_cache_scheme",
                "kv_cache_quant_algo",
            ].contains(key)
    }

    /// Whether a list of the settings names a module as one that is not quantised.
    func leavesOut(_ module: String) -> Bool {
        QuantisedNames.lists.contains { key in
            settings[key]?.array?.contains { $0.string.map { ModuleRule($0).names(module) } ?? false } ?? false
        }
    }

    /// The key in `config.json` under which settings stand, and mlx-lm's second.
    static let keys = ["quantization_config", "quantization"]
    /// The file in which ModelOpt's older checkpoints have them.
    static let modelOptFile = "hf_quant_config.json"
    /// The file in which GPTQ's and AWQ's older checkpoints have them, for readers of that time.
    static let gptqFile = "quantize_config.json"

    /// What the configuration, or a file beside it, says; nil where it says nothing.
    ///
    /// - Throws: `CheckpointError` for a method that is not read.
    static func stated(in config: ModelConfig, folder: String) throws -> Quantisation? {
        for key in keys {
            guard let value = config.object[key], !value.isNull else { continue }
            guard let settings = value.object else {
                throw config.failure(.malformed, "\(key) must be an object, found \(escaped(value.serialized()))")
            }
            if settings.keys.isEmpty { continue }
            return Quantisation(
                method: try method(of: settings, key, config), settings: settings, file: config.file)
        }
        let path = folder + "/" + modelOptFile
        guard try fileExists(path) else { return nil }
        let file = try PosixFile.path(of: modelOptFile, inFolder: folder)
        let bytes = try PosixFile.contents(file, limit: ModelConfig.maximumSize)
        guard let object = try JSON(parsing: bytes, file: file).object else {
            throw CheckpointError(.malformed, file: file, message: "expected a JSON object")
        }
        return Quantisation(
            method: .modelOpt, settings: object["quantization"]?.object ?? object, file: file)
    }

    private static func method(of settings: JSONObject, _ key: String, _ config: ModelConfig) throws -> Method {
        guard let stated = settings["quant_method"], !stated.isNull else {
            if settings["qformat_weight"]?.string == "fp8_e4m3" { return .fp8 }
            if settings["quant_algo"]?.string != nil { return .modelOpt }
            if settings["group_size"]?.int != nil, settings["bits"]?.int != nil { return .mlx }
            throw config.failure(
                .incompatible, "\(key) has no quant_method: how the weights are quantised is not known")
        }
        guard let name = stated.string, let method = Method(rawValue: name) else {
            let known = Method.allCases.filter { $0 != .mlx }.map(\.rawValue).joined(separator: ", ")
            throw config.failure(
                .incompatible,
                "the weights are quantised by \(escaped(stated.string ?? stated.serialized())), which is not read: "
                    + "\(known) and mlx-lm's affine form are; dequantise the checkpoint with the library that made it")
        }
        return method
    }
}

extension Quantisation {
    /// Files beside `config.json` that say the same, with the settings as they are now.
    ///
    /// - Throws: `SafetensorsError`, `CheckpointError` for one that cannot be read.
    var companions: [Companion] {
        get throws {
            let folder = WorkFolder.split(file).parent
            if method == .gptq || method == .awq {
                let path = try PosixFile.pathIfPresent(of: Self.gptqFile, inFolder: folder)
                return path.map { [Companion(name: Self.gptqFile, content: .file($0))] } ?? []
            }
            guard method == .modelOpt,
                let path = try PosixFile.pathIfPresent(of: Self.modelOptFile, inFolder: folder)
            else { return [] }
            let bytes = try InputLog.pausing { try PosixFile.contents(path, limit: ModelConfig.maximumSize) }
            guard var object = try JSON(parsing: bytes, file: path).object else {
                throw CheckpointError(.malformed, file: path, message: "expected a JSON object")
            }
            var inner = object["quantization"]?.object ?? object
            let modules = settings["exclude_modules"] ?? settings["ignore"]
            if let modules, inner["exclude_modules"] != nil { inner["exclude_modules"] = modules }
            if let layers = settings["quantized_layers"], inner["quantized_layers"] != nil {
                inner["quantized_layers"] = layers
            }
            if object["quantization"] != nil { object["quantization"] = .object(inner) } else { object = inner }
            return [
                Companion(
                    name: Self.modelOptFile, content: .bytes(Array((JSON.object(object).serialized() + "\n").utf8)))
            ]
        }
    }
}

extension ModelConfig {
    /// The configuration with settings in the places where it has them.
    func quantised(_ quantisation: Quantisation) -> ModelConfig {
        var result = self
        guard quantisation.file.hasSuffix("config.json"), !quantisation.file.hasSuffix(Quantisation.modelOptFile) else {
            return result
        }
        for key in Quantisation.keys {
            if result.object[key]?.object != nil { result.object[key] = .object(quantisation.settings) }
            if result.surroundings.wrapper?.outer[key]?.object != nil {
                result.surroundings.wrapper?.outer[key] = .object(quantisation.settings)
            }
        }
        if Quantisation.keys.allSatisfy({ result.object[$0]?.object == nil }) {
            result.object[Quantisation.keys[0]] = .object(quantisation.settings)
        }
        return result
    }

    /// The configuration of the same model where nothing is quantised.
    var withoutQuantisation: ModelConfig {
        var result = self
        for key in Quantisation.keys {
            result.object[key] = nil
            result.surroundings.wrapper?.outer[key] = nil
        }
        return result
    }
}
