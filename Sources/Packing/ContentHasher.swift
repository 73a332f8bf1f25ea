import Crypto
package import Numerics

/// Hashes contents while they are read, in two pieces of memory.
package final class ContentHasher {
    private static let batchBytes = 4 << 20

    private let workers: Workers
    private let inputs: [UnsafeMutableRawBufferPointer]

    /// - Parameter workers: the threads; the caller's is one of them, and two are used.
    package init(workers: Workers) {
        self.workers = workers
        inputs = (0..<2).map { _ in .allocate(byteCount: Self.batchBytes, alignment: 64) }
    }

    deinit {
        for buffer in inputs { buffer.deallocate() }
    }

    /// The hash of a content.
    ///
    /// - Parameters:
    ///   - check: called between batches; what it throws ends the work.
    ///   - read: gives its bytes, from first to last, from one thread at a time.
    package func digest(byteCount: Int, check: () throws -> Void, read: ContentReader) throws -> Digest256 {
        let size = Self.batchBytes
        var hash = SHA256()
        func part(_ start: Int) -> UnsafeMutableRawBufferPointer {
            UnsafeMutableRawBufferPointer(rebasing: inputs[start / size % 2][0..<min(size, byteCount - start)])
        }
        if byteCount > 0 { try read(0, part(0)) }
        for start in stride(from: 0, to: byteCount, by: size) {
            try check()
            let failure = FirstFailure()
            workers.forEach(2) { piece in
                failure.catching {
                    if piece == 0 {
                        hash.update(bufferPointer: UnsafeRawBufferPointer(part(start)))
                    } else if start + size < byteCount {
                        try read(start + size, part(start + size))
                    }
                }
            }
            try failure.rethrow()
        }
        return Digest256(hash.finalize())
    }
}
