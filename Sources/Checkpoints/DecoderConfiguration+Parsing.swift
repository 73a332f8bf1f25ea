package import Safetensors

extension DecoderConfiguration {
    /// - Throws: `CheckpointError` naming the key: for numbers that are missing, not finite or contradict one another;
    ///   `uncomputed` for a model that may run elsewhere and has no form here.
    package init(_ description: ModelDescription) throws {
        let reader = ConfigurationReader(description)
        // What contradicts itself is said before what is only not computed.
        mixture = try description.isMixture ? reader.mixture() : nil
        try reader.refuseUnsupported()
        layers = description.layerCount
        hidden = try reader.size("hidden")
        vocabulary = try reader.size("vocab")
        moeLayers = description.moeLayers
        mixers = description.mixers
        hasNetwork = description.hasNetwork
        convolution = mixers.contains(.convolution) ? try reader.shortConvolution() : nil
        delta = mixers.contains(.delta) ? try reader.deltaNet() : nil
        mamba = mixers.contains(.mamba) ? try reader.mamba() : nil
        norm = try reader.norm()
        attention = try reader.attention(layers: layers)
        activation = try reader.activation()
        embeddingScale = try reader.embeddingScale(hidden: hidden)
        residualScale = try reader.factor("residualScale") ?? 1
        let divisor = try reader.factor("logitsDivisor") ?? 1
        guard divisor != 0 else { throw reader.failure(.malformed, "the logits are divided by 0") }
        logitsScale = try reader.factor("logitsScale") ?? 1 / divisor
        isParallel = reader.rules["parallel"]?.bool == true
        logitsSoftcap = try reader.cap("logitsSoftcap")
        inner = try description.sizeIfKnown("inner").map { _ in try reader.size("inner") }
        maximumLength = try reader.rules["maximumLength"]?.string.flatMap { try reader.int($0) }
    }
}

/// Takes numbers from a configuration under the keys that the family's file names.
package struct ConfigurationReader {
    package typealias Norm = DecoderConfiguration.Norm
    package typealias Activation = DecoderConfiguration.Activation
    package typealias Attention = DecoderConfiguration.Attention
    package typealias Mixture = DecoderConfiguration.Mixture
    package typealias Router = DecoderConfiguration.Router

    /// Sizes beyond this are not a model's; below it, products of two of them do not overflow.
    package static let maximumSize = 1 << 27

    package let description: ModelDescription
    package let rules: JSONObject

    init(_ description: ModelDescription) {
        self.description = description
        rules = description.architecture.computation
    }

    package func failure(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
        description.config.failure(code, message)
    }

    package func number(_ key: String) throws -> Double? {
        try description.config.double(key, description.architecture)
    }

    package func int(_ key: String) throws -> Int? { try description.config.int(key, description.architecture) }

    package func size(_ symbol: String) throws -> Int {
        let value = try description.size(symbol)
        guard value <= Self.maximumSize else {
            throw failure(.malformed, "\(symbol) is \(value), which no model has")
        }
        return value
    }

    /// A number under the key that a rule names.
    package func factor(_ rule: String) throws -> Float? {
        guard let key = rules[rule]?.string, let value = try number(key) else { return nil }
        return Float(value)
    }

    package func cap(_ rule: String) throws -> Float? {
        guard let key = rules[rule]?.string, let value = try number(key) else { return nil }
        guard value > 0 else { throw failure(.malformed, "\(key) is \(value), and must be positive or null") }
        return Float(value)
    }

    package func norm() throws -> Norm {
        let rmsKey = try rules["rmsNormWhen"]?.string.flatMap { try number($0) == nil ? nil : $0 }
        let key = rmsKey ?? rules["normEpsilon"]?.string ?? "rms_norm_eps"
        let epsilon = try rules["normEpsilonValue"]?.double ?? number(key) ?? 1e-6
        guard epsilon >= 0 else { throw failure(.malformed, "\(key) is \(epsilon), and must not be negative") }
        let kind: Norm.Kind
        switch rules["norm"]?.string {
        case nil: kind = .rms
        case "rms-plus-one": kind = .rmsPlusOne
        case "layer": kind = rmsKey == nil ? .layer : .rms
        default: throw failure(.internalFailure, "the architecture file names a norm that is not known")
        }
        return Norm(kind: kind, epsilon: Float(epsilon), hasWeights: rules["normWeights"]?.bool ?? true)
    }

    package func embeddingScale(hidden: Int) throws -> Float {
        if rules["embeddingScale"]?.string == "sqrt(hidden)" {
            if let key = rules["embeddingScaleWhen"]?.string,
                try !description.config.holds(key, description.architecture)
            {
                return 1
            }
            return Float(hidden).squareRoot()
        }
        return try factor("embeddingScale") ?? 1
    }

    package func activation() throws -> Activation {
        if let rule = rules["activation"]?.object, rule["kind"]?.string == "clamped-swiglu" {
            let alpha = try rule["alpha"]?.string.flatMap { try number($0) } ?? 1.702
            let limit = try rule["limit"]?.string.flatMap { try number($0) } ?? 7
            guard limit > 0 else { throw failure(.malformed, "the limit of the activation must be positive") }
            return .clampedSwiGLU(alpha: Float(alpha), limit: Float(limit))
        }
        switch rules["activation"]?.object?["kind"]?.string {
        case "silu": return .silu
        case "gelu-tanh": return .geluTanh
        default: break
        }
        for key in description.architecture.activation.keys {
            let name = try description.config.value(key, description.architecture)?.string
            switch name.map(ModelDescription.activationName) {
            case "silu": return .silu
            case "gelu_pytorch_tanh": return .geluTanh
            case "relu2": return .squaredReLU
            default: continue
            }
        }
        throw failure(
            .uncomputed, "the activation is not one that moe-tool computes: silu, gelu_pytorch_tanh, relu2")
    }

    package func attention(layers: Int) throws -> Attention {
        let heads = try size("heads")
        let keyValueHeads = try size("kv_heads")
        var latent: Attention.Latent?
        let keyDimension: Int
        let valueDimension: Int
        let rotated: Int
        if description.architecture.symbolNames.contains("kv_lora_rank") {
            let queryRank = try int("q_lora_rank")
            let sizes = Attention.Latent(
                queryRank: queryRank == 0 ? nil : queryRank, keyValueRank: try size("kv_lora_rank"),
                plain: try size("qk_nope"), rotated: try size("qk_rope"))
            latent = sizes
            keyDimension = sizes.plain + sizes.rotated
            valueDimension = try size("v_dim")
            rotated = sizes.rotated
        } else {
            keyDimension = try size("head_dim")
            valueDimension = keyDimension
            rotated = keyDimension
        }
        guard heads * keyDimension <= Self.maximumSize, heads * valueDimension <= Self.maximumSize else {
            throw failure(.malformed, "\(heads) heads of \(keyDimension) values: no model is like that")
        }
        let types = try layerTypes(layers: layers)
        let wide = try wideAttention(types, heads: heads)
        let (rotaries, rotaryOfLayer) = try rotaries(types, dimension: rotated, wide: wide?.dimension)
        let weightless = try rules["weightlessNorms"]?.string.map {
            try description.config.holds($0, description.architecture)
        }
        return Attention(
            heads: heads, keyValueHeads: latent == nil ? keyValueHeads : heads, keyDimension: keyDimension,
            valueDimension: valueDimension, latent: latent,
            scale: try attentionScale(keyDimension) * (latent == nil ? 1 : rotaries.first?.latentScale ?? 1),
            softcap: try cap("attentionSoftcap"), windows: types.map(\.window), chunks: types.map(\.chunk),
            clip: try cap("clip"), normalizesAfterRotation: rules["queryKeyNorm"]?.string == "after-rotation",
            weightlessNorms: rotaryOfLayer.map { weightless == true && rotaries[$0].dimension > 0 },
            normalizesValues: rules["valueNorm"]?.bool == true,
            gatesInsideQuery: rules["outputGate"]?.string == "inside-q", wide: wide,
            rotaries: rotaries, rotaryOfLayer: rotaryOfLayer)
    }

    private func wideAttention(_ types: [LayerType], heads: Int) throws -> Attention.Wide? {
        guard let rule = rules["wideAttention"]?.object else { return nil }
        let sharesKeys = try rule["sharesKeys"]?.string.map {
            try description.config.holds($0, description.architecture)
        }
        let wide = Attention.Wide(
            layers: types.map { $0.kind == .full }, keyValueHeads: try size("global_kv_heads"),
            dimension: try size("global_head_dim"), sharesKeys: sharesKeys ?? false)
        guard heads % wide.keyValueHeads == 0 else {
            throw failure(
                .incompatible, "\(heads) attention heads cannot share \(wide.keyValueHeads) key and value heads evenly")
        }
        guard heads * wide.dimension <= Self.maximumSize else {
            throw failure(.malformed, "\(heads) heads of \(wide.dimension) values: no model is like that")
        }
        return wide
    }

    private func attentionScale(_ keyDimension: Int) throws -> Float {
        if let factor = rules["attentionScale"]?.double { return Float(factor) }
        if let factor = try factor("attentionScale") { return factor }
        if let base = try factor("attentionScaleBase") {
            guard base > 0 else { throw failure(.malformed, "query_pre_attn_scalar must be positive") }
            return Float(1 / Double(base).squareRoot())
        }
        return Float(1 / Double(keyDimension).squareRoot())
    }

    package func mixture() throws -> Mixture {
        let experts = try size("experts")
        let topK = try size("top_k")
        let shared = try description.sizeIfKnown("shared_inner").map { _ in try size("shared_inner") }
        let isMean = shared.map { $0 > 0 } == true ? try sharedIsMean() : false
        return Mixture(
            experts: experts, topK: topK, expertInner: try size("expert_inner"),
            sharedInner: shared == 0 ? nil : shared, sharedScale: isMean ? 0.5 : 1,
            hasDenseBeside: rules["denseBeside"]?.bool == true,
            router: try router(experts: experts, topK: topK, factor: isMean ? 0.5 : 1))
    }

    /// Whether routed and shared experts are averaged instead of summed.
    private func sharedIsMean() throws -> Bool {
        guard let key = rules["sharedCombination"]?.string else { return false }
        let value = try description.config.value(key, description.architecture)?.string
        switch value {
        case "average": return true
        case "sum": return false
        default: throw failure(.incompatible, "\(key) is \(escaped(value ?? "missing")), and must be average or sum")
        }
    }

    /// Whether a configuration that chooses between the two has scores by sigmoid.
    private func isSigmoid(_ rule: Architecture.Router) throws -> Bool {
        guard let key = rule.scoreKey else { return rule.score == .sigmoid }
        let value = try description.config.value(key, description.architecture)?.string
        switch value {
        case "sigmoid": return true
        case "softmax": return false
        default:
            throw failure(.incompatible, "\(key) is \(escaped(value ?? "missing")), and must be softmax or sigmoid")
        }
    }

    private func router(experts: Int, topK: Int, factor: Float) throws -> Router {
        guard let rule = description.architecture.router else {
            throw failure(.internalFailure, "the architecture file names no router")
        }
        let score: Router.Score
        let isSigmoid = try isSigmoid(rule)
        switch rule.score {
        case _ where isSigmoid: score = .sigmoid
        case .sigmoid: score = .sigmoid
        case .softmax: score = rule.selectsBeforeScoring ? .softmaxOfSelected : .softmax
        case .sparsemixer:
            let jitter = try rule.jitterKey.flatMap { try number($0) } ?? 0.01
            guard topK == 2 else {
                throw failure(
                    .incompatible, "a sparse mixer selects 2 experts and num_experts_per_tok is \(topK)")
            }
            score = .sparseMixer(threshold: Float(2 * jitter))
        }
        var renormalizes = rule.alwaysRenormalizes
        if rule.scoreKey != nil {
            renormalizes = try isSigmoid && description.config.holds(rule.renormalization, description.architecture)
        } else if let key = rule.renormalizationKey {
            renormalizes = try description.config.holds(key, description.architecture)
        }
        let scale = try rule.scaleKey.flatMap { try number($0) } ?? 1
        return Router(
            score: score, renormalizes: renormalizes, gatesInput: rule.gatesInput,
            leastSum: Float(try rule.leastSumKey.flatMap { try number($0) } ?? 0),
            sumOffset: Float(rule.sumOffset), scale: Float(scale) * factor,
            groups: try rule.groups.flatMap { try groups($0, experts: experts, topK: topK) })
    }

    private func groups(_ rule: JSONObject, experts: Int, topK: Int) throws -> Router.Groups? {
        if let condition = rule["when"]?.object, let key = condition["key"]?.string {
            let method = try description.config.value(key, description.architecture)?.string
            if method == "greedy" { return nil }
            guard method == condition["is"]?.string else {
                throw failure(
                    .uncomputed, "\(key) is \(escaped(method ?? "missing")), which moe-tool does not compute")
            }
        }
        let count = try rule["count"]?.string.flatMap { try int($0) } ?? 1
        let kept = try rule["kept"]?.string.flatMap { try int($0) } ?? 1
        let best = rule["score"]?.string == "max"
        guard count > 0, kept > 0, kept <= count, experts % count == 0 else {
            throw failure(
                .incompatible, "\(kept) of \(count) groups cannot be chosen from \(experts) experts evenly")
        }
        guard best || experts / count >= 2 else {
            throw failure(
                .incompatible,
                "a group is worth its two best experts, and \(experts) experts in \(count) groups are "
                    + "\(experts / count) in each")
        }
        if count == 1 { return nil }
        guard kept * (experts / count) >= topK else {
            throw failure(
                .incompatible,
                "a token is routed to \(topK) experts, and the \(kept) groups that they are chosen from have "
                    + "\(experts / count) each")
        }
        return Router.Groups(count: count, kept: kept, score: best ? .best : .topTwo)
    }
}
