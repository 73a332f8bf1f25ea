public import Safetensors

extension ModelScores: JSONResult {
    /// `{"model", "domains": {NAME: {...}}, "mean": {...}}`.
    public var json: JSONObject {
        var byDomain = JSONObject()
        for domain in domains {
            byDomain[domain.name] = Self.json(
                domain.loss, domain.perplexity, domain.bitsPerByte, domain.tokens, domain.tokensPerSecond)
        }
        return [
            "model": .string(model), "domains": .object(byDomain),
            "mean": Self.json(loss, perplexity, bitsPerByte, tokens, tokensPerSecond),
        ]
    }

    private static func json(
        _ loss: Double, _ perplexity: Double, _ bitsPerByte: Double?, _ tokens: Int, _ rate: Double
    ) -> JSON {
        .object([
            "loss": JSON(loss), "perplexity": JSON(perplexity), "bits_per_byte": bitsPerByte.map { JSON($0) } ?? .null,
            "tokens": JSON(tokens), "tokens_per_second": JSON(rate),
        ])
    }
}
