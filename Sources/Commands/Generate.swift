import ArgumentParser
import Checkpoints
import Evaluation
import Models
import Numerics
import Safetensors
import Tokenizers

struct Generate: ParsableCommand {
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
    @OptionGroup var compute: ComputeOptions
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

    private var sampling: Sampling {
        var sampling = Sampling()
        sampling.temperature = temperature
        sampling.topP = topP
        sampling.topK = topKTokens
        sampling.seed = seed
        return sampling
    }

    func run() throws {
        let checkpoint = try Checkpoint(at: model)
        let encoding = try PromptEncoding(text.encoder(model, checkpoint))
        let ids = try encoding.encode(prompt, addsFirst: bos)
        let workers = compute.workers()
        let positions = ids.count + maxTokens
        var planner = MemoryPlanner(
            memory: compute.memory.bytes, threads: workers.count,
            models: [try ModelMemory(checkpoint, topK: topK, .generation(tokens: positions))],
            length: min(16, max(ids.count, 1)))
        planner.positions = positions
        planner.other = ComputeMemory.tokenizer(checkpoint)
        planner.tokens = min(512, max(ids.count, 1))
        planner.streamedTokens = planner.tokens
        let plan = try planner.prepared(advice: "lower --max-tokens")
        let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: topK)
        warnOfLength(ids.count, decoder)
        let ends = ignoreEnd ? [] : try decoder.checkpoint.endTokens()
        var stream = TextStream(after: ids, encoding.decoder)
        var found: [Generator.Token] = []
        var continuation = ""
        func emit(_ piece: String) throws {
            if common.json { continuation += piece } else { try standardOutput(piece, terminator: "") }
        }
        let started = monotonicSeconds()
        var firstToken = started
        let finish = try Generator(
            decoder, sampling: sampling, ends: ends, tokensAtOnce: plan.tokens
        ).continue(ids, atMost: maxTokens) { token in
            if found.isEmpty { firstToken = monotonicSeconds() }
            found.append(token)
            if !token.isEnd { try emit(stream.add(token.id)) }
            return receivedSignal == 0
        }
        let ended = monotonicSeconds()
        try emit(stream.finish())
        let rate = Double(found.count - 1) / max(ended - firstToken, 1e-9)
        if common.json {
            let document: JSONObject = [
                "model": .string(model), "prompt": .string(prompt), "prompt_tokens": .array(ids.map { JSON(Int($0)) }),
                "text": .string(continuation), "tokens": .array(found.map { JSON(Int($0.id)) }),
                "log_probabilities": .array(found.map { JSON($0.logProbability) }),
                "finish": .string(finish.rawValue), "prompt_seconds": JSON(firstToken - started),
                "tokens_per_second": JSON(rate),
            ]
            try standardOutput(JSON.object(document).serialized())
        } else {
            try standardOutput("")
            if !common.quiet {
                standardError(
                    "\(found.count) tokens\(finish == .end ? ", ended by the model" : ""); prompt of \(ids.count) in "
                        + "\(numberText(firstToken - started)) s, then "
                        + "\(numberText(rate)) tokens/s\n")
            }
        }
        if receivedSignal != 0 { throw ExitStatus(code: 128 + receivedSignal) }
    }

    /// A model says less and less beyond the length that it was made for.
    private func warnOfLength(_ promptLength: Int, _ decoder: Decoder) {
        guard let limit = try? decoder.checkpoint.description.positions, promptLength + maxTokens > limit else {
            return
        }
        standardError(
            "warning: the prompt's \(promptLength) tokens and \(maxTokens) more exceed the \(limit) positions that the "
                + "model was made for\n")
    }
}
