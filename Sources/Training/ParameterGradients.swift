import Checkpoints
package import Models
import Numerics
package import Safetensors

/// The gradients of all parameters as tensors, for a comparison with another framework.
///
/// | tensor | what it is |
/// |---|---|
/// | `grad.NAME` | d loss / d NAME, under the name and in the layout that the checkpoint has it |
/// | `aux_loss` | of a mixture: transformers' load-balancing loss over all layers, without a weight |
/// | `aux_grad.NAME` | d aux_loss / d NAME, of the parameters that it depends on |
package enum ParameterGradients {
    /// Adds the tensors to a file.
    ///
    /// - Throws: `CheckpointError` where the model does not fit in memory.
    package static func add(
        _ decoder: Decoder, _ batch: TokenBatch, checkpoints: Bool, to file: inout TensorFile
    ) throws {
        let parameters = try decoder.train { !$0.kind.isUntrained }
        let tape = try decoder.forwardKeeping(batch, checkpoints: checkpoints)
        let predictions = Float(max(batch.count * (batch.length - 1), 1))
        let (_, slope) = try decoder.lossesBackward(tape.states, batch, scale: 1 / predictions)
        try decoder.backward(tape, slope)
        for (name, shape, values) in try decoder.namedGradients(parameters) {
            try file.add("grad.\(name)", shape, values)
        }
        guard decoder.configuration.mixture != nil else { return }
        for parameter in parameters { parameter.gradient.values.update(repeating: 0, count: parameter.count) }
        let again = try decoder.forwardKeeping(batch, checkpoints: checkpoints)
        let routers = RouterBatch(
            logits: again.decisions.map(\.decision.logits), topK: decoder.topK, decoder.workers)
        let gradients = RouterGradients(zerosFor: routers)
        let loss = PooledLoss().add(routers, weight: 1, to: gradients, decoder.workers)
        let auxiliary = Dictionary(
            zip(again.decisions.map(\.layer), gradients.logits), uniquingKeysWith: { first, _ in first })
        try decoder.backward(again, Matrix(zeros: batch.ids.count, decoder.configuration.hidden), auxiliary: auxiliary)
        try file.add("aux_loss", [], [Float(loss)])
        for (name, shape, values) in try decoder.namedGradients(parameters) where values.contains(where: { $0 != 0 }) {
            try file.add("aux_grad.\(name)", shape, values)
        }
    }
}
