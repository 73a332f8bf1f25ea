package import Checkpoints
import Safetensors

/// What a checkpoint's own tensors add up to: nothing is estimated from its configuration but the sizes that no tensor
/// has, the number of heads.
package struct CheckpointSizes: Sendable, Hashable {
    /// All parameters; those of a tied head once.
    package private(set) var total = 0.0
    /// Parameters that a token uses, the embedding's all counted.
    package private(set) var active = 0.0
    /// Embedding, and head where it is not tied.
    package private(set) var embeddings = 0.0
    package private(set) var routers = 0.0
    /// Routed experts, all of them.
    package private(set) var experts = 0.0
    /// Bytes of the tensors as they are stored.
    package private(set) var bytes = 0.0
    /// Parameters that a token is multiplied with: the active ones without the embedding's look-up, with the head.
    package private(set) var multiplied = 0.0
    /// Elements of keys and values, or of the latent that they are made from, for a token.
    package let keyValueElements: Double
    /// Elements of what layers without attention keep of a sequence, however long it is.
    package let stateElements: Double
    /// FLOPs of attention scores and their sum for a token, over the tokens it attends to.
    package let attentionFLOPsPerContextToken: Double
    package let layers: Double
    package let mixtureLayers: Double
    package let hidden: Double
    package let expertCount: Double
    package let topK: Double

    /// - Throws: `CheckpointError` where a size is not known.
    package init(of checkpoint: Checkpoint) throws {
        let description = checkpoint.description
        let isTied = try description.isTied
        layers = Double(description.layerCount)
        mixtureLayers = Double(description.moeLayers.count { $0 })
        hidden = Double(try description.size("hidden"))
        let isMixture = checkpoint.isMixture
        expertCount = isMixture ? Double(try description.size("experts")) : 1
        topK = isMixture ? Double(try description.size("top_k")) : 1
        let heads = Double(try description.size("heads"))
        let attending = Double(description.attendingLayers)
        stateElements = try (0..<description.layerCount).reduce(0) {
            try $0 + Double(description.stateElements(of: $1))
        }
        if let latent = description.sizeIfKnown("kv_lora_rank") {
            let rotated = Double(description.sizeIfKnown("qk_rope") ?? 0)
            let plain = Double(description.sizeIfKnown("qk_nope") ?? 0)
            keyValueElements = attending * (Double(latent) + rotated)
            attentionFLOPsPerContextToken =
                attending * 2 * heads * (plain + rotated + Double(try description.size("v_dim")))
        } else {
            let width = Double(try description.size("head_dim"))
            keyValueElements = Double(try description.keyValueElements())
            attentionFLOPsPerContextToken = attending * 4 * heads * width
        }
        for expected in try checkpoint.expectedTensors() {
            for (role, view) in expected.placements {
                guard let tensor = checkpoint.table[role] else { continue }
                let elements = Double(view.rows) * Double(view.columns)
                bytes += elements * Double(tensor.dtype.bits) / 8
                add(elements, role, isMatrix: view.rows > 1 && view.columns > 1, isTied: isTied)
            }
        }
    }

    private mutating func add(_ elements: Double, _ role: Role, isMatrix: Bool, isTied: Bool) {
        if role.kind == .head, isTied {
            // A tied head that is spelled out is a copy of the embedding, which was counted.
            return
        }
        let isUsed = role.expert.map { Double($0) < topK } ?? true
        total += elements
        if isUsed { active += elements }
        if role.expert != nil { experts += elements }
        switch role.kind {
        case .embedding:
            embeddings += elements
            if isTied { multiplied += elements }
            return
        case .head: embeddings += elements
        case .router: routers += elements
        default: break
        }
        if isUsed, isMatrix { multiplied += elements }
    }

    /// FLOPs of a token forward, attending to half of a context on average.
    package func forwardFLOPs(context: Double) -> Double {
        2 * multiplied + attentionFLOPsPerContextToken * context / 2
    }

    /// FLOPs of a token in training: the backward pass is twice the forward one.
    package func trainingFLOPs(context: Double) -> Double { 3 * forwardFLOPs(context: context) }

    /// What the cost of serving asks of a model.
    package func model(dense: Double? = nil) -> ModelSizes {
        ModelSizes(
            dense: dense ?? active, active: active, total: total, expertParameters: experts / max(expertCount, 1),
            experts: expertCount, selected: topK, width: hidden, layers: layers, mixtureLayers: mixtureLayers,
            keyValueElements: keyValueElements, stateElements: stateElements,
            trainingFLOPs: 6 * multiplied, inferenceFLOPs: 2 * multiplied)
    }

    /// N as a law counts it.
    package func parameters(counted shape: ModelShape, dense: CheckpointSizes) -> Double {
        let left = shape.countsEmbeddings ? 0 : embeddings
        return switch shape.counted {
        case .active: active - left
        case .dense: dense.total - (shape.countsEmbeddings ? 0 : dense.embeddings)
        case .total: total - left
        }
    }
}
