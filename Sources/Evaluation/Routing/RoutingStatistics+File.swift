package import Safetensors

extension RoutingStatistics {
    /// Everything under the names that `ExpertStatisticsFile` documents.
    ///
    /// - Parameters:
    ///   - layerCount: layers of the model, mixtures or not.
    ///   - length: tokens of the windows that were read.
    /// - Throws: `SafetensorsError` where a shape is not one that can be written.
    package func file(layerCount: Int, length: Int) throws -> TensorFile {
        var file = TensorFile()
        file.metadata["domains"] = JSON.array(domains.map { .string($0) }).serialized()
        file.metadata["expert_names"] = JSON.array(labels.map { .string($0) }).serialized()
        file.metadata["experts"] = "\(experts)"
        file.metadata["top_k"] = "\(topK)"
        file.metadata["layers"] = "\(layerCount)"
        file.metadata["length"] = "\(length)"
        for (number, layer) in layers.sorted(by: { $0.key < $1.key }) {
            try add(layer, "layers.\(number).", to: &file)
        }
        return file
    }

    private func add(_ layer: Layer, _ prefix: String, to file: inout TensorFile) throws {
        let total = layer.total
        let tokens = Double(max(total.tokens, 1))
        let counts = total.routed.map { Double(max($0, 1)) }
        let hidden = total.input.count
        try file.add(prefix + "tokens", [domains.count], layer.domains.map { Int64($0.tokens) })
        try file.add(prefix + "frequency", [experts], total.routed.map { Double($0) })
        try file.add(
            prefix + "domain_frequency", [domains.count, experts],
            layer.domains.flatMap { $0.routed.map { Double($0) } })
        try file.add(prefix + "gate_mass", [experts], total.gateMass)
        try file.add(prefix + "mean_gate", [experts], total.probability.map { $0 / tokens })
        try file.add(prefix + "gate_sum", [], [total.gateMass.reduce(0, +) / tokens / gateScale])
        if let gate = total.sharedGate { try file.add(prefix + "shared_gate", [], [gate / tokens]) }
        try file.add(prefix + "coactivation", [experts, experts], layer.pairs.map { Double($0) })
        try file.add(
            prefix + "mean_input", [domains.count, hidden],
            layer.domains.flatMap { domain in domain.input.map { Float($0 / Double(max(domain.tokens, 1))) } })
        guard let outputs = layer.outputs else { return }
        try file.add(prefix + "output_norm", [experts], zip(outputs.norm, counts).map { $0 / $1 })
        try file.add(prefix + "reap", [experts], zip(outputs.weightedNorm, counts).map { $0 / $1 })
        try file.add(
            prefix + "mean_output", [experts, hidden],
            outputs.output.enumerated().map { Float($1 / counts[$0 / hidden]) })
        try file.add(prefix + "logit_gram", [experts, experts], outputs.gram)
    }
}

extension TensorFile {
    /// Adds a tensor of F64 values.
    fileprivate mutating func add(_ name: String, _ shape: [Int], _ values: [Double]) throws(SafetensorsError) {
        try add(name, .f64, shape, values.withUnsafeBytes { Array($0) })
    }
}
