import Crypto
import Safetensors
import Synchronization

/// Computes the SHA-256 of the source files while their tensors stream.
///
/// It reads the files in the order the jobs do, a window ahead of them and no more: what it has read is in the page
/// cache when a job asks for it, so that a byte comes from the disk once.
final class SourceHasher: Sendable {
    private static let window = 128 << 20
    private static let pieceSize = 4 << 20

    private let files: [SafetensorsFile]
    private let starts: [String: Int]
    private struct State {
        var frontier = 0
        var digests: [String: String] = [:]
    }
    private let state = Mutex(State())
    private let signal = Signal()

    /// Hashes `files`, which are sorted by path here as the jobs are.
    init(files: [SafetensorsFile]) {
        self.files = files.sorted { $0.path < $1.path }
        var starts: [String: Int] = [:]
        var total = 0
        for file in self.files {
            starts[file.path] = total
            total += file.size
        }
        self.starts = starts
    }

    /// The digests by path, in lower-case hexadecimal, once `run` has returned.
    var digests: [String: String] { state.withLock { $0.digests } }

    /// Tells how far the jobs have come; nil when they have read all.
    func advance(to position: SourcePosition?) {
        let reached = position.map { (starts[$0.file] ?? 0) + $0.offset } ?? Int.max / 2
        state.withLock { $0.frontier = max($0.frontier, reached) }
        signal.notify()
    }

    func run(_ stop: StopFlag) throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceSize, alignment: 64)
        defer { buffer.deallocate() }
        for file in files {
            var hash = SHA256()
            let start = starts[file.path] ?? 0
            var offset = 0
            while offset < file.size {
                while state.withLock({ $0.frontier }) + Self.window < start + offset {
                    if stop.isRaised { return }
                    signal.wait(milliseconds: 100)
                }
                if stop.isRaised { return }
                let part = UnsafeMutableRawBufferPointer(
                    rebasing: buffer[0..<min(Self.pieceSize, file.size - offset)])
                try file.readRaw(at: offset, into: part)
                hash.update(bufferPointer: UnsafeRawBufferPointer(part))
                offset += part.count
            }
            let digest = hexadecimal(hash.finalize())
            state.withLock { $0.digests[file.path] = digest }
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
