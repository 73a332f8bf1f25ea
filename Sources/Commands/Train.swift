import ArgumentParser
import Checkpoints
import Glibc
import Models
import Numerics
import Safetensors
import Tokenizers
import Training

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
        try writing.check(output: writing.output ?? "trained")
        let folder = config.map { $0.hasSuffix(".json") ? parent(of: $0) : $0 } ?? tokenizerFrom
        let (settings, companions) = try description(folder)
        let dtype = try writing.parsedDType() ?? .f32
        let fresh = try Checkpoint.initialized(settings, dtype: .f32, companions: companions, seed: training.seed)
            .recording(["command": "train", "seed": .number(String(training.seed))])
        let workers = writing.workers()
        let output = writing.output ?? "trained"
        try TrainingSession.check(output, training, writing)
        let plan = try training.plan(fresh, .all, writing)
        let student = try Decoder(fresh, workers: workers, placement: plan.student)
        var writing = writing
        writing.dtype = dtype.rawValue
        var session = TrainingSession(
            model: folder ?? ".", student: student, selection: .all, training: training.planned(plan, .all), data: data,
            writing: writing,
            common: common, output: output, plan: plan,
            identity: ["command": "train", "config": .object(settings.object)])
        session.reportFile = page
        let (before, after) = try await session.run()
        try session.writeReport(before, after)
    }

    private func parent(of path: String) -> String {
        path.contains("/") ? String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)]) : "."
    }

    private func description(_ folder: String?) throws -> (ModelConfig, [Companion]) {
        let companions =
            data.text.tokenizer == "bytes"
            ? [] : try folder.map { try Companion.inFolder($0).filter(\.isTokenizer) } ?? []
        if let config {
            let path =
                config.hasSuffix(".json") ? config : try PosixFile.path(of: "config.json", inFolder: config)
            return (try ModelConfig(contentsOf: path), companions)
        }
        guard let preset else { throw ValidationError("give a config.json or --preset") }
        var vocabulary = 256
        var (beginning, end): (Int?, Int?) = (nil, nil)
        if data.text.tokenizer != "bytes" {
            guard let tokenizerFrom else {
                throw ValidationError("--preset: give --tokenizer-from FOLDER, or --tokenizer bytes")
            }
            let tokenizer = try Tokenizer(inFolder: tokenizerFrom)
            vocabulary = tokenizer.vocabularySize
            if let path = try PosixFile.pathIfPresent(of: "config.json", inFolder: tokenizerFrom) {
                let other = try ModelConfig(contentsOf: path)
                beginning = other.object["bos_token_id"]?.int
                end = other.object["eos_token_id"]?.int
            } else if let path = try PosixFile.pathIfPresent(of: "tokenizer_config.json", inFolder: tokenizerFrom) {
                let names = try JSON(parsing: PosixFile.contents(path, limit: 1 << 24), file: path).object
                func id(_ key: String) -> Int? {
                    (names?[key]?.string ?? names?[key]?.object?["content"]?.string).flatMap(tokenizer.id(of:))
                }
                (beginning, end) = (id("bos_token"), id("eos_token"))
            }
        }
        return (
            preset.config(
                vocabulary: vocabulary, experts: experts, topK: topK, beginning: beginning, end: end,
                length: training.length), companions
        )
    }
}

extension ModelPreset: ExpressibleByArgument {}
