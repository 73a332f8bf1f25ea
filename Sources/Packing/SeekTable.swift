import Safetensors

/// The table at the end of a payload: the frames' sizes, as in zstd's seekable format.
///
/// A skippable frame: magic 0x184D2A5E, size, then for each frame its compressed size, its decompressed size and the low
/// half of the XXH64 of what is in it; then the number of frames, a descriptor (0x80: with checksums), and the magic
/// 0x8F92EAB1. All are 32 bits, the descriptor 8.
struct SeekTable: Sendable {
    static let skippableMagic: UInt32 = 0x184D_2A5E
    static let footerMagic: UInt32 = 0x8F92_EAB1
    static let descriptor: UInt8 = 0x80
    private static let entrySize = 12
    private static let footerSize = 9

    private let entries: [FrameEntry]
    /// Where each chunk's frames begin in the payload.
    private let starts: [Int]

    /// Bytes of a table of so many frames, its own header included.
    static func size(frames: Int) -> Int { 8 + frames * entrySize + footerSize }

    func offset(ofChunk chunk: Int) -> Int { starts[chunk] }

    func entries(ofChunk chunk: Int, width: Int) -> ArraySlice<FrameEntry> {
        entries[chunk * width..<(chunk + 1) * width]
    }

    /// The table's bytes.
    static func serialized(_ entries: [FrameEntry]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(size(frames: entries.count))
        func add(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) } }
        add(skippableMagic)
        add(UInt32(entries.count * entrySize + footerSize))
        for entry in entries {
            add(entry.compressed)
            add(entry.raw)
            add(entry.checksum)
        }
        add(UInt32(entries.count))
        bytes.append(descriptor)
        add(footerMagic)
        return bytes
    }

    /// The frames that a content is cut into, once its payload is known to be large enough for them: what a file claims
    /// to hold is bounded by its own size, before anything is read or allocated.
    ///
    /// - Throws: `SafetensorsError` of `.malformed` where the payload cannot hold them.
    static func frames(payload: Int, layout: PlaneLayout) throws(SafetensorsError) -> Int {
        let (frames, overflow) = layout.chunkCount.multipliedReportingOverflow(by: layout.width)
        // A frame is at least its header, the header of a block and a checksum.
        guard !overflow, frames <= payload / (entrySize + 13), size(frames: frames) <= payload else {
            throw SafetensorsError(
                .malformed,
                message: "its payload of \(payload) bytes cannot hold the \(byteText(layout.byteCount)) that it claims")
        }
        return frames
    }

    /// Checks the table of a payload against the layout of what is in it.
    ///
    /// - Parameters:
    ///   - payload: bytes of the payload, the table included.
    ///   - read: the payload's last bytes, as many as asked for.
    /// - Throws: `SafetensorsError` of `.malformed` where the table is not what the layout asks for.
    init(
        payload: Int, layout: PlaneLayout, read: (_ count: Int) throws(SafetensorsError) -> [UInt8]
    ) throws(SafetensorsError) {
        let frames = try Self.frames(payload: payload, layout: layout)
        let bytes = try read(Self.size(frames: frames))
        func number(_ offset: Int) -> UInt32 {
            bytes.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
        }
        let end = bytes.count - Self.footerSize
        guard bytes.count == Self.size(frames: frames), number(0) == Self.skippableMagic,
            Int(number(4)) == bytes.count - 8, Int(number(end)) == frames, bytes[end + 4] == Self.descriptor,
            number(end + 5) == Self.footerMagic
        else {
            throw SafetensorsError(
                .malformed, message: "its payload does not end with the seek table of \(frames) frames")
        }
        var entries: [FrameEntry] = []
        var starts: [Int] = []
        entries.reserveCapacity(frames)
        var position = 0
        for frame in 0..<frames {
            let offset = 8 + frame * Self.entrySize
            let entry = FrameEntry(
                compressed: number(offset), raw: number(offset + 4), checksum: number(offset + 8))
            let chunk = frame / layout.width
            let plane = layout.range(ofChunk: chunk).count / layout.width
            // A frame that is larger than raw blocks would be is not one that an encoder makes.
            guard Int(entry.raw) == plane, Int(entry.compressed) <= plane + plane / 64 + 64 else {
                throw SafetensorsError(
                    .malformed,
                    message: "the seek table says that frame \(frame) makes \(entry.raw) bytes of \(entry.compressed), "
                        + "and it should make \(plane)")
            }
            if frame % layout.width == 0 { starts.append(position) }
            entries.append(entry)
            position += Int(entry.compressed)
        }
        guard position + bytes.count == payload else {
            throw SafetensorsError(
                .malformed,
                message: "the seek table's frames take \(position) bytes, and there are \(payload - bytes.count)")
        }
        self.entries = entries
        self.starts = starts
    }
}
