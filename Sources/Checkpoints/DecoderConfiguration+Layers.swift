import Safetensors

/// How far the attention of a layer sees, by the names that configurations have for it.
package enum AttentionSpan: String, Sendable {
    case full = "full_attention"
    case sliding = "sliding_attention"
    case chunked = "chunked_attention"
}

/// What the attention of a layer sees.
package struct LayerType {
    package typealias Kind = AttentionSpan

    package let kind: Kind
    /// How many tokens, itself among them, a token sees; nil for all before it.
    package let window: Int?
    /// Tokens of a run that see each other only; nil for no such runs.
    package let chunk: Int?
}

/// What differs from layer to layer: windows, and how positions are told.
extension ConfigurationReader {
    /// - Throws: `CheckpointError` for what an architecture file says is not computed.
    package func refuseUnsupported() throws {
        for entry in rules["unsupported"]?.array ?? [] {
            guard let rule = entry.object, let condition = rule["when"]?.string,
                try description.config.holds(condition, description.architecture)
            else { continue }
            if let exception = rule["except"]?.string,
                try description.config.value(condition, description.architecture)?.string == exception
            {
                continue
            }
            throw failure(.uncomputed, "\(condition) is set: \(rule["because"]?.string ?? "it is not computed")")
        }
    }

    /// The kind of each layer with its window, as the family's configuration class lays them out.
    package func layerTypes(layers: Int) throws -> [LayerType] {
        let all = [LayerType](repeating: LayerType(kind: .full, window: nil, chunk: nil), count: layers)
        guard let rule = rules["window"]?.object else { return all }
        var window: Int?
        if let key = rule["key"]?.string, try switchHolds(rule) {
            window = try int(key)
        }
        var chunk: Int?
        if let key = rule["chunk"]?.string {
            chunk = try int(key)
            if let chunk, chunk <= 0 {
                throw failure(.malformed, "\(key) is \(chunk), and must be positive or null")
            }
        }
        // Where the window alone depends on the kinds and there is none, nothing has to be said of them.
        if window == nil, chunk == nil, rules["noPositions"] == nil, rules["ropeByLayerType"] == nil { return all }
        var kinds = try kinds(rule, layers)
        // Whatever the configuration says of it, as the family's class has it.
        if rule["lastIsFull"]?.bool == true, !kinds.isEmpty { kinds[kinds.count - 1] = .full }
        if let window, window <= 0, kinds.contains(.sliding) {
            throw failure(
                .malformed, "\(rule["key"]?.string ?? "the window") is \(window), and must be positive or null")
        }
        return kinds.map { kind in
            LayerType(
                kind: kind, window: kind == .sliding ? window : nil, chunk: kind == .chunked ? chunk : nil)
        }
    }

    private func switchHolds(_ rule: JSONObject) throws -> Bool {
        guard let key = rule["when"]?.string else { return true }
        return try description.config.holds(key, description.architecture)
    }

    private func kinds(_ rule: JSONObject, _ layers: Int) throws -> [LayerType.Kind] {
        let form = rule["layers"]?.string ?? "all"
        if form == "all" { return [LayerType.Kind](repeating: .sliding, count: layers) }
        let allowed: [LayerType.Kind] = rule["chunk"] == nil ? [.sliding, .full] : [.chunked, .full]
        if let types = try description.config.value("layer_types", description.architecture)?.array {
            guard types.count >= layers else {
                throw failure(.incompatible, "layer_types names \(types.count) layers of \(layers)")
            }
            return try types.prefix(layers).map { type in
                guard let kind = type.string.flatMap({ LayerType.Kind(rawValue: $0) }), allowed.contains(kind) else {
                    throw failure(
                        .uncomputed,
                        "layer_types has \(escaped(type.serialized())), and moe-tool computes "
                            + allowed.map(\.rawValue).joined(separator: " and "))
                }
                return kind
            }
        }
        let special = allowed[0]
        let parts = form.split(separator: ":").map(String.init)
        func limit(_ absent: Int) throws -> Int {
            guard parts.count > 1 else { return absent }
            return try Int(parts[1]) ?? int(parts[1]) ?? absent
        }
        switch parts[0] {
        case "from":
            let first = try limit(layers)
            return (0..<layers).map { $0 >= first ? special : .full }
        case "all-but-every":
            func kinds(_ period: Int, _ count: Int) -> [LayerType.Kind] {
                (0..<count).map { period > 0 && ($0 + 1) % period != 0 ? special : .full }
            }
            // Dense layers that come first may have a period of their own.
            let first = rule["first"]?.object
            let dense = min(max(try first?["count"]?.string.flatMap { try int($0) } ?? 0, 0), layers)
            let period = try first?["every"]?.string.flatMap { try int($0) } ?? 0
            return try kinds(period, dense) + kinds(limit(0), layers - dense)
        case "without-positions", "with-positions":
            let chosen = parts[0] == "with-positions"
            return try hasPositions(rule: rules["noPositions"]?.object ?? [:], layers).map {
                $0 == chosen ? special : .full
            }
        default:
            let end = try limit(layers)
            return (0..<layers).map { $0 % 2 == 0 && $0 < end ? special : .full }
        }
    }

    /// Whether each layer has positions, where a key or an interval of the configuration says so.
    private func hasPositions(rule: JSONObject, _ layers: Int) throws -> [Bool] {
        if let key = rule["key"]?.string, let value = try description.config.value(key, description.architecture) {
            guard let list = value.array else {
                throw failure(.malformed, "\(key) must be a list with an entry for each layer")
            }
            // An empty list stands for the interval.
            if !list.isEmpty {
                guard list.count >= layers else {
                    throw failure(.incompatible, "\(key) has \(list.count) entries for \(layers) layers")
                }
                return list.prefix(layers).map { $0.bool ?? (($0.double ?? 1) != 0) }
            }
        }
        guard let key = rule["interval"]?.string, let interval = try int(key) else {
            return [Bool](repeating: true, count: layers)
        }
        guard interval > 0 else { throw failure(.malformed, "\(key) is \(interval), and must be positive") }
        return (0..<layers).map { ($0 + 1) % interval != 0 }
    }

    /// The ways that layers rotate queries and keys, and which of them each layer has.
    ///
    /// - Parameters:
    ///   - dimension: values of a head that have a position.
    ///   - wide: those of layers that see all tokens, where they differ.
    package func rotaries(
        _ types: [LayerType], dimension: Int, wide: Int? = nil
    ) throws -> ([RotaryEmbedding], [Int]) {
        let without = try layersWithoutPositions(types)
        var names: [String] = []
        var ofLayer: [Int] = []
        let differs = rules["ropeByLayerType"] != nil
        for (layer, type) in types.enumerated() {
            let name = without[layer] ? "" : differs ? type.kind.rawValue : "all"
            if !names.contains(name) { names.append(name) }
            ofLayer.append(names.firstIndex(of: name) ?? 0)
        }
        let result = try names.map { name -> RotaryEmbedding in
            let dimension = name == LayerType.Kind.full.rawValue ? wide ?? dimension : dimension
            if name.isEmpty { return RotaryEmbedding(withoutPositions: try temperature()) }
            let config = description.config
            var parameters =
                try differs
                ? config.ropeParameters(description.architecture, layerType: name)
                : config.ropeParameters(description.architecture) ?? JSONObject()
            if let key = rules["rotaryDimension"]?.string, parameters["partial_rotary_factor"] == nil,
                let values = try int(key)
            {
                guard values > 0, values <= dimension else {
                    throw failure(.malformed, "\(key) is \(values), and heads have \(dimension) values")
                }
                parameters["partial_rotary_factor"] = JSON(Double(values) / Double(dimension))
            }
            var rotary = try RotaryEmbedding(
                description, parameters, dimension: dimension, allowsPartial: rules["partialRotary"]?.bool == true)
            rotary.isInterleaved = try isInterleaved()
            return rotary
        }
        return (result, ofLayer)
    }

    private func layersWithoutPositions(_ types: [LayerType]) throws -> [Bool] {
        guard let rule = rules["noPositions"]?.object else { return types.map { _ in false } }
        if let condition = rule["unless"]?.object, let key = condition["key"]?.string {
            let value = try description.config.value(key, description.architecture)
            return types.map { _ in value?.string != condition["is"]?.string }
        }
        if rule["layers"]?.string == "full_attention" {
            guard try switchHolds(rule) else { return types.map { _ in false } }
            return types.map { $0.kind == .full }
        }
        if rule["layers"]?.string == "without-window" {
            let denseHave = try rule["denseHaveWhenOne"]?.string.flatMap { try int($0) } == 1
            let isMixture = description.moeLayers
            return types.indices.map { types[$0].window == nil && !(denseHave && !isMixture[$0]) }
        }
        return try hasPositions(rule: rule, types.count).map { !$0 }
    }

    /// How queries of layers without positions grow.
    private func temperature() throws -> RotaryEmbedding.Temperature? {
        guard let rule = rules["temperature"]?.object, try switchHolds(rule),
            let beta = try rule["beta"]?.string.flatMap({ try number($0) }),
            let length = try rule["length"]?.string.flatMap({ try number($0) })
        else { return nil }
        guard length > 0 else {
            throw failure(.malformed, "the length of the attention's temperature must be positive")
        }
        return RotaryEmbedding.Temperature(beta: beta, length: length, offset: 1)
    }

    private func isInterleaved() throws -> Bool {
        guard rules["rope"]?.string == "interleaved" else { return false }
        guard let key = rules["ropeInterleavedKey"]?.string else { return true }
        return try description.config.value(key, description.architecture)?.bool ?? true
    }
}
