import Glibc

/// What a model's predictions of a domain are worth.
package struct DomainScore: Sendable {
    package let name: String
    /// The sum of the predictions' cross-entropies in nats.
    package var lossSum = 0.0
    /// Tokens that were predicted.
    package var tokens = 0
    /// Bytes of text that they stand for; 0 where that is not known.
    package var bytes = 0
    /// How long the model computed.
    package var seconds = 0.0

    package init(_ name: String) { self.name = name }

    /// Nats a token.
    package var loss: Double { lossSum / Double(max(tokens, 1)) }
    package var perplexity: Double { exp(loss) }
    /// Bits a byte, which models with different tokenizers can be compared by; nil where the bytes are not known.
    package var bitsPerByte: Double? { bytes > 0 ? lossSum / log(2) / Double(bytes) : nil }
    package var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
}

/// A model, or an ensemble of some, on every domain.
package struct ModelScores: Sendable {
    package let model: String
    package var domains: [DomainScore]

    package init(model: String, domains: [DomainScore]) {
        self.model = model
        self.domains = domains
    }

    /// The mean over domains, each counting the same.
    package var loss: Double { mean(\.loss) }
    /// Of the mean loss: the geometric mean of the domains' perplexities.
    package var perplexity: Double { exp(loss) }
    /// The mean over domains; nil where one's is not known.
    package var bitsPerByte: Double? {
        let known = domains.compactMap(\.bitsPerByte)
        return known.count == domains.count ? known.reduce(0, +) / Double(max(known.count, 1)) : nil
    }
    /// Of all domains.
    package var tokens: Int { domains.reduce(0) { $0 + $1.tokens } }
    package var tokensPerSecond: Double {
        let seconds = domains.reduce(0) { $0 + $1.seconds }
        return seconds > 0 ? Double(tokens) / seconds : 0
    }

    private func mean(_ value: (DomainScore) -> Double) -> Double {
        domains.reduce(0) { $0 + value($1) } / Double(max(domains.count, 1))
    }
}
