import Safetensors

extension Quantisation {
    /// Finds the weights that are quantised, and what belongs to them.
    ///
    /// - Throws: `CheckpointError` naming the weight and its parts where they do not fit together.
    func find(in parts: inout QuantisedParts, _ architecture: Architecture) throws {
        switch method {
        case .fp8: try FP8Weights(quantisation: self).find(in: &parts)
        default:
            throw CheckpointError(
                .incompatible, file: file, message: "weights quantised by \(method.rawValue) are not read yet")
        }
        for tensor in parts.all where Self.isOfCache(tensor.info.name) { parts.leaveOut(tensor.info.name) }
    }

    /// Whether a tensor is a scale of the cache of keys and values, which is no weight.
    private static func isOfCache(_ name: String) -> Bool {
        let suffixes = [".k_scale", ".v_scale", ".q_scale", ".prob_output_scale", ".kv_scale", ".output_scale"]
        return suffixes.contains { name.hasSuffix($0) } && name.contains("attn")
    }
}
