public import Checkpoints
public import Evaluation
import Models
import Safetensors

extension Checkpoint {
    /// Learns the shares of a mixture's experts in their average, with the mixture as the teacher (XFT, Ding et al. 2024,
    /// 2404.15247).
    ///
    /// - Parameters:
    ///   - dense: the mixture densified by any method, which is what the shares are tried on.
    ///   - lambda: the shared expert's share, from 0 to 1.
    ///   - distillation: how the mixture teaches.
    ///   - settings: on what text, and for how long.
    /// - Returns: alpha by layer, as `DensifyOptions.Method.learned` takes them.
    /// - Throws: as `TrainingSession.run()`.
    public func learnedShares(
        for dense: Checkpoint, lambda: Double, _ distillation: TrainingSession.Distillation,
        _ settings: TrainingSettings, text: TextOptions = TextOptions(), compute: ComputeOptions = ComputeOptions(),
        event: (@Sendable (TrainingEvent) -> Void)? = nil
    ) async throws -> [Int: [Double]] {
        try await runningOnThread {
            let workers = compute.workers()
            let plan = try settings.plan(
                dense, teacher: self, .patterns(["feedForward.*"]), isResident: true, compute)
            let settings = settings.planned(plan, .all)
            let student = try Decoder(dense, workers: workers, placement: plan.student)
            let teacher = try Decoder(self, workers: workers, placement: plan.teacher)
            var (source, steps, _) = try settings.source({ try text.encoder(dense) }, text)
            var options = settings.options(.all, steps: steps)
            options.distillation = distillation.options
            let learner = try MixtureLearner(student: student, teacher: teacher, lambda: lambda, options)
            for _ in 0..<steps {
                try Interruption.check()
                guard let parts = try source.next() else { break }
                event?(.step(try learner.step(parts), of: steps))
            }
            return learner.alphas
        }
    }
}
