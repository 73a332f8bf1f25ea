package import Safetensors

/// Writes a packed file: payloads one after another, then the directory, then the header in front of them.
package final class PackedFileWriter {
    private let file: PosixFile
    private let reserved: Int
    /// Where the next payload begins.
    private var position: Int
    private var sizes: [Int] = []
    private var contents: [PackedDirectory.Content] = []

    /// - Parameters:
    ///   - contents: contents at most.
    ///   - byteCount: their bytes at most, before they are compressed.
    /// - Throws: `SafetensorsError` where the file exists already or cannot be made.
    package init(creating path: String, contents: Int, byteCount: Int) throws(SafetensorsError) {
        // The header stands before what it describes: room for the longest that it can become.
        let largest = byteCount + byteCount / 32 + contents * 1024 + PackedDirectory.maximumSize
        let names = (0..<contents).map { (PackedDirectory.payloadName($0), DType.u8) }
        let sample = try Header.serialized(tensors: [], metadata: Self.metadata(digest: .none)).bytes.count
        let entry = #","z/000000":{"dtype":"U8","shape":[],"data_offsets":[,]}"#.utf8.count
        let digits = String(largest).utf8.count
        let size = sample + (names.count + 1) * (entry + 3 * digits + 2)
        guard size <= Header.maximumSize else {
            throw SafetensorsError(
                .invalidArgument, file: path, message: "\(contents) tensors are more than a packed file can hold")
        }
        reserved = (size + 7) / 8 * 8
        position = reserved
        file = try PosixFile.create(path)
    }

    private static func metadata(digest: Digest256) -> [String: String] {
        ["format": "mtz", PackedFile.versionKey: "1", PackedFile.digestKey: digest.description]
    }

    /// The file's size so far.
    package var byteCount: Int { position }

    /// Begins a payload.
    func beginPayload() -> PayloadWriter { PayloadWriter(file, at: position) }

    /// Takes a payload into the file; one that is not taken is written over by the next.
    func commit(
        _ payload: PayloadWriter, digest: Digest256, base: Digest256?, layout: PlaneLayout, codecs: [PlaneCodec]
    ) throws(SafetensorsError) {
        if layout.byteCount > 0 {
            try payload.finish()
            sizes.append(payload.count)
            position += payload.count
        }
        contents.append(
            PackedDirectory.Content(
                digest: digest, base: base, layout: layout, payload: layout.byteCount > 0 ? sizes.count - 1 : nil,
                codecs: codecs))
    }

    /// Writes directory and header, and syncs the file.
    ///
    /// - Parameters:
    ///   - headerBytes: the original file's header with its length.
    ///   - tensors: the contents of its tensors, in their order.
    package func finish(headerBytes: [UInt8], fileSize: Int, tensors: [Digest256]) throws(SafetensorsError) {
        let directory = try PackedDirectory(
            headerBytes: headerBytes, fileSize: fileSize, tensors: tensors, contents: contents
        ).compressed()
        var entries: [(name: String, dtype: DType, shape: Shape)] = []
        for (number, size) in sizes.enumerated() {
            entries.append((PackedDirectory.payloadName(number), .u8, try Shape([size])))
        }
        entries.append((PackedDirectory.tensorName, .u8, try Shape([directory.count])))
        let (bytes, _) = try Header.serialized(
            tensors: entries, metadata: Self.metadata(digest: Digest256.hash(directory)))
        var header = bytes
        guard header.count <= reserved else {
            throw SafetensorsError(
                .invalidArgument, file: file.path, message: "the header outgrew the room that was left for it")
        }
        // Tensors that share a content need no payload: where that leaves much of a small file empty, it is closed up.
        if reserved - header.count > position / 1024 {
            try moveDown(to: header.count)
        } else {
            header += Array(repeating: 0x20, count: reserved - header.count)
            withUnsafeBytes(of: UInt64(reserved - 8).littleEndian) { header.replaceSubrange(0..<8, with: $0) }
        }
        try file.writeExactly(header, at: 0)
        try file.writeExactly(directory, at: position)
        position += directory.count
        try file.truncate(position)
        try file.sync()
        // What is read back is then what the disk has.
        file.dropCache()
    }

    /// Moves the payloads to begin at `start`, which is before where they are.
    private func moveDown(to start: Int) throws(SafetensorsError) {
        let distance = reserved - start
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var from = reserved
        while from < position {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(buffer.count, position - from)])
            try file.readExactly(into: part, at: from)
            try file.writeExactly(from: UnsafeRawBufferPointer(part), at: from - distance)
            from += part.count
        }
        position -= distance
    }
}

/// Writes one payload at the end of a packed file.
final class PayloadWriter {
    private let file: PosixFile
    private let start: Int
    private var entries: [FrameEntry] = []
    /// Bytes so far.
    private(set) var count = 0

    init(_ file: PosixFile, at start: Int) {
        self.file = file
        self.start = start
    }

    /// Appends the frames of the next chunk.
    func append(_ frames: UnsafeRawBufferPointer, _ entries: [FrameEntry]) throws(SafetensorsError) {
        try file.writeExactly(from: frames, at: start + count)
        file.startWriteback(offset: start + count, length: frames.count)
        count += frames.count
        self.entries += entries
    }

    /// Appends the seek table.
    func finish() throws(SafetensorsError) {
        let table = SeekTable.serialized(entries)
        try file.writeExactly(table, at: start + count)
        count += table.count
    }
}
