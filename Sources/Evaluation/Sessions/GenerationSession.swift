public import Checkpoints
import Models
import Numerics
public import Safetensors
import Tokenizers

/// How a text is continued.
public struct GenerationOptions: Sendable {
    /// Tokens that follow at most, from 1 up.
    public var maxTokens = 128
    /// How tokens are drawn.
    public var sampling = Sampling()
    /// Experts a token is routed to, if not as the checkpoint says.
    public var topK: Int?
    /// Put the token that begins documents before the prompt, where the tokenizer's template does not.
    public var addsBeginning = false
    /// Go on after a token that ends the text.
    public var ignoresEnd = false
    /// What makes tokens of text.
    public var tokenizer = TextOptions.Tokenization.auto
    /// Memory and threads.
    public var compute = ComputeOptions()

    /// The defaults.
    public init() {}
}

/// What a model said.
public struct GenerationResult: JSONResult {
    /// The model's name.
    public let model: String
    /// What was continued.
    public let prompt: String
    /// Its token ids.
    public let promptTokens: [Int32]
    /// The continuation.
    public let text: String
    /// Its tokens, an end among them.
    public let tokens: [Generator.Token]
    /// Why it is over.
    public let finish: Generator.Finish
    /// Seconds until the first token.
    public let promptSeconds: Double
    /// Tokens after the first over the seconds that they took.
    public let tokensPerSecond: Double

    /// Text, tokens and their log probabilities, and rates.
    public var json: JSONObject {
        [
            "model": .string(model), "prompt": .string(prompt),
            "prompt_tokens": .array(promptTokens.map { JSON(Int($0)) }), "text": .string(text),
            "tokens": .array(tokens.map { JSON(Int($0.id)) }),
            "log_probabilities": .array(tokens.map { JSON($0.logProbability) }), "finish": .string(finish.rawValue),
            "prompt_seconds": JSON(promptSeconds), "tokens_per_second": JSON(tokensPerSecond),
        ]
    }
}

/// Continues texts with a model.
///
/// ```swift
/// let session = GenerationSession(try Checkpoint(at: "mixtral"), GenerationOptions())
/// for try await piece in session.pieces(after: "The court held that") { show(piece) }
/// ```
///
/// The prompt is encoded as transformers' tokenizers do it, with the special tokens of the tokenizer's template.
public struct GenerationSession: Sendable {
    private let checkpoint: Checkpoint
    private let name: String
    private let options: GenerationOptions
    /// Told what the user should know before the first token is drawn.
    public var warning: (@Sendable (String) -> Void)?

    /// - Parameter name: the model's name in the result; by default its folder's.
    public init(_ checkpoint: Checkpoint, name: String? = nil, _ options: GenerationOptions) {
        self.checkpoint = checkpoint
        self.name = name ?? checkpoint.name
        self.options = options
    }

    /// Continues a text.
    ///
    /// - Parameter piece: handed the text as it comes, from the thread that computes; answers whether to go on.
    /// - Throws: `CheckpointError` of `.incompatible` for a prompt that the model cannot read, `.cancelled` when the task is
    ///   cancelled; what `piece` throws.
    public func run(
        _ prompt: String, piece: @Sendable (String) throws -> Bool = { _ in true }
    ) async throws -> GenerationResult {
        try await runningOnThread { try generate(prompt, piece) }
    }

    /// The continuation of a text, piece by piece. It ends when the sequence is not waited for any more.
    public func pieces(after prompt: String) -> AsyncThrowingStream<String, any Error> {
        AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    _ = try await run(prompt) { piece in
                        continuation.yield(piece)
                        return true
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// How the model is computed within the memory.
    private func plan(_ prompt: [Int32]) throws -> MemoryPlan {
        let positions = prompt.count + options.maxTokens
        var planner = MemoryPlanner(
            memory: options.compute.memory, threads: options.compute.threads,
            models: [try ModelMemory(checkpoint, topK: options.topK, .generation(tokens: positions))],
            length: min(16, max(prompt.count, 1)))
        planner.positions = positions
        planner.other = ComputeMemory.tokenizer(checkpoint)
        planner.tokens = min(512, max(prompt.count, 1))
        planner.streamedTokens = planner.tokens
        return try planner.prepared(advice: "lower `maxTokens`")
    }

    private func generate(_ prompt: String, _ piece: (String) throws -> Bool) throws -> GenerationResult {
        var text = TextOptions()
        text.tokenizer = options.tokenizer
        let encoding = try PromptEncoding(text.encoder(checkpoint))
        let ids = try encoding.encode(prompt, addsFirst: options.addsBeginning)
        let workers = options.compute.workers()
        let plan = try plan(ids)
        let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: options.topK)
        // A model says less and less beyond the length that it was made for.
        if let positions = try? checkpoint.description.positions, ids.count + options.maxTokens > positions {
            warning?(
                "the prompt's \(ids.count) tokens and \(options.maxTokens) more exceed the \(positions) positions that "
                    + "the model was made for")
        }
        let ends = options.ignoresEnd ? [] : try checkpoint.endTokens()
        var stream = TextStream(after: ids, encoding.decoder)
        var found: [Generator.Token] = []
        var continuation = ""
        let started = monotonicSeconds()
        var firstToken = started
        let generator = Generator(
            decoder, sampling: options.sampling, ends: ends, tokensAtOnce: plan.tokens)
        let finish = try generator.continue(ids, atMost: options.maxTokens) { token in
            if found.isEmpty { firstToken = monotonicSeconds() }
            if Task.isCancelled { throw InterruptionError() }
            found.append(token)
            let new = token.isEnd ? "" : stream.add(token.id)
            continuation += new
            return try piece(new)
        }
        let ended = monotonicSeconds()
        let rest = stream.finish()
        continuation += rest
        _ = try piece(rest)
        return GenerationResult(
            model: name, prompt: prompt, promptTokens: ids, text: continuation, tokens: found, finish: finish,
            promptSeconds: firstToken - started,
            tokensPerSecond: Double(found.count - 1) / max(ended - firstToken, 1e-9))
    }
}
