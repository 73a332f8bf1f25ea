import Evaluation
package import Models
import Numerics

/// Tries some learning rates on the same little data from the same weights, and measures each on what follows.
///
/// A short run favours rates that are larger than what is best for a long one; it tells a rate that is ten times off.
package enum LearningRateSweep {
    /// What a rate gave.
    package struct Trial: Sendable, Hashable {
        package let rate: Double
        /// The mean cross-entropy of the batches after those that were trained on; infinite where the run diverged.
        package let loss: Double
    }

    /// What the usual rate is multiplied by.
    package static let factors = [0.1, 0.3, 1, 3, 10]
    /// Batches that each rate is measured on.
    private static let measured = 4

    /// - Parameters:
    ///   - source: from where it is; each trial draws the same batches.
    ///   - steps: of each trial.
    ///   - progress: told each trial, and asked whether to go on.
    /// - Returns: the trials, in the order of the rates; the model's weights are as they were.
    /// - Throws: as `Trainer`.
    package static func run(
        _ student: Decoder, teacher: Decoder? = nil, _ options: TrainingOptions, _ source: any BatchSource, steps: Int,
        rates: [Double], progress: (Trial) throws -> Void = { _ in }
    ) throws -> [Trial] {
        let kept = try student.train { options.selection.contains($0) }.map { $0.values.copy() }
        return try rates.map { rate in
            var options = options
            options.schedule.peak = rate
            options.schedule.minimum = min(options.schedule.minimum, rate / 10)
            options.schedule.warmup = min(options.schedule.warmup, steps / 5)
            options.schedule.steps = steps
            let trainer = try Trainer(student, teacher: teacher, options)
            trainer.isTrial = true
            defer {
                for (parameter, values) in zip(trainer.parameters, kept) {
                    parameter.values.values.update(from: values.values, count: parameter.count)
                }
            }
            let trial = Trial(rate: rate, loss: try loss(trainer, source, steps: steps))
            try progress(trial)
            return trial
        }
    }

    private static func loss(_ trainer: Trainer, _ source: any BatchSource, steps: Int) throws -> Double {
        var source = source
        do {
            for _ in 0..<steps {
                guard let parts = try source.next() else { break }
                _ = try trainer.step(parts)
            }
        } catch is NonfiniteStep {
            return .infinity
        }
        var (sum, count) = (0.0, 0)
        for _ in 0..<measured {
            guard let parts = try source.next() else { break }
            for part in parts {
                let states = try trainer.student.forward(part.batch)
                let losses = try trainer.student.losses(states, part.batch)
                sum += losses.reduce(0) { $0 + Double($1) }
                count += losses.count
            }
        }
        let mean = sum / Double(max(count, 1))
        return mean.isFinite && count > 0 ? mean : .infinity
    }
}
