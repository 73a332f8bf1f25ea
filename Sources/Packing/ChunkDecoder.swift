import CPlatform
import CZstd
import Safetensors

/// Makes a chunk of its frames again. One thread at a time uses it.
final class ChunkDecoder: @unchecked Sendable {
    private let context: OpaquePointer
    private let planes = UnsafeMutableRawBufferPointer.allocate(
        byteCount: PlaneLayout.maximumChunkSize, alignment: 64)
    private var frames = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 64)
    private let spare = UnsafeMutableRawBufferPointer.allocate(
        byteCount: PlaneLayout.maximumChunkSize, alignment: 64)
    /// The chunk that `spare` holds.
    private var spareChunk: (content: PackedContent, chunk: Int)?

    /// - Throws: `SafetensorsError` where there is no memory.
    init() throws(SafetensorsError) {
        guard let context = ZSTD_createDCtx() else {
            planes.deallocate()
            spare.deallocate()
            frames.deallocate()
            throw ZstdFailure.outOfMemory
        }
        self.context = context
    }

    deinit {
        ZSTD_freeDCtx(context)
        planes.deallocate()
        spare.deallocate()
        frames.deallocate()
    }

    /// Whether it holds the chunk already.
    func holds(_ content: PackedContent, _ chunk: Int) -> Bool {
        spareChunk.map { $0.content == content && $0.chunk == chunk } ?? false
    }

    /// Fills `buffer` with the content's bytes from `offset` on.
    func read(
        _ content: PackedContent, base: PackedContent?, from offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        let layout = content.layout
        var done = 0
        while done < buffer.count {
            let index = (offset + done) / layout.chunkSize
            let range = layout.range(ofChunk: index)
            let skip = offset + done - range.lowerBound
            let count = min(range.count - skip, buffer.count - done)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
            if count == range.count {
                try decode(content, base: base, chunk: index, into: target)
            } else {
                if !holds(content, index) {
                    spareChunk = nil
                    let whole = UnsafeMutableRawBufferPointer(rebasing: spare[0..<range.count])
                    try decode(content, base: base, chunk: index, into: whole)
                    spareChunk = (content, index)
                }
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: spare[skip..<skip + count]))
            }
            done += count
        }
    }

    /// Fills `buffer` with a whole chunk.
    func decode(
        _ content: PackedContent, base: PackedContent?, chunk: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        try decodePlanes(content, chunk: chunk, into: buffer)
        guard let base else { return }
        let other = UnsafeMutableRawBufferPointer.allocate(byteCount: buffer.count, alignment: 64)
        defer { other.deallocate() }
        // The base's chunks need not be cut where this content's are.
        let start = content.layout.range(ofChunk: chunk).lowerBound
        spareChunk = nil
        try read(base, base: nil, from: start, into: other)
        guard let to = buffer.baseAddress, let with = other.baseAddress else { return }
        cplatform_xor(to, with, buffer.count)
    }

    private func decodePlanes(
        _ content: PackedContent, chunk: Int, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) {
        let layout = content.layout
        let table = try content.seekTable()
        let width = layout.width
        let entries = table.entries(ofChunk: chunk, width: width)
        let total = entries.reduce(0) { $0 + Int($1.compressed) }
        if frames.count < total {
            frames.deallocate()
            frames = .allocate(byteCount: total, alignment: 64)
        }
        try content.readPayload(
            at: table.offset(ofChunk: chunk), UnsafeMutableRawBufferPointer(rebasing: frames[0..<total]))
        let count = buffer.count / width
        var start = 0
        for (plane, entry) in entries.enumerated() {
            let frame = UnsafeRawBufferPointer(rebasing: frames[start..<start + Int(entry.compressed)])
            let target =
                width == 1
                ? buffer : UnsafeMutableRawBufferPointer(rebasing: planes[plane * count..<(plane + 1) * count])
            try decompress(frame, entry, into: target, content, chunk: chunk, plane: plane)
            start += frame.count
        }
        guard width > 1, let from = planes.baseAddress, let to = buffer.baseAddress else { return }
        cplatform_join_planes(from, to, count, Int32(width), layout.rotates ? 1 : 0)
    }

    private func decompress(
        _ frame: UnsafeRawBufferPointer, _ entry: FrameEntry, into target: UnsafeMutableRawBufferPointer,
        _ content: PackedContent, chunk: Int, plane: Int
    ) throws(SafetensorsError) {
        func failure(_ code: SafetensorsError.Code, _ message: String) -> SafetensorsError {
            content.failure(
                code, "chunk \(chunk), plane \(plane): \(message); copy the file again, or pack the checkpoint again")
        }
        // One segment, a checksum, no dictionary, nothing unused set: then there is no window that could be large.
        guard frame.count >= 13, frame[4] & 0x3F == 0x24,
            ZSTD_getFrameContentSize(frame.baseAddress, frame.count) == UInt64(target.count)
        else {
            throw failure(.malformed, "its frame does not begin as one of \(target.count) bytes with a checksum does")
        }
        guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else {
            throw failure(.malformed, "its frame does not end where the seek table says")
        }
        let stored = UInt32(littleEndian: frame.loadUnaligned(fromByteOffset: frame.count - 4, as: UInt32.self))
        guard stored == entry.checksum else {
            throw failure(.damaged, "the checksums of the frame and of the seek table differ")
        }
        let size = ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
        guard ZSTD_isError(size) == 0, size == target.count else {
            if ZstdFailure.isOutOfMemory(size) { throw ZstdFailure.outOfMemory }
            let isChecksum = ZSTD_getErrorCode(size) == ZSTD_error_checksum_wrong
            let reason = ZSTD_getErrorName(size).map { String(cString: $0) } ?? "unknown"
            throw failure(isChecksum ? .damaged : .malformed, "it cannot be decompressed: \(reason)")
        }
    }
}
