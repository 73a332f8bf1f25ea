import Safetensors

extension Quantisation {
    /// Finds the weights that are quantised, and what belongs to them.
    ///
    /// - Throws: `CheckpointError` naming the weight and its parts where they do not fit together.
    func find(in parts: inout QuantisedParts, _ architecture: Architecture) throws {
        switch method {
        case .fp8: try FP8Weights(quantisation: self).find(in: &parts)
        case .mxfp4: try MXFP4Weights().find(in: &parts)
        case .compressedTensors: try CompressedWeights(self).find(in: &parts)
        case .modelOpt: try ModelOptWeights(quantisation: self).find(in: &parts)
        case .gptq, .awq: try GPTQWeights(quantisation: self).find(in: &parts)
        case .bitsAndBytes: try BitsAndBytesWeights().find(in: &parts)
        case .torchAO: try TorchAOWeights().find(in: &parts)
        case .mlx: try MLXWeights(quantisation: self, architecture: architecture).find(in: &parts)
        }
        for tensor in parts.all where Self.isOfCache(tensor.info.name) { parts.leaveOut(tensor.info.name) }
    }

    /// Whether a tensor is a scale of the cache of keys and values, which is no weight.
    private static func isOfCache(_ name: String) -> Bool {
        let suffixes = [".k_scale", ".v_scale", ".q_scale", ".prob_output_scale", ".kv_scale", ".output_scale"]
        return suffixes.contains { name.hasSuffix($0) } && name.contains("attn")
    }
}
