package import Safetensors

/// What a model's function depends on besides its weights, in words that are equal for equal meanings: a key that is
/// absent counts as what its class assumes, 10000 is 1e4, and each spelling of a key is the same as the others.
///
/// It is read from the configuration of the decoder, so that what changes the function here cannot be left out.
public struct FunctionTraits: Sendable {
    package struct Trait: Sendable, Hashable {
        package let name: String
        package let value: String
        package let scope: Scope
    }

    /// Whose traits they are.
    package enum Scope: Sendable, Hashable, CaseIterable {
        /// Sizes that tensors have.
        case sizes
        /// What a dense model and the mixture made of it share.
        case network
        /// Which biases and norms there are.
        case parts
        /// Which layers are mixtures, and of how many experts.
        case experts
        /// What a router makes of its logits.
        case routing
    }

    package let family: String
    package private(set) var traits: [Trait] = []
    /// Whether they are what is computed; else they are the configuration's keys, which are a family's own.
    private let areComputed: Bool
    /// Why they are not what is computed, of a family that is computed otherwise.
    private var reason: String?

    /// The traits of checkpoints side by side: biases that some of them lack count as absent where they are zero.
    ///
    /// - Throws: `CheckpointError` for a configuration that gives no model, and tensors that cannot be read.
    package static func of(_ checkpoints: [Checkpoint]) throws -> [FunctionTraits] {
        let kinds = checkpoints.map { Set($0.table.keys.lazy.map(\.kind).filter(\.isBias)) }
        var absent: Set<Role.Kind> = []
        for kind in kinds.reduce(into: Set(), { $0.formUnion($1) }) where !kinds.allSatisfy({ $0.contains(kind) }) {
            let tensors = checkpoints.flatMap { $0.table.filter { $0.key.kind == kind }.map(\.value) }
            if try LazyTensor.areZero(tensors) { absent.insert(kind) }
        }
        return try checkpoints.map { try FunctionTraits($0.description, absent: absent) }
    }

    /// - Parameter absent: biases that there might as well not be.
    /// - Throws: `CheckpointError` for a configuration that gives no model.
    package init(_ description: ModelDescription, absent: Set<Role.Kind> = []) throws {
        family = description.architecture.modelType
        var configuration: DecoderConfiguration?
        do {
            configuration = try DecoderConfiguration(description)
        } catch let error as CheckpointError where error.code == .uncomputed { reason = error.message }
        areComputed = configuration != nil
        if let configuration {
            add(configuration)
        } else {
            addKeys(of: description.config, description.architecture)
        }
        let kinds = Set(try description.expectedTensors().flatMap { $0.placements.map(\.role.kind) })
        let others: Set<Role.Kind> = [.embedding, .head, .carried]
        let parts = kinds.subtracting(others).subtracting(absent).compactMap {
            $0.isOfNetworks ? $0.networkBias : $0.rawValue
        }
        add("biases and norms", Set(parts).sorted().joined(separator: ", "), .parts)
    }

    private mutating func add(_ name: String, _ value: String, _ scope: Scope) {
        traits.append(Trait(name: name, value: value, scope: scope))
    }

    private mutating func add(_ configuration: DecoderConfiguration) {
        add("layers", "\(configuration.layers)", .sizes)
        add("hidden size", "\(configuration.hidden)", .sizes)
        add("vocabulary", "\(configuration.vocabulary)", .sizes)
        add(configuration.attention)
        addMixers(configuration)
        let norm = configuration.norm
        add("norm", "\(norm.kind)", .network)
        if !norm.hasWeights { add("norm weights", "none", .network) }
        add("norm epsilon", canonicalText(norm.epsilon), .network)
        switch configuration.activation {
        case .silu: add("activation", "silu", .network)
        case .geluTanh: add("activation", "gelu_pytorch_tanh", .network)
        case .squaredReLU: add("activation", "relu2", .network)
        case .clampedSwiGLU(let alpha, let limit):
            add("activation", "clamped SwiGLU \(canonicalText(alpha)), \(canonicalText(limit))", .network)
        }
        add("embedding multiplier", canonicalText(configuration.embeddingScale), .network)
        add("residual multiplier", canonicalText(configuration.residualScale), .network)
        add("logits multiplier", canonicalText(configuration.logitsScale), .network)
        add("logits soft cap", configuration.logitsSoftcap.map { canonicalText($0) } ?? "none", .network)
        add("longest sequence", configuration.maximumLength.map(String.init) ?? "any", .network)
        add("attention and network", configuration.isParallel ? "side by side" : "in turn", .network)
        add("feed-forward width", configuration.inner.map(String.init) ?? "-", .experts)
        let layers = configuration.moeLayers.indices.filter { configuration.moeLayers[$0] }
        add("mixture layers", layers.isEmpty ? "none" : layers.map(String.init).joined(separator: ","), .experts)
        guard let mixture = configuration.mixture else { return }
        add("experts", "\(mixture.experts)", .experts)
        add("expert width", "\(mixture.expertInner)", .experts)
        add("shared expert", mixture.sharedInner.map(String.init) ?? "none", .experts)
        add("experts of a token", "\(mixture.topK)", .routing)
        if mixture.sharedScale != 1 { add("factor on the shared expert", canonicalText(mixture.sharedScale), .experts) }
        if mixture.hasDenseBeside { add("dense network", "beside the experts", .experts) }
        let router = mixture.router
        add("gates", "\(router.score)\(router.renormalizes ? ", divided by their sum" : "")", .routing)
        add("gates multiply", router.gatesInput ? "what goes in" : "what comes out", .routing)
        add("least sum of gates", canonicalText(router.leastSum), .routing)
        add("addition to the sum of gates", canonicalText(router.sumOffset), .routing)
        add("factor on gates", canonicalText(router.scale), .routing)
        add(
            "expert groups",
            router.groups.map { "\($0.kept) of \($0.count) by \($0.score)" } ?? "none", .routing)
    }

    private mutating func add(_ attention: DecoderConfiguration.Attention) {
        add("attention heads", "\(attention.heads)", .sizes)
        add("key/value heads", "\(attention.keyValueHeads)", .sizes)
        let (key, value) = (attention.keyDimension, attention.valueDimension)
        add("head dimension", key == value ? "\(key)" : "\(key) and \(value)", .sizes)
        add(
            "latent attention",
            attention.latent.map { "\($0.queryRank ?? 0), \($0.keyValueRank), \($0.plain) + \($0.rotated)" } ?? "none",
            .sizes)
        add("attention multiplier", canonicalText(attention.scale), .network)
        add("attention soft cap", attention.softcap.map { canonicalText($0) } ?? "none", .network)
        add("query, key and value limit", attention.clip.map { canonicalText($0) } ?? "none", .network)
        if attention.normalizesValues { add("norm of values", "without weights", .network) }
        if let wide = attention.wide {
            add(
                "layers that see all tokens",
                "\(wide.keyValueHeads) key/value heads of \(wide.dimension)\(wide.sharesKeys ? ", values are keys" : "")",
                .sizes)
        }
        add("output gate", attention.gatesInsideQuery ? "behind each query" : "by itself or none", .network)
        add("query and key norms", attention.normalizesAfterRotation ? "after rotation" : "before", .network)
        add("weightless norms", Self.byLayer(attention.weightlessNorms.map { $0 ? "yes" : "no" }), .network)
        add("sliding window", Self.byLayer(attention.windows.map { $0.map(String.init) ?? "none" }), .network)
        add("attention chunks", Self.byLayer(attention.chunks.map { $0.map(String.init) ?? "none" }), .network)
        add(
            "rope",
            Self.byLayer(
                attention.rotaryOfLayer.map {
                    attention.rotaries.indices.contains($0) ? attention.rotaries[$0].summary : "-"
                }), .network)
    }

    private mutating func addMixers(_ configuration: DecoderConfiguration) {
        add("mixers", Self.byLayer(configuration.mixers.map { $0?.rawValue ?? "none" }), .network)
        add(
            "layers with a network", Self.byLayer(configuration.hasNetwork.map { $0 ? "yes" : "no" }), .network)
        if let convolution = configuration.convolution { add("convolution", "\(convolution)", .network) }
        if let delta = configuration.delta { add("Gated DeltaNet", "\(delta)", .network) }
        if let mamba = configuration.mamba { add("Mamba-2", "\(mamba)", .network) }
    }

    /// One value for all layers, or the runs of layers that share one.
    private static func byLayer(_ values: [String]) -> String {
        guard let first = values.first else { return "none" }
        if values.allSatisfy({ $0 == first }) { return first }
        var runs: [(first: Int, last: Int, value: String)] = []
        for (layer, value) in values.enumerated() {
            if let last = runs.last, last.value == value {
                runs[runs.count - 1].last = layer
            } else {
                runs.append((layer, layer, value))
            }
        }
        return runs.map { "\($0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)"): \($0.value)" }
            .joined(separator: "; ")
    }

    /// Keys that do not change what a model computes.
    private static let inert: Set<String> = [
        "_name_or_path", "architectures", "attention_dropout", "auto_map", "bos_token_id", "decoder_start_token_id",
        "dtype", "embd_pdrop", "eos_token_id", "hidden_dropout", "id2label", "initializer_range", "label2id",
        "max_window_layers", "model_type", "output_router_logits", "pad_token_id", "pretraining_tp", "resid_pdrop",
        "rope_parameters", "rope_scaling", "rope_theta", "router_aux_loss_coef", "tie_word_embeddings", "torch_dtype",
        "transformers_version", "unk_token_id", "use_cache", "vocab_size",
    ]

    /// Of a model that is not computed here, every key that may matter.
    private mutating func addKeys(of config: ModelConfig, _ architecture: Architecture?) {
        var keys = Set(config.object.keys).union(architecture?.defaults.keys ?? [])
        for spellings in (architecture?.aliases ?? [:]).values { keys.subtract(spellings) }
        for key in keys.subtracting(Self.inert).sorted() {
            let value = try? architecture.map { try config.value(key, $0) } ?? config.object[key]
            add(escaped(key), (value ?? .null).canonicalText, .network)
        }
        let rope =
            try? architecture.map { try config.ropeParameters($0) }
            ?? config.object["rope_parameters"]?.object ?? config.object["rope_scaling"]?.object
        add("rope", rope.map { JSON.object($0).canonicalText } ?? "-", .network)
        if architecture == nil {
            for key in ["rope_theta", "tie_word_embeddings", "vocab_size"] {
                add(key, (config.object[key] ?? .null).canonicalText, .network)
            }
        }
    }

    /// The traits of a folder whose family is not known: its keys.
    package init(unknownFamily config: ModelConfig) {
        family = config.object["model_type"]?.string ?? "-"
        areComputed = false
        addKeys(of: config, nil)
    }

    /// A difference of two models.
    public struct Disagreement: Sendable, Hashable, CustomStringConvertible {
        /// What differs, under the key of a configuration or in words.
        public let name: String
        /// The first model's value.
        public let first: String
        /// The second model's value.
        public let second: String
        /// Name and values in one line.
        public var description: String { "\(name): \(first) and \(second)" }
        package var json: JSONObject {
            ["name": .string(name), "first": .string(first), "second": .string(second)]
        }
    }

    /// What differs, of the scopes that must agree.
    package func disagreements(
        with other: FunctionTraits, in scopes: Set<Scope> = Set(Scope.allCases)
    ) -> [Disagreement] {
        var result: [Disagreement] = []
        if !areComputed || !other.areComputed, family != other.family {
            result.append(Disagreement(name: "family", first: family, second: other.family))
        }
        // Keys and what is computed of them have no names in common.
        if areComputed != other.areComputed {
            func text(_ traits: FunctionTraits) -> String {
                traits.areComputed ? "known" : "not known" + (traits.reason.map { " (\($0))" } ?? "")
            }
            return result + [Disagreement(name: "what is computed", first: text(self), second: text(other))]
        }
        let theirs = Dictionary(other.traits.map { ($0.name, $0) }) { first, _ in first }
        let mine = Set(traits.map(\.name))
        for trait in traits where scopes.contains(trait.scope) {
            let value = theirs[trait.name]?.value ?? "-"
            if value != trait.value {
                result.append(Disagreement(name: trait.name, first: trait.value, second: value))
            }
        }
        for trait in other.traits where scopes.contains(trait.scope) && !mine.contains(trait.name) {
            result.append(Disagreement(name: trait.name, first: "-", second: trait.value))
        }
        return result
    }
}

/// A number's shortest text: 10000 for 10000.0 and 1e4.
package func canonicalText<Number: BinaryFloatingPoint & CustomStringConvertible>(_ number: Number) -> String {
    if number.rounded() == number, let whole = Int(exactly: number), whole.magnitude < 1 << 53 { return "\(whole)" }
    return "\(number)"
}

extension JSON {
    /// Text that is equal for equal values: numbers by value, members in the order of their keys.
    package var canonicalText: String {
        switch self {
        case .number(let text): Double(text).map { Checkpoints.canonicalText($0) } ?? text
        case .array(let elements): "[" + elements.map(\.canonicalText).joined(separator: ", ") + "]"
        case .object(let object):
            "{"
                + object.keys.sorted(by: utf8Precedes).map { "\(escaped($0)): \((object[$0] ?? .null).canonicalText)" }
                .joined(separator: ", ") + "}"
        case .string(let text): escaped(text)
        case .null, .bool: serialized()
        }
    }
}
