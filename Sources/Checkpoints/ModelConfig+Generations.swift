package import Safetensors

extension ModelConfig {
    /// The rotary embedding's parameters in the form of transformers 5: `rope_type`, `rope_theta` and what the type
    /// needs; read from either form.
    ///
    /// - Throws: `CheckpointError` where both forms are there and disagree.
    package func ropeParameters(_ architecture: Architecture) throws -> JSONObject? {
        let theta = object["rope_theta"].flatMap { $0.isNull ? nil : $0 }
        var scaling = object["rope_scaling"]?.object
        if let old = scaling, let type = old["type"], old["rope_type"] == nil {
            scaling = [:]
            for key in old.keys { scaling?[key == "type" ? "rope_type" : key] = key == "type" ? type : old[key] }
        } else {
            scaling?["type"] = nil
        }
        let partial = try value("partial_rotary_factor", architecture)
        guard let new = object["rope_parameters"]?.object else {
            guard let base = theta ?? architecture.defaults["rope_theta"] else { return nil }
            var result: JSONObject = ["rope_theta": base]
            result["rope_type"] = scaling?["rope_type"] ?? "default"
            for key in scaling?.keys ?? [] { result[key] = scaling?[key] }
            if result["partial_rotary_factor"] == nil { result["partial_rotary_factor"] = partial }
            return result
        }
        // Parameters for each type of layer have no older form to agree with.
        if new.keys.contains(where: { new[$0]?.object != nil }) { return new }
        var result = new
        if let inner = new["rope_theta"], let theta, inner.double != theta.double {
            throw failure(
                .incompatible,
                "rope_theta is \(theta.serialized()) and rope_parameters.rope_theta is "
                    + "\(inner.serialized()): they mean the same and must agree")
        }
        if result["rope_theta"] == nil { result["rope_theta"] = theta ?? architecture.defaults["rope_theta"] }
        if result["rope_type"] == nil { result["rope_type"] = "default" }
        if result["partial_rotary_factor"] == nil { result["partial_rotary_factor"] = partial }
        for key in scaling?.keys ?? [] where !Self.same(result[key], scaling?[key]) {
            throw failure(
                .incompatible,
                "rope_scaling.\(key) is \(scaling?[key]?.serialized() ?? "absent") and rope_parameters.\(key) "
                    + "is \(result[key]?.serialized() ?? "absent"): they mean the same and must agree")
        }
        return result
    }

    /// The parameters of layers of one type, of a family that has parameters for each: those that `rope_parameters` has
    /// for it, else a base of its own and for some types `rope_scaling`.
    package func ropeParameters(_ architecture: Architecture, layerType: String) throws -> JSONObject {
        let rule = architecture.computation["ropeByLayerType"]?.object?[layerType]?.object ?? JSONObject()
        var result = object["rope_parameters"]?.object?[layerType]?.object ?? JSONObject()
        if let type = result["type"], result["rope_type"] == nil { result["rope_type"] = type }
        result["type"] = nil
        if rule["scaled"]?.bool == true, let scaling = object["rope_scaling"]?.object {
            for key in scaling.keys { result[key == "type" ? "rope_type" : key] = scaling[key] }
        }
        // The class's own parameters stand for those of all types.
        if object["rope_parameters"]?.object == nil, let type = rule["type"] {
            result["rope_type"] = type
            result["partial_rotary_factor"] = rule["partial"]
        }
        if result["rope_type"] == nil { result["rope_type"] = "default" }
        if result["rope_theta"] == nil {
            result["rope_theta"] = try rule["theta"]?.string.flatMap { try value($0, architecture) } ?? rule["default"]
        }
        return result
    }

    static func same(_ a: JSON?, _ b: JSON?) -> Bool {
        if let x = a?.double, let y = b?.double { return x == y }
        return a == b
    }

    /// The configuration with what transformers 4 and 5, mlx-lm, vLLM and llama.cpp each look for: both spellings of
    /// rotary parameters, dtype and the number of experts, and keys whose defaults differ among them.
    ///
    /// - Parameter dtype: what `dtype` and `torch_dtype` say; nil leaves them as they are.
    package func forAllReaders(_ architecture: Architecture, dtype: DType?) throws -> ModelConfig {
        var result = self
        result.object["model_type"] = .string(architecture.modelType)
        let current = object["architectures"]?.array?.first?.string
        // A part of a larger model's configuration names no class.
        let isPart = surroundings.wrapper != nil && current == nil
        if !isPart, current.map({ architecture.classNames.contains($0) }) != true,
            let name = architecture.classNames.first
        {
            result.object["architectures"] = .array([.string(name)])
        }
        if let name = dtype.flatMap(Self.torchName) ?? (object["dtype"] ?? object["torch_dtype"])?.string {
            result.object["dtype"] = .string(name)
            result.object["torch_dtype"] = .string(name)
        }
        if let types = architecture.computation["ropeByLayerType"]?.object {
            try result.spellRope(of: types, architecture)
        } else if let rope = try ropeParameters(architecture), rope["rope_theta"] != nil {
            result.object["rope_parameters"] = .object(rope)
            result.object["rope_theta"] = rope["rope_theta"]
            var scaling = rope
            scaling["rope_theta"] = nil
            scaling["partial_rotary_factor"] = nil
            let isDefault = scaling["rope_type"]?.string == "default" && scaling.keys.count == 1
            result.object["rope_scaling"] = isDefault ? .null : .object(scaling)
            if let partial = rope["partial_rotary_factor"] { result.object["partial_rotary_factor"] = partial }
        }
        for (key, spellings) in architecture.aliases {
            guard let value = try value(key, architecture) else { continue }
            for spelling in [key] + spellings { result.object[spelling] = value }
        }
        result.object["tie_word_embeddings"] = try value("tie_word_embeddings", architecture) ?? false
        return result
    }

    /// Writes the parameters of each type of layer, and the bases and the scaling as transformers 4 looks for them.
    private mutating func spellRope(of types: JSONObject, _ architecture: Architecture) throws {
        var parameters = JSONObject()
        var bases: [String: [JSON]] = [:]
        for type in types.keys {
            let own = try ropeParameters(architecture, layerType: type)
            parameters[type] = .object(own)
            let rule = types[type]?.object
            if let key = rule?["theta"]?.string, let base = own["rope_theta"] { bases[key, default: []].append(base) }
            guard rule?["scaled"]?.bool == true else { continue }
            var scaling = own
            scaling["rope_theta"] = nil
            let isDefault = scaling["rope_type"]?.string == "default" && scaling.keys.count == 1
            object["rope_scaling"] = isDefault ? .null : .object(scaling)
        }
        object["rope_parameters"] = .object(parameters)
        // Types that share a key have no older form where their bases differ.
        for (key, values) in bases {
            object[key] = values.allSatisfy { Self.same($0, values.first) } ? values.first : nil
        }
    }

    private static func torchName(_ dtype: DType) -> String? {
        switch dtype {
        case .f64: "float64"
        case .f32: "float32"
        case .f16: "float16"
        case .bf16: "bfloat16"
        case .f8E4M3: "float8_e4m3fn"
        case .f8E5M2: "float8_e5m2"
        default: nil
        }
    }
}
