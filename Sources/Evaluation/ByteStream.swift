import CZstd
import Checkpoints
import Safetensors

/// The bytes of a file from first to last, in pieces.
protocol ByteStream: AnyObject {
    /// The next bytes; none at the end.
    ///
    /// - Throws: `SafetensorsError` where the system fails; `CheckpointError` of `.malformed` where the file is broken,
    ///   and then the next call says that it is at its end.
    func next() throws -> [UInt8]
}

extension DataFile {
    /// - Throws: `CheckpointError` of `.malformed` where it is plainly something else than its name says.
    func checkContent(_ file: PosixFile) throws {
        let beginning = try file.bytes(at: 0, count: min(file.size(), ForeignContent.prefixLength))
        let isText = kind != .tokens && !isCompressed
        let problem = isText ? ForeignContent.problem(ofText: beginning) : ForeignContent.problem(of: beginning)
        if let problem { throw CheckpointError(.malformed, file: path, message: problem) }
    }

    /// The file's bytes, decompressed.
    func open() throws -> any ByteStream {
        let file = try PosixFile.open(path)
        try checkContent(file)
        let plain = try PlainStream(file)
        return isCompressed ? try ZstdStream(plain, path: path) : plain
    }
}

/// A file as it is.
private final class PlainStream: ByteStream {
    private static let pieceSize = 256 << 10

    private let file: PosixFile
    private let size: Int
    private var offset = 0

    init(_ file: PosixFile) throws {
        self.file = file
        size = try file.size()
    }

    func next() throws -> [UInt8] {
        let count = min(Self.pieceSize, size - offset)
        guard count > 0 else { return [] }
        defer { offset += count }
        return try file.bytes(at: offset, count: count)
    }
}

private func outOfMemory(_ path: String) -> CheckpointError {
    CheckpointError(.outOfMemory, file: path, message: "out of memory: there is none to decompress it with")
}

/// Frames of Zstandard (RFC 8878), one after another.
private final class ZstdStream: ByteStream {
    private let source: any ByteStream
    private let path: String
    private let context: OpaquePointer
    private var input: [UInt8] = []
    private var inputPosition = 0
    /// What a frame that has begun is waiting for; 0 between frames.
    private var pending = 0
    /// Whether the decoder had no room for all that it has already.
    private var holdsMore = false
    private var isAtEnd = false

    init(_ source: any ByteStream, path: String) throws {
        guard let context = ZSTD_createDCtx() else {
            throw outOfMemory(path)
        }
        self.source = source
        self.path = path
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    func next() throws -> [UInt8] {
        while !isAtEnd {
            if inputPosition == input.count, !holdsMore {
                input = try source.next()
                inputPosition = 0
                if input.isEmpty {
                    isAtEnd = true
                    guard pending == 0 else { throw failure("the last frame is cut short") }
                    return []
                }
            }
            let output = try decompressed()
            if !output.isEmpty { return output }
        }
        return []
    }

    private func decompressed() throws -> [UInt8] {
        var status = 0
        var consumed = 0
        var isFull = false
        let start = inputPosition
        let output = input.withUnsafeBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: ZSTD_DStreamOutSize()) { buffer, count in
                let piece = UnsafeRawBufferPointer(rebasing: bytes[start...])
                var from = ZSTD_inBuffer(src: piece.baseAddress, size: piece.count, pos: 0)
                var to = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
                status = ZSTD_decompressStream(context, &to, &from)
                (count, consumed) = (to.pos, from.pos)
                isFull = to.pos == to.size
            }
        }
        guard ZSTD_isError(status) == 0 else {
            isAtEnd = true
            if ZSTD_getErrorCode(status) == ZSTD_error_frameParameter_windowTooLarge {
                throw failure(
                    "it was compressed with a window that takes more memory than is given to one file (zstd --long): "
                        + "recompress it with `zstd -d --long=31 -c FILE | zstd -o NEW`")
            }
            if ZSTD_getErrorCode(status) == ZSTD_error_memory_allocation { throw outOfMemory(path) }
            let reason = ZSTD_getErrorName(status).map { String(cString: $0) } ?? "unknown"
            throw failure("it cannot be decompressed as Zstandard: \(reason)")
        }
        inputPosition += consumed
        pending = status
        // At the end of a frame nothing is held back, and a call without input would begin the next one.
        holdsMore = isFull && pending != 0
        return output
    }

    private func failure(_ message: String) -> CheckpointError {
        CheckpointError(.malformed, file: path, message: message)
    }
}
