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
    guard let file = kind == 0 ? rest : packed(rest) else { return 0 }
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    precondition(descriptor >= 0 && write(descriptor, file, file.count) == file.count)
    close(descriptor)
    defer { unlink(path) }
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

/// A packed file of a directory and payloads.
private func packed(_ bytes: [UInt8]) -> [UInt8]? {
    var parts: [[UInt8]] = []
    var position = 0
    while position + 2 <= bytes.count {
        let size = Int(bytes[position]) | Int(bytes[position + 1]) << 8
        let part = bytes[(position + 2)...].prefix(size)
        parts.append(Array(part))
        position += 2 + part.count
    }
    guard let directory = parts.first else { return nil }
    guard let context = ZSTD_createCCtx() else { return nil }
    defer { ZSTD_freeCCtx(context) }
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    var frame = Array(repeating: UInt8(0), count: ZSTD_compressBound(directory.count))
    frame.removeLast(frame.count - ZSTD_compress2(context, &frame, frame.count, directory, directory.count))
    let hash = SHA256.hash(data: frame).map { byte in
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: [digits[Int(byte >> 4)], digits[Int(byte & 15)]], as: UTF8.self)
    }.joined()
    var header = #"{"__metadata__":{"format":"mtz","moe-tool.mtz.dir.sha256":"\#(hash)","moe-tool.mtz.version":"1"}"#
    var data: [UInt8] = []
    for (number, part) in (parts.dropFirst() + [frame]).enumerated() {
        let digits = String(number)
        let name = number == parts.count - 1 ? "dir" : String(repeating: "0", count: max(0, 6 - digits.count)) + digits
        header += #","z/\#(name)":{"dtype":"U8","shape":[\#(part.count)],"#
        header += #""data_offsets":[\#(data.count),\#(data.count + part.count)]}"#
        data += part
    }
    header += "}"
    header += String(repeating: " ", count: (8 - header.utf8.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8) + data
}
