import Checkpoints
package import Models
import Numerics
package import Safetensors

/// The diagonal of the experts' empirical Fisher information: the mean over windows of the squared gradient of the log
/// likelihood of what is in the window (Matena and Raffel 2022, 2111.09832, with a window as the example).
///
/// It takes three passes' arithmetic a window, and 16 bytes for each of the experts' values.
package struct FisherInformation {
    private let decoder: Decoder
    private let parameters: [TrainedParameter]
    private var sums: [[Double]]
    private var windows = 0

    /// - Throws: `CheckpointError` of `.incompatible` for a dense model.
    package init(_ decoder: Decoder) throws {
        guard decoder.configuration.mixture != nil else {
            throw CheckpointError(
                .incompatible, file: decoder.checkpoint.description.config.file,
                message: "Fisher information is measured for experts, and the model is dense")
        }
        self.decoder = decoder
        parameters = try decoder.train { $0.expert != nil }
        sums = parameters.map { [Double](repeating: 0, count: $0.count) }
    }

    /// Adds the windows of a batch, one after another.
    package mutating func add(_ batch: TokenBatch, checkCancelled: () throws -> Void = {}) throws {
        for window in 0..<batch.count {
            try checkCancelled()
            let ids = Array(batch.ids[window * batch.length..<(window + 1) * batch.length])
            let tape = try decoder.forwardKeeping(TokenBatch(ids: ids, length: batch.length))
            let (_, slope) = try decoder.lossesBackward(tape.states, tape.batch, scale: 1)
            try decoder.backward(tape, slope)
            sums.withUnsafeMutableBufferPointer { sums in
                // Each piece has a parameter of its own.
                nonisolated(unsafe) let sums = sums
                decoder.workers.forEach(parameters.count) { index in
                    let parameter = parameters[index]
                    let gradient = parameter.gradient.values
                    sums[index].withUnsafeMutableBufferPointer { sum in
                        for i in sum.indices { sum[i] += Double(gradient[i]) * Double(gradient[i]) }
                    }
                    gradient.update(repeating: 0, count: parameter.count)
                }
            }
            windows += 1
        }
    }

    /// Adds the tensors under their names in the checkpoint, one for each of an expert's, as `densify --method fisher` reads
    /// them.
    ///
    /// - Throws: `CheckpointError`, `SafetensorsError` where the family's names cannot be made.
    package func add(to file: inout TensorFile) throws {
        let description = decoder.checkpoint.description
        let layouts = description.architecture.layoutNames
        let tensors = try description.expectedTensors(layout: layouts.contains("per-expert") ? "per-expert" : nil)
        var indices: [Role: Int] = [:]
        for (index, parameter) in parameters.enumerated() { indices[parameter.role] = index }
        let scale = 1 / Double(max(windows, 1))
        for tensor in tensors where tensor.placements.contains(where: { indices[$0.role] != nil }) {
            var values = [Float](repeating: 0, count: tensor.shape.reduce(1, *))
            for (role, view) in tensor.placements {
                guard let index = indices[role] else { continue }
                for row in 0..<view.rows {
                    for column in 0..<view.columns {
                        values[view.offset + row * view.rowStride + column * view.columnStride] = Float(
                            sums[index][row * view.columns + column] * scale)
                    }
                }
            }
            try file.add(tensor.name, tensor.shape, values)
        }
    }
}
