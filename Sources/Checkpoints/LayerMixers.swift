import Safetensors

/// What mixes the tokens of a sequence in a layer.
package enum MixerKind: String, Sendable {
    case attention
    /// A gated short convolution (Liquid AI 2025, LFM2).
    case convolution = "conv"
    /// Gated DeltaNet (Yang et al. 2024, 2412.06464).
    case delta
    /// Mamba-2 (Dao and Gu 2024, 2405.21060).
    case mamba
}

/// Where a configuration says what mixes the tokens of each layer.
struct MixerKeys: Sendable {
    /// What a layer is: a mixer, or where layers have only one block a network alone.
    enum Kind: String {
        case attention, conv, delta, mamba
        case dense, moe

        var mixer: MixerKind? { MixerKind(rawValue: rawValue) }
    }

    /// The key of a list with the kind of each layer.
    let key: String
    /// The kinds by the names that the list has for them.
    let kinds: [(name: String, kind: Kind)]
    /// What layers are where the list is absent, but for those that attend.
    let otherwise: Kind?
    /// The key of a list of the layers that attend, where the list of kinds is absent; without it as well all attend.
    let listed: String?
    /// The key of a number n, where the list is absent: layers n, 2n ... counted from 1 attend.
    let interval: String?
    /// The key of a text with a character for each layer, where the list is absent, and what the characters mean.
    let pattern: JSONObject?
    /// Whether a layer has a mixer or a network, and not both.
    let isAlone: Bool
}

extension MixerKeys {
    /// What each layer is.
    ///
    /// - Throws: `CheckpointError` for kinds that are not known, and lists that do not fit the number of layers.
    func kinds(_ config: ModelConfig, _ architecture: Architecture, layers: Int) throws -> [Kind] {
        if let list = try names(config, architecture) {
            guard list.count >= layers else {
                throw config.failure(.incompatible, "\(key) names \(list.count) layers of \(layers)")
            }
            return try list.prefix(layers).map { name in
                guard let kind = kinds.first(where: { $0.name == name.string })?.kind else {
                    throw config.failure(
                        .incompatible,
                        "\(key) has \(escaped(name.serialized())), and \(architecture.modelType) has "
                            + kinds.map(\.name).joined(separator: ", "))
                }
                return kind
            }
        }
        guard let otherwise else { throw config.failure(.malformed, "\(key) is missing") }
        if let interval {
            guard let every = try config.int(interval, architecture), every > 0 else {
                throw config.failure(.malformed, "\(interval) must be positive where \(key) is missing")
            }
            return (0..<layers).map { ($0 + 1) % every == 0 ? .attention : otherwise }
        }
        guard let listed else { return [Kind](repeating: otherwise, count: layers) }
        guard let value = try config.value(listed, architecture) else {
            return [Kind](repeating: .attention, count: layers)
        }
        let attending = try ModelDescription.layerList(value, listed, config, layers: layers)
        return (0..<layers).map { attending.contains($0) ? .attention : otherwise }
    }

    /// The list of kinds, spelled out.
    func names(_ config: ModelConfig, _ architecture: Architecture) throws -> [JSON]? {
        if let value = try config.value(key, architecture) {
            guard let list = value.array else {
                throw config.failure(.malformed, "\(key) must be a list with an entry for each layer")
            }
            return list
        }
        guard let pattern, let textKey = pattern["key"]?.string, let value = try config.value(textKey, architecture)
        else { return nil }
        guard let text = value.string else {
            throw config.failure(.malformed, "\(textKey) must be a text with a character for each layer")
        }
        return try text.map { character in
            guard let name = pattern["characters"]?.object?[String(character)] else {
                throw config.failure(
                    .incompatible, "\(textKey) has \(escaped(String(character))), which stands for no kind of layer")
            }
            return name
        }
    }
}

extension ModelDescription {
    /// Sets the kinds of layers as another family's configuration says them, where it does.
    ///
    /// - Throws: `CheckpointError` for a mixer that the other family does not have.
    package func setMixers(for target: Architecture, in config: inout ModelConfig) throws {
        guard let keys = target.mixerKeys, !keys.isAlone else { return }
        config.object[keys.key] = .array(
            try mixers.map { mixer in
                guard let name = keys.kinds.first(where: { $0.kind.mixer == mixer })?.name else {
                    throw config.failure(
                        .incompatible,
                        "a \(target.modelType) has no layers of the kind \(mixer?.rawValue ?? "without a mixer")")
                }
                return .string(name)
            })
    }
}

extension ModelDescription {
    /// Elements that a layer keeps of a sequence whatever its length: the last inputs of a convolution, and the matrix that
    /// a recurrence has come to.
    ///
    /// - Throws: `CheckpointError` where a size is not known.
    package func stateElements(of layer: Int) throws -> Int {
        switch mixers[layer] {
        case nil, .attention: return 0
        case .convolution: return try value(of: "(conv_kernel - 1) * hidden")
        case .delta:
            return try value(
                of: "(conv_kernel - 1) * (2 * linear_keys + linear_values) + linear_heads * linear_key_dim * "
                    + "linear_value_dim")
        case .mamba:
            return try value(of: "(conv_kernel - 1) * mamba_channels + mamba_heads * mamba_head_dim * mamba_state")
        }
    }

    /// Elements that all layers keep of a token: keys and values, or what latent attention makes them of.
    ///
    /// - Throws: `CheckpointError` where a size is not known.
    package func keyValueElements() throws -> Int {
        if sizeIfKnown("kv_lora_rank") != nil { return attendingLayers * (try value(of: "kv_lora_rank + qk_rope")) }
        let all = attendingLayers * (try value(of: "2 * kv_heads * head_dim"))
        guard let width = sizeIfKnown("global_head_dim") else { return all }
        let wide = spans.count { $0 == .full }
        return (attendingLayers - wide) * (try value(of: "2 * kv_heads * head_dim"))
            + wide * 2 * width * (try size("global_kv_heads"))
    }

    /// Layers whose tokens attend, which keep keys and values of each.
    package var attendingLayers: Int { mixers.count { $0 == .attention } }
}
