package import Checkpoints
import Numerics
package import Safetensors

extension Checkpoint {
    /// A checkpoint of random weights, to train from scratch: matrices N(0, initializer_range), norms that change nothing,
    /// biases and sinks of zero. Draws are keyed by the seed and the tensor's name.
    ///
    /// - Parameters:
    ///   - config: a family's `config.json`.
    ///   - companions: files that go with it, such as the tokenizer's.
    /// - Throws: `CheckpointError` for a configuration that is no model.
    package static func initialized(
        _ config: ModelConfig, dtype: DType, companions: [Companion], seed: UInt64
    ) throws -> Checkpoint {
        guard let type = config.object["model_type"]?.string else {
            throw CheckpointError(.malformed, file: config.file, message: "model_type is missing")
        }
        guard let architecture = try Architecture.named(type) else {
            throw CheckpointError(
                .incompatible, file: config.file,
                message: "model_type \"\(escaped(type))\" is not a family that moe-tool knows: "
                    + Architecture.names.joined(separator: ", "))
        }
        let description = try ModelDescription(architecture, config)
        let deviation = Float(try config.double("initializer_range", architecture) ?? 0.02)
        // Norms that multiply by 1 + w begin at zero.
        let one: Float = architecture.computation["norm"]?.string == "rms-plus-one" ? 0 : 1
        var table: [Role: LazyTensor] = [:]
        for tensor in try description.expectedTensors() where !tensor.isOptional {
            for (role, view) in tensor.placements {
                let name = role.kind.rawValue
                let isNorm = name.lowercased().contains("norm")
                let expression: TensorExpression
                if [.mixerNorm, .mixerStepBias, .mixerSkip, .layerScale, .routerExpertScale].contains(role.kind) {
                    expression = .constant(1)
                } else if role.kind == .mixerDecay || name.hasSuffix(".bias") || role.kind == .sinks
                    || role.kind == .routerCorrectionBias
                {
                    expression = .constant(0)
                } else if isNorm {
                    expression = .constant(one)
                } else {
                    expression = .random(
                        KeyedRandom(seed: seed, tensor: "\(tensor.name) \(role)", purpose: "initialisation"),
                        .normal(std: deviation), repeating: 1)
                }
                table[role] = LazyTensor(
                    rows: view.rows, columns: view.columns, dtype: tensor.keepsF32 ? .f32 : dtype,
                    expression: expression)
            }
        }
        return Checkpoint(
            description: description, table: table, sources: [], companions: companions, history: [], warnings: [])
    }
}

/// Small models to begin an experiment with.
public enum ModelPreset: String, Sendable, CaseIterable {
    /// Hidden 128, 4 layers: 1.3 million parameters with a vocabulary of 2,048.
    case tiny
    /// Hidden 512, 8 layers: 32 million parameters with a vocabulary of 8,192.
    case small

    /// A mistral's configuration, or with experts a mixtral's.
    ///
    /// - Parameter experts: nil for a dense model.
    package func config(
        vocabulary: Int, experts: Int?, topK: Int, beginning: Int?, end: Int?, length: Int
    ) -> ModelConfig {
        let (hidden, inner, layers, heads) = self == .tiny ? (128, 352, 4, 4) : (512, 1408, 8, 8)
        var object: JSONObject = [
            "model_type": .string(experts == nil ? "mistral" : "mixtral"),
            "architectures": .array([.string(experts == nil ? "MistralForCausalLM" : "MixtralForCausalLM")]),
            "vocab_size": JSON(vocabulary), "hidden_size": JSON(hidden), "intermediate_size": JSON(inner),
            "num_hidden_layers": JSON(layers), "num_attention_heads": JSON(heads),
            "num_key_value_heads": JSON(heads / 2), "head_dim": JSON(hidden / heads), "hidden_act": .string("silu"),
            "max_position_embeddings": JSON(max(2048, length)), "rms_norm_eps": JSON(1e-5),
            "rope_theta": JSON(10_000.0), "initializer_range": JSON(0.02), "tie_word_embeddings": .bool(false),
            "sliding_window": .null, "attention_dropout": JSON(0.0), "use_cache": .bool(true),
            "bos_token_id": beginning.map { JSON($0) } ?? .null, "eos_token_id": end.map { JSON($0) } ?? .null,
            "pad_token_id": .null,
        ]
        if let experts {
            object["num_local_experts"] = JSON(experts)
            object["num_experts_per_tok"] = JSON(topK)
            object["output_router_logits"] = .bool(false)
            object["router_aux_loss_coef"] = JSON(0.001)
            object["router_jitter_noise"] = JSON(0.0)
        }
        return ModelConfig(object: object, file: "the preset \(rawValue)")
    }
}
