import Safetensors

/// Feeds bytes to the parsers of files: a header and the size of the file that it would be in, and an index. What they
/// accept must hold what they promise; what they refuse is an error and never a crash.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    _ = try? ShardIndex(parsing: bytes, file: "index")
    // The first two bytes are how many bytes of tensors follow the header.
    guard count >= 2 else { return 0 }
    let header = Array(bytes.dropFirst(2))
    let dataSize = Int(bytes[0]) << 8 | Int(bytes[1])
    guard let parsed = try? Header(parsing: header, file: "fuzz", fileSize: 8 + header.count + dataSize) else {
        return 0
    }
    var end = 0
    for tensor in parsed.tensors {
        precondition(tensor.begin == end && tensor.end <= dataSize)
        precondition((try? tensor.shape.byteCount(of: tensor.dtype)) == tensor.end - tensor.begin)
        end = tensor.end
    }
    precondition(end == dataSize)
    // What was accepted is written and read again.
    let entries = parsed.tensors.map { ($0.name, $0.dtype, $0.shape) }
    if let written = try? Header.serialized(tensors: entries, metadata: [:]) {
        let again = try? Header(
            parsing: Array(written.bytes.dropFirst(8)), file: "fuzz", fileSize: written.bytes.count + dataSize)
        precondition(again?.tensors.count == parsed.tensors.count)
    }
    return 0
}
