package import Safetensors

extension WeightLoss {
    /// The shares of the energy, in all and by layer.
    ///
    /// - Parameter isExact: whether the result computes the same where the weights lose nothing.
    package func json(isExact: Bool) -> JSON {
        var shares = JSONObject()
        for (layer, share) in layers.sorted(by: { $0.key < $1.key }) { shares[String(layer)] = JSON(share) }
        return .object([
            "weight_energy": mean.map { JSON($0) } ?? .null, "layers": .object(shares),
            "is_exact": .bool(isNone && isExact), "is_sampled": .bool(isSampled),
        ])
    }

    /// The mean over the layers, in words.
    package var share: String {
        mean.map { "\(percentText($0)) of the energy of the experts' weights" }
            ?? "not told, for weights that are no floating-point numbers"
    }
}
