package import Checkpoints
package import Models
import Numerics
package import Safetensors

/// What a model computes for token ids, as tensors: how a conversion is checked against another framework.
///
/// B sequences of T tokens, V the vocabulary, H the hidden size, E experts:
///
/// | tensor | shape | what it is |
/// |---|---|---|
/// | `input_ids` | I64 `[B, T]` | what went in |
/// | `logits` | F32 `[B, T, V]` | |
/// | `loss` | F32 `[]` | mean cross-entropy of the next token, in nats |
/// | `hidden.L` | F32 `[B, T, H]` | the residual stream that enters layer L |
/// | `hidden.final` | F32 `[B, T, H]` | after the final norm |
/// | `router_logits.L` | F32 `[B*T, E]` | of the L-th mixture layer |
package enum ForwardOutputs {
    /// The ids `input_ids` `[B, T]` of a safetensors file, I64 or I32.
    ///
    /// - Throws: `SafetensorsError` where the file has no such tensor, or not of that form.
    package static func batch(from path: String, tensor name: String = "input_ids") throws -> TokenBatch {
        let file = try SafetensorsFile(path: path)
        guard let info = file.info(name) else {
            throw SafetensorsError(.missing, file: path, tensor: name, message: "the file has no such tensor")
        }
        let shape = info.shape.dimensions
        guard shape.count == 2, shape[0] > 0, shape[1] > 0 else {
            throw SafetensorsError(
                .malformed, file: path, tensor: name, message: "expected ids [B, T], found \(info.shape)")
        }
        return TokenBatch(ids: try ids(file, name), length: shape[1])
    }

    /// A tensor's whole numbers as token ids.
    package static func ids(_ file: SafetensorsFile, _ name: String) throws -> [Int32] {
        guard let info = file.info(name), info.dtype == .i64 || info.dtype == .i32 else {
            throw SafetensorsError(
                .malformed, file: file.path, tensor: name, message: "expected token ids in I64 or I32")
        }
        let bytes = try file.bytes(name)
        let width = info.dtype.bits / 8
        return try (0..<bytes.count / width).map { index in
            let value = bytes.withUnsafeBytes {
                width == 8
                    ? $0.loadUnaligned(fromByteOffset: index * 8, as: Int64.self)
                    : Int64($0.loadUnaligned(fromByteOffset: index * 4, as: Int32.self))
            }
            guard let id = Int32(exactly: value) else {
                throw SafetensorsError(
                    .malformed, file: file.path, tensor: name, message: "\(value) is not a token id")
            }
            return id
        }
    }

    /// What it takes of memory: all of the file's tensors are there at the end, twice while they are put into it.
    package static func planner(
        _ checkpoint: Checkpoint, _ batch: TokenBatch, topK: Int?, gradients: Bool, checkpoints: Bool, memory: Int,
        threads: Int
    ) throws -> MemoryPlanner {
        let configuration = try DecoderConfiguration(checkpoint.description)
        let parameters = gradients ? checkpoint.parameterCount : 0
        var planner = MemoryPlanner(
            memory: memory, threads: threads,
            models: [
                try ModelMemory(
                    checkpoint, topK: topK,
                    gradients
                        ? .training(parameters: parameters, copies: 2, checkpoints: checkpoints) : .forward(slots: 0))
            ], length: batch.length)
        let experts = configuration.mixture?.experts ?? 0
        planner.tokenExtra =
            8 * ((configuration.layers + 1) * configuration.hidden + configuration.layers * experts)
            + 12 * configuration.vocabulary
        planner.tokens = batch.ids.count
        planner.isExact = true
        return planner
    }

    /// Runs the model and gathers everything that the table above names.
    ///
    /// - Throws: `CheckpointError` for ids that are not in the vocabulary.
    package static func compute(_ decoder: Decoder, _ batch: TokenBatch) throws -> (file: TensorFile, loss: Double) {
        var file = TensorFile()
        let shape = [batch.count, batch.length]
        try file.add("input_ids", shape, batch.ids.map { Int64($0) })
        let recorder = Recorder()
        let states = try decoder.forward(batch, observer: recorder)
        let hidden = decoder.configuration.hidden
        for (layer, stream) in recorder.streams.enumerated() {
            try file.add("hidden.\(layer)", shape + [hidden], stream)
        }
        try file.add("hidden.final", shape + [hidden], states.array)
        for (index, (logits, experts)) in recorder.routers.enumerated() {
            try file.add("router_logits.\(index)", [batch.ids.count, experts], logits)
        }
        var logits: [Float] = []
        logits.reserveCapacity(batch.ids.count * decoder.configuration.vocabulary)
        try decoder.forEachLogits(states) { _, part in logits += part.array }
        try file.add("logits", shape + [decoder.configuration.vocabulary], logits)
        let losses = try decoder.losses(states, batch)
        let loss = losses.reduce(0) { $0 + Double($1) } / Double(max(losses.count, 1))
        try file.add("loss", [], [Float(loss)])
        return (file, loss)
    }
}

extension OutputKind {
    /// A file that `forward` wrote: nothing in it but the tensors of the table above, and gradients.
    package static let modelOutputs = OutputKind("what `forward` wrote") { path in
        let names: [String]
        do { names = try SafetensorsFile(path: path).header.tensors.map(\.name) } catch {
            if isFailureOfSystem(error) { throw error }
            return "this is none"
        }
        let prefixes = ["hidden.", "router_logits.", "grad.", "aux_grad."]
        let other = names.first { name in
            !["input_ids", "logits", "loss", "aux_loss"].contains(name) && !prefixes.contains { name.hasPrefix($0) }
        }
        if let other { return "this file holds \(escaped(other)) too" }
        return names.contains("logits") ? nil : "this is none"
    }
}

private final class Recorder: ForwardObserver {
    var streams: [[Float]] = []
    var routers: [(logits: [Float], experts: Int)] = []

    func enters(_ layer: Int, _ stream: Matrix) { streams.append(stream.array) }
    func routed(_ record: MixtureRecord) {
        routers.append((record.decision.logits.array, record.decision.experts))
    }
}
