import Checkpoints
import Safetensors
public import Transforms

extension MergeRecipe {
    /// Measures the rows of the routers where the recipe says that they are to be measured, on the merge as it will be but
    /// for them: of text of each domain, of clusters of any text, or of prompts.
    ///
    /// - Parameters:
    ///   - text: how it is read; of each domain 32,768 tokens at most where `tokenLimit` is nil.
    ///   - compute: memory and threads of the pass.
    ///   - progress: told what is being read, from the thread that computes.
    /// - Throws: `CheckpointError`: `.usage` where prompts or domains are not as many as the experts, `.incompatible` where
    ///   there is no tokenizer, `.cancelled`; `SafetensorsError` for text that cannot be read.
    public mutating func measureRouters(
        text: TextOptions = TextOptions(), compute: ComputeOptions = ComputeOptions(),
        progress: (@Sendable (_ stage: String) -> Void)? = nil
    ) async throws {
        guard let measurement else { return }
        let recipe = self
        let rows = try await runningOnThread {
            var pass = RouterRowMeasurement(recipe, measurement, workers: compute.workers(), memory: compute.memory)
            pass.options = text.data
            pass.takesBytes = text.tokenizer == .bytes
            pass.progress = { stage in
                try Interruption.check()
                progress?(stage)
            }
            return try pass.rows()
        }
        options.sharedGateRows = rows.sharedGate
        options.routerOrigin = measurement.name
        choose(router: .values(rows.experts))
    }
}
