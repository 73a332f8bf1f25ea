import Safetensors

/// A layer behind the model's own that predicts a further token (Gloeckle et al. 2024, 2404.19737; DeepSeek-AI 2024,
/// 2412.19437, section 2.2): a decoder layer of the family with a projection and norms of its own, which are carried.
package struct FurtherLayer: Sendable, Hashable {
    /// What its tensors' names begin with, where the family's file has `model.layers.{layer}.`.
    let prefix: String

    /// What a template's name is in this layer.
    func name(_ template: TensorTemplate, expert: Int) -> String {
        prefix
            + template.name.dropFirst(Self.templatePrefix.count).replacing("{expert}", with: String(expert))
    }

    /// No checkpoint has more of them: each is compared with the whole model's names.
    static let most = 8

    static let templatePrefix = "model.layers.{layer}."

    /// The prefixes, besides those of layers numbered on, under which published checkpoints have them.
    private static let modules = ["mtp.layers.", "model.mtp.layers.", "model.mtp_block.", "mtp_block."]

    /// The layers that a checkpoint's names tell of, in their order.
    static func found(in names: Set<String>, _ description: ModelDescription) -> [FurtherLayer] {
        var found: [(order: Int, number: Int, prefix: String)] = []
        var seen: Set<String> = []
        for name in names {
            guard let layer = place(of: name, description), seen.insert(layer.prefix).inserted else { continue }
            found.append(layer)
        }
        return found.sorted { ($0.order, $0.number) < ($1.order, $1.number) }.map { FurtherLayer(prefix: $0.prefix) }
    }

    /// Which of them a tensor's name belongs to; nil for none.
    static func place(
        of name: String, _ description: ModelDescription
    ) -> (order: Int, number: Int, prefix: String)? {
        let numbered = description.config.surroundings.naming.body + "layers."
        for (order, module) in ([numbered] + modules).enumerated() where name.hasPrefix(module) {
            let rest = name.dropFirst(module.count)
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int(digits), rest.dropFirst(digits.count).first == ".",
                order > 0 || description.architecture.hasFurtherLayers && number >= description.layerCount
            else { continue }
            return (order, number, module + digits + ".")
        }
        return nil
    }
}

extension ModelDescription {
    /// Whether each of the model's layers, and of those behind them, is a mixture: these are what the last of the model's
    /// is.
    package var allMoELayers: [Bool] {
        moeLayers + further.map { _ in moeLayers.last == true }
    }

    /// The layers behind the model's own that are described as they are.
    var further: [FurtherLayer] { config.surroundings.further }

    /// The tensors of a layer behind the model's own, of the role's layer `layerCount + index`.
    ///
    /// Layers of one block alone say nothing of what comes behind them.
    func furtherTensors(
        _ index: Int, _ templates: [TensorTemplate], _ experts: [TensorTemplate]
    ) throws -> [ExpectedTensor] {
        let layer = layerCount + index
        let isMoE = allMoELayers[layer]
        func isThere(_ template: TensorTemplate) -> Bool {
            template.name.hasPrefix(FurtherLayer.templatePrefix)
                && (template.mixer == nil || template.mixer == .attention)
                && (template.attends == nil || template.attends == .full)
                && (template.layers == .all || (template.layers == .moe) == isMoE)
        }
        func make(_ template: TensorTemplate, expert: Int = 0) throws -> ExpectedTensor {
            try tensor(template, layer: layer, expert: expert, name: further[index].name(template, expert: expert))
        }
        var result = try templates.filter(isThere).map { try make($0) }
        guard isMoE else { return result }
        for template in experts where !template.isPerExpert && isThere(template) { result.append(try make(template)) }
        for expert in 0..<(try size("experts")) {
            for template in experts where template.isPerExpert { result.append(try make(template, expert: expert)) }
        }
        return result
    }

    /// The configuration without the layers behind the model's own all of whose tensors are to go, and these tensors.
    ///
    /// - Throws: `CheckpointError` where only some of a layer's are to go.
    func droppingLayers(
        _ expected: [ExpectedTensor], _ isDropped: (String) -> Bool
    ) throws -> (config: ModelConfig, tensors: [ExpectedTensor]) {
        var result = config
        var dropped: [ExpectedTensor] = []
        guard !further.isEmpty else { return (result, dropped) }
        for layer in further {
            let own = expected.filter { $0.name.hasPrefix(layer.prefix) && $0.placements.first?.role.kind != .carried }
            let goes = own.filter { isDropped($0.name) }
            if goes.isEmpty { continue }
            guard goes.count == own.count else {
                throw CheckpointError(
                    .usage, file: config.file,
                    message: "`drop` takes the layer \(layer.prefix.dropLast()) as a whole: `drop` '\(layer.prefix)*'")
            }
            dropped += own
            result.surroundings.further.removeAll { $0 == layer }
        }
        return (result, dropped)
    }
}
