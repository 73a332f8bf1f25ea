import Safetensors

/// How a family is stored for llama.cpp: the `gguf` part of its architecture file.
package struct GGUFRules: Sendable {
    /// llama.cpp's name of the architecture.
    package let architecture: String
    /// Whether it rotates neighbouring values of a head; else those that lie half of them apart.
    package let rotatesPairs: Bool
    /// The tensors' names that differ from the usual ones, by role.
    package let names: [Role.Kind: String]
    /// Matrices that are one tensor, one below the other.
    package let joined: [(name: String, parts: [Role.Kind])]
    /// What its graph does with the selected gates; nil where there is no mixture.
    package let gates: Gates?
    /// All layers but every so-manieth have the window; nil where there are none.
    package let windowPeriod: Int?
    /// Layers without positions.
    package let unpositioned: Unpositioned?
    /// Whether there may be fewer heads of keys than of queries.
    package let allowsGroupedQueries: Bool
    /// Whether the first layers may be dense.
    package let allowsLeadingDense: Bool
    /// The number of layers with which its graph takes the attention's scale from the hidden size by heads.
    package let scaleOfHiddenLayers: Int?
    /// What its graph reads of the metadata beyond what all do, and `embedding_sqrt`, which it does by itself.
    package let reads: Set<String>
    /// Why llama.cpp cannot run the family; nil where it can.
    package let refusal: String?

    /// Whether selected gates are divided by their sum.
    package enum Gates: String, Sendable { case always, never, stated }
    /// Which layers have no positions.
    package enum Unpositioned: Sendable, Equatable {
        /// Every so-manieth.
        case every(Int)
        /// Those without a window.
        case wide
    }

    /// A tensor's name, in a layer without `blk.N.`; nil where llama.cpp has none for the role.
    package func name(_ kind: Role.Kind) -> String? {
        guard let base = names[kind] ?? Self.usualNames[kind] else { return nil }
        return base + (kind.isBias || kind == .routerCorrectionBias ? ".bias" : ".weight")
    }

    /// The names that llama.cpp's architectures share.
    private static let usualNames: [Role.Kind: String] = [
        .embedding: "token_embd", .head: "output", .headBias: "output", .finalNorm: "output_norm",
        .finalNormBias: "output_norm", .inputNorm: "attn_norm", .inputNormBias: "attn_norm",
        .postAttentionNorm: "ffn_norm", .postAttentionNormBias: "ffn_norm", .preFeedForwardNorm: "ffn_norm",
        .postFeedForwardNorm: "post_ffw_norm", .queryNorm: "attn_q_norm", .keyNorm: "attn_k_norm",
        .query: "attn_q", .key: "attn_k", .value: "attn_v", .output: "attn_output", .queryBias: "attn_q",
        .keyBias: "attn_k", .valueBias: "attn_v", .outputBias: "attn_output", .sinks: "attn_sinks",
        .queryDown: "attn_q_a", .queryDownNorm: "attn_q_a_norm", .queryUp: "attn_q_b", .keyValueDown: "attn_kv_a_mqa",
        .keyValueDownNorm: "attn_kv_a_norm", .keyValueUp: "attn_kv_b", .feedForwardGate: "ffn_gate",
        .feedForwardUp: "ffn_up", .feedForwardDown: "ffn_down", .feedForwardGateBias: "ffn_gate",
        .feedForwardUpBias: "ffn_up", .feedForwardDownBias: "ffn_down", .router: "ffn_gate_inp",
        .routerBias: "ffn_gate_inp", .routerCorrectionBias: "exp_probs_b", .expertGate: "ffn_gate_exps",
        .expertUp: "ffn_up_exps", .expertDown: "ffn_down_exps", .expertGateBias: "ffn_gate_exps",
        .expertUpBias: "ffn_up_exps", .expertDownBias: "ffn_down_exps", .sharedExpertGate: "ffn_gate_shexp",
        .sharedExpertUp: "ffn_up_shexp", .sharedExpertDown: "ffn_down_shexp", .sharedExpertRouter: "ffn_gate_inp_shexp",
    ]
}

extension ArchitectureParser {
    func gguf(_ value: JSON) throws -> GGUFRules {
        let object = try object(value, "gguf")
        func kinds(_ value: JSON?, _ what: String) throws -> [Role.Kind] {
            try strings(value, what).map { try kind(.string($0), what) }
        }
        var names: [Role.Kind: String] = [:]
        let spelled = object["names"]?.object ?? JSONObject()
        for role in spelled.keys { names[try kind(.string(role), "gguf.names")] = try string(spelled[role], role) }
        let joined = object["joined"]?.object ?? JSONObject()
        let gates = object["gates"]?.string
        guard gates == nil || gates.flatMap({ GGUFRules.Gates(rawValue: $0) }) != nil else {
            throw failure("gguf.gates")
        }
        let refusal = object["refused"]?.string
        let rope = object["rope"]?.string
        guard refusal != nil || rope == "pairs" || rope == "halves" else { throw failure("gguf.rope") }
        let unpositioned: GGUFRules.Unpositioned? =
            object["noPositions"].flatMap { $0.string == "full" ? .wide : $0.int.map { .every($0) } }
        return GGUFRules(
            architecture: try refusal == nil ? string(object["architecture"], "gguf.architecture") : "",
            rotatesPairs: rope == "pairs", names: names,
            joined: try joined.keys.map { ($0, try kinds(joined[$0], "gguf.joined")) },
            gates: gates.flatMap { GGUFRules.Gates(rawValue: $0) }, windowPeriod: object["windows"]?.int,
            unpositioned: unpositioned, allowsGroupedQueries: object["groupedQueries"]?.bool ?? true,
            allowsLeadingDense: object["leadingDense"]?.bool ?? false,
            scaleOfHiddenLayers: object["scaleOfHidden"]?.int,
            reads: Set(try object["reads"].map { try strings($0, "gguf.reads") } ?? []), refusal: refusal)
    }
}
