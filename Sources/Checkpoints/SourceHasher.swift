import Crypto
import Safetensors
import Synchronization

/// Computes the SHA-256 of the source files while their tensors stream.
///
/// It follows the jobs through each file, a window ahead of them and no more: what it has read is in the page cache
/// when a job asks for it, so that a byte comes from the disk once, whether the files are read one after the other or
/// side by side.
final class SourceHasher: Sendable {
    private static let window = 128 << 20
    private static let pieceSize = 256 << 10

    private let files: [SafetensorsFile]
    private struct State {
        /// How far the jobs have come in each file that they have begun.
        var frontiers: [String: Int] = [:]
        var isFinished = false
        var digests: [String: String] = [:]
    }
    private let state = Mutex(State())
    private let signal = Signal()

    /// Hashes `files`, which are sorted by path here as the jobs are.
    init(files: [SafetensorsFile]) {
        self.files = files.sorted { $0.path < $1.path }
    }

    /// The digests by path, in lower-case hexadecimal, once `run` has returned.
    var digests: [String: String] { state.withLock { $0.digests } }

    /// Tells how far the jobs have come in some files.
    func advance(to positions: [SourcePosition]) {
        state.withLock { state in
            for position in positions {
                state.frontiers[position.file] = max(state.frontiers[position.file] ?? 0, position.offset)
            }
        }
        signal.notify()
    }

    /// Tells that the jobs have read all they will.
    func finish() {
        state.withLock { $0.isFinished = true }
        signal.notify()
    }

    func run(_ stop: StopFlag) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceSize, alignment: 64)
        defer { buffer.deallocate() }
        var pending = files.map { (file: $0, hash: SHA256(), offset: 0) }
        while !pending.isEmpty {
            if stop.isRaised { return }
            var progressed = false
            for index in pending.indices {
                let (file, offset) = (pending[index].file, pending[index].offset)
                guard offset < file.size, mayRead(file, offset) else { continue }
                progressed = true
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[0..<min(Self.pieceSize, file.size - offset)])
                try file.readRaw(at: offset, into: part)
                pending[index].hash.update(bufferPointer: UnsafeRawBufferPointer(part))
                pending[index].offset += part.count
            }
            for entry in pending where entry.offset >= entry.file.size {
                let digest = hexadecimal(entry.hash.finalize())
                state.withLock { $0.digests[entry.file.path] = digest }
            }
            pending.removeAll { $0.offset >= $0.file.size }
            if !progressed, !pending.isEmpty { signal.wait(milliseconds: 100) }
        }
    }

    private func mayRead(_ file: SafetensorsFile, _ offset: Int) -> Bool {
        state.withLock { state in
            if state.isFinished { return true }
            guard let frontier = state.frontiers[file.path] else { return false }
            return offset < frontier + Self.window
        }
    }
}

/// Lower-case hexadecimal digits of bytes.
package func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
