import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors
import Training

struct Forward: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run token ids through a model and write what it computes, to compare with another framework.",
        discussion: """
            The input is a safetensors file with input_ids [B, T] (I64 or I32). The output has logits [B, T, V], loss, \
            hidden.L [B, T, H] (the residual stream that enters layer L), hidden.final (after the final norm) and \
            router_logits.L [B*T, E]; with --gradients also grad.NAME of the loss for every parameter under its name in \
            the checkpoint, and for mixtures aux_loss and aux_grad.NAME of transformers' load-balancing loss. All in F32.

              moe-tool forward mixtral --input ids.safetensors --output out.safetensors
            """)

    @Argument(
        help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var model: String

    @Option(help: "A safetensors file with input_ids [B, T].", completion: .file())
    var input: String

    @Option(name: .shortAndLong, help: "The safetensors file to write.", completion: .file())
    var output: String

    @Flag(help: "Replace what `forward` wrote before.")
    var force = false

    @Flag(help: "Compute the gradients of all parameters as well.")
    var gradients = false

    @Flag(help: "Keep only the streams between layers, and compute each layer again for its gradient.")
    var checkpointActivations = false

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @OptionGroup var compute: ComputeOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        let target = try OutputFile(output, .modelOutputs, overwrite: force)
        let batch = try ForwardOutputs.batch(from: input)
        let checkpoint = try Checkpoint(at: model)
        let workers = compute.workers()
        let plan = try ForwardOutputs.planner(
            checkpoint, batch, topK: topK, gradients: gradients, checkpoints: checkpointActivations,
            memory: compute.memory.bytes, threads: workers.count
        ).prepared(advice: "give fewer tokens")
        let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: topK)
        var (file, loss) = try ForwardOutputs.compute(decoder, batch)
        if gradients {
            try ParameterGradients.add(decoder, batch, checkpoints: checkpointActivations, to: &file)
        }
        try target.write(file)
        if common.json {
            try standardOutput(JSON.object(["output": .string(output), "loss": JSON(loss)]).serialized())
        } else if !common.quiet {
            try standardOutput(
                "\(batch.count) sequences of \(batch.length) tokens: loss \(numberText(loss)) nats a token.")
            try standardOutput(path: output)
        }
    }
}
