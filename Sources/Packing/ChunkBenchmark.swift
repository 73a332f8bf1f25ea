package import Safetensors

/// Runs a content's codec over all of its chunks on the caller's thread, without hashing and without writing.
package final class ChunkBenchmark {
    private let entry: PackedTensors.Entry
    private let encoder: ChunkEncoder
    private let decoder: ChunkDecoder
    private let output: UnsafeMutableRawBufferPointer

    package init(_ entry: PackedTensors.Entry) throws(SafetensorsError) {
        self.entry = entry
        encoder = try ChunkEncoder()
        decoder = try ChunkDecoder()
        output = .allocate(
            byteCount: ChunkEncoder.bound(chunkSize: PlaneLayout.chunkSize, width: 8) + PlaneLayout.chunkSize,
            alignment: 64)
    }

    deinit { output.deallocate() }

    /// Makes the frames of every chunk of `bytes`, which are as long as the content.
    package func encode(_ bytes: [UInt8]) throws {
        let layout = entry.content.layout
        try bytes.withUnsafeBytes { bytes in
            for chunk in 0..<layout.chunkCount {
                let part = UnsafeRawBufferPointer(rebasing: bytes[layout.range(ofChunk: chunk)])
                _ = try encoder.encode(part, layout: layout, codecs: entry.content.record.codecs, into: output)
            }
        }
    }

    /// Makes every chunk of its frames.
    package func decode() throws(SafetensorsError) {
        let layout = entry.content.layout
        for chunk in 0..<layout.chunkCount {
            let part = UnsafeMutableRawBufferPointer(rebasing: output[0..<layout.range(ofChunk: chunk).count])
            try decoder.decode(entry.content, base: entry.base, chunk: chunk, into: part)
        }
    }
}
