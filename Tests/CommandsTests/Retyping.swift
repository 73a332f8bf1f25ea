import Foundation
import Safetensors
import TestSupport

extension TemporaryFolder {
    /// A copy of a checkpoint in which one tensor has another dtype, its bytes counting up: what no arithmetic may read.
    func retyped(_ source: String, as name: String, _ tensor: String, _ dtype: DType) throws -> String {
        let target = try copy(source, as: name)
        let weights = target + "/model.safetensors"
        let file = try SafetensorsFile(path: weights)
        var result = TensorFile()
        for info in file.header.tensors {
            guard info.name == tensor else {
                try result.add(info.name, info.dtype, info.shape.dimensions, file.bytes(info.name))
                continue
            }
            let count = try info.shape.byteCount(of: dtype)
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 % (dtype == .bool ? 2 : 251)) }
            try result.add(info.name, dtype, info.shape.dimensions, bytes)
        }
        try FileManager.default.removeItem(atPath: weights)
        try result.write(to: weights)
        return target
    }
}
