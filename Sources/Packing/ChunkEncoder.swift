import CPlatform
import CZstd
import Safetensors

/// A frame that was made: its size in the payload, the plane's bytes in it, and the low half of their XXH64.
struct FrameEntry: Sendable, Equatable {
    var compressed: UInt32
    var raw: UInt32
    var checksum: UInt32
}

/// Makes zstd frames of a chunk's planes. One thread at a time uses it.
final class ChunkEncoder: @unchecked Sendable {
    private let context: OpaquePointer
    private let planes = UnsafeMutableRawBufferPointer.allocate(
        byteCount: PlaneLayout.maximumChunkSize, alignment: 64)

    /// - Throws: `SafetensorsError` where there is no memory.
    init() throws(SafetensorsError) {
        guard let context = ZSTD_createCCtx() else {
            planes.deallocate()
            throw ZstdFailure.outOfMemory
        }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    }

    deinit {
        ZSTD_freeCCtx(context)
        planes.deallocate()
    }

    /// Bytes that the frames of a chunk take at most.
    static func bound(chunkSize: Int, width: Int) -> Int {
        width * (ZSTD_compressBound(chunkSize / width) + 32)
    }

    /// Writes the frames of a chunk, plane after plane, to `output`.
    ///
    /// - Parameters:
    ///   - chunk: a whole number of elements.
    ///   - codecs: one for each plane.
    /// - Returns: the frames' entries.
    func encode(
        _ chunk: UnsafeRawBufferPointer, layout: PlaneLayout, codecs: [PlaneCodec],
        into output: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) -> [FrameEntry] {
        let count = chunk.count / layout.width
        split(chunk, layout)
        var entries: [FrameEntry] = []
        var used = 0
        for (plane, codec) in codecs.enumerated() {
            let bytes = UnsafeRawBufferPointer(rebasing: planes[plane * count..<(plane + 1) * count])
            let rest = UnsafeMutableRawBufferPointer(rebasing: output[used...])
            let size = try compress(bytes, codec, into: rest)
            // A frame ends with the checksum of what is in it.
            let checksum = rest.loadUnaligned(fromByteOffset: size - 4, as: UInt32.self)
            entries.append(
                FrameEntry(
                    compressed: UInt32(size), raw: UInt32(count), checksum: UInt32(littleEndian: checksum)))
            used += size
        }
        return entries
    }

    /// The codec for each plane that makes the samples smallest; a slower one must win by enough to be worth it.
    ///
    /// - Parameter samples: parts of a content, each a whole number of elements and no longer than a chunk.
    /// - Returns: the codecs, and the bytes that the samples take with them.
    func choose(_ samples: [UnsafeRawBufferPointer], layout: PlaneLayout) throws(SafetensorsError) -> (
        codecs: [PlaneCodec], size: Int
    ) {
        var sizes = Array(repeating: [0, 0, 0], count: layout.width)
        let output = UnsafeMutableRawBufferPointer.allocate(
            byteCount: Self.bound(chunkSize: PlaneLayout.chunkSize, width: 1), alignment: 16)
        defer { output.deallocate() }
        for sample in samples {
            let count = sample.count / layout.width
            split(sample, layout)
            for plane in 0..<layout.width {
                let bytes = UnsafeRawBufferPointer(rebasing: planes[plane * count..<(plane + 1) * count])
                sizes[plane][0] += count + 13
                sizes[plane][1] += try compress(bytes, .huffman, into: output)
                sizes[plane][2] += try compress(bytes, .level1, into: output)
            }
        }
        var total = 0
        let codecs = sizes.map { size in
            var best = PlaneCodec.raw
            var bytes = size[0]
            if Double(size[1]) < 0.98 * Double(bytes) { (best, bytes) = (.huffman, size[1]) }
            if Double(size[2]) < 0.97 * Double(bytes) { (best, bytes) = (.level1, size[2]) }
            total += bytes
            return best
        }
        return (codecs, total)
    }

    private func split(_ chunk: UnsafeRawBufferPointer, _ layout: PlaneLayout) {
        guard let from = chunk.baseAddress, let to = planes.baseAddress else { return }
        cplatform_split_planes(from, to, chunk.count / layout.width, Int32(layout.width), layout.rotates ? 1 : 0)
    }

    private func compress(
        _ bytes: UnsafeRawBufferPointer, _ codec: PlaneCodec, into output: UnsafeMutableRawBufferPointer
    ) throws(SafetensorsError) -> Int {
        // A negative level searches for matches the less the lower it is; the lowest finds none. Without compressed
        // literals nothing is left, and the blocks are raw.
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, codec == .level1 ? 1 : -131_072)
        let literals: Int32 =
            switch codec {
            case .raw: 2
            case .huffman: 1
            case .level1: 0
            }
        // ZSTD_c_literalCompressionMode, which zstd.h declares for static linking only.
        ZSTD_CCtx_setParameter(context, ZSTD_c_experimentalParam5, literals)
        let size = ZSTD_compress2(context, output.baseAddress, output.count, bytes.baseAddress, bytes.count)
        guard ZSTD_isError(size) == 0 else {
            throw ZstdFailure.compressing("a chunk", size)
        }
        return size
    }
}
