import ArgumentParser
import Checkpoints
import Evaluation
import Glibc
import Models
import Numerics
import Reports
import Safetensors
import Training

/// What every command takes that learns from a teacher.
struct DistillationArguments: ParsableArguments {
    @Option(help: "The share of the teacher's term in the loss; the rest is the text's own.")
    var alpha = 0.25

    @Option(help: "What logits are divided by before teacher and student are compared.")
    var temperature = 1.0

    @Option(help: "The weight of the mean squared difference between the streams of both, where the sizes are equal.")
    var hiddenWeight = 0.0

    @Option(
        help: "What the gain is counted from, for the report; by default the student before it is trained.",
        completion: .directory)
    var base: String?

    func validate() throws {
        if !(alpha >= 0 && alpha <= 1) { throw ValidationError("--alpha \(alpha): give 0 to 1") }
        if !(temperature > 0 && temperature.isFinite) {
            throw ValidationError("--temperature \(temperature): give a positive number")
        }
        if !(hiddenWeight >= 0 && hiddenWeight.isFinite) {
            throw ValidationError("--hidden-weight \(hiddenWeight): give 0 or more")
        }
    }

    var options: TrainingOptions.Distillation {
        var options = TrainingOptions.Distillation()
        options.alpha = alpha
        options.temperature = temperature
        options.hidden = hiddenWeight
        return options
    }

    /// What the result depends on.
    var identity: JSONObject {
        ["alpha": JSON(alpha), "temperature": JSON(temperature), "hidden-weight": JSON(hiddenWeight)]
    }
}

struct Distill: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a student on text and on what a teacher says about it.",
        discussion: """
            The loss is (1 - alpha) CE + alpha T² KL(teacher || student). Teacher and student share a vocabulary; a \
            teacher that is larger than --memory is read from disk a layer at a time.

              moe-tool distill --teacher code+law --student seed --data texts/ --heldout held-out/ -o small
              moe-tool densify code+law --distill --data texts/          # the student is the teacher, densified
            """)

    @Option(help: "The checkpoint to learn from.", completion: .directory)
    var teacher: String

    @Option(help: "The checkpoint that is trained.", completion: .directory)
    var student: String

    @Option(
        help: "What is trained of the student.",
        completion: .list(["router", "router+norms", "router+attention", "experts", "all"]))
    var train: ParameterSelection = .all

    @OptionGroup var distillation: DistillationArguments
    @OptionGroup var training: TrainingArguments
    @OptionGroup var data: DataArguments
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let page = try reporting.file(replaces: writing.force || writing.resume)
        try writing.check(output: writing.output ?? defaultOutput(for: student, suffix: "-distilled"))
        try await distill(
            teacher: Checkpoint(at: teacher), student: Checkpoint(at: student), model: student, train: train,
            distillation: distillation, training: training, data: data, writing: writing, common: common,
            output: writing.output ?? defaultOutput(for: student, suffix: "-distilled"),
            identity: ["command": "distill", "teacher": .string(teacher), "train": .string(train.text)], page: page)
    }
}

/// Trains a student with a teacher, and reports how much of the teacher's gain it keeps.
///
/// - Parameter model: the folder with the student's tokenizer.
func distill(
    teacher: Checkpoint, student: Checkpoint, model: String, train: ParameterSelection,
    distillation: DistillationArguments, training: TrainingArguments, data: DataArguments, writing: WritingOptions,
    common: CommonOptions, output: String, identity: JSONObject, page: ReportFile? = nil
) async throws {
    let workers = writing.workers()
    try TrainingSession.check(output, training, writing)
    let plan = try training.plan(
        student, teacher: teacher, train, comparesStreams: distillation.hiddenWeight > 0, writing)
    let training = training.planned(plan, train)
    let teacherDecoder = try Decoder(teacher, workers: workers, placement: plan.teacher)
    let studentDecoder = try Decoder(student, workers: workers, placement: plan.student)
    var all = identity
    for key in distillation.identity.keys { all[key] = distillation.identity[key] }
    var session = TrainingSession(
        model: model, student: studentDecoder, teacher: teacherDecoder, selection: train, training: training,
        data: data, writing: writing, common: common, output: output, plan: plan, identity: all,
        distillation: distillation.options)
    session.reportFile = page
    let (before, after) = try await session.run()
    guard !training.heldout.isEmpty || training.holdout != nil, !common.quiet || page != nil, !after.isEmpty else {
        try session.writeReport(before, after)
        return
    }
    // (base - student) / (base - teacher), in nats of held-out loss.
    let guide = try session.heldOut().losses(teacherDecoder).losses
    let base = try distillation.base.map {
        let other = try Checkpoint(at: $0)
        let memory = try ComputeMemory.passes(
            of: other, length: training.length, memory: writing.trainingMemory.bytes - plan.retained,
            threads: workers.count
        ).plan()
        return try session.heldOut().losses(
            Decoder(other, workers: workers, placement: memory.placements.first)
        ).losses
    }
    var others = [("teacher", guide)]
    if let base { others.append(("base", base)) }
    try session.writeReport(before, after, others: others)
    if common.quiet { return }
    func mean(_ losses: [TrainingRun.HeldOutLoss]) -> Double {
        losses.reduce(0) { $0 + $1.loss } / Double(max(losses.count, 1))
    }
    let start = mean(base ?? before)
    let gain = start - mean(guide)
    let share = (start - mean(after)) / gain
    let from = base == nil ? "the student before" : "the base"
    standardError(
        "Held out, mean: \(from) \(fixedText(start, digits: 4)), teacher \(fixedText(mean(guide), digits: 4)), student \(fixedText(mean(after), digits: 4)): "
            + (gain > 0
                ? "\(fixedText(100 * share, digits: 1)) % of the teacher's gain is kept.\n"
                : "the teacher gains nothing here.\n"))
}
