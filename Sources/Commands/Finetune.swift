import ArgumentParser
import Checkpoints
import Glibc
import Models
import Numerics
import Safetensors
import Training

struct Finetune: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a checkpoint's routers, or more of it.",
        discussion: """
            Only the routers move unless --train says more: after a merge they are new, and a few hundred steps teach \
            them which expert knows what. With PyTorch's numbers, in F32; what is frozen may stay on disk.

              moe-tool finetune code+law --data code=code.jsonl --data law=law.jsonl --heldout held-out/ -o tuned
              moe-tool finetune seed --train all --data code.jsonl --steps 500     # a branch of Branch-Train-MiX
              moe-tool finetune code+law --train router+attention --balance switch:0.01 --z-loss 0.001 --data texts/

            --train: router, router+norms, router+attention, experts, all, or a list of roles such as \
            attention.*,norm.*. The run's state lies beside the output; --resume continues an interrupted run to the \
            same bytes. OUT.metrics.jsonl has a line for each step.
            """)

    @Argument(help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.")
    var model: String

    @Option(help: "What is trained.")
    var train: ParameterSelection = .router

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @OptionGroup var training: TrainingArguments
    @OptionGroup var data: DataArguments
    @OptionGroup var writing: WritingOptions
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let workers = Workers(threads: writing.threads ?? max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
        let student = try Decoder(
            Checkpoint(at: model), workers: workers, memory: writing.memory.bytes, topK: topK)
        var identity: JSONObject = ["command": "finetune", "train": .string(train.text)]
        if let topK { identity["top-k"] = JSON(topK) }
        try await TrainingSession(
            model: model, student: student, selection: train, training: training, data: data, writing: writing,
            common: common, output: writing.output ?? defaultOutput(for: model, suffix: "-tuned"), identity: identity
        ).run()
    }
}

extension ParameterSelection: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }

    public var defaultValueDescription: String { text }
}
