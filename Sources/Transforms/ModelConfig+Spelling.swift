import Checkpoints
import Safetensors

/// Says in a target's keys what the source means, where absent keys mean something else in the two families.
extension ModelConfig {
    /// The configuration of another family, in which what the source's class assumes for absent keys, which may not be what
    /// the target's class assumes, is written out.
    ///
    /// - Throws: `CheckpointError` for rotary embeddings that contradict themselves.
    mutating func become(_ target: Architecture, from source: ModelDescription) throws {
        if let rope = try ropeParameters(source.architecture) { object["rope_parameters"] = .object(rope) }
        object["rope_theta"] = nil
        object["rope_scaling"] = nil
        for key in source.architecture.defaults.keys where object[key] == nil && key != "rope_theta" {
            object[key] = source.architecture.defaults[key]
        }
        object["model_type"] = .string(target.modelType)
        object["architectures"] = .array(target.classNames.prefix(1).map { .string($0) })
    }

    /// The sizes of what is carried over, under the keys that the target reads them from.
    mutating func spellSizes(of source: ModelDescription, for target: Architecture) throws {
        for symbol in ["hidden", "layers", "vocab", "heads", "kv_heads", "head_dim", "qk_nope", "qk_rope", "v_dim"] {
            guard let key = target.key(ofSize: symbol), let value = source.sizeIfKnown(symbol) else { continue }
            // Heads that share the hidden size evenly are what every reader assumes where nothing is said.
            if symbol == "head_dim", object[key] == nil, target.defaults[key]?.isNull ?? true,
                let hidden = source.sizeIfKnown("hidden"), let heads = source.sizeIfKnown("heads"),
                heads > 0, hidden % heads == 0, hidden / heads == value
            {
                continue
            }
            object[key] = JSON(value)
        }
    }

    /// Which layers look back a limited way, so that it does not depend on a rule that two classes state differently.
    ///
    /// - Throws: `CheckpointError` of `incompatible` where some layers have a window, and the target has one for all or none.
    mutating func spellWindows(of source: ModelDescription, as form: WindowSpelling, for target: Architecture) throws {
        let windows = try DecoderConfiguration(source).attention.windows
        let window = windows.compactMap { $0 }.first
        if form == .layerTypes {
            object["layer_types"] = .array(
                windows.map { .string($0 == nil ? "full_attention" : "sliding_attention") })
        } else {
            guard Set(windows.map { $0 == nil }).count <= 1 else {
                throw failure(
                    .incompatible,
                    "some layers have a sliding window and some have not, and \(target.modelType) has one for all or for "
                        + "none")
            }
            if window == nil { object["sliding_window"] = .null }
        }
        object["use_sliding_window"] = .bool(window != nil)
        if let window { object["sliding_window"] = JSON(window) }
    }
}
