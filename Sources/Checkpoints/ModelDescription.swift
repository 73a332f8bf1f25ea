import Safetensors

/// A family with a configuration: all sizes are known.
package struct ModelDescription: Sendable {
    package let architecture: Architecture
    package let config: ModelConfig
    /// Whether each layer is a mixture of experts.
    package let moeLayers: [Bool]
    /// What mixes the tokens of each layer; nil for a layer that is a network alone.
    package let mixers: [MixerKind?]
    /// Whether each layer has a feed-forward network or a mixture of them.
    package let hasNetwork: [Bool]

    /// Layers and experts beyond these are not a model but a mistake, or an attack on memory.
    private static let maximumLayers = 16_384
    private static let maximumExperts = 65_536
    private static let maximumTensors = 4_000_000

    /// Checks the configuration against itself.
    ///
    /// - Throws: `CheckpointError` where a size is missing, not positive, or contradicts another.
    package init(_ architecture: Architecture, _ config: ModelConfig) throws {
        let config = config.wrapped(for: architecture)
        self.architecture = architecture
        self.config = config
        var resolver = SymbolResolver(
            architecture: architecture, config: config, values: try Self.sizesByLayer(architecture, config))
        for name in architecture.symbols.keys.sorted() {
            let value = try resolver.value(name)
            guard let value else { continue }
            guard value > 0 || Self.mayBeZero(name, architecture), value >= 0 else {
                throw config.failure(.malformed, "\(resolver.origin(name)) is \(value), and must be positive")
            }
            guard value <= 1 << 40 else {
                throw config.failure(.malformed, "\(resolver.origin(name)) is \(value), which no model has")
            }
        }
        symbols = resolver.values
        // Where the kinds of layers are listed one by one, there are as many as are listed.
        if let keys = architecture.mixerKeys, keys.isAlone, let list = try keys.names(config, architecture) {
            symbols["layers"] = list.count
        }
        guard let layers = symbols["layers"], layers > 0 else {
            throw config.failure(.malformed, "num_hidden_layers is missing")
        }
        let experts = symbols["experts"] ?? 0
        guard layers <= Self.maximumLayers, experts <= Self.maximumExperts,
            layers * (30 + 6 * experts) <= Self.maximumTensors
        else {
            throw config.failure(.malformed, "\(layers) layers of \(experts) experts: no model is like that")
        }
        if let topK = symbols["top_k"], topK > experts, experts > 0 {
            throw config.failure(.incompatible, "a token is routed to \(topK) experts, and there are \(experts)")
        }
        if let heads = symbols["heads"], let keyValueHeads = symbols["kv_heads"], heads % keyValueHeads != 0 {
            throw config.failure(
                .incompatible, "\(heads) attention heads cannot share \(keyValueHeads) key and value heads evenly")
        }
        let kinds = try architecture.mixerKeys?.kinds(config, architecture, layers: layers)
        let isAlone = architecture.mixerKeys?.isAlone == true
        mixers = kinds.map { $0.map(\.mixer) } ?? Array(repeating: .attention, count: layers)
        hasNetwork = mixers.map { !isAlone || $0 == nil }
        moeLayers =
            if isAlone, let kinds {
                kinds.map { $0 == .moe }
            } else { try Self.moeLayers(architecture, config, layers: layers) }
        try checkActivation()
        if architecture.tensors.contains(where: { $0.attends != nil }) {
            spans = try ConfigurationReader(self).layerTypes(layers: layers).map(\.kind)
        }
    }

    /// How far the attention of each layer sees; empty where tensors do not depend on it.
    private(set) var spans: [AttentionSpan] = []

    /// Sizes of the layers of one type that a configuration has layer by layer, as transformers writes them.
    private static func sizesByLayer(_ architecture: Architecture, _ config: ModelConfig) throws -> [String: Int] {
        guard let rule = architecture.computation["wideAttention"]?.object, let key = rule["byLayer"]?.string,
            let value = try config.value(key, architecture)
        else { return [:] }
        guard let layers = value.object else {
            throw config.failure(.malformed, "\(key) must be an object with an entry for some layers")
        }
        var result: [String: Int] = [:]
        for (symbol, size) in [("global_head_dim", "head_dim"), ("global_kv_heads", "num_key_value_heads")] {
            let values = try Set(
                layers.keys.compactMap { layer -> Int? in
                    guard let own = layers[layer]?.object, Int(layer) != nil else {
                        throw config.failure(.malformed, "\(key) must have an object for each of its layers")
                    }
                    return try own[size].map { value in
                        guard let number = value.int, number > 0, number <= ConfigurationReader.maximumSize else {
                            throw config.failure(.malformed, "\(key).\(escaped(layer)).\(size) must be a size")
                        }
                        return number
                    }
                })
            guard values.count <= 1 else {
                throw config.failure(
                    .uncomputed, "\(key) has several values of \(size), and moe-tool has one for layers of a type")
            }
            // Without an entry the layers are like the others.
            result[symbol] = try values.first ?? config.int(size, architecture)
        }
        return result
    }

    private var symbols: [String: Int]

    /// A size by its name in the architecture file.
    package func size(_ symbol: String) throws -> Int {
        guard let value = symbols[symbol] else {
            throw config.failure(
                .malformed,
                "\(symbol) cannot be determined (\(architecture.symbols[symbol]?.text ?? symbol)): "
                    + "a key is missing, or a division leaves a rest")
        }
        return value
    }

    /// The configuration with one of the sizes changed, under the key that the family reads it from.
    ///
    /// - Throws: `CheckpointError` where the size is not read from a single key.
    package func configuration(setting symbol: String, to value: Int, in config: ModelConfig) throws -> ModelConfig {
        guard let key = architecture.symbols[symbol]?.text.split(separator: " ").first.map(String.init) else {
            throw config.failure(.internalFailure, "\(architecture.modelType) has no \(symbol)")
        }
        var config = config
        for spelling in architecture.aliases[key] ?? [] { config.object[spelling] = nil }
        config.object[key] = JSON(value)
        return config
    }

    package func sizeIfKnown(_ symbol: String) -> Int? { symbols[symbol] }
    package var layerCount: Int { moeLayers.count }
    /// Whether any layer is a mixture.
    package var isMixture: Bool { moeLayers.contains(true) }

    private static func moeLayers(_ architecture: Architecture, _ config: ModelConfig, layers: Int) throws -> [Bool] {
        guard architecture.router != nil else { return Array(repeating: false, count: layers) }
        let keys = architecture.layerKeys
        if let condition = keys.when, try !config.holds(condition, architecture) {
            return Array(repeating: false, count: layers)
        }
        if let key = keys.types, let value = try config.value(key, architecture) {
            return try layerTypes(value, key, config, layers: layers)
        }
        if let key = keys.listed, let value = try config.value(key, architecture) {
            let listed = try layerList(value, key, config, layers: layers)
            return (0..<layers).map { listed.contains($0) }
        }
        let firstDense = try keys.firstDense.flatMap { try config.int($0, architecture) } ?? 0
        let step = try keys.step.flatMap { try config.int($0, architecture) } ?? 1
        let frequency = try keys.frequency.flatMap { try config.int($0, architecture) } ?? 1
        guard step > 0, frequency > 0, firstDense >= 0 else {
            throw config.failure(.malformed, "the keys that say which layers are mixtures must be positive")
        }
        let stated = try keys.last.flatMap { try config.int($0, architecture) } ?? -1
        let last = stated == -1 ? layers - 1 : stated
        var dense: Set<Int> = []
        if let key = keys.dense, let value = try config.value(key, architecture) {
            dense = try layerList(value, key, config, layers: layers)
        }
        return (0..<layers).map { layer in
            layer >= firstDense && layer <= last && (layer + 1) % step == 0 && layer % frequency == 0
                && !dense.contains(layer)
        }
    }

    /// Sizes that a model may do without.
    private static func mayBeZero(_ symbol: String, _ architecture: Architecture) -> Bool {
        switch symbol {
        case "shared_inner": true
        case "experts", "top_k": architecture.layerKeys.when != nil
        default: false
        }
    }

    static func layerList(_ value: JSON, _ key: String, _ config: ModelConfig, layers: Int) throws -> Set<Int> {
        guard let elements = value.array else {
            throw config.failure(.malformed, "\(key) must be a list of layers")
        }
        var result: Set<Int> = []
        for element in elements {
            guard let layer = element.int else {
                throw config.failure(.malformed, "\(key) must be a list of layers, found \(element.serialized())")
            }
            guard (0..<layers).contains(layer) else {
                throw config.failure(.incompatible, "\(key) names layer \(layer), and there are \(layers)")
            }
            result.insert(layer)
        }
        return result
    }

    private static func layerTypes(_ value: JSON, _ key: String, _ config: ModelConfig, layers: Int) throws -> [Bool] {
        guard let types = value.array, types.count >= layers else {
            throw config.failure(.incompatible, "\(key) must name each of the \(layers) layers dense or sparse")
        }
        return try types.prefix(layers).map { type in
            switch type.string {
            case "sparse": true
            case "dense": false
            default:
                throw config.failure(
                    .incompatible, "\(key) has \(escaped(type.serialized())), and layers are dense or sparse")
            }
        }
    }

    /// The name of an activation that transformers knows by several.
    package static func activationName(_ name: String) -> String {
        switch name {
        case "swish": "silu"
        case "gelu_python_tanh": "gelu_pytorch_tanh"
        default: name
        }
    }

    private func checkActivation() throws {
        for key in architecture.activation.keys {
            guard let value = try config.value(key, architecture) else { continue }
            guard let name = value.string, architecture.activation.supported.contains(Self.activationName(name)) else {
                throw config.failure(
                    .incompatible,
                    "\(key) is \(escaped(value.serialized())); \(architecture.modelType) is supported with "
                        + architecture.activation.supported.joined(separator: ", "))
            }
        }
    }

    /// The tensors that a checkpoint of this description has, in the model's order.
    ///
    /// - Parameter layout: how routed experts lie on disk; nil for the family's first form.
    /// - Throws: `CheckpointError` for a layout that the family does not have, or a size that is not known.
    package func expectedTensors(layout: String? = nil) throws -> [ExpectedTensor] {
        var result: [ExpectedTensor] = []
        var experts: [TensorTemplate] = []
        if architecture.router != nil {
            let chosen = layout ?? architecture.layoutNames.first ?? ""
            guard let found = architecture.expertLayouts.first(where: { $0.name == chosen }) else {
                throw CheckpointError(
                    .usage,
                    message: "`layout` \(chosen): \(architecture.modelType) has "
                        + architecture.layoutNames.joined(separator: ", "))
            }
            experts = found.tensors
        } else if let layout, layout != "per-expert", layout != "fused" {
            throw CheckpointError(.usage, message: "`layout` \(layout): give per-expert or fused")
        }
        // A layout may rename what is not an expert, such as the router.
        let replaced = Set(experts.flatMap { $0.parts.map(\.role) })
        let templates = try architecture.tensors.filter { template in
            if template.parts.contains(where: { replaced.contains($0.role) }) { return false }
            if isWidthless(template) { return true }
            return try template.condition.map { try config.holds($0, architecture) } ?? true
        }
        let firstPerLayer = templates.firstIndex { $0.isPerLayer } ?? templates.count
        for template in templates[..<firstPerLayer] { result.append(try tensor(template)) }
        let layered = templates[firstPerLayer...].filter(\.isPerLayer)
        let conditioned = try experts.filter { try $0.condition.map { try config.holds($0, architecture) } ?? true }
        for (layer, isMoE) in moeLayers.enumerated() {
            for template in layered where template.mixer == nil || template.mixer == mixers[layer] {
                guard template.attends == nil || template.attends == spans[layer] else { continue }
                guard template.layers == .all || hasNetwork[layer] && (template.layers == .moe) == isMoE else {
                    continue
                }
                result.append(try tensor(template, layer: layer))
            }
            guard isMoE else { continue }
            for template in conditioned where !template.isPerExpert {
                result.append(try tensor(template, layer: layer))
            }
            for expert in 0..<(try size("experts")) {
                for template in conditioned where template.isPerExpert {
                    result.append(try tensor(template, layer: layer, expert: expert))
                }
            }
        }
        for index in further.indices { result += try furtherTensors(index, Array(layered), conditioned) }
        for template in templates[firstPerLayer...] where !template.isPerLayer { result.append(try tensor(template)) }
        for tensor in config.surroundings.carried {
            result.append(
                ExpectedTensor(
                    name: tensor.name, shape: tensor.shape, placements: [(Role(carried: tensor.name), tensor.view)],
                    isOptional: false, keepsF32: false))
        }
        return result
    }

    /// Whether a tensor belongs to a shared expert without a unit, which transformers writes though it has no elements.
    private func isWidthless(_ template: TensorTemplate) -> Bool {
        symbols["shared_inner"] == 0
            && template.parts.contains { [.sharedExpertGate, .sharedExpertUp, .sharedExpertDown].contains($0.role) }
    }

    /// The name that the embedding's twin has where it is not tied.
    var headName: String? {
        architecture.tensors.first { $0.parts.first?.role == .head }.map {
            config.surroundings.naming.applied(to: $0.name)
        }
    }

    func tensor(
        _ template: TensorTemplate, layer: Int = 0, expert: Int = 0, name: String? = nil
    ) throws -> ExpectedTensor {
        let shape = try template.shape.map { expression in
            guard let value = try expression.value({ try size($0) }) else {
                throw config.failure(.malformed, "\(expression.text) is not a whole number, or overflows")
            }
            return value
        }
        var placements: [(role: Role, view: MatrixView)] = []
        let matrix = template.isStacked ? Array(shape.dropFirst()) : shape
        let block = try Shape(matrix).elementCount
        let isVector = matrix.count < 2
        let outer = matrix.isEmpty ? 1 : template.isTransposed && !isVector ? matrix[1] : matrix[0]
        // What has more dimensions than two is a matrix of as many rows as the first: a convolution's kernels.
        let inner = isVector ? 1 : template.isTransposed ? matrix[0] : block / max(outer, 1)
        let rowStride = isVector || template.isTransposed ? 1 : inner
        let columnStride = isVector || !template.isTransposed ? 1 : outer
        for copy in 0..<(template.isStacked ? shape[0] : 1) {
            var row = 0
            for (index, part) in template.parts.enumerated() {
                let rows = try part.rows.map { try $0.value { try size($0) } ?? 0 } ?? outer
                let first = template.isInterleaved ? index : row
                row += rows
                let role = Role(
                    part.role, layer: template.isPerLayer ? layer : nil,
                    expert: template.isStacked ? copy : template.isPerExpert ? expert : nil)
                placements.append(
                    (
                        role,
                        MatrixView(
                            offset: copy * block + first * rowStride, rows: rows, columns: inner,
                            rowStride: template.isInterleaved ? rowStride * template.parts.count : rowStride,
                            columnStride: columnStride)
                    ))
            }
            guard row == outer else {
                throw config.failure(.internalFailure, "the parts of \(template.name) do not fill it")
            }
        }
        return ExpectedTensor(
            name: name ?? config.surroundings.naming.applied(to: template.name(layer: layer, expert: expert)),
            shape: shape,
            placements: placements,
            isOptional: template.isOptional || isWidthless(template), keepsF32: template.keepsF32)
    }
}

/// A tensor as it should be on disk, and the matrices within it.
package struct ExpectedTensor: Sendable {
    package let name: String
    package let shape: [Int]
    package let placements: [(role: Role, view: MatrixView)]
    package let isOptional: Bool
    /// Stays F32 whatever dtype the checkpoint is converted to.
    package let keepsF32: Bool
}

/// Computes the sizes that an architecture file names.
private struct SymbolResolver {
    let architecture: Architecture
    let config: ModelConfig
    private(set) var values: [String: Int] = [:]
    private var visiting: Set<String> = []

    /// - Parameter values: what is known already.
    init(architecture: Architecture, config: ModelConfig, values: [String: Int] = [:]) {
        self.architecture = architecture
        self.config = config
        self.values = values
    }

    /// The configuration keys that a symbol comes from.
    func origin(_ name: String) -> String { architecture.symbols[name]?.text ?? name }

    mutating func value(_ name: String) throws -> Int? {
        if let known = values[name] { return known }
        // A symbol may have the name of the key it is read from.
        guard var expression = architecture.symbols[name], visiting.insert(name).inserted else {
            return try config.int(name, architecture)
        }
        if let adjusted = architecture.adjustedSymbols[name], try config.holds(adjusted.condition, architecture) {
            expression = adjusted.value
        }
        defer { visiting.remove(name) }
        var copy = self
        let value = try expression.value { try copy.value($0) }
        values.merge(copy.values) { current, _ in current }
        if let value { values[name] = value }
        return value
    }
}

extension ModelDescription {
    /// The value of an expression over sizes and configuration keys.
    ///
    /// - Throws: `CheckpointError` where it has none.
    package func value(of expression: String) throws -> Int {
        guard let value = try DimensionExpression(expression).value({ try size($0) }) else {
            throw config.failure(.malformed, "\(expression) is not a whole number")
        }
        return value
    }
}
