package import Numerics
package import Safetensors

/// Packs the files of one checkpoint, one after another: a content that an earlier file has is not stored again.
package final class FilePacker {
    /// Bytes that a sample has at most; three are taken of a content.
    private static let sampleSize = 128 << 10
    /// How many contents of one size another is compared with.
    private static let candidateLimit = 32
    /// Bytes from the middle of a content by which two are compared first.
    private static let probeSize = 4 << 10

    private struct Shape: Hashable {
        let byteCount: Int
        let width: Int
    }

    /// A content that others may be stored against.
    private struct Candidate {
        let digest: Digest256
        let probe: [UInt8]
        let read: ContentReader
    }

    private let encoder: ContentEncoder
    private let hasher: ContentHasher
    private var stored: Set<Digest256> = []
    /// Contents' samples hashed: what has one that is known may be known itself.
    private var fingerprints: Set<Digest256> = []
    private var candidates: [Shape: [Candidate]] = [:]
    private let check: () throws -> Void
    private let progress: (_ bytes: Int) -> Void

    /// - Parameters:
    ///   - check: called now and then; what it throws ends the work.
    ///   - progress: called with the bytes of the original that were dealt with since the last call.
    package init(
        workers: Workers, check: @escaping () throws -> Void = {}, progress: @escaping (Int) -> Void = { _ in }
    ) {
        encoder = ContentEncoder(workers: workers)
        hasher = ContentHasher(workers: workers)
        self.check = check
        self.progress = progress
    }

    /// Packs a safetensors file into a new file, and syncs it.
    package func pack(_ source: SafetensorsFile, to path: String) throws {
        let tensors = source.header.tensors
        let writer = try PackedFileWriter(
            creating: path, contents: tensors.count, byteCount: source.size - source.header.dataOffset)
        let digests = try tensors.map { tensor in
            let digest = try store(byteCount: tensor.end - tensor.begin, dtype: tensor.dtype, in: writer) {
                try source.read(tensor, from: $0, into: $1)
            }
            progress(tensor.end - tensor.begin)
            return digest
        }
        try writer.finish(
            headerBytes: try source.headerBytes(), fileSize: source.size, tensors: digests)
    }

    /// Stores a content unless it is stored already.
    ///
    /// - Parameter read: gives its bytes, also later, when another is compared with it.
    /// - Returns: its hash.
    package func store(
        byteCount: Int, dtype: DType, in writer: PackedFileWriter, read: @escaping ContentReader
    ) throws -> Digest256 {
        try check()
        let layout = PlaneLayout(byteCount: byteCount, dtype: dtype)
        let samples = Samples(layout, size: Self.sampleSize)
        defer { samples.deallocate() }
        try samples.fill(read)
        let fingerprint = samples.fingerprint
        if !fingerprints.insert(fingerprint).inserted {
            let digest = try hasher.digest(byteCount: byteCount, check: check, read: read)
            if stored.contains(digest) { return digest }
        }
        var (codecs, size) = try encoder.choose(samples.parts, layout: layout)
        let shape = Shape(byteCount: byteCount, width: layout.width)
        var base: Candidate?
        if let candidate = nearest(samples.probe(Self.probeSize), shape) {
            let against = Samples(layout, size: Self.sampleSize)
            defer { against.deallocate() }
            try against.fill(candidate.read)
            against.formXor(samples)
            let choice = try encoder.choose(against.parts, layout: layout)
            if Double(choice.size) < 0.95 * Double(size) {
                (base, codecs, size) = (candidate, choice.codecs, choice.size)
            }
        }
        let payload = writer.beginPayload()
        let digest = try encoder.encode(
            layout, codecs: codecs, base: base?.read, into: payload, check: check, read: read)
        // Bytes that changed between two reads could be some that are stored.
        guard stored.insert(digest).inserted else { return digest }
        try writer.commit(payload, digest: digest, base: base?.digest, layout: layout, codecs: codecs)
        if base == nil, byteCount >= Self.probeSize {
            var list = candidates[shape] ?? []
            if list.count >= Self.candidateLimit { list.removeFirst() }
            list.append(Candidate(digest: digest, probe: samples.probe(Self.probeSize), read: read))
            candidates[shape] = list
        }
        return digest
    }

    /// The content of the same size whose elements have the same most significant byte most often, if that is often.
    private func nearest(_ probe: [UInt8], _ shape: Shape) -> Candidate? {
        guard shape.byteCount >= Self.probeSize, let list = candidates[shape] else { return nil }
        var best: (candidate: Candidate, equal: Int)?
        for candidate in list where candidate.probe.count == probe.count {
            var equal = 0
            for index in stride(from: shape.width - 1, to: probe.count, by: shape.width)
            where probe[index] == candidate.probe[index] { equal += 1 }
            if equal > best?.equal ?? probe.count / shape.width / 2 { best = (candidate, equal) }
        }
        return best?.candidate
    }
}

/// Parts of a content from its start, middle and end; all of one that is small.
private final class Samples {
    private let layout: PlaneLayout
    private let ranges: [Range<Int>]
    private let buffer: UnsafeMutableRawBufferPointer

    init(_ layout: PlaneLayout, size: Int) {
        self.layout = layout
        if layout.byteCount <= 3 * size {
            ranges = stride(from: 0, to: layout.byteCount, by: size).map { $0..<min($0 + size, layout.byteCount) }
        } else {
            let middle = layout.byteCount / 2 / 8 * 8
            ranges = [0..<size, middle..<middle + size, layout.byteCount - size..<layout.byteCount]
        }
        buffer = .allocate(byteCount: ranges.reduce(0) { $0 + $1.count }, alignment: 64)
    }

    func deallocate() { buffer.deallocate() }

    func fill(_ read: ContentReader) throws {
        var start = 0
        for range in ranges {
            try read(range.lowerBound, UnsafeMutableRawBufferPointer(rebasing: buffer[start..<start + range.count]))
            start += range.count
        }
    }

    var parts: [UnsafeRawBufferPointer] {
        var start = 0
        return ranges.map { range in
            defer { start += range.count }
            return UnsafeRawBufferPointer(rebasing: buffer[start..<start + range.count])
        }
    }

    var fingerprint: Digest256 {
        var bytes = withUnsafeBytes(of: layout.byteCount) { Array($0) }
        bytes += buffer
        return Digest256.hash(bytes)
    }

    /// Bytes from the middle, a whole number of elements.
    func probe(_ size: Int) -> [UInt8] {
        let start = max(0, buffer.count / 2 - size / 2) / 8 * 8
        return Array(buffer[start..<min(start + size, buffer.count)])
    }

    func formXor(_ other: Samples) {
        for index in 0..<min(buffer.count, other.buffer.count) { buffer[index] ^= other.buffer[index] }
    }
}

extension SafetensorsFile {
    /// The file's first bytes: the header and its length.
    package func headerBytes() throws(SafetensorsError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: header.dataOffset, alignment: 8)
        defer { buffer.deallocate() }
        try readRaw(at: 0, into: buffer)
        return Array(buffer)
    }
}
