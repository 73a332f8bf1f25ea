import Safetensors

extension QuantisedTable {
    /// What `quantization_config` says.
    func configuration(of description: ModelDescription) -> JSONObject {
        if layout.stackedSuffixes != nil {
            return ["quant_method": "mxfp4", "modules_to_not_convert": .strings(patterns(description) { $0 })]
        }
        if layout.options.format == .fp8Block {
            return [
                "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                "weight_block_size": .array([128, 128]),
                "modules_to_not_convert": .strings(keptModules(description)),
            ]
        }
        let format = layout.options.format
        var targets = ["Linear"]
        if layout.groups.contains(.embedding) { targets.append("Embedding") }
        let inputs: JSON =
            switch format {
            case .fp8Channel: .object(Self.arguments(bits: 8, type: "float", strategy: "token", dynamic: true))
            case .int8: .object(Self.arguments(bits: 8, type: "int", strategy: "token", dynamic: true))
            default: .null
            }
        let group: JSONObject = [
            "targets": .strings(targets), "weights": .object(Self.weights(format)), "input_activations": inputs,
            "output_activations": .null, "format": .string(Self.name(format)),
        ]
        return [
            "quant_method": "compressed-tensors", "format": .string(Self.name(format)),
            "quantization_status": "compressed", "config_groups": .object(["group_0": .object(group)]),
            "ignore": .strings(patterns(description) { "re:.*" + Self.escaped($0) + "$" }), "kv_cache_scheme": .null,
            "global_compression_ratio": .null, "sparsity_config": .object([:]), "transform_config": .object([:]),
            "version": "0.20.0",
        ]
    }

    /// The library's name of a format.
    private static func name(_ format: QuantisationOptions.Format) -> String {
        switch format {
        case .fp8Block, .fp8Channel: "float-quantized"
        case .int8: "int-quantized"
        case .int4: "pack-quantized"
        case .mxfp4: "mxfp4-pack-quantized"
        case .nvfp4: "nvfp4-pack-quantized"
        }
    }

    private static func weights(_ format: QuantisationOptions.Format) -> JSONObject {
        switch format {
        case .fp8Block, .fp8Channel: return arguments(bits: 8, type: "float", strategy: "channel")
        case .int8: return arguments(bits: 8, type: "int", strategy: "channel")
        case .int4(let size): return arguments(bits: 4, type: "int", strategy: "group", group: size)
        case .mxfp4:
            var result = arguments(bits: 4, type: "float", strategy: "group", group: 32)
            result["scale_dtype"] = "torch.uint8"
            return result
        case .nvfp4:
            var result = arguments(bits: 4, type: "float", strategy: "tensor_group", group: 16)
            result["scale_dtype"] = "torch.float8_e4m3fn"
            return result
        }
    }

    private static func arguments(
        bits: Int, type: String, strategy: String, group: Int? = nil, dynamic: Bool = false
    ) -> JSONObject {
        [
            "num_bits": JSON(bits), "type": .string(type), "symmetric": true, "strategy": .string(strategy),
            "group_size": group.map { JSON($0) } ?? .null, "dynamic": .bool(dynamic),
        ]
    }

    /// The modules of what stays as it is, one by one: readers look them up by their whole names.
    private func keptModules(_ description: ModelDescription) -> [String] {
        let naming = description.config.surroundings.naming.body
        // Within a larger model a reader may have its own beginning of the names, and then compares the ends.
        let isForeign =
            description.config.surroundings.wrapper != nil && naming != "model."
            && naming != "model.language_model."
        var result: [String] = []
        for module in modules(description) {
            result.append(module)
            if isForeign, module.hasPrefix(naming) { result.append(String(module.dropFirst(naming.count))) }
        }
        return result
    }

    /// The modules of what stays as it is, those of all layers and experts as one where none of them is quantised.
    private func patterns(_ description: ModelDescription, _ form: (String) -> String) -> [String] {
        let naming = description.config.surroundings.naming.body
        func short(_ module: String) -> String {
            layout.stackedSuffixes == nil && module.hasPrefix(naming) ? String(module.dropFirst(naming.count)) : module
        }
        let quantised = Set(weights.map { Self.numbered(short(Self.module(of: $0))) })
        var seen: Set<String> = []
        return modules(description).compactMap { module in
            let name = short(module)
            let numbered = Self.numbered(name)
            let pattern = quantised.contains(numbered) ? name : numbered
            return seen.insert(pattern).inserted ? form(pattern) : nil
        }
    }

    /// A name with `*` for its numbers.
    private static func numbered(_ name: String) -> String {
        name.split(separator: ".", omittingEmptySubsequences: false).map { part in
            !part.isEmpty && part.allSatisfy { $0.isASCII && $0.isNumber } ? "*" : String(part)
        }.joined(separator: ".")
    }

    /// What a tensor is a parameter of.
    private static func module(of tensor: DiskTensor) -> String {
        let name = tensor.name
        if name.hasSuffix(".weight") { return String(name.dropLast(7)) }
        return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
    }

    /// The modules with a matrix that stays as it is, and the head, which need not be there to be a module.
    private func modules(_ description: ModelDescription) -> [String] {
        var result: [String] = []
        var seen: Set<String> = []
        func add(_ name: String) {
            if seen.insert(name).inserted { result.append(name) }
        }
        for tensor in kept where tensor.shape.dimensions.count > 1 {
            let module = Self.module(of: tensor)
            // Readers that put experts together know them by what they are part of.
            if let end = module.firstRange(of: ".experts"), layout.options.format == .fp8Block {
                add(String(module[..<end.upperBound]))
            } else {
                add(module)
            }
        }
        if let head = description.headName, !weights.contains(where: { $0.name == head }) {
            add(head.hasSuffix(".weight") ? String(head.dropLast(7)) : head)
        }
        return result
    }

    /// A module's name as a regular expression; `*` stands for a number.
    private static func escaped(_ name: String) -> String {
        name.replacing(".", with: "\\.").replacing("*", with: "\\d+")
    }
}

extension ModelConfig {
    /// The configuration saying how weights are quantised.
    func stating(_ quantisation: JSONObject) -> ModelConfig {
        var result = self
        result.object["quantization_config"] = .object(quantisation)
        return result
    }
}
