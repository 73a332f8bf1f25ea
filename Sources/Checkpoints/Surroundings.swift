package import Safetensors

/// How a model lies in its folder beside what its family describes: a configuration around its own, how names begin, and
/// tensors that are carried along.
package struct Surroundings: Sendable {
    /// The configuration that the model's own is a part of; nil where it stands by itself.
    package var wrapper: Wrapper?
    /// How the names of tensors begin.
    package var naming = TensorNaming()
    /// Tensors that the family does not describe, in the order of their names.
    package var carried: [CarriedTensor] = []
    /// How weights of the model are quantised on disk; nil where none are.
    package var quantisation: Quantisation?
    /// Layers behind the model's own whose tensors are described as a layer's are.
    var further: [FurtherLayer] = []
    /// What happened to them on the way that the user should know.
    package var notes: [String] = []

    /// The configuration of a larger model (one that sees or hears, say) around a language model's.
    package struct Wrapper: Sendable {
        /// Its keys in their order, the language model's among them.
        package var outer: JSONObject
        /// The key of the language model's configuration.
        package let key: String
        /// The language model's family.
        package var family: String

        /// The keys under which checkpoints have the language model's configuration.
        static let keys = ["text_config", "llm_config", "language_config"]
    }
}

/// A tensor that is written as it is under its own name.
package struct CarriedTensor: Sendable {
    package let name: String
    package let shape: [Int]
    package let byteCount: Int
    /// The matrix of its elements.
    let view: MatrixView
}

/// How a checkpoint's names begin, where the family's file has `model.` and for the head nothing.
package struct TensorNaming: Sendable, Equatable {
    /// What stands for `model.`.
    package var body = "model."
    /// What stands before the name of the head.
    package var head = ""

    /// The ways in which published checkpoints begin their names.
    private static let bodies = [
        "model.", "model.language_model.", "language_model.model.", "language_model.", "model.text_model.",
        "text_model.model.", "text_model.", "",
    ]

    /// The name in this checkpoint of what the family's file calls `name`.
    func applied(to name: String) -> String {
        name.hasPrefix("model.") ? body + name.dropFirst(6) : head + name
    }

    /// The naming under which the embedding, and the head where there is one, are among the names.
    static func found(in names: Set<String>, of architecture: Architecture) -> TensorNaming {
        func template(_ kind: Role.Kind) -> String? {
            architecture.tensors.first { $0.parts.first?.role == kind }?.name
        }
        guard let embedding = template(.embedding),
            let body = bodies.first(where: { names.contains(TensorNaming(body: $0).applied(to: embedding)) })
        else { return TensorNaming() }
        var naming = TensorNaming(body: body)
        guard let head = template(.head) else { return naming }
        let outside = body.hasSuffix("model.") ? String(body.dropLast(6)) : body
        naming.head = ["", outside, body].first { names.contains($0 + head) } ?? outside
        return naming
    }
}

extension ModelConfig {
    /// The language model's configuration within one that wraps it; the configuration itself where none does.
    var languageModel: ModelConfig {
        guard surroundings.wrapper == nil,
            let key = Surroundings.Wrapper.keys.first(where: { object[$0]?.object?["model_type"]?.string != nil }),
            var inner = object[key]?.object, let family = inner["model_type"]?.string
        else { return self }
        // A key that only the outer configuration has speaks of the whole model.
        for shared in ["tie_word_embeddings", "quantization_config", "dtype", "torch_dtype"] where inner[shared] == nil
        {
            inner[shared] = object[shared]
        }
        var result = ModelConfig(object: inner, file: file)
        result.surroundings.wrapper = .init(outer: object, key: key, family: family)
        return result
    }

    /// The object that is written: the model's own, or the one around it with the model's in its place.
    var wrapped: JSONObject {
        guard let wrapper = surroundings.wrapper else { return object }
        var outer = wrapper.outer
        for shared in ["tie_word_embeddings", "dtype", "torch_dtype"] where outer[shared] != nil {
            outer[shared] = object[shared] ?? outer[shared]
        }
        // Readers look for it beside the whole model's configuration.
        var inner = object
        outer["quantization_config"] = object["quantization_config"]
        inner["quantization_config"] = nil
        outer[wrapper.key] = .object(inner)
        return outer
    }

    /// The configuration as a family has it: within the wrapper that goes with the family, or by itself where none does.
    func wrapped(for architecture: Architecture) -> ModelConfig {
        guard var wrapper = surroundings.wrapper, wrapper.family != architecture.modelType else { return self }
        var result = self
        if let type = wrapper.outer["model_type"]?.string, let target = architecture.wrappers[type] {
            wrapper.family = architecture.modelType
            wrapper.outer["model_type"] = .string(target.modelType)
            wrapper.outer["architectures"] = .array([.string(target.className)])
            result.surroundings.wrapper = wrapper
            return result
        }
        result.surroundings.wrapper = nil
        result.surroundings.naming = TensorNaming()
        let names = surroundings.carried.map(\.name)
        result.surroundings.carried = []
        result.surroundings.further = []
        result.surroundings.notes.append(
            "no model around a \(architecture.modelType) is known that has what "
                + "\(escaped(wrapper.outer["model_type"]?.string ?? "the configuration")) has beside its language model: "
                + "the language model alone is written"
                + (names.isEmpty ? "" : ", without \(CarriedTensor.summary(names))"))
        return result
    }
}

extension CarriedTensor {
    /// "26 tensors: vision_tower (24), multi_modal_projector (2)", from their names' first parts.
    package static func summary(_ names: [String]) -> String {
        var groups: [(name: String, count: Int)] = []
        for name in names {
            let parts = name.split(separator: ".")
            let isShared = parts.first == "model" || parts.first == "language_model"
            let group = parts.prefix(isShared ? (parts.dropFirst().first == "layers" ? 3 : 2) : 1).joined(
                separator: ".")
            if let index = groups.firstIndex(where: { $0.name == group }) {
                groups[index].count += 1
            } else {
                groups.append((group, 1))
            }
        }
        let shown = groups.prefix(6).map { "\(escaped($0.name)) (\($0.count))" }.joined(separator: ", ")
        return "\(names.count) \(names.count == 1 ? "tensor" : "tensors"): \(shown)"
            + (groups.count > 6 ? ", … (\(groups.count) groups)" : "")
    }
}

extension ModelDescription {
    /// Layers beyond the model's own, which predict further tokens, must have the experts that the configuration says.
    ///
    /// - Throws: `CheckpointError` naming the layer where a transform left them behind.
    func checkCarriedLayers() throws {
        let experts = sizeIfKnown("experts") ?? 0
        for tensor in config.surroundings.carried {
            guard let layer = FurtherLayer.place(of: tensor.name, self),
                let part = mixturePart(of: tensor.name, in: layer.prefix)
            else { continue }
            let rows = tensor.shape.first ?? 0
            let fits =
                switch part {
                case .expert(let expert): expert < experts
                case .allExperts: rows == experts
                }
            guard !isMixture || !fits else { continue }
            throw CheckpointError(
                .incompatible, file: config.file, tensor: tensor.name,
                message:
                    "the layer \(layer.prefix.dropLast()) predicts further tokens and is carried as it is, since it is "
                    + "not made like the model's layers: it has experts of its own, and they would have \(experts); write "
                    + "the model without it: `drop` '\(layer.prefix)*'")
        }
    }

    /// The layer of a tensor that lies beyond the model's layers; nil where it does not.
    func layerBeyond(_ name: String) -> Int? {
        let prefix = config.surroundings.naming.body + "layers."
        guard name.hasPrefix(prefix), let number = name.dropFirst(prefix.count).split(separator: ".").first,
            let layer = Int(number), layer >= layerCount
        else { return nil }
        return layer
    }

    private enum MixturePart {
        /// An expert's own tensor.
        case expert(Int)
        /// A tensor with a row for each expert: all of their weights in one, or their router's.
        case allExperts
    }

    /// What a name is of a mixture, whatever its layer; nil for what belongs to none.
    private func mixturePart(of name: String, in prefix: String) -> MixturePart? {
        let name = config.surroundings.naming.applied(to: "model.layers.0." + name.dropFirst(prefix.count))
        for template in architecture.tensors + architecture.expertLayouts.flatMap(\.tensors) {
            guard let role = template.parts.first?.role,
                template.isPerExpert || template.isStacked || role == .router || role == .routerCorrectionBias,
                let numbers = placeholders(of: template.name, in: name, config.surroundings.naming)
            else { continue }
            return numbers.expert.map { .expert($0) } ?? .allExperts
        }
        return nil
    }

    /// Whether the family's file has a name, with whatever condition.
    func describes(_ name: String) -> Bool {
        (architecture.tensors + architecture.expertLayouts.flatMap(\.tensors)).contains {
            placeholders(of: $0.name, in: name, config.surroundings.naming) != nil
        }
    }

    /// Whether a tensor is one that files have and models do not need: buffers.
    func ignores(_ name: String) -> Bool {
        architecture.ignored.contains { placeholders(of: $0, in: name, config.surroundings.naming) != nil }
    }

    /// The numbers that a name has in the places of a template's `{layer}` and `{expert}`; nil where it is not the
    /// template's.
    private func placeholders(
        of template: String, in name: String, _ naming: TensorNaming
    ) -> (layer: Int?, expert: Int?)? {
        var rest = Substring(name)
        var template = Substring(naming.applied(to: template))
        var found: (layer: Int?, expert: Int?) = (nil, nil)
        while let open = template.firstIndex(of: "{"), let close = template.firstIndex(of: "}") {
            let literal = template[..<open]
            guard rest.hasPrefix(literal) else { return nil }
            rest = rest.dropFirst(literal.count)
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits) else { return nil }
            if template[template.index(after: open)..<close] == "layer" {
                found.layer = number
            } else {
                found.expert = number
            }
            rest = rest.dropFirst(digits.count)
            template = template[template.index(after: close)...]
        }
        return rest == template ? found : nil
    }
}

extension Checkpoint {
    /// The checkpoint without the carried tensors whose names match a pattern, in which `*` stands for any characters.
    ///
    /// - Throws: `CheckpointError` for a pattern that matches nothing that is carried.
    public func dropping(_ patterns: [String]) throws -> Checkpoint {
        guard !patterns.isEmpty else { return self }
        let carried = description.config.surroundings.carried
        let (without, further) = try description.droppingLayers(expectedTensors()) { name in
            patterns.contains { matches(name, $0) }
        }
        let names = Set(further.map(\.name))
        for pattern in patterns
        where !names.contains(where: { matches($0, pattern) })
            && !carried.contains(where: { matches($0.name, pattern) })
        {
            throw CheckpointError(
                .usage, file: description.config.file,
                message: "`drop` \(escaped(pattern)) matches nothing that is carried; "
                    + (carried.isEmpty ? "nothing is" : "carried are \(CarriedTensor.summary(carried.map(\.name)))"))
        }
        let isDropped: (String) -> Bool = { name in patterns.contains { matches(name, $0) } }
        var config = without
        config.surroundings.carried.removeAll { isDropped($0.name) }
        let dropped = carried.filter { isDropped($0.name) }
        if !further.isEmpty || dropped.contains(where: { FurtherLayer.place(of: $0.name, description) != nil }),
            !config.surroundings.carried.contains(where: { FurtherLayer.place(of: $0.name, description) != nil }),
            config.object["num_nextn_predict_layers"] != nil
        {
            config.object["num_nextn_predict_layers"] = JSON(config.surroundings.further.count)
        }
        let left = Set(config.surroundings.carried.map(\.name))
        // Layers behind the model's own are counted on: those that are left move up.
        var moved: [Int: Int] = [:]
        for (index, layer) in config.surroundings.further.enumerated() {
            if let old = description.further.firstIndex(of: layer) {
                moved[description.layerCount + old] = description.layerCount + index
            }
        }
        var table: [Role: LazyTensor] = [:]
        for (role, tensor) in self.table {
            guard let layer = role.layer, layer >= description.layerCount else {
                if role.name.map({ left.contains($0) }) ?? true { table[role] = tensor }
                continue
            }
            if let layer = moved[layer] { table[Role(role.kind, layer: layer, expert: role.expert)] = tensor }
        }
        var result = Checkpoint(
            description: try ModelDescription(description.architecture, config), table: table, layout: layout,
            sources: sources, companions: companions, history: history,
            warnings: warnings
                + ["dropped as asked: \(CarriedTensor.summary(dropped.map(\.name) + further.map(\.name)))"])
        result.quantisedWriting = quantisedWriting
        return result.recording([
            "command": "drop", "patterns": .array(patterns.map { .string($0) }),
            "tensors": JSON(dropped.count + further.count),
        ])
    }
}

/// Whether a name matches a pattern in which `*` stands for any characters.
private func matches(_ name: String, _ pattern: String) -> Bool {
    let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return name == pattern }
    guard let first = parts.first, let last = parts.last, name.hasPrefix(first) else { return false }
    var rest = name.dropFirst(first.count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
        guard let range = rest.firstRange(of: part) else { return false }
        rest = rest[range.upperBound...]
    }
    return rest.hasSuffix(last)
}
