import Glibc

/// What a model's predictions of a domain are worth.
public struct DomainScore: Sendable {
    /// The domain's name.
    public let name: String
    /// The sum of the predictions' cross-entropies in nats.
    public package(set) var lossSum = 0.0
    /// Tokens that were predicted.
    public package(set) var tokens = 0
    /// Bytes of text that they stand for; 0 where that is not known.
    public package(set) var bytes = 0
    /// How long the model computed.
    public package(set) var seconds = 0.0

    package init(_ name: String) { self.name = name }

    /// Nats a token.
    public var loss: Double { lossSum / Double(max(tokens, 1)) }
    /// `exp` of the loss.
    public var perplexity: Double { exp(loss) }
    /// Bits a byte, which models with different tokenizers can be compared by; nil where the bytes are not known.
    public var bitsPerByte: Double? { bytes > 0 ? lossSum / log(2) / Double(bytes) : nil }
    /// Predicted tokens over the seconds that the model computed; 0 where it did not.
    public var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }
}

/// A model, or an ensemble of some, on every domain.
public struct ModelScores: Sendable {
    /// The model's name.
    public let model: String
    /// In the order in which they were given.
    public package(set) var domains: [DomainScore]

    package init(model: String, domains: [DomainScore]) {
        self.model = model
        self.domains = domains
    }

    /// The mean over domains, each counting the same.
    public var loss: Double { mean(\.loss) }
    /// Of the mean loss: the geometric mean of the domains' perplexities.
    public var perplexity: Double { exp(loss) }
    /// The mean over domains; nil where one's is not known.
    public var bitsPerByte: Double? {
        let known = domains.compactMap(\.bitsPerByte)
        return known.count == domains.count ? known.reduce(0, +) / Double(max(known.count, 1)) : nil
    }
    /// Of all domains.
    public var tokens: Int { domains.reduce(0) { $0 + $1.tokens } }
    /// Predicted tokens over the seconds that the model computed; 0 where it did not.
    public var tokensPerSecond: Double {
        let seconds = domains.reduce(0) { $0 + $1.seconds }
        return seconds > 0 ? Double(tokens) / seconds : 0
    }

    private func mean(_ value: (DomainScore) -> Double) -> Double {
        domains.reduce(0) { $0 + value($1) } / Double(max(domains.count, 1))
    }
}
