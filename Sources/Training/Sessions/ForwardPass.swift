public import Checkpoints
public import Evaluation
import Models
import Numerics
public import Safetensors

/// What a model computes for token ids, as tensors: how a conversion is checked against another framework.
///
/// ```swift
/// let pass = try await ForwardPass(of: Checkpoint(at: "mixtral"), tokens: [[1, 415, 2991, 2]], gradients: true)
/// try pass.tensors.write(to: "out.safetensors")
/// ```
public struct ForwardPass: Sendable {
    /// Logits `[B, T, V]`, the streams between layers `hidden.L` `[B, T, H]`, `router_logits.L` `[B*T, E]`, and with
    /// gradients `grad.NAME`; all in F32.
    public let tensors: TensorFile
    /// The mean cross-entropy of the next token, in nats.
    public let loss: Double
    /// Sequences, B.
    public let sequences: Int
    /// Tokens of each, T.
    public let length: Int

    /// How the pass is made.
    public struct Options: Sendable {
        /// Compute the gradients of all parameters as well.
        public var gradients = false
        /// Keep only the streams between layers, and compute each layer again for its gradient.
        public var checkpointsActivations = false
        /// Experts a token is routed to, if not as the checkpoint says.
        public var topK: Int?
        /// Memory and threads.
        public var compute = ComputeOptions()

        /// The defaults.
        public init() {}
    }

    /// Runs sequences of equal length through a model.
    ///
    /// - Throws: `CheckpointError`: `.usage` for sequences of different lengths, `.incompatible` for ids that the model does
    ///   not know and for a family that is not computed.
    public init(of checkpoint: Checkpoint, tokens: [[Int32]], _ options: Options = Options()) async throws {
        guard let length = tokens.first?.count, length > 0, tokens.allSatisfy({ $0.count == length }) else {
            throw CheckpointError(.usage, message: "expected sequences of one length, one token or more each")
        }
        self = try await runningOnThread {
            try ForwardPass(checkpoint, TokenBatch(ids: tokens.flatMap { $0 }, length: length), options)
        }
    }

    /// Runs `input_ids` `[B, T]` of a safetensors file through a model.
    ///
    /// - Throws: `SafetensorsError` where the file has no such tensor; as `init(of:tokens:_:)`.
    public init(of checkpoint: Checkpoint, file: String, _ options: Options = Options()) async throws {
        self = try await runningOnThread {
            try ForwardPass(checkpoint, ForwardOutputs.batch(from: file), options)
        }
    }

    private init(_ checkpoint: Checkpoint, _ batch: TokenBatch, _ options: Options) throws {
        let workers = options.compute.workers()
        let plan = try ForwardOutputs.planner(
            checkpoint, batch, topK: options.topK, gradients: options.gradients,
            checkpoints: options.checkpointsActivations, memory: options.compute.memory, threads: workers.count
        ).prepared(advice: "give fewer tokens")
        let decoder = try Decoder(checkpoint, workers: workers, placement: plan.placements.first, topK: options.topK)
        var (file, loss) = try ForwardOutputs.compute(decoder, batch)
        if options.gradients {
            try ParameterGradients.add(decoder, batch, checkpoints: options.checkpointsActivations, to: &file)
        }
        (tensors, self.loss, sequences, length) = (file, loss, batch.count, batch.length)
    }
}
