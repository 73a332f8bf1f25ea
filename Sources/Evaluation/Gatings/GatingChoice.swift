package import Checkpoints
import Models
import Safetensors

/// Another gating for the experts of a mixture than the one it was made with: a look for research, not what the model is
/// meant to compute.
///
/// The family's factor on gates stays, shared experts stay, and what the routers' logits say stays; only what is made of
/// them changes.
public enum GatingChoice: Sendable, Hashable {
    /// The checkpoint's own.
    case tokenChoice
    /// Normal noise of this deviation on the logits that experts are selected by.
    case noisyTopK(deviation: Double)
    /// All experts.
    case dense
    /// Experts choose tokens, n c / E each of a window's n.
    case expertChoice(capacity: Double)
    /// A table that is drawn.
    case hash
    /// Each domain's own expert.
    case domain
    /// The experts' predictions by their Bayes posterior.
    case domainPosterior
    /// One network for each window, of all experts by the router's mean.
    case smear
    /// One network for each segment, by the router's mean over the segment before.
    case lory(segment: Int)

    /// - Throws: `CheckpointError` of `.usage` for text that is none of them.
    package init(parsing text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let number = parts.count > 1 ? Double(parts[1]) : nil
        func failure(_ expected: String) -> CheckpointError {
            CheckpointError(.usage, message: "`gating` \(escaped(text)): give \(expected)")
        }
        switch (parts[0], parts.count) {
        case ("token-choice", 1): self = .tokenChoice
        case ("noisy-top-k", _):
            let deviation = parts.count > 1 ? number : 1
            guard let deviation, deviation >= 0, deviation.isFinite else {
                throw failure("noisy-top-k:DEVIATION, a number from 0 up")
            }
            self = .noisyTopK(deviation: deviation)
        case ("dense", 1): self = .dense
        case ("expert-choice", _):
            let capacity = parts.count > 1 ? number : 2
            guard let capacity, capacity > 0, capacity <= 65536 else {
                throw failure("expert-choice:FACTOR, a positive number")
            }
            self = .expertChoice(capacity: capacity)
        case ("hash", 1): self = .hash
        case ("domain", 1): self = .domain
        case ("domain", 2) where parts[1] == "posterior": self = .domainPosterior
        case ("smear", 1): self = .smear
        case ("lory", _):
            let segment = parts.count > 1 ? Int(parts[1]) : 256
            guard let segment, (1...1 << 30).contains(segment) else {
                throw failure("lory:TOKENS, a number from 1 to \(1 << 30)")
            }
            self = .lory(segment: segment)
        default:
            throw failure(
                "token-choice, noisy-top-k[:DEVIATION], dense, expert-choice[:FACTOR], hash, domain, domain:posterior, "
                    + "smear or lory[:TOKENS]")
        }
    }

    /// Experts that a token goes to, in the mean; 0 where experts are averaged.
    package func slots(experts: Int, topK: Int) -> Int {
        switch self {
        case .tokenChoice, .noisyTopK, .hash: topK
        case .dense: experts
        case .expertChoice(let capacity): max(1, min(experts, Int(capacity.rounded(.up))))
        case .domain, .domainPosterior: 1
        case .smear, .lory: 0
        }
    }

    /// What it is called, without its number.
    package var name: String {
        switch self {
        case .tokenChoice: "token-choice"
        case .noisyTopK: "noisy-top-k"
        case .dense: "dense"
        case .expertChoice: "expert-choice"
        case .hash: "hash"
        case .domain: "domain"
        case .domainPosterior: "domain:posterior"
        case .smear: "smear"
        case .lory: "lory"
        }
    }

    /// Whether no token goes to an expert of its own.
    var averagesExperts: Bool {
        switch self {
        case .domainPosterior, .smear, .lory: true
        case .tokenChoice, .noisyTopK, .dense, .expertChoice, .hash, .domain: false
        }
    }

    /// What it does, and where it sees more than a language model may.
    public var remark: String {
        switch self {
        case .tokenChoice: "the checkpoint's own routing"
        case .noisyTopK(let deviation):
            "experts are selected with normal noise of deviation \(numberText(deviation)) on their logits; gates are of the "
                + "logits without it"
        case .dense: "every token goes to all experts, by the router's probabilities"
        case .expertChoice(let capacity):
            "each expert takes the n c / E tokens of a window that its probability is highest for (c = "
                + "\(numberText(capacity))): not causal, later tokens decide about earlier ones"
        case .hash: "each token id has experts of its own, drawn by the seed, with equal gates"
        case .domain: "each domain's tokens go to its own expert"
        case .domainPosterior:
            "the predictions of each expert alone, mixed by the posterior of each over the window so far"
        case .smear:
            "one network for each window, the mean of the experts by the router's mean probabilities over it: not causal, "
                + "the mean is over all of the window"
        case .lory(let segment):
            "one network for each segment of \(segment) tokens, by the router's mean probabilities over the segment before; "
                + "a window's first segment goes by its own, which sees ahead within it"
        }
    }

    /// - Parameter domainExperts: the own expert of each domain, for `domain`.
    /// - Throws: `CheckpointError` of `.incompatible` where the mixture does not fit it.
    package func gating(
        _ mixture: DecoderConfiguration.Mixture, topK: Int, domainExperts: [Int] = [], seed: UInt64
    ) throws -> (any BatchGating)? {
        let (distribution, scale) = (GateDistribution(mixture.router), mixture.router.scale)
        switch self {
        case .tokenChoice, .domainPosterior: return nil
        case .noisyTopK(let deviation):
            if case .sparseMixer = mixture.router.score {
                throw CheckpointError(
                    .incompatible,
                    message:
                        "`gating` noisy-top-k: a sparse mixer's gates and selection are one, and cannot be told apart")
            }
            return NoisyTopKGating(deviation: Float(deviation), seed: seed)
        case .dense: return DenseGating(distribution: distribution, scale: scale)
        case .expertChoice(let capacity):
            return ExpertChoiceGating(distribution: distribution, scale: scale, capacity: capacity)
        case .hash: return HashGating(experts: mixture.experts, topK: topK, scale: scale, seed: seed)
        case .domain:
            return DomainGating(scale: scale, experts: domainExperts)
        case .smear: return MergedGating(distribution: distribution, scale: scale, segment: nil)
        case .lory(let segment): return MergedGating(distribution: distribution, scale: scale, segment: segment)
        }
    }
}
