import Checkpoints
import Numerics

extension Decoder {
    /// The gradients of the parameters under the names that their tensors have in the checkpoint, laid out as the tensors
    /// are; zeros where part of a tensor is not trained.
    ///
    /// - Returns: name, shape and values of every tensor that has a gradient.
    package func namedGradients(_ parameters: [TrainedParameter]) throws -> [(
        name: String, shape: [Int], values: [Float]
    )] {
        try named(parameters) { $0.gradient }
    }

    /// The values of the parameters likewise.
    package func namedValues(_ parameters: [TrainedParameter]) throws -> [(name: String, shape: [Int], values: [Float])]
    {
        try named(parameters) { $0.values }
    }

    private func named(
        _ parameters: [TrainedParameter], _ source: (TrainedParameter) -> Matrix
    ) throws -> [(name: String, shape: [Int], values: [Float])] {
        let byRole = Dictionary(parameters.map { ($0.role, $0) }, uniquingKeysWith: { first, _ in first })
        var result: [(name: String, shape: [Int], values: [Float])] = []
        for tensor in try checkpoint.expectedTensors() {
            guard tensor.placements.contains(where: { byRole[$0.role] != nil }) else { continue }
            var values = [Float](repeating: 0, count: tensor.shape.reduce(1, *))
            for (role, view) in tensor.placements {
                guard let parameter = byRole[role] else { continue }
                let from = source(parameter)
                for row in 0..<view.rows {
                    for column in 0..<view.columns {
                        values[view.offset + row * view.rowStride + column * view.columnStride] =
                            from.values[row * view.columns + column]
                    }
                }
            }
            result.append((tensor.name, tensor.shape, values))
        }
        return result
    }
}
