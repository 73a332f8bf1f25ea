import Checkpoints
import Foundation
import Models
import Numerics
import Safetensors
import TestSupport
import Testing

/// A weight that is no number is named where a model is loaded, wherever it is.
@Suite struct NonfiniteTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A copy of a fixture in F32 with one value replaced.
    private func poisoned(_ model: String, _ tensor: String, at index: Int, _ value: Float) throws -> Checkpoint {
        let target = try folder.copy(Fixtures.model(model), as: "model")
        let path = target + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        var result = TensorFile()
        for info in file.header.tensors {
            var bytes = try file.bytes(info.name)
            if info.name == tensor {
                #expect(info.dtype == .f32)
                withUnsafeBytes(of: value) { bytes.replaceSubrange(4 * index..<4 * index + 4, with: $0) }
            }
            try result.add(info.name, info.dtype, info.shape.dimensions, bytes)
        }
        try FileManager.default.removeItem(atPath: path)
        try result.write(to: path)
        return try Checkpoint(at: target)
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity], [WeightPlacement.Weights.resident, .layers, .rows])
    func theTensorTheFileAndThePlaceAreNamed(_ value: Float, _ weights: WeightPlacement.Weights) throws {
        let name = "model.layers.1.mlp.down_proj.weight"
        let columns = try #require(SafetensorsFile(path: Fixtures.model("llama") + "/model.safetensors").info(name))
            .shape.dimensions[1]
        let checkpoint = try poisoned("llama", name, at: 3 * columns + 5, value)
        let error = try #require(throws: CheckpointError.self) {
            let decoder = try Decoder(
                checkpoint, workers: Workers(threads: 1), placement: WeightPlacement(weights: weights))
            _ = try decoder.forward(TokenBatch(ids: [1, 2, 3], length: 3))
        }
        #expect(error.code == .incompatible)
        #expect(error.tensor == name)
        #expect(error.file?.hasSuffix("model/model.safetensors") == true)
        #expect(error.message.contains("[3, 5]"), "\(error.message)")
        #expect(error.message.contains(value.isNaN ? "NaN" : "infinite"))
    }
}
