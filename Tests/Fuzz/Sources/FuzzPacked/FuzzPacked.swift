import Crypto
import FuzzZstd
import Glibc
import Packing
import Safetensors

private let path = "/dev/shm/fuzz-\(getpid()).mtz"

/// Feeds packed files to their reader. The first byte says what the others are: 0 a whole file; else a directory and
/// payloads, each behind two bytes with its size, around which header, frame and hash are made as they should be, so that
/// what they guard is reached. What is refused is an error and never a crash.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    guard let kind = data?.pointee, count > 1 else { return 0 }
    let rest = Array(UnsafeBufferPointer(start: data, count: count)[1...])
    defer { unlink(path) }
    do {
        if kind == 0 { try writeWhole(rest) } else { try writePacked(rest) }
    } catch { return 0 }
    guard let opened = try? SafetensorsFile.opening(packed: path) else { return 0 }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
    defer { buffer.deallocate() }
    for tensor in opened.header.tensors {
        let size = tensor.end - tensor.begin
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(size, buffer.count)])
        for offset in [0, size / 2, size - part.count] where offset <= size - part.count {
            try? opened.read(tensor, from: offset, into: part)
        }
    }
    return 0
}

private func writeWhole(_ file: [UInt8]) throws {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0 && write(descriptor, file, file.count) == file.count)
    close(descriptor)
}

/// Writes a packed file of a directory and payloads.
private func writePacked(_ bytes: [UInt8]) throws {
    var parts: [[UInt8]] = []
    var position = 0
    while position + 2 <= bytes.count {
        let size = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        let part = bytes[(position + 2)...].prefix(size)
        parts.append(Array(part))
        position += 2 + part.count
    }
    let frame = compressed(parts.first ?? [])
    let hash = SHA256.hash(data: frame).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    var tensors = [(name: "z/dir", dtype: DType.u8, shape: try Shape([frame.count]), bytes: frame)]
    for (number, part) in parts.dropFirst().enumerated() {
        let digits = String(number)
        let name = "z/" + String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        tensors.append((name, .u8, try Shape([part.count]), part))
    }
    try writeSafetensors(
        tensors, metadata: ["format": "mtz", "moe-tool.mtz.dir.sha256": hash, "moe-tool.mtz.version": "1"], to: path)
}

/// One frame with a checksum.
private func compressed(_ bytes: [UInt8]) -> [UInt8] {
    let context = ZSTD_createCCtx()
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    var frame = Array(repeating: UInt8(0), count: ZSTD_compressBound(bytes.count))
    frame.removeLast(frame.count - ZSTD_compress2(context, &frame, frame.count, bytes, bytes.count))
    return frame
}
