/// An open safetensors file: its header parsed, its bytes read on demand.
///
/// ```swift
/// let file = try SafetensorsFile(path: "model.safetensors")
/// for tensor in file.header.tensors { print(tensor.name, tensor.dtype, tensor.shape) }
/// let bytes = try file.bytes("lm_head.weight")
/// ```
///
/// It is read by `pread`, not mapped: a file that is cut short meanwhile is then an error and not a signal.
public final class SafetensorsFile: Sendable {
    /// Where the file is.
    public let path: String
    /// What is in it.
    public let header: Header
    /// Its size in bytes.
    public let size: Int
    /// What it was when it was opened.
    public let identity: FileIdentity

    private let file: PosixFile
    private let indices: [String: Int]

    /// Opens a file and parses its header.
    ///
    /// - Throws: `SafetensorsError`: `io` where it cannot be read, `malformed` where it is not what the format allows,
    ///   `unsafePath` for what is not a regular file.
    public init(path: String) throws(SafetensorsError) {
        file = try PosixFile.open(path)
        identity = try file.identity()
        size = identity.size
        self.path = path
        guard size >= 8 else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "it has \(size) bytes, and a safetensors file begins with the 8 bytes of its header's length")
        }
        let length = try file.bytes(at: 0, count: 8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= UInt64(Header.maximumSize) else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "it claims a header of \(length) bytes, and at most \(Header.maximumSize) are allowed: "
                    + "it is not a safetensors file, or damaged")
        }
        guard Int(length) <= size - 8 else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "it claims a header of \(length) bytes and has \(size - 8) behind the length: "
                    + "it is truncated; download or copy it again")
        }
        let bytes = try file.bytes(at: 8, count: Int(length))
        header = try Header(parsing: bytes, file: path, fileSize: size)
        indices = Dictionary(header.tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The tensor of that name.
    public func info(_ name: String) -> TensorInfo? { indices[name].map { header.tensors[$0] } }

    /// Fills `buffer` with a tensor's bytes from `offset` on.
    ///
    /// - Throws: `SafetensorsError` where the bytes are not the tensor's, or cannot be read.
    public func read(
        _ tensor: TensorInfo, from offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        guard offset >= 0, tensor.begin >= 0, buffer.count <= tensor.end - tensor.begin - offset else {
            throw SafetensorsError(
                .invalidArgument, file: path, tensor: tensor.name,
                message: "\(buffer.count) bytes from \(offset) on are not within the tensor")
        }
        try file.readExactly(into: buffer, at: header.dataOffset + tensor.begin + offset)
    }

    /// All bytes of a tensor.
    ///
    /// - Throws: `SafetensorsError` where there is none of that name, or it cannot be read.
    public func bytes(_ name: String) throws(SafetensorsError) -> [UInt8] {
        guard let tensor = info(name) else {
            throw SafetensorsError(.missing, file: path, tensor: name, message: "the file has no such tensor")
        }
        return try file.bytes(at: header.dataOffset + tensor.begin, count: tensor.end - tensor.begin)
    }

    /// Fills `buffer` with the file's bytes from `offset` on, header included.
    package func readRaw(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError) {
        try file.readExactly(into: buffer, at: offset)
    }

    /// Lets go of the file in the page cache, so that it is read from the disk again.
    package func dropCache() { file.dropCache() }

    /// Fails where the file was written to since it was opened.
    package func checkUnchanged() throws(SafetensorsError) {
        guard try file.identity() == identity else {
            throw SafetensorsError(.io, file: path, message: "it was changed while it was read: run again")
        }
    }
}
