import ArgumentParser
import Checkpoints
import Glibc
import Models
import Numerics
import Safetensors
import Training
import Transforms

/// Learns the shares of a mixture's experts in their average, with the mixture as the teacher.
///
/// - Parameters:
///   - dense: the mixture densified by any method, which is what the shares are tried on.
///   - model: the folder with the tokenizer.
/// - Returns: alpha by layer, as `DensifyOptions.Method.learned` takes them.
func learnMixture(
    _ mixture: Checkpoint, dense: Checkpoint, lambda: Double, model: String, distillation: DistillationArguments,
    training: TrainingArguments, data: DataArguments, writing: WritingOptions, common: CommonOptions
) throws -> [Int: [Double]] {
    let workers = writing.workers()
    let plan = try training.plan(
        dense, teacher: mixture, .patterns(["feedForward.*"]), isResident: true, writing)
    let training = training.planned(plan, .all)
    let student = try Decoder(dense, workers: workers, placement: plan.student)
    let teacher = try Decoder(mixture, workers: workers, placement: plan.teacher)
    var (source, steps, _) = try training.source({ try data.encoder(model, dense) }, data)
    var options = training.options(.all, steps: steps)
    options.distillation = distillation.options
    let learner = try MixtureLearner(student: student, teacher: teacher, lambda: lambda, options)
    let display = TrainingDisplay(isQuiet: common.quiet, first: 0)
    defer { display.finish() }
    for _ in 0..<steps {
        try Interruption.check()
        guard let parts = try source.next() else { break }
        display.show(.step(try learner.step(parts), of: steps))
    }
    return learner.alphas
}
