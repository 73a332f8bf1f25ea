import CPlatform
import Crypto
package import Numerics
import Safetensors
import Synchronization

/// Reads bytes of a content from an offset on.
package typealias ContentReader = (_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws -> Void

/// Compresses contents into payloads, chunk by chunk on all threads, in memory that does not depend on their size.
///
/// While a batch of chunks is compressed and hashed, the next is read and the last one is written.
package final class ContentEncoder {
    static let batchChunks = 16

    private let workers: Workers
    private let pool = Mutex<[ChunkEncoder]>([])
    private let inputs: [UnsafeMutableRawBufferPointer]
    private let bases: [UnsafeMutableRawBufferPointer]
    private let slots: [[OutputSlot]]

    /// - Parameter workers: the threads; the caller's is one of them.
    package init(workers: Workers) {
        self.workers = workers
        let size = Self.batchChunks * PlaneLayout.chunkSize
        inputs = (0..<2).map { _ in .allocate(byteCount: size, alignment: 64) }
        bases = (0..<2).map { _ in .allocate(byteCount: size, alignment: 64) }
        slots = (0..<2).map { _ in (0..<Self.batchChunks).map { _ in OutputSlot() } }
    }

    deinit {
        for buffer in inputs + bases { buffer.deallocate() }
    }

    /// Compresses a content.
    ///
    /// - Parameters:
    ///   - read: gives its bytes, from first to last, from one thread at a time.
    ///   - base: gives the bytes of the content it is stored against.
    ///   - payload: takes the frames.
    ///   - check: called between batches; what it throws ends the work.
    /// - Returns: the content's hash.
    func encode(
        _ layout: PlaneLayout, codecs: [PlaneCodec], base: ContentReader? = nil, into payload: PayloadWriter,
        check: () throws -> Void, read: ContentReader
    ) throws -> Digest256 {
        let chunks = layout.chunkCount
        let batches = (chunks + Self.batchChunks - 1) / Self.batchChunks
        var hash = SHA256()
        func bytes(_ batch: Int) -> Range<Int> {
            let start = batch * Self.batchChunks * layout.chunkSize
            return start..<min(start + Self.batchChunks * layout.chunkSize, layout.byteCount)
        }
        func part(_ buffers: [UnsafeMutableRawBufferPointer], _ batch: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: buffers[batch % 2][0..<bytes(batch).count])
        }
        func load(_ batch: Int) throws {
            try read(bytes(batch).lowerBound, part(inputs, batch))
            if let base { try base(bytes(batch).lowerBound, part(bases, batch)) }
        }
        if batches > 0 { try load(0) }
        for batch in 0..<(batches == 0 ? 0 : batches + 1) {
            try check()
            let failure = FirstFailure()
            let count = batch < batches ? min(Self.batchChunks, chunks - batch * Self.batchChunks) : 0
            workers.forEach(3 + count) { piece in
                failure.catching {
                    switch piece {
                    case 0 where batch < batches:
                        hash.update(bufferPointer: UnsafeRawBufferPointer(part(inputs, batch)))
                    case 1 where batch + 1 < batches: try load(batch + 1)
                    case 2 where batch > 0: try write(batch - 1, layout, payload)
                    case 3...:
                        try encode(
                            chunk: piece - 3, of: part(inputs, batch),
                            against: base == nil ? nil : part(bases, batch), layout, codecs,
                            into: slots[batch % 2][piece - 3])
                    default: break
                    }
                }
            }
            try failure.rethrow()
        }
        return Digest256(hash.finalize())
    }

    /// The codecs that suit samples of a content best.
    func choose(
        _ samples: [UnsafeRawBufferPointer], layout: PlaneLayout
    ) throws -> (codecs: [PlaneCodec], size: Int) {
        let encoder = try take()
        defer { give(encoder) }
        return try encoder.choose(samples, layout: layout)
    }

    private func encode(
        chunk: Int, of batch: UnsafeMutableRawBufferPointer, against base: UnsafeMutableRawBufferPointer?,
        _ layout: PlaneLayout, _ codecs: [PlaneCodec], into slot: OutputSlot
    ) throws {
        let range = chunk * layout.chunkSize..<min((chunk + 1) * layout.chunkSize, batch.count)
        let bytes = UnsafeRawBufferPointer(rebasing: batch[range])
        let encoder = try take()
        defer { give(encoder) }
        guard let base else {
            try slot.fill { output in try encoder.encode(bytes, layout: layout, codecs: codecs, into: output) }
            return
        }
        // The base's buffer takes the difference: the content's own bytes are hashed meanwhile.
        let other = UnsafeMutableRawBufferPointer(rebasing: base[range])
        if let to = other.baseAddress, let with = bytes.baseAddress { cplatform_xor(to, with, bytes.count) }
        try slot.fill { output in
            try encoder.encode(UnsafeRawBufferPointer(other), layout: layout, codecs: codecs, into: output)
        }
    }

    private func write(_ batch: Int, _ layout: PlaneLayout, _ payload: PayloadWriter) throws {
        let count = min(Self.batchChunks, layout.chunkCount - batch * Self.batchChunks)
        for slot in slots[batch % 2][0..<count] { try payload.append(slot.frames, slot.entries) }
    }

    private func take() throws -> ChunkEncoder {
        if let encoder = pool.withLock({ $0.popLast() }) { return encoder }
        return try ChunkEncoder()
    }

    private func give(_ encoder: ChunkEncoder) { pool.withLock { $0.append(encoder) } }
}

/// Room for the frames of one chunk.
private final class OutputSlot {
    private let buffer = UnsafeMutableRawBufferPointer.allocate(
        byteCount: ChunkEncoder.bound(chunkSize: PlaneLayout.chunkSize, width: 8), alignment: 64)
    private(set) var entries: [FrameEntry] = []

    deinit { buffer.deallocate() }

    var frames: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: buffer[0..<entries.reduce(0) { $0 + Int($1.compressed) }])
    }

    func fill(_ body: (UnsafeMutableRawBufferPointer) throws -> [FrameEntry]) throws { entries = try body(buffer) }
}

/// The first error of several threads.
final class FirstFailure: Sendable {
    private let error = Mutex<(any Error)?>(nil)

    func catching(_ body: () throws -> Void) {
        do { try body() } catch { self.error.withLock { if $0 == nil { $0 = error } } }
    }

    func rethrow() throws {
        if let error = error.withLock({ $0 }) { throw error }
    }
}
