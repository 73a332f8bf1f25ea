package import Numerics
package import Safetensors

/// Compresses a file as it is into zstd frames with a seek table, which `zstd -d` makes the file of again.
package final class SeekableZstd {
    private let encoder: ContentEncoder
    private let decoder: ContentDecoder
    private let check: () throws -> Void
    private let workers: Workers

    /// - Parameter check: called now and then; what it throws ends the work.
    package init(workers: Workers, check: @escaping () throws -> Void = {}) {
        encoder = ContentEncoder(workers: workers)
        decoder = ContentDecoder(workers: workers)
        self.check = check
        self.workers = workers
    }

    /// Compresses a file into a new one, syncs it, and reads it back.
    ///
    /// - Throws: `SafetensorsError` of `.damaged` where what is read back is not what was read.
    package func compress(_ source: SafetensorsFile, to path: String) throws {
        let file = try PosixFile.create(path)
        let payload = PayloadWriter(file, at: 0)
        let layout = PlaneLayout(byteCount: source.size, width: 1, rotates: false)
        let digest = try encoder.encode(layout, codecs: [.level1], into: payload, check: check) {
            try source.readRaw(at: $0, into: $1)
        }
        try payload.finish()
        try file.sync()
        file.dropCache()
        try readBack(path, layout, digest)
    }

    /// Checks that a file holds what compressing `source` puts there.
    ///
    /// - Throws: `SafetensorsError` where it does not.
    package func verify(_ path: String, of source: SafetensorsFile) throws {
        let layout = PlaneLayout(byteCount: source.size, width: 1, rotates: false)
        let digest = try ContentHasher(workers: workers).digest(byteCount: source.size, check: check) {
            try source.readRaw(at: $0, into: $1)
        }
        try readBack(path, layout, digest)
    }

    private func readBack(_ path: String, _ layout: PlaneLayout, _ digest: Digest256) throws {
        // The file is one payload: a directory of it alone, which nobody writes, lets it be read as one.
        let file = try PosixFile.open(path)
        let size = try file.size()
        let content = PackedDirectory.Content(
            digest: digest, base: nil, layout: layout, payload: 0, codecs: [.level1])
        let directory = PackedDirectory(
            headerBytes: [], fileSize: layout.byteCount, tensors: [digest], contents: [content])
        let storage = PackedStorage(file, directory, payloads: [0..<size], names: [:])
        let entry = PackedTensors.Entry(content: PackedContent(storage: storage, number: 0), base: nil)
        try decoder.decode(entry, check: check) { _, _ in }
    }
}
