extension Header {
    /// The bytes of a header, its 8-byte length included, and where each tensor goes.
    ///
    /// The bytes are the ones that the reference implementation writes: tensors by alignment, the largest first, then by
    /// name; compact JSON; spaces up to a multiple of eight.
    ///
    /// - Parameters:
    ///   - tensors: names, types and shapes, in any order.
    ///   - metadata: strings for `__metadata__`; written sorted by key (the reference's order is not deterministic).
    /// - Returns: the bytes, and the tensors in the order of the file.
    /// - Throws: `SafetensorsError` for a name that no reader accepts or that appears twice, a size that overflows, or
    ///   a header that is too large.
    public static func serialized(
        tensors: [(name: String, dtype: DType, shape: Shape)], metadata: [String: String] = [:]
    ) throws(SafetensorsError) -> (bytes: [UInt8], layout: [TensorInfo]) {
        let sorted = tensors.sorted { a, b in
            a.dtype == b.dtype ? utf8Precedes(a.name, b.name) : a.dtype.order > b.dtype.order
        }
        var text = "{"
        if !metadata.isEmpty {
            let members = metadata.sorted { utf8Precedes($0.key, $1.key) }.map {
                quoted($0.key) + ":" + quoted($0.value)
            }
            text += "\"__metadata__\":{" + members.joined(separator: ",") + "}"
        }
        var layout: [TensorInfo] = []
        layout.reserveCapacity(sorted.count)
        var names: Set<String> = []
        var offset = 0
        for tensor in sorted {
            try HeaderParser.check(name: tensor.name, file: nil)
            guard tensor.name != "__metadata__" else {
                throw SafetensorsError(
                    .invalidArgument, tensor: tensor.name, message: "the format reserves this name: choose another")
            }
            guard names.insert(tensor.name).inserted else {
                throw SafetensorsError(.invalidArgument, tensor: tensor.name, message: "two tensors have this name")
            }
            let (end, overflow) = offset.addingReportingOverflow(try tensor.shape.byteCount(of: tensor.dtype))
            guard !overflow else {
                throw SafetensorsError(
                    .invalidArgument, tensor: tensor.name, message: "the file's size overflows 64 bits")
            }
            if text.utf8.count > 1 { text += "," }
            text += quoted(tensor.name) + ":{\"dtype\":\"\(tensor.dtype.rawValue)\",\"shape\":["
            text += tensor.shape.dimensions.map(String.init).joined(separator: ",")
            text += "],\"data_offsets\":[\(offset),\(end)]}"
            layout.append(
                TensorInfo(name: tensor.name, dtype: tensor.dtype, shape: tensor.shape, begin: offset, end: end))
            offset = end
        }
        text += "}"
        var json = Array(text.utf8)
        json.append(contentsOf: repeatElement(0x20, count: (8 - json.count % 8) % 8))
        guard json.count <= maximumSize, sorted.count <= maximumTensors else {
            throw SafetensorsError(
                .invalidArgument,
                message: "\(sorted.count) tensors make a header of \(json.count) bytes, more than readers accept: "
                    + "write them in several files")
        }
        var bytes = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) }
        bytes += json
        return (bytes, layout)
    }
}

/// Writes tensors to a safetensors file that appears whole or not at all.
///
/// ```swift
/// let shape = try Shape([2, 2])
/// try writeSafetensors([("weight", .f32, shape, bytes)], metadata: ["format": "pt"], to: "model.safetensors")
/// ```
///
/// - Parameters:
///   - tensors: the tensors in any order; `bytes` are little-endian, row by row.
///   - metadata: strings for the header.
///   - path: where the file goes; one that is there is replaced.
/// - Throws: `SafetensorsError` where a tensor's bytes do not fit its shape, or the disk refuses.
public func writeSafetensors(
    _ tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])], metadata: [String: String] = [:],
    to path: String
) throws(SafetensorsError) {
    var contents: [String: [UInt8]] = [:]
    for tensor in tensors {
        let expected = try tensor.shape.byteCount(of: tensor.dtype)
        guard tensor.bytes.count == expected else {
            throw SafetensorsError(
                .invalidArgument, file: path, tensor: tensor.name,
                message: "\(tensor.dtype.rawValue) \(tensor.shape) needs \(expected) bytes, and \(tensor.bytes.count) "
                    + "were given")
        }
        contents[tensor.name] = tensor.bytes
    }
    let (header, layout) = try Header.serialized(
        tensors: tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata)
    var bytes = header
    for tensor in layout { bytes += contents[tensor.name] ?? [] }
    try PosixFile.replace(path, with: bytes)
}
