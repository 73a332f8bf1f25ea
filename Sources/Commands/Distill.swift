import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

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

    /// What is learned from a teacher.
    func distillation(_ teacher: Checkpoint) throws -> TrainingSession.Distillation {
        var options = TrainingSession.Distillation(teacher: teacher)
        options.alpha = alpha
        options.temperature = temperature
        options.hiddenWeight = hiddenWeight
        options.base = try base.map { try Checkpoint(at: $0) }
        return options
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
        let output = writing.output ?? defaultOutput(for: student, suffix: "-distilled")
        try writing.check(output: output, inputs: [student, teacher])
        var session = try TrainingSession(Checkpoint(at: student), training.settings, output: output)
        session.selection = train
        session.identity = ["command": "distill", "teacher": .string(teacher), "train": .string(train.text)]
        session.distillation = try distillation.distillation(Checkpoint(at: teacher))
        try await distill(session, model: student, data, writing, common, page)
    }
}

/// Trains a student with a teacher, and says how much of the teacher's gain it keeps.
///
/// - Parameter model: the name that the report has for the student.
func distill(
    _ session: TrainingSession, model: String, _ data: DataArguments, _ writing: WritingOptions,
    _ common: CommonOptions, _ page: ReportFile? = nil
) async throws {
    var session = session
    try session.apply(data, writing)
    session.distillation?.measuresGain = !common.quiet || page != nil
    let result = try await session.show(writing, common, model: model, page)
    guard !common.quiet, let guide = result.teacher.mean, let end = result.after.mean,
        let start = (result.base.isEmpty ? result.before : result.base).mean
    else { return }
    let from = result.base.isEmpty ? "the student before" : "the base"
    standardError(
        "Held out, mean: \(from) \(fixedText(start, digits: 4)), teacher \(fixedText(guide, digits: 4)), student "
            + "\(fixedText(end, digits: 4)): "
            + (result.keptGain.map { "\(fixedText(100 * $0, digits: 1)) % of the teacher's gain is kept.\n" }
                ?? "the teacher gains nothing here.\n"))
}
