public import ArgumentParser
import Checkpoints
public import MoEToolkit
import Safetensors

struct Train: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model from scratch: the seed of an experiment.",
        discussion: """
            The model is a config.json of any family, or a preset: tiny (1.3 million parameters) or small (32 million), \
            dense or with --experts. A config.json beside a tokenizer takes that tokenizer along; a preset takes that \
            of --tokenizer-from, or a token for each byte.

              moe-tool train --preset tiny --tokenizer-from seed --data texts/ --steps 500 --lr 3e-3 -o mine
              moe-tool train --preset tiny --experts 8 --tokenizer bytes --data book.txt -o bytes
              moe-tool train config.json --data texts/ --steps 1000 -o mine
            """)

    @Argument(help: "A config.json, or a folder with one; or give --preset.", completion: .file())
    var config: String?

    @Option(help: "A small model: tiny or small.")
    var preset: ModelPreset?

    @Option(name: .shortAndLong, help: "Experts of each layer of a preset; by default it is dense.")
    var experts: Int?

    @Option(name: [.customShort("k"), .long], help: "Experts a token of a preset is routed to.")
    var topK = 2

    @Option(
        help: ArgumentHelp("The folder with the tokenizer of a preset.", valueName: "folder"), completion: .directory)
    var tokenizerFrom: String?

    @OptionGroup var training: TrainingArguments
    @OptionGroup var data: DataArguments
    @OptionGroup var reporting: ReportOptions
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    func validate() throws {
        if (config == nil) == (preset == nil) { throw ValidationError("give a config.json or --preset") }
        if let experts, experts < 1 || topK > experts || topK < 1 {
            throw ValidationError(
                "--experts \(experts) --top-k \(topK): give at least one, and as many experts as top-k")
        }
    }

    func run() async throws {
        let page = try reporting.file(replaces: writing.force || writing.resume)
        try writing.check(output: writing.output ?? "trained", inputs: [])
        let model = try newModel()
        var writing = writing
        writing.dtype = try (writing.parsedDType() ?? .f32).rawValue
        var session = TrainingSession(model, training.settings, output: writing.output ?? "trained")
        try session.apply(data, writing)
        try await session.show(writing, common, model: config ?? tokenizerFrom ?? ".", page)
    }

    private func newModel() throws -> NewModel {
        if let config {
            return try NewModel(configuration: config, tokenizer: data.text.tokenization, seed: training.seed)
        }
        guard let preset else { throw ValidationError("give a config.json or --preset") }
        let takesBytes = data.text.tokenization == .bytes
        guard takesBytes || tokenizerFrom != nil else {
            throw ValidationError("--preset: give --tokenizer-from FOLDER, or --tokenizer bytes")
        }
        return try NewModel(
            preset, experts: experts, topK: topK, tokenizerFrom: takesBytes ? nil : tokenizerFrom,
            length: training.length, seed: training.seed)
    }
}

extension ModelPreset: ExpressibleByArgument {}
