import Checkpoints
package import Models
import Numerics

/// Ways to use a mixture's experts other than its own router's (Cai et al. 2024, "A survey on mixture of experts",
/// 2407.06204), as `--gating` names them.
package enum GatingChoice: Sendable, Equatable, CustomStringConvertible {
    /// What the checkpoint computes.
    case tokenChoice
    /// Standard normal noise of this deviation on the logits that experts are selected by (Shazeer et al. 2017).
    case noisyTopK(deviation: Double)
    /// All experts, by the softmax of all logits.
    case dense
    /// Every expert takes the tokens that it scores highest, `capacity * tokens / experts` of them (Zhou et al. 2022,
    /// 2202.09368). Not causal: a token's experts depend on those that come after it.
    case expertChoice(capacity: Double)
    /// Experts by a fixed table of token ids (Roller et al. 2021, 2106.04426).
    case hash
    /// Each domain's own expert, the experts being those of the domains in their order (DEMix, Gururangan et al. 2021,
    /// 2108.05036).
    case domain
    /// All experts, weighted by how the router's softmax has shared the tokens so far: the posterior over domains that the
    /// routers see, averaged over a sequence's past.
    case domainPosterior
    /// One network for each sequence, its weights the mean of all experts by the sequence's mean softmax (SMEAR, Muqeeth
    /// et al. 2023, 2306.03745). Not causal.
    case smear
    /// One network for each segment of 256 tokens, made of the softmax of the mean router input of the segment before; the
    /// first is made of its own (Lory, Zhong et al. 2024, 2405.03133).
    case lory

    /// For help and messages.
    package static let names =
        "token-choice, noisy-top-k[:STD], dense, expert-choice[:CAPACITY], hash, domain[:posterior], smear, lory"

    /// Reads what `--gating` says; nil for what is none of the names.
    package init?(_ text: String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let number = parts.count == 2 ? Double(parts[1]) : nil
        switch (parts[0], parts.count) {
        case ("token-choice", 1): self = .tokenChoice
        case ("noisy-top-k", 1): self = .noisyTopK(deviation: 1)
        case ("noisy-top-k", 2):
            guard let number, number >= 0, number.isFinite else { return nil }
            self = .noisyTopK(deviation: number)
        case ("dense", 1): self = .dense
        case ("expert-choice", 1): self = .expertChoice(capacity: 2)
        case ("expert-choice", 2):
            guard let number, number > 0, number.isFinite else { return nil }
            self = .expertChoice(capacity: number)
        case ("hash", 1): self = .hash
        case ("domain", 1): self = .domain
        case ("domain", 2) where parts[1] == "posterior": self = .domainPosterior
        case ("smear", 1): self = .smear
        case ("lory", 1): self = .lory
        default: return nil
        }
    }

    package var description: String {
        switch self {
        case .tokenChoice: "token-choice"
        case .noisyTopK(let deviation): "noisy-top-k:\(deviation)"
        case .dense: "dense"
        case .expertChoice(let capacity): "expert-choice:\(capacity) (not causal)"
        case .hash: "hash"
        case .domain: "domain"
        case .domainPosterior: "domain:posterior"
        case .smear: "smear (not causal)"
        case .lory: "lory"
        }
    }

    /// Makes a gating for each batch of a domain; nil where the checkpoint's own is kept.
    ///
    /// - Throws: `CheckpointError` for a dense model, and for domains that are not as many as the experts.
    package func maker(
        _ decoder: Decoder, domains: [String], seed: UInt64
    ) throws -> ((TokenBatch, Int) -> any Gating)? {
        guard self != .tokenChoice else { return nil }
        guard let mixture = decoder.configuration.mixture else {
            throw CheckpointError(
                .usage, message: "--gating is for mixtures, and \(decoder.checkpoint.name) is dense")
        }
        if self == .domain, domains.count != mixture.experts {
            throw CheckpointError(
                .usage,
                message: "--gating domain gives each domain its own expert, and there are \(domains.count) domains for "
                    + "\(mixture.experts) experts: give the domains in the order of the experts")
        }
        var batches = 0
        return { batch, domain in
            batches += 1
            switch self {
            case .tokenChoice, .dense, .domainPosterior:
                return SoftGating(length: batch.length, averagesPast: self == .domainPosterior)
            case .noisyTopK(let deviation):
                return NoisyGating(deviation: Float(deviation), seed: seed, batch: batches)
            case .expertChoice(let capacity): return ExpertChoiceGating(capacity: capacity)
            case .hash: return TableGating(experts: mixture.experts, topK: decoder.topK, seed: seed, ids: batch.ids)
            case .domain: return FixedGating(expert: domain)
            case .smear: return MergingGating(length: batch.length, segment: nil)
            case .lory: return MergingGating(length: batch.length, segment: 256)
            }
        }
    }
}
