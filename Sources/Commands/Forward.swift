import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Forward: AsyncParsableCommand {
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

    @OptionGroup var compute: ComputeArguments
    @OptionGroup var common: CommonOptions

    func run() async throws {
        let target = try OutputFile(output, .modelOutputs, overwrite: force)
        var options = ForwardPass.Options()
        options.gradients = gradients
        options.checkpointsActivations = checkpointActivations
        options.topK = topK
        options.compute = compute.options
        let pass = try await ForwardPass(of: Checkpoint(at: model), file: input, options)
        try target.write(pass.tensors)
        if common.json {
            try standardOutput(
                JSON.object(["output": .string(output), "loss": JSON(pass.loss)]).serialized())
        } else if !common.quiet {
            try standardOutput(
                "\(pass.sequences) sequences of \(pass.length) tokens: loss \(numberText(pass.loss)) nats a token.")
            try standardOutput(path: output)
        }
    }
}
