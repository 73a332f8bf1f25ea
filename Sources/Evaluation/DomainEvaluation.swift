import Checkpoints
import Glibc
package import Models
package import Safetensors

/// How well a model predicts a domain's text.
package struct DomainScore: Sendable, Equatable {
    /// The sum of the predictions' cross-entropies, in nats.
    package var lossSum = 0.0
    /// Predictions.
    package var tokens = 0
    /// Bytes of text that the predicted tokens stand for; 0 where that is not known.
    package var bytes = 0
    package var seconds = 0.0

    package init() {}

    /// Nats a token.
    package var loss: Double { lossSum / Double(max(tokens, 1)) }
    package var perplexity: Double { exp(loss) }
    /// `sum / (ln 2 * bytes)`: what compares models of different tokenizers.
    package var bitsPerByte: Double? { bytes > 0 ? lossSum / log(2) / Double(bytes) : nil }
    package var tokensPerSecond: Double { seconds > 0 ? Double(tokens) / seconds : 0 }

    package var json: JSONObject {
        [
            "loss": JSON(loss), "perplexity": JSON(perplexity),
            "bits_per_byte": bitsPerByte.map { JSON($0) } ?? .null, "tokens": JSON(tokens),
            "tokens_per_second": JSON(tokensPerSecond),
        ]
    }
}

/// Evaluates models on the windows of domains.
package struct DomainEvaluation {
    /// Tokens of a window.
    package var length: Int
    /// Tokens that go through the model at once.
    package var tokensAtOnce: Int
    package var options = DataOptions()
    /// Told how many tokens were done.
    package var progress: (Int) -> Void = { _ in }
    package var isCancelled: () -> Bool = { false }

    package init(length: Int, tokensAtOnce: Int) {
        self.length = length
        self.tokensAtOnce = tokensAtOnce
    }

    /// Calls `body` with a domain's windows, some at a time.
    ///
    /// - Throws: `CheckpointError` with code `cancelled` where the caller wants to stop.
    package func forEachBatch(
        _ source: DataSource, _ encoder: TextEncoder, _ body: (_ batch: TokenBatch, _ bytes: [Int]) throws -> Void
    ) throws -> DataSummary {
        let reader = try WindowReader(source, length: length, options: options, encoder: encoder)
        while let windows = try reader.next(atMost: max(1, tokensAtOnce / length)) {
            if isCancelled() { throw CheckpointError(.cancelled, message: "interrupted") }
            try body(TokenBatch(ids: windows.ids, length: length), windows.byteCounts)
            progress(windows.ids.count)
        }
        return reader.summary
    }

    /// Runs a model over a domain.
    ///
    /// - Parameters:
    ///   - observer: watches the layers; nil for nobody.
    ///   - gating: decides in the routers' place, made for each batch from its tokens.
    package func score(
        _ decoder: Decoder, _ source: DataSource, _ encoder: TextEncoder, observer: (any ForwardObserver)? = nil,
        gating: ((TokenBatch) throws -> (any Gating)?)? = nil
    ) throws -> (score: DomainScore, summary: DataSummary) {
        var score = DomainScore()
        let summary = try forEachBatch(source, encoder) { batch, bytes in
            let started = monotonicTime()
            let states = try decoder.forward(batch, observer: observer, gating: gating?(batch))
            let losses = try decoder.losses(states, batch)
            score.lossSum += losses.reduce(0) { $0 + Double($1) }
            score.tokens += losses.count
            score.bytes += bytes.reduce(0, +)
            score.seconds += monotonicTime() - started
        }
        return (score, summary)
    }
}

/// Seconds of a clock that only moves forward.
func monotonicTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
