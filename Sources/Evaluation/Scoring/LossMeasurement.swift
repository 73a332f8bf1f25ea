package import Checkpoints
import Models
package import Numerics

/// The loss of checkpoints on the same text, for transforms that cannot keep the function: read once, scored before and
/// after.
package struct LossMeasurement {
    private static let length = 512

    package let texts: [DomainText]
    private let workers: Workers
    private let memory: Int

    /// - Parameters:
    ///   - checkpoint: the model whose tokenizer and positions the text is cut by.
    ///   - sources: domains; each is read up to the limit of `options`.
    /// - Throws: as `DomainText`.
    package init(
        _ checkpoint: Checkpoint, _ sources: [DataSource], _ encoder: TextEncoder, options: DataOptions,
        workers: Workers, memory: Int, checkCancelled: () throws -> Void = {}
    ) throws {
        let length = max(2, min(Self.length, try checkpoint.description.positions ?? Self.length))
        let kept = MemoryShare.text.bytes(of: memory) / max(sources.count, 1) / 5
        texts = try sources.map {
            try DomainText(
                $0, length: length, options: options, encoder: encoder, keptTokens: min(kept, 4 << 20),
                checkCancelled: checkCancelled)
        }
        self.workers = workers
        self.memory = memory
    }

    /// Refuses what there is no memory for, before anything is made.
    ///
    /// - Throws: `.usage`, naming the least it takes; `.incompatible` for a model that is not computed.
    package func checkMemory(_ checkpoint: Checkpoint) throws {
        _ = try planner(checkpoint).plan(advice: "leave out `data`")
    }

    private func planner(_ checkpoint: Checkpoint) throws -> MemoryPlanner {
        try ComputeMemory.passes(
            of: checkpoint, length: texts.first?.length ?? Self.length, memory: memory, threads: workers.count)
    }

    /// - Throws: `CheckpointError`: `.incompatible` for a family that cannot be computed, `.cancelled`.
    package func scores(
        _ checkpoint: Checkpoint, isCancelled: @escaping () -> Bool = { false },
        progress: @escaping (EvaluationProgress) -> Void = { _ in }
    ) throws -> ModelScores {
        let plan = try planner(checkpoint).prepared(advice: "leave out `data`")
        var evaluator = ModelEvaluator(try Decoder(checkpoint, workers: workers, placement: plan.placements.first))
        evaluator.batchTokens = plan.tokens
        evaluator.isCancelled = isCancelled
        evaluator.progress = progress
        return try evaluator.evaluate(texts, name: checkpoint.name).scores
    }
}
