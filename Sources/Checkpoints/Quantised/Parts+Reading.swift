import Numerics
import Safetensors

extension SourceTensor {
    /// What a small part may have at most: it is read when the checkpoint is opened.
    private static let limit = 1 << 16

    /// All bytes of a small part.
    func smallPart(of weight: String) throws -> [UInt8] {
        guard info.end - info.begin <= Self.limit else {
            throw CheckpointError.misfit(weight, self, "no more than \(Self.limit) bytes are expected")
        }
        return try file.bytes(info.name)
    }

    /// The whole numbers of a small part.
    func integers(of weight: String) throws -> [Int] {
        let bytes = try smallPart(of: weight)
        return try bytes.withUnsafeBytes { bytes in
            switch info.dtype {
            case .i64: (0..<bytes.count / 8).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Int.self) }
            case .i32:
                (0..<bytes.count / 4).map { Int(bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self)) }
            default: throw CheckpointError.misfit(weight, self, "I64 or I32 is expected")
            }
        }
    }

    /// The values of a small part.
    func values(of weight: String) throws -> [Float] {
        let bytes = try smallPart(of: weight)
        guard info.dtype.isConvertible else {
            throw CheckpointError.misfit(weight, self, "floating-point numbers are expected")
        }
        var values = [Float](repeating: 0, count: info.shape.elementCount)
        try bytes.withUnsafeBytes { bytes in
            try values.withUnsafeMutableBufferPointer { try widen(bytes, info.dtype, into: $0) }
        }
        return values
    }
}
