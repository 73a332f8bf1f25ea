import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct Generate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a text: a look at what a model says.",
        discussion: """
            The text that follows the prompt is printed as it comes. The prompt is encoded as transformers' tokenizers do \
            it, with the special tokens of the tokenizer's template; --bos puts bos_token_id before it where the template does \
            not.

              moe-tool generate mixtral-8x7b --prompt "The court held that"
              moe-tool generate model --prompt "def main(" --temperature 0 --max-tokens 64
              moe-tool generate bytes-model --tokenizer bytes --prompt "abc" --json
            """)

    @Argument(
        help: "The checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var model: String

    @Option(name: .shortAndLong, help: "The text to continue.")
    var prompt: String

    @Option(help: "How many tokens follow at most.")
    var maxTokens = 128

    @Option(help: "Divides the logits; 0 takes the likeliest token each time.")
    var temperature = 0.8

    @Option(help: "Draw from the fewest of the likeliest tokens that have this share of the probability.")
    var topP = 1.0

    @Option(help: "Draw from so many of the likeliest tokens; by default all.")
    var topKTokens: Int?

    @Option(name: [.customShort("k"), .long], help: "Experts a token is routed to, if not as the checkpoint says.")
    var topK: Int?

    @Option(help: "The seed of the draws.")
    var seed: UInt64 = 0

    @Flag(help: "Put the token that begins documents in evaluate before the prompt, where the tokenizer does not.")
    var bos = false

    @Flag(help: "Go on after a token that ends the text.")
    var ignoreEnd = false

    @OptionGroup var text: TokenizerArguments
    @OptionGroup var compute: ComputeArguments
    @OptionGroup var common: CommonOptions

    func validate() throws {
        guard maxTokens >= 1, maxTokens <= 1 << 24 else {
            throw ValidationError("--max-tokens \(maxTokens): give a number from 1 up")
        }
        guard temperature >= 0, temperature.isFinite else {
            throw ValidationError("--temperature \(temperature): give a number from 0 up")
        }
        guard topP > 0, topP <= 1 else { throw ValidationError("--top-p \(topP): give a share above 0, up to 1") }
        if let topKTokens, topKTokens < 1 {
            throw ValidationError("--top-k-tokens \(topKTokens): give a number from 1 up")
        }
    }

    private var options: GenerationOptions {
        var options = GenerationOptions()
        options.maxTokens = maxTokens
        options.sampling.temperature = temperature
        options.sampling.topP = topP
        options.sampling.topK = topKTokens
        options.sampling.seed = seed
        options.topK = topK
        options.addsBeginning = bos
        options.ignoresEnd = ignoreEnd
        options.tokenizer = text.tokenization
        options.compute = compute.options
        return options
    }

    func run() async throws {
        var session = try GenerationSession(Checkpoint(at: model), name: model, options)
        session.warning = { standardError("warning: \($0)\n") }
        let isJSON = common.json
        let result = try await session.run(prompt) { piece in
            if !isJSON { try standardOutput(content: piece, terminator: "") }
            return receivedSignal == 0
        }
        if common.json {
            try standardOutput(content: result.jsonText)
        } else {
            try standardOutput("")
            if !common.quiet {
                standardError(
                    "\(result.tokens.count) tokens\(result.finish == .end ? ", ended by the model" : ""); prompt of "
                        + "\(result.promptTokens.count) in \(numberText(result.promptSeconds)) s, then "
                        + "\(numberText(result.tokensPerSecond)) tokens/s\n")
            }
        }
        if receivedSignal != 0 { throw ExitStatus(code: 128 + receivedSignal) }
    }
}
