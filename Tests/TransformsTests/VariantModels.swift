import Checkpoints
import Foundation
import Safetensors
import TestSupport

extension TemporaryFolder {
    /// A copy of a fixture whose weights differ by seeded noise: a model that branched from it.
    func variant(of name: String, seed: UInt64, as folder: String, noise: Float = 0.02) throws -> String {
        let path = try copy(Fixtures.model(name), as: folder)
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        var generator = SeededGenerator(seed: seed)
        var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []
        for info in file.header.tensors {
            var bytes = try file.bytes(info.name)
            bytes.withUnsafeMutableBytes { raw in
                for i in 0..<raw.count / 4 {
                    let value = raw.loadUnaligned(fromByteOffset: 4 * i, as: Float.self)
                    let changed = value + noise * Float.random(in: -1...1, using: &generator)
                    raw.storeBytes(of: changed, toByteOffset: 4 * i, as: Float.self)
                }
            }
            tensors.append((info.name, info.dtype, info.shape, bytes))
        }
        try FileManager.default.removeItem(atPath: path + "/model.safetensors")
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: path + "/model.safetensors")
        return path
    }

    /// The values of a tensor of a written checkpoint.
    func floats(_ path: String, _ name: String) throws -> [Float] {
        try SafetensorsFile(path: path + "/model.safetensors").bytes(name).withUnsafeBytes { raw in
            (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
        }
    }

    /// The bytes of every tensor, by name.
    func tensors(_ path: String) throws -> [String: [UInt8]] {
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        var result: [String: [UInt8]] = [:]
        for info in file.header.tensors { result[info.name] = try file.bytes(info.name) }
        return result
    }
}
