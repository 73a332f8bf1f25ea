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
    /// What answers for the tensors' bytes where they do not lie in the file as they are.
    private let contents: (any TensorContents)?
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
        contents = nil
        guard size >= 8 else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "it has \(size) bytes, and a safetensors file begins with the 8 bytes of its header's length")
        }
        let beginning = try file.bytes(at: 0, count: min(size, ForeignContent.prefixLength))
        if let problem = ForeignContent.problem(ofWeights: beginning) {
            throw SafetensorsError(.malformed, file: path, message: problem)
        }
        let length = beginning.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
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
        indices = Self.indices(of: header)
    }

    /// A file that stands for another one, whose tensors' bytes `contents` makes from what it holds.
    ///
    /// - Parameter header: the other file's.
    package init(_ file: PosixFile, header: Header, contents: any TensorContents) throws(SafetensorsError) {
        self.file = file
        self.header = header
        self.contents = contents
        identity = try file.identity()
        size = identity.size
        path = file.path
        indices = Self.indices(of: header)
    }

    private static func indices(of header: Header) -> [String: Int] {
        Dictionary(header.tensors.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
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
        guard let contents else {
            try file.readExactly(into: buffer, at: header.dataOffset + tensor.begin + offset)
            return
        }
        guard let index = indices[tensor.name] else {
            throw SafetensorsError(
                .missing, file: path, tensor: tensor.name, message: "the file has no such tensor")
        }
        try contents.read(tensor: index, from: offset, into: buffer)
    }

    /// All bytes of a tensor.
    ///
    /// - Throws: `SafetensorsError` where there is none of that name, or it cannot be read.
    public func bytes(_ name: String) throws(SafetensorsError) -> [UInt8] {
        guard let tensor = info(name) else {
            throw SafetensorsError(.missing, file: path, tensor: name, message: "the file has no such tensor")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: tensor.end - tensor.begin, alignment: 16)
        defer { buffer.deallocate() }
        try read(tensor, from: 0, into: buffer)
        return Array(buffer)
    }

    /// Fills `buffer` with the file's bytes from `offset` on as they lie on disk, header included.
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

/// The bytes of a file's tensors, where they must be made from what the file holds.
package protocol TensorContents: Sendable {
    /// Fills `buffer` with the bytes from `offset` on of the tensor with number `tensor` of the header; the range is within
    /// the tensor.
    func read(tensor: Int, from offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws(SafetensorsError)
}
