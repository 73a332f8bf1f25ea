package import Numerics
import Safetensors

/// Makes the original files of packed ones, or only checks that they can be made.
package final class FileUnpacker {
    private let decoder: ContentDecoder
    private let hasher: ContentHasher
    private let check: () throws -> Void
    private let progress: (_ bytes: Int) -> Void

    /// - Parameters:
    ///   - check: called now and then; what it throws ends the work.
    ///   - progress: called with the bytes of the original that were dealt with since the last call.
    package init(
        workers: Workers, check: @escaping () throws -> Void = {}, progress: @escaping (Int) -> Void = { _ in }
    ) {
        decoder = ContentDecoder(workers: workers)
        hasher = ContentHasher(workers: workers)
        self.check = check
        self.progress = progress
    }

    /// Writes the original of `packed` into a new file, bit for bit, and syncs it.
    ///
    /// - Parameter files: the packed files of the checkpoint, which may hold contents of this one.
    /// - Throws: `SafetensorsError`, with the tensor's name where bytes are not those that were packed.
    package func unpack(_ packed: PackedFile, among files: [PackedFile], to path: String) throws {
        let tensors = try PackedTensors(packed, among: files)
        let file = try PosixFile.create(path)
        try file.preallocate(packed.directory.fileSize)
        try file.writeExactly(packed.directory.headerBytes, at: 0)
        let start = packed.header.dataOffset
        for (info, entry) in zip(packed.header.tensors, tensors.entries) {
            try named(info.name) {
                try decoder.decode(entry, check: check) { offset, bytes in
                    try file.writeExactly(from: bytes, at: start + info.begin + offset)
                    file.startWriteback(offset: start + info.begin + offset, length: bytes.count)
                }
            }
            progress(info.end - info.begin)
        }
        try file.sync()
        file.dropCache()
    }

    /// Reads back a file that was unpacked, and compares the hashes of its tensors.
    ///
    /// - Throws: `SafetensorsError` of `.damaged` where the disk does not hold what was written.
    package func verify(unpacked path: String, of packed: PackedFile) throws {
        let file = try SafetensorsFile(path: path)
        func failure(_ tensor: String?) -> SafetensorsError {
            SafetensorsError(
                .damaged, file: path, tensor: tensor,
                message: "what was read back differs from what was written: the disk or the memory is failing; "
                    + "nothing was published")
        }
        guard try file.headerBytes() == packed.directory.headerBytes, file.size == packed.directory.fileSize else {
            throw failure(nil)
        }
        for (info, expected) in zip(packed.header.tensors, packed.directory.tensors) {
            let found = try hasher.digest(byteCount: info.end - info.begin, check: check) {
                try file.read(info, from: $0, into: $1)
            }
            guard found == expected else { throw failure(info.name) }
            progress(info.end - info.begin)
        }
    }

    /// Decompresses every content of `packed` once and checks its hash.
    ///
    /// - Throws: `SafetensorsError`, with the tensor's name where bytes are not those that were packed.
    package func verify(_ packed: PackedFile, among files: [PackedFile]) throws {
        let tensors = try PackedTensors(packed, among: files)
        var seen: Set<Digest256> = []
        for (info, entry) in zip(packed.header.tensors, tensors.entries) {
            // What another file holds is checked there.
            if entry.content.storage === packed.storage, seen.insert(entry.content.record.digest).inserted {
                try named(info.name) { try decoder.decode(entry, check: check) { _, _ in } }
            }
            progress(info.end - info.begin)
        }
    }

    /// Names the tensor in an error about a content, which several tensors may have.
    private func named(_ tensor: String, _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as SafetensorsError where error.code == .malformed || error.code == .damaged {
            throw SafetensorsError(error.code, file: error.file, tensor: tensor, message: error.message)
        }
    }
}
