import Crypto
package import Numerics
import Safetensors
import Synchronization

/// Decompresses whole contents, chunk by chunk on all threads, and checks their hashes.
package final class ContentDecoder {
    private static let batchBytes = 4 << 20

    private let workers: Workers
    private let pool = Mutex<[ChunkDecoder]>([])
    private let outputs: [UnsafeMutableRawBufferPointer]

    /// - Parameter workers: the threads; the caller's is one of them.
    package init(workers: Workers) {
        self.workers = workers
        outputs = (0..<2).map { _ in .allocate(byteCount: Self.batchBytes, alignment: 64) }
    }

    deinit {
        for buffer in outputs { buffer.deallocate() }
    }

    /// Decompresses a tensor's content, and compares its SHA-256 with the one it is known by.
    ///
    /// - Parameters:
    ///   - check: called between batches; what it throws ends the work.
    ///   - sink: takes the bytes, from first to last, from one thread at a time.
    /// - Throws: `SafetensorsError` of `.damaged` where the hash is another.
    package func decode(
        _ entry: PackedTensors.Entry, check: () throws -> Void,
        into sink: (_ offset: Int, _ bytes: UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let layout = entry.content.layout
        let perBatch = Self.batchBytes / layout.chunkSize
        let batches = (layout.chunkCount + perBatch - 1) / perBatch
        var hash = SHA256()
        func bytes(_ batch: Int) -> Range<Int> {
            let start = batch * perBatch * layout.chunkSize
            return start..<min(start + perBatch * layout.chunkSize, layout.byteCount)
        }
        for batch in 0..<(batches == 0 ? 0 : batches + 1) {
            try check()
            let failure = FirstFailure()
            let count = batch < batches ? min(perBatch, layout.chunkCount - batch * perBatch) : 0
            workers.forEach(2 + count) { piece in
                failure.catching {
                    if piece < 2 {
                        guard batch > 0 else { return }
                        let range = bytes(batch - 1)
                        let done = UnsafeRawBufferPointer(rebasing: outputs[(batch - 1) % 2][0..<range.count])
                        if piece == 0 { hash.update(bufferPointer: done) } else { try sink(range.lowerBound, done) }
                        return
                    }
                    let chunk = batch * perBatch + piece - 2
                    let range = layout.range(ofChunk: chunk)
                    let start = range.lowerBound - bytes(batch).lowerBound
                    let target = UnsafeMutableRawBufferPointer(
                        rebasing: outputs[batch % 2][start..<start + range.count])
                    let decoder = try take()
                    defer { give(decoder) }
                    try decoder.decode(entry.content, base: entry.base, chunk: chunk, into: target)
                }
            }
            try failure.rethrow()
        }
        guard Digest256(hash.finalize()) == entry.content.record.digest else {
            throw entry.content.failure(
                .damaged,
                "its bytes do not have the SHA-256 that they were packed with: copy the file again, or pack the checkpoint "
                    + "again")
        }
    }

    private func take() throws -> ChunkDecoder {
        if let decoder = pool.withLock({ $0.popLast() }) { return decoder }
        return try ChunkDecoder()
    }

    private func give(_ decoder: ChunkDecoder) { pool.withLock { $0.append(decoder) } }
}
