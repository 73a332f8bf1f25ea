public import Checkpoints
import Safetensors

extension Checkpoint {
    /// Runs a mixture over text and finds out what its experts do: what `prune`, `densify` and `merge` choose by.
    ///
    /// - Parameters:
    ///   - data: domains of text, as `EvaluationOptions.data` has them.
    ///   - length: tokens of the windows, from 2 up and at most the model's positions: what experts do, and REAP with it,
    ///     depends on how much text a token sees.
    ///   - text: how it is read; of each domain 65,536 tokens at most where `tokenLimit` is nil.
    ///   - progress: told the domain and how many of its tokens were read, from the thread that computes.
    /// - Throws: `CheckpointError` of `.incompatible` for a dense model, `.cancelled`; `SafetensorsError` for data that
    ///   cannot be read.
    public func expertStatistics(
        on data: [String], length: Int = 512, text: TextOptions = TextOptions(),
        compute: ComputeOptions = ComputeOptions(),
        progress: (@Sendable (_ domain: String, _ tokens: Int) -> Void)? = nil
    ) async throws -> ExpertStatisticsFile {
        try await runningOnThread {
            var options = text.data
            options.tokenLimit = options.tokenLimit ?? 65_536
            return try StatisticsPass.run(
                self, DataSource.parse(data), { try text.encoder(self) }, options: options, length: length,
                workers: compute.workers(), memory: compute.memory
            ) { domain, tokens in
                try Interruption.check()
                progress?(domain, tokens)
            }
        }
    }
}
