package import Safetensors
import Synchronization

/// An open packed file (.mtz): a safetensors file that holds another one's tensors compressed.
///
/// Tensors with the same bytes have one content; a content may be in another file of the same checkpoint, where it is
/// looked up by its hash, never by a path.
package struct PackedFile: Sendable {
    /// The end of a packed file's name.
    package static let suffix = ".mtz"
    static let versionKey = "moe-tool.mtz.version"
    static let digestKey = "moe-tool.mtz.dir.sha256"

    /// The original file's header.
    package let header: Header
    package let size: Int
    package let path: String
    let storage: PackedStorage

    /// What the directory says.
    package var directory: PackedDirectory { storage.directory }

    /// Opens a file and checks its directory; no payload is read.
    ///
    /// - Throws: `SafetensorsError`: `malformed` where it is not what the format allows, `damaged` where the directory does
    ///   not have its hash.
    package init(path: String) throws(SafetensorsError) {
        func failure(_ code: SafetensorsError.Code, tensor: String? = nil, _ message: String) -> SafetensorsError {
            SafetensorsError(code, file: path, tensor: tensor, message: message)
        }
        let (container, metadata) = try Self.container(path)
        let file = try PosixFile.open(path)
        guard let directoryInfo = container.info(PackedDirectory.tensorName) else {
            throw failure(.malformed, tensor: PackedDirectory.tensorName, "there is no directory: pack it again")
        }
        guard directoryInfo.end - directoryInfo.begin <= PackedDirectory.maximumSize + (1 << 20) else {
            throw failure(
                .malformed, tensor: PackedDirectory.tensorName, "the directory is larger than any that is read")
        }
        let frame = try container.bytes(PackedDirectory.tensorName)
        guard metadata[Self.digestKey] == Digest256.hash(frame).description else {
            throw failure(
                .damaged, tensor: PackedDirectory.tensorName,
                "the directory's SHA-256 is not the one in __metadata__: copy the file again")
        }
        let payloads = container.header.tensors.filter { $0.name != PackedDirectory.tensorName }
        let directory = try PackedDirectory(decompressing: frame, payloads: payloads.count, file: path)
        for (number, payload) in payloads.enumerated() {
            let name = PackedDirectory.payloadName(number)
            guard payload.name == name, payload.dtype == .u8 else {
                throw failure(
                    .malformed, tensor: name,
                    "expected this payload of U8, found \(escaped(payload.name)) of \(payload.dtype.rawValue): copy the "
                        + "file again")
            }
        }
        let length = directory.headerBytes.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length == UInt64(directory.headerBytes.count - 8) else {
            throw failure(
                .malformed, tensor: PackedDirectory.tensorName, "the original header's length is not the one it states")
        }
        header = try Header(
            parsing: Array(directory.headerBytes.dropFirst(8)), file: path, fileSize: directory.fileSize)
        guard header.tensors.count == directory.tensors.count else {
            throw failure(
                .malformed, tensor: PackedDirectory.tensorName,
                "the original header has \(header.tensors.count) tensors, and the directory \(directory.tensors.count)")
        }
        let names = Dictionary(
            zip(directory.tensors, header.tensors.map(\.name)).map { ($0, $1) }, uniquingKeysWith: { first, _ in first }
        )
        let offset = container.header.dataOffset
        storage = PackedStorage(
            file, directory, payloads: payloads.map { offset + $0.begin..<offset + $0.end }, names: names)
        self.path = path
        size = container.size
        for content in directory.contents {
            guard let name = names[content.digest] else {
                throw failure(
                    .malformed, tensor: PackedDirectory.tensorName, "content \(content.digest) belongs to no tensor")
            }
            guard let number = content.payload else { continue }
            do throws(SafetensorsError) {
                _ = try SeekTable.frames(
                    payload: payloads[number].end - payloads[number].begin, layout: content.layout)
            } catch {
                throw failure(.malformed, tensor: name, error.message + "; copy the file again")
            }
        }
    }

    /// Opens the file as the safetensors file that it is, and checks that its header is that of a packed file.
    private static func container(_ path: String) throws(SafetensorsError) -> (SafetensorsFile, [String: String]) {
        do throws(SafetensorsError) {
            let container = try SafetensorsFile(path: path)
            let metadata = Dictionary(
                container.header.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
            guard metadata["format"] == "mtz" || metadata[versionKey] != nil || metadata[digestKey] != nil else {
                throw SafetensorsError(
                    .malformed, file: path,
                    message: "its __metadata__ does not say \"format\": \"mtz\": it is no packed file")
            }
            if let version = metadata[versionKey], version != "1" {
                throw SafetensorsError(
                    .malformed, file: path, tensor: PackedDirectory.tensorName,
                    message: "it is of version \(escaped(version)), and version 1 is known: use a newer moe-tool")
            }
            try checkCanonical(container, metadata)
            return (container, metadata)
        } catch {
            guard error.code == .malformed, let tensor = ContainerHeader.damagedTensor(of: path) else { throw error }
            throw SafetensorsError(.malformed, file: path, tensor: tensor, message: error.message)
        }
    }

    /// The header must be the one that the format gives for these payloads, followed by spaces: a byte that is another
    /// has no other sign.
    private static func checkCanonical(
        _ container: SafetensorsFile, _ metadata: [String: String]
    ) throws(SafetensorsError) {
        let length = container.header.dataOffset
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: length, alignment: 8)
        defer { buffer.deallocate() }
        try container.readRaw(at: 0, into: buffer)
        let expected = try Header.serialized(
            tensors: container.header.tensors.map { ($0.name, $0.dtype, $0.shape) }, metadata: metadata
        ).bytes.dropFirst(8)
        guard metadata.count == 3, metadata["format"] == "mtz", metadata[versionKey] == "1",
            expected.count <= length - 8,
            buffer[8..<8 + expected.count].elementsEqual(expected),
            buffer[(8 + expected.count)...].allSatisfy({ $0 == 0x20 })
        else {
            throw SafetensorsError(
                .malformed, file: container.path,
                message: "its header is not written as that of a packed file is: it is damaged; copy it again")
        }
    }

    /// Opens files of one checkpoint, which may hold each other's contents.
    ///
    /// - Throws: `SafetensorsError`: `missing` where a content is in none of them, `malformed` where a content is stored
    ///   against one that is itself stored against another, or has another size.
    package static func open(_ paths: [String]) throws(SafetensorsError) -> [SafetensorsFile] {
        var packed: [PackedFile] = []
        for path in paths { packed.append(try PackedFile(path: path)) }
        var files: [SafetensorsFile] = []
        for file in packed {
            let contents = try PackedTensors(file, among: packed)
            files.append(try SafetensorsFile(file.storage.file, header: file.header, contents: contents))
        }
        return files
    }
}

/// The tensors of a packed file, each with the content that it has.
package struct PackedTensors: TensorContents {
    /// A tensor's content, and the content that this is stored against.
    package struct Entry: Sendable {
        package let content: PackedContent
        let base: PackedContent?
    }

    package let entries: [Entry]
    private let names: [String]
    private let pool: DecoderPool

    package init(_ file: PackedFile, among files: [PackedFile]) throws(SafetensorsError) {
        var entries: [Entry] = []
        entries.reserveCapacity(file.header.tensors.count)
        for (tensor, digest) in zip(file.header.tensors, file.directory.tensors) {
            func failure(_ code: SafetensorsError.Code, _ message: String) -> SafetensorsError {
                SafetensorsError(code, file: file.path, tensor: tensor.name, message: message)
            }
            func find(_ digest: Digest256) -> PackedContent? {
                if let own = file.storage.content(digest) { return own }
                for other in files { if let content = other.storage.content(digest) { return content } }
                return nil
            }
            guard let content = find(digest) else {
                throw failure(
                    .missing,
                    "its bytes, of SHA-256 \(digest), are in another file of the checkpoint, which is not here: "
                        + "open the folder that has all of them")
            }
            guard content.layout.byteCount == tensor.end - tensor.begin else {
                throw failure(
                    .malformed,
                    "its content has \(content.layout.byteCount) bytes, and it needs \(tensor.end - tensor.begin)")
            }
            var base: PackedContent?
            if let digest = content.record.base {
                guard let found = find(digest) else {
                    throw failure(
                        .missing,
                        "it is stored against bytes of SHA-256 \(digest), which are not here: open the folder "
                            + "that has them")
                }
                guard found.record.base == nil else {
                    throw failure(.malformed, "it is stored against bytes that are stored against others themselves")
                }
                guard found.layout.byteCount == content.layout.byteCount,
                    found.layout.chunkSize == content.layout.chunkSize
                else {
                    throw failure(.malformed, "it is stored against bytes of another length or chunk size")
                }
                base = found
            }
            entries.append(Entry(content: content, base: base))
        }
        self.entries = entries
        names = file.header.tensors.map(\.name)
        pool = DecoderPool()
    }

    package func read(
        tensor: Int, from offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        guard entries.indices.contains(tensor), !buffer.isEmpty else { return }
        let entry = entries[tensor]
        let decoder = try pool.take(for: entry.content, chunk: offset / entry.content.layout.chunkSize)
        defer { pool.give(decoder) }
        do throws(SafetensorsError) {
            try decoder.read(entry.content, base: entry.base, from: offset, into: buffer)
        } catch {
            // The content knows one tensor that has it; this is the one that was asked for.
            throw SafetensorsError(
                error.code, file: error.file, tensor: names[tensor], message: error.message, errno: error.errno)
        }
    }
}

/// Decoders that no thread is using.
private final class DecoderPool: Sendable {
    private let free = Mutex<[ChunkDecoder]>([])

    /// One that holds the chunk already, if there is one.
    func take(for content: PackedContent, chunk: Int) throws(SafetensorsError) -> ChunkDecoder {
        let found = free.withLock { free -> ChunkDecoder? in
            guard let index = free.firstIndex(where: { $0.holds(content, chunk) }) ?? free.indices.last else {
                return nil
            }
            return free.remove(at: index)
        }
        return if let found { found } else { try ChunkDecoder() }
    }

    func give(_ decoder: ChunkDecoder) { free.withLock { if $0.count < 64 { $0.append(decoder) } } }
}
