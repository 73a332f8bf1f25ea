import Glibc
import Safetensors

/// A model as llama.cpp's architecture is told of it, and what keeps the two from being the same function.
struct GGUFDescription {
    let rules: GGUFRules
    let configuration: DecoderConfiguration
    let description: ModelDescription
    private(set) var metadata = GGUFMetadata()

    /// - Throws: `CheckpointError` where llama.cpp would compute something else, with what to do.
    init(_ description: ModelDescription) throws {
        let family = description.architecture.modelType
        guard let rules = description.architecture.gguf else {
            throw CheckpointError(
                .incompatible, file: description.config.file,
                message:
                    "\(family) has not been shown to be the same model in llama.cpp, and is not written for it: densify "
                    + "or prune it to a family that has")
        }
        if let refusal = rules.refusal {
            throw CheckpointError(
                .incompatible, file: description.config.file, message: "\(family) cannot be a GGUF file: \(refusal)")
        }
        self.rules = rules
        self.description = description
        configuration = try DecoderConfiguration(description)
        try addSizes()
        try addAttention()
        try addPositions()
        try addMixture()
        try addFactors()
    }

    private func refusal(_ what: String, _ advice: String) -> CheckpointError {
        CheckpointError(
            .incompatible, file: description.config.file,
            message:
                "llama.cpp's architecture \(rules.architecture) \(what), and would compute another function: \(advice)")
    }

    private mutating func set(_ key: String, _ value: GGUFValue) { metadata["\(rules.architecture).\(key)"] = value }

    private mutating func set(_ key: String, _ value: Int) throws {
        guard let value = UInt32(exactly: value) else {
            throw description.config.failure(.incompatible, "\(value) is too large for a GGUF file (\(key))")
        }
        set(key, .uint32(value))
    }

    private func int(_ key: String) throws -> Int? { try description.config.int(key, description.architecture) }

    private mutating func addSizes() throws {
        try set("vocab_size", configuration.vocabulary)
        if let length = try int("max_position_embeddings") { try set("context_length", length) }
        try set("embedding_length", configuration.hidden)
        try set("block_count", configuration.layers)
        if let inner = configuration.inner ?? configuration.mixture?.expertInner {
            try set("feed_forward_length", inner)
        }
        guard configuration.mixers.allSatisfy({ $0 == .attention }), configuration.hasNetwork.allSatisfy({ $0 }) else {
            throw refusal("is not described here for layers without attention", "it cannot be written yet")
        }
        let norm = configuration.norm
        set("attention.layer_norm\(norm.kind == .layer ? "" : "_rms")_epsilon", .float32(norm.epsilon))
    }

    private mutating func addAttention() throws {
        let attention = configuration.attention
        try set("attention.head_count", attention.heads)
        guard rules.allowsGroupedQueries || attention.keyValueHeads == attention.heads else {
            throw refusal(
                "has as many heads of keys as of queries, and the model "
                    + "\(attention.keyValueHeads) and \(attention.heads)",
                "choose another target")
        }
        try set("attention.head_count_kv", attention.latent == nil ? attention.keyValueHeads : 1)
        if let latent = attention.latent {
            if let rank = latent.queryRank { try set("attention.q_lora_rank", rank) }
            try set("attention.kv_lora_rank", latent.keyValueRank)
            try set("attention.key_length", latent.keyValueRank + latent.rotated)
            try set("attention.value_length", latent.keyValueRank)
            try set("attention.key_length_mla", attention.keyDimension)
            try set("attention.value_length_mla", attention.valueDimension)
        } else {
            try set("attention.key_length", attention.keyDimension)
            try set("attention.value_length", attention.valueDimension)
            let base =
                rules.scaleOfHiddenLayers == configuration.layers
                ? Float(configuration.hidden) / Float(attention.heads) : Float(attention.keyDimension)
            if rules.reads.contains("attention.scale") {
                set("attention.scale", .float32(attention.scale))
            } else if !attention.scale.isNear(1 / base.squareRoot()) {
                throw refusal(
                    "multiplies scores by \(1 / base.squareRoot()) where this model has \(attention.scale)",
                    "scale the query weights by the quotient, and set the configuration so")
            }
        }
        if let cap = attention.softcap {
            guard rules.reads.contains("attn_logit_softcapping") else {
                throw refusal("has no soft cap on scores", "choose another target")
            }
            set("attn_logit_softcapping", .float32(cap))
        }
        guard attention.clip == nil, attention.wide == nil, attention.chunks.allSatisfy({ $0 == nil }),
            configuration.norm.hasWeights
        else {
            throw refusal(
                "has no limit on queries, keys and values, no runs of tokens and no norms without weights here",
                "choose another target")
        }
        try addWindows()
    }

    private mutating func addWindows() throws {
        let windows = configuration.attention.windows
        let sizes = Set(windows.compactMap { $0 })
        guard let size = sizes.max() else { return }
        let longest = try int("max_position_embeddings") ?? Int.max
        if rules.windowPeriod == nil, sizes.allSatisfy({ $0 >= longest }) { return }
        guard let usual = rules.windowPeriod, sizes.count == 1 else {
            throw refusal(
                "has no sliding window, and the model has one of \(size) tokens",
                "set sliding_window to null in config.json to have attention to all tokens, or give "
                    + "max_position_embeddings of \(size) at most")
        }
        func fits(_ period: Int) -> Bool {
            windows.enumerated().allSatisfy { ($1 != nil) == (period == 0 || $0 % period < period - 1) }
        }
        try set("attention.sliding_window", size)
        if fits(usual) { return }
        guard rules.reads.contains("attention.sliding_window_pattern"),
            let period = (1...max(1, windows.count + 1)).first(where: fits)
        else {
            throw refusal(
                "has the window in all layers but each \(usual)th, and the model in others", "choose another target")
        }
        try set("attention.sliding_window_pattern", period)
    }

    private mutating func addPositions() throws {
        let attention = configuration.attention
        let unpositioned = attention.rotaryOfLayer.map {
            !attention.rotaries.indices.contains($0) || attention.rotaries[$0].dimension == 0
        }
        let expected = unpositioned.indices.map { layer in
            switch rules.unpositioned {
            case nil: false
            case .every(let count): (layer + 1) % count == 0
            case .wide: !attention.windows.allSatisfy { $0 == nil } && attention.windows[layer] == nil
            }
        }
        guard unpositioned == expected, let rotation = configuration.rotation else {
            throw refusal("gives positions to other layers than the model", "choose another target")
        }
        if let windowed = configuration.windowedRotation, windowed.dimension > 0, windowed != rotation {
            guard rules.reads.contains("rope.freq_base_swa"), case .none = windowed.scaling else {
                throw refusal("rotates all layers alike, and the model does not", "choose another target")
            }
            set("rope.freq_base_swa", .float32(Float(windowed.theta)))
        }
        if attention.latent != nil, !rotation.isInterleaved {
            throw refusal("rotates neighbouring values", "set rope_interleave to true with the weights in that order")
        }
        guard rotation.temperature == nil else {
            throw refusal("has no temperature of long positions here", "choose another target")
        }
        try set("rope.dimension_count", rotation.dimension)
        var base = rotation.theta
        switch rotation.scaling {
        case .none, .llama3: break
        case .alpha(let alpha): base *= pow(alpha, Double(rotation.dimension) / Double(rotation.dimension - 2))
        case .linear(let factor):
            set("rope.scaling.type", .string("linear"))
            set("rope.scaling.factor", .float32(Float(factor)))
        case .yarn(let factor, let low, let high):
            try addYarn(rotation, factor, low, high)
        case .dynamic, .longrope, .proportional, .other:
            throw refusal(
                "has no rope of the kind \(rotation.summary) here",
                "set another rope_type in config.json, or write a shorter context without it")
        }
        guard Float(base).isFinite else {
            throw description.config.failure(
                .incompatible, "the base \(base) of the rotation is none that a GGUF file holds")
        }
        set("rope.freq_base", .float32(Float(base)))
    }

    private mutating func addYarn(_ rotation: RotaryEmbedding, _ factor: Double, _ low: Double, _ high: Double) throws {
        let parameters = try description.config.ropeParameters(description.architecture) ?? JSONObject()
        func number(_ key: String) -> Double? { parameters[key]?.double }
        guard parameters["truncate"]?.bool ?? true else {
            throw refusal(
                "rounds the pairs between which it interpolates to whole ones (truncate is false)",
                "set truncate to true in rope_parameters to have the model as llama.cpp computes it")
        }
        let original =
            try number("original_max_position_embeddings").map { Int(saturating: $0) } ?? int(
                "original_max_position_embeddings")
            ?? int("max_position_embeddings") ?? 0
        set("rope.scaling.type", .string("yarn"))
        set("rope.scaling.factor", .float32(Float(factor)))
        try set("rope.scaling.original_context_length", original)
        if let fast = number("beta_fast") { set("rope.scaling.yarn_beta_fast", .float32(Float(fast))) }
        if let slow = number("beta_slow") { set("rope.scaling.yarn_beta_slow", .float32(Float(slow))) }
        let plain = Float(0.1 * log(factor) + 1)
        let all = number("mscale_all_dim") ?? 0
        if configuration.attention.latent != nil, all != 0, rotation.magnitude.isNear(1) {
            set("rope.scaling.yarn_log_multiplier", .float32(Float(0.1 * all)))
        } else if !rotation.magnitude.isNear(plain) || configuration.attention.latent != nil {
            throw refusal(
                "multiplies what it rotates by \(plain) for this factor of yarn, and the model by "
                    + "\(rotation.magnitude)",
                "leave attention_factor out of rope_parameters")
        }
    }

    private mutating func addMixture() throws {
        guard let mixture = configuration.mixture else {
            // All layers may be dense where the first may; sizes of experts are read in any case.
            if rules.allowsLeadingDense, let inner = configuration.inner {
                try set("leading_dense_block_count", configuration.layers)
                try set("expert_feed_forward_length", inner)
                try set("expert_shared_count", 0)
                if rules.reads.contains("expert_weights_scale") { set("expert_weights_scale", .float32(1)) }
            }
            return
        }
        let dense = configuration.moeLayers.prefix { !$0 }.count
        guard configuration.moeLayers.dropFirst(dense).allSatisfy({ $0 }), dense == 0 || rules.allowsLeadingDense else {
            throw refusal(
                rules.allowsLeadingDense ? "has dense layers before the mixtures only" : "has mixtures in all layers",
                "upcycle all layers, or densify to a dense model")
        }
        if rules.allowsLeadingDense { try set("leading_dense_block_count", dense) }
        if rules.reads.contains("interleave_moe_layer_step") { try set("interleave_moe_layer_step", 1) }
        guard mixture.experts <= 1024 else { throw refusal("has 1024 experts at most", "prune it to as many") }
        try set("expert_count", mixture.experts)
        try set("expert_used_count", mixture.topK)
        try set("expert_feed_forward_length", mixture.expertInner)
        if let inner = mixture.sharedInner, inner > 0 {
            try set("expert_shared_feed_forward_length", inner)
            if mixture.expertInner > 0, inner % mixture.expertInner == 0 {
                try set("expert_shared_count", inner / mixture.expertInner)
            }
        }
        let router = mixture.router
        guard mixture.sharedScale == 1, !mixture.hasDenseBeside, !router.gatesInput else {
            throw refusal("adds what experts make of the stream as it is", "choose another target")
        }
        let key = description.architecture.router?.renormalizationKey ?? "norm_topk_prob"
        switch rules.gates {
        case .always where !router.sumsToOne:
            throw refusal(
                "divides the selected gates by their sum, and the model does not",
                "make the mixture with `normalisesTopK` true, or set \(key) to true")
        case .never where router.sumsToOne:
            throw refusal(
                "does not divide the selected gates by their sum, and the model does",
                "make the mixture with `normalisesTopK` false, or for another target: mixtral or qwen3_moe")
        case .stated: set("expert_weights_norm", .bool(router.sumsToOne))
        default: break
        }
        if let groups = router.groups, groups.count > 1, groups.kept < groups.count {
            throw refusal(
                "chooses among all experts, and the model among those of \(groups.kept) of \(groups.count) groups",
                "set n_group and topk_group to 1 to choose among all")
        }
        if case .sparseMixer = router.score {
            throw refusal(
                "has the softmax of all logits for gates, and the model a sparse mixer", "choose another target")
        }
        if rules.reads.contains("expert_gating_func") {
            try set("expert_gating_func", router.score == .sigmoid ? 2 : 1)
        }
        if rules.reads.contains("expert_weights_scale") {
            set("expert_weights_scale", .float32(router.scale))
        } else if router.scale != 1 {
            throw refusal("has no factor on the gates", "scale the experts' down projections by \(router.scale)")
        }
    }

    private mutating func addFactors() throws {
        if case .clampedSwiGLU(let alpha, let limit) = configuration.activation,
            !alpha.isNear(1.702) || !limit.isNear(7)
        {
            throw refusal("has alpha 1.702 and limit 7 in its activation", "the model has \(alpha) and \(limit)")
        }
        let root = Float(configuration.hidden).squareRoot()
        if rules.reads.contains("embedding_scale") {
            set("embedding_scale", .float32(configuration.embeddingScale))
        } else if !configuration.embeddingScale.isNear(rules.reads.contains("embedding_sqrt") ? root : 1, within: 1e-2)
        {
            throw refusal("has no factor of \(configuration.embeddingScale) on embeddings", "scale the embedding by it")
        }
        if rules.reads.contains("residual_scale") {
            set("residual_scale", .float32(configuration.residualScale))
        } else if configuration.residualScale != 1 {
            throw refusal("has no factor on what layers add", "choose another target")
        }
        if rules.reads.contains("logits_scaling") {
            set("logit_scale", .float32(1 / configuration.logitsScale))
        } else if rules.reads.contains("logit_scale") {
            set("logit_scale", .float32(configuration.logitsScale))
        } else if configuration.logitsScale != 1 {
            throw refusal("has no factor on logits", "scale the head by \(configuration.logitsScale)")
        }
        guard let cap = configuration.logitsSoftcap else { return }
        guard rules.reads.contains("final_logit_softcapping") else {
            throw refusal("has no soft cap on logits", "choose another target")
        }
        set("final_logit_softcapping", .float32(cap))
    }
}

extension Float {
    fileprivate func isNear(_ other: Float, within tolerance: Float = 1e-5) -> Bool {
        abs(self - other) <= tolerance * max(abs(self), abs(other))
    }
}
