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

    /// The key in `config.json` under which settings stand, and mlx-lm's second.
    static let keys = ["quantization_config", "quantization"]
    /// The file in which ModelOpt's older checkpoints have them.
    static let modelOptFile = "hf_quant_config.json"

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

extension ModelConfig {
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
