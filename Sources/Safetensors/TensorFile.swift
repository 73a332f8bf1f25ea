import Glibc

/// Writes a safetensors file of tensors that are in memory.
///
/// ```swift
/// var file = TensorFile()
/// try file.add("loss", [], [Float(1.5)])
/// try file.write(to: "out.safetensors")
/// ```
///
/// The file appears whole or not at all: it is written beside its place, synced, and then put there.
public struct TensorFile: Sendable {
    /// Strings for `__metadata__`.
    public var metadata: [String: String] = ["format": "pt"]

    private var tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])] = []

    /// A file without tensors.
    public init() {}

    /// Adds a tensor of F32 values.
    ///
    /// - Throws: `SafetensorsError` where the shape does not have as many values.
    public mutating func add(_ name: String, _ shape: [Int], _ values: [Float]) throws(SafetensorsError) {
        try add(name, .f32, shape, values.withUnsafeBytes { Array($0) })
    }

    /// Adds a tensor of I64 values.
    ///
    /// - Throws: `SafetensorsError` where the shape does not have as many values.
    public mutating func add(_ name: String, _ shape: [Int], _ values: [Int64]) throws(SafetensorsError) {
        try add(name, .i64, shape, values.withUnsafeBytes { Array($0) })
    }

    /// Adds a tensor's bytes, little-endian.
    ///
    /// - Throws: `SafetensorsError` where there are not as many bytes as the shape asks for.
    public mutating func add(
        _ name: String, _ dtype: DType, _ shape: [Int], _ bytes: [UInt8]
    ) throws(SafetensorsError) {
        let shape = try Shape(shape)
        let expected = try shape.byteCount(of: dtype)
        guard expected == bytes.count else {
            throw SafetensorsError(
                .invalidArgument, tensor: name,
                message: "\(dtype.rawValue) \(shape) takes \(expected) bytes, and there are \(bytes.count)")
        }
        tensors.append((name, dtype, shape, bytes))
    }

    /// The names of all tensors, in the order in which they were added.
    package var names: [String] { tensors.map(\.name) }

    /// A tensor that was added.
    package func tensor(_ name: String) -> (dtype: DType, shape: Shape, bytes: [UInt8])? {
        tensors.first { $0.name == name }.map { ($0.dtype, $0.shape, $0.bytes) }
    }

    /// Writes the file in the place of one that may be there.
    ///
    /// - Throws: `SafetensorsError` where it cannot be written; what was there is then untouched.
    public func write(to path: String) throws(SafetensorsError) {
        let (header, layout) = try Header.serialized(
            tensors: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata)
        let starts = Dictionary(layout.map { ($0.name, $0.begin) }, uniquingKeysWith: { first, _ in first })
        try PosixFile.replace(path) { file throws(SafetensorsError) in
            try file.writeExactly(header, at: 0)
            for tensor in tensors {
                try file.writeExactly(tensor.bytes, at: header.count + (starts[tensor.name] ?? 0))
            }
        }
    }
}
