import CZstd
package import Safetensors

/// What a packed file says of itself: the original file's header, each tensor's content by its hash, and how each content
/// is stored. `Formats/mtz.md` gives the bytes.
package struct PackedDirectory: Sendable {
    /// The tensor of the directory in the file.
    package static let tensorName = "z/dir"
    /// The largest directory that is read, decompressed.
    static let maximumSize = 160_000_000
    static let version: UInt32 = 1
    private static let magic: UInt32 = 0x445A_544D  // "MTZD"
    private static let fixedSize = 32
    private static let recordSize = 96
    static let noPayload = UInt32.max

    /// How one content is stored.
    package struct Content: Sendable, Equatable {
        package let digest: Digest256
        /// The content that this one is stored as the exclusive-or with.
        package let base: Digest256?
        package let layout: PlaneLayout
        /// The number of its payload; none where it is empty.
        package let payload: Int?
        /// One for each plane. They say how it was made; a reader does not need them.
        package let codecs: [PlaneCodec]

        package init(
            digest: Digest256, base: Digest256?, layout: PlaneLayout, payload: Int?, codecs: [PlaneCodec]
        ) {
            self.digest = digest
            self.base = base
            self.layout = layout
            self.payload = payload
            self.codecs = codecs
        }
    }

    /// The original file's first bytes: the length and the header.
    package let headerBytes: [UInt8]
    /// The original file's size.
    package let fileSize: Int
    /// The content of each tensor, in the order of the original header's tensors in the file.
    package let tensors: [Digest256]
    /// The contents that the file holds, in the order of their payloads.
    package let contents: [Content]

    package init(headerBytes: [UInt8], fileSize: Int, tensors: [Digest256], contents: [Content]) {
        self.headerBytes = headerBytes
        self.fileSize = fileSize
        self.tensors = tensors
        self.contents = contents
    }

    /// The name of a payload: zero-padded, so that the names' order is the payloads'.
    package static func payloadName(_ number: Int) -> String {
        let digits = String(number)
        return "z/" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
    }

    // MARK: Writing

    /// The directory before it is compressed.
    var serialized: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(
            Self.fixedSize + headerBytes.count + tensors.count * Digest256.size + contents.count * Self.recordSize)
        func add(_ value: some FixedWidthInteger) {
            withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
        }
        add(Self.magic)
        add(Self.version)
        add(UInt64(fileSize))
        add(UInt64(headerBytes.count))
        add(UInt32(tensors.count))
        add(UInt32(contents.count))
        bytes += headerBytes
        for digest in tensors { bytes += digest.bytes }
        for content in contents {
            bytes += content.digest.bytes
            bytes += (content.base ?? .none).bytes
            add(UInt64(content.layout.byteCount))
            add(content.payload.map { UInt32($0) } ?? Self.noPayload)
            add(UInt32(content.layout.chunkSize))
            add(UInt8(content.layout.width))
            add(UInt8(content.layout.rotates ? 1 : 0))
            for plane in 0..<8 { add(plane < content.codecs.count ? content.codecs[plane].rawValue : 0) }
            bytes += [0, 0, 0, 0, 0, 0]
        }
        return bytes
    }

    /// One zstd frame with a checksum and its size.
    package func compressed() throws(SafetensorsError) -> [UInt8] {
        let bytes = serialized
        guard bytes.count <= Self.maximumSize else {
            throw SafetensorsError(
                .invalidArgument, message: "the directory would have \(bytes.count) bytes, more than a reader accepts")
        }
        guard let context = ZSTD_createCCtx() else {
            throw ZstdFailure.outOfMemory
        }
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 9)
        var output = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
        let size = ZSTD_compress2(context, &output, output.count, bytes, bytes.count)
        guard ZSTD_isError(size) == 0 else {
            throw ZstdFailure.compressing("the directory", size)
        }
        return Array(output[0..<size])
    }

    // MARK: Reading

    /// Parses a directory strictly.
    ///
    /// - Parameters:
    ///   - frame: the bytes of `z/dir`.
    ///   - payloads: how many payloads the file has.
    /// - Throws: `SafetensorsError`: `malformed`, or `damaged` for a wrong checksum.
    package init(decompressing frame: [UInt8], payloads: Int, file: String) throws(SafetensorsError) {
        func failure(_ code: SafetensorsError.Code, _ message: String) -> SafetensorsError {
            SafetensorsError(code, file: file, tensor: Self.tensorName, message: "the directory \(message)")
        }
        let size = ZSTD_getFrameContentSize(frame, frame.count)
        guard frame.count >= 13, size <= UInt64(Self.maximumSize),
            ZSTD_findFrameCompressedSize(frame, frame.count) == frame.count
        else {
            throw failure(
                .malformed,
                "is not one zstd frame of at most \(byteText(Self.maximumSize)): "
                    + "this is no packed file, or a damaged one")
        }
        var bytes = [UInt8](repeating: 0, count: Int(size))
        let made = ZSTD_decompress(&bytes, bytes.count, frame, frame.count)
        guard ZSTD_isError(made) == 0, made == bytes.count else {
            if ZstdFailure.isOutOfMemory(made) { throw ZstdFailure.outOfMemory }
            let isChecksum = ZSTD_getErrorCode(made) == ZSTD_error_checksum_wrong
            throw failure(isChecksum ? .damaged : .malformed, "cannot be decompressed: copy the file again")
        }
        self = try Self.parsed(bytes, payloads: payloads, failure: { failure(.malformed, $0) })
    }

    private static func parsed(
        _ bytes: [UInt8], payloads: Int, failure: (String) -> SafetensorsError
    ) throws(SafetensorsError) -> PackedDirectory {
        func number<T: FixedWidthInteger>(_ offset: Int, _ type: T.Type) -> T {
            bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
        }
        guard bytes.count >= fixedSize, number(0, UInt32.self) == magic else {
            throw failure("has no MTZD at its start")
        }
        guard number(4, UInt32.self) == version else {
            throw failure(
                "is of version \(number(4, UInt32.self)), and version \(version) is known: use a newer moe-tool")
        }
        let tensorCount = Int(number(24, UInt32.self))
        let contentCount = Int(number(28, UInt32.self))
        guard let fileSize = Int(exactly: number(8, UInt64.self)), let length = Int(exactly: number(16, UInt64.self)),
            length >= 8, length <= 8 + Header.maximumSize, tensorCount <= Header.maximumTensors,
            contentCount <= tensorCount,
            bytes.count == fixedSize + length + tensorCount * Digest256.size + contentCount * recordSize
        else {
            throw failure("has \(bytes.count) bytes, and its counts ask for another number")
        }
        var offset = fixedSize
        let header = Array(bytes[offset..<offset + length])
        offset += length
        var tensors: [Digest256] = []
        tensors.reserveCapacity(tensorCount)
        func digest(_ offset: Int) -> Digest256 { bytes.withUnsafeBytes { Digest256($0, at: offset) } }
        for index in 0..<tensorCount { tensors.append(digest(offset + index * Digest256.size)) }
        offset += tensorCount * Digest256.size
        var contents: [Content] = []
        contents.reserveCapacity(contentCount)
        var seen: Set<Digest256> = []
        var nextPayload = 0
        for index in 0..<contentCount {
            let at = offset + index * recordSize
            let width = Int(bytes[at + 80])
            let chunkSize = Int(number(at + 76, UInt32.self))
            let rotation = bytes[at + 81]
            guard [1, 2, 4, 8].contains(width), (1024...PlaneLayout.maximumChunkSize).contains(chunkSize),
                chunkSize % 8 == 0, rotation <= 1, let count = Int(exactly: number(at + 64, UInt64.self)),
                count % width == 0, bytes[at + 82 + width..<at + recordSize].allSatisfy({ $0 == 0 })
            else {
                throw failure("describes content \(index) by a width, chunk size or length that cannot be")
            }
            var codecs: [PlaneCodec] = []
            for plane in 0..<width {
                guard let codec = PlaneCodec(rawValue: bytes[at + 82 + plane]) else {
                    throw failure("names a codec of content \(index) that is not known: use a newer moe-tool")
                }
                codecs.append(codec)
            }
            let payload = number(at + 72, UInt32.self)
            guard count == 0 ? payload == noPayload : Int(payload) == nextPayload else {
                throw failure("gives content \(index) payload \(payload), and \(nextPayload) is next")
            }
            if count > 0 { nextPayload += 1 }
            let base = digest(at + 32)
            let content = Content(
                digest: digest(at), base: base == .none ? nil : base,
                layout: PlaneLayout(byteCount: count, width: width, rotates: rotation == 1, chunkSize: chunkSize),
                payload: count == 0 ? nil : Int(payload), codecs: codecs)
            guard seen.insert(content.digest).inserted, content.base != content.digest else {
                throw failure("has content \(content.digest) twice, or as its own base")
            }
            contents.append(content)
        }
        guard nextPayload == payloads else {
            throw failure("names \(nextPayload) payloads, and the file has \(payloads)")
        }
        return PackedDirectory(headerBytes: header, fileSize: fileSize, tensors: tensors, contents: contents)
    }
}
