import Checkpoints
package import Models
import Numerics
import Transforms

/// Routers' rows along what routers see of each domain's text, for a mixture that is there already.
package enum DomainRouterRows {
    /// - Parameters:
    ///   - sources: a domain for each expert, in the experts' order.
    ///   - tokenLimit: at most so many tokens of each.
    ///   - deviation: the standard deviation of the logits of the domains' means.
    /// - Returns: `[experts, hidden]` by mixture layer, row by row.
    /// - Throws: `CheckpointError` where the domains are not as many as the experts.
    package static func rows(
        _ decoder: Decoder, _ sources: [DataSource], length: Int, options: DataOptions, tokenLimit: Int,
        encoder: TextEncoder, tokensAtOnce: Int, deviation: Double
    ) throws -> [Int: [Float]] {
        let experts = decoder.configuration.mixture?.experts ?? 0
        guard sources.count == experts else {
            throw CheckpointError(
                .usage,
                message:
                    "a domain's text gives its expert's row, and there are \(sources.count) domains for \(experts) "
                    + "experts: give the domains in the order of the experts")
        }
        let inputs = try RouterInputs(decoder)
        var means: [Int: [[Double]]] = [:]
        for source in sources {
            var limited = options
            limited.tokenLimit = tokenLimit
            let reader = try WindowReader(source, length: length, options: limited, encoder: encoder)
            let sums = InputSums()
            while let windows = try reader.next(atMost: max(1, tokensAtOnce / length)) {
                try inputs.run(TokenBatch(ids: windows.ids, length: length), sums)
            }
            for (layer, mean) in sums.means { means[layer, default: []].append(mean) }
        }
        return means.mapValues { RouterValues.domain(means: $0, logitStandardDeviation: deviation) }
    }

    /// Runs a batch with all experts taking part alike, so that what routers see does not depend on their rows.
    package static func run(_ decoder: Decoder, _ batch: TokenBatch, _ observer: any ForwardObserver) throws {
        try RouterInputs(decoder).run(batch, observer)
    }
}
