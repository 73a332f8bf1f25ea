/// A tensor in a file: its name, type, shape, and where its bytes lie behind the header.
public struct TensorInfo: Sendable, Hashable {
    /// The tensor's name.
    public let name: String
    /// The type of its elements.
    public let dtype: DType
    /// Its sizes.
    public let shape: Shape
    /// The first byte, counted from the end of the header.
    public let begin: Int
    /// One past the last byte.
    public let end: Int
}

/// The header of a safetensors file.
public struct Header: Sendable {
    /// The largest header, as the reference has it.
    public static let maximumSize = 100_000_000
    /// Tensors in a file at most.
    public static let maximumTensors = 262_144
    /// Bytes in a tensor's name at most.
    public static let maximumNameLength = 4096

    /// The file's `__metadata__`, in its order.
    public let metadata: [(key: String, value: String)]
    /// The tensors in the order of their bytes.
    public let tensors: [TensorInfo]
    /// Where the tensors' bytes begin in the file.
    public let dataOffset: Int

    /// Parses a header strictly: where the reference accepts what its specification forbids, this refuses it.
    ///
    /// - Parameters:
    ///   - bytes: the header without its 8-byte length.
    ///   - file: the file's name, for messages.
    ///   - fileSize: the size of the whole file: the tensors must fill it to the last byte.
    /// - Throws: `SafetensorsError` that says which rule is broken, where, and for which tensor.
    /// - Complexity: O(n log n) in the number of tensors, O(n) where they are in the order of their bytes.
    public init(parsing bytes: [UInt8], file: String, fileSize: Int) throws(SafetensorsError) {
        var result: Result<HeaderParser, SafetensorsError>?
        bytes.withUnsafeBufferPointer { buffer in
            do throws(SafetensorsError) {
                var parser = HeaderParser(buffer, file: file)
                try parser.parse()
                result = .success(parser)
            } catch {
                result = .failure(error)
            }
        }
        guard let parser = try result?.get() else {
            throw SafetensorsError(.malformed, file: file, message: "the header is empty")
        }
        dataOffset = 8 + bytes.count
        metadata = parser.metadata
        tensors = try Self.laidOut(parser.tensors, file: file, dataSize: fileSize - dataOffset)
    }

    /// Sorts tensors by their bytes and checks that these follow one another without gap or overlap to the file's end.
    private static func laidOut(
        _ tensors: [TensorInfo], file: String, dataSize: Int
    ) throws(SafetensorsError) -> [TensorInfo] {
        var tensors = tensors
        let sorted = zip(tensors, tensors.dropFirst()).allSatisfy { ($0.begin, $0.end) <= ($1.begin, $1.end) }
        if !sorted { tensors.sort { ($0.begin, $0.end) < ($1.begin, $1.end) } }
        var expected = 0
        for tensor in tensors {
            guard tensor.begin == expected else {
                let what = tensor.begin > expected ? "leaves a hole before it" : "overlaps the tensor before it"
                throw SafetensorsError(
                    .malformed, file: file, tensor: tensor.name,
                    message: "its data begins at \(tensor.begin), which \(what): expected \(expected)")
            }
            expected = tensor.end
        }
        guard expected == dataSize else {
            let advice =
                dataSize < expected
                ? "the file is truncated; download or copy it again" : "bytes that belong to no tensor follow"
            throw SafetensorsError(
                .malformed, file: file,
                message: "the tensors need \(expected) bytes behind the header and there are \(dataSize): \(advice)")
        }
        return tensors
    }
}
