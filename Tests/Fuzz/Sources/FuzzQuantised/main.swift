import Foundation
import MoEToolkit

/// The fixtures of quantised checkpoints; `run.sh` says where they lie.
private let fixtures: [String] = {
    let folder = ProcessInfo.processInfo.environment["FIXTURES"] ?? "."
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.filter { !$0.contains(".") }.sorted().map { folder + "/" + $0 }
}()

private let folder = "/dev/shm/fuzz-quantised-\(getpid())"

/// Changes a quantised checkpoint and reads all of its weights. The first byte says which; each four after it are a change: of
/// the configuration, of the header or of the tensors, where, and to what. What is refused is an error and never a crash.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    guard bytes.count > 4, !fixtures.isEmpty else { return 0 }
    let source = fixtures[Int(bytes[0]) % fixtures.count]
    try? FileManager.default.removeItem(atPath: folder)
    guard (try? FileManager.default.copyItem(atPath: source, toPath: folder)) != nil else { return 0 }
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let weights = names.filter { $0.hasSuffix(".safetensors") }.sorted()
    for start in stride(from: 1, to: bytes.count - 3, by: 4) {
        let change = bytes[start..<start + 4].map { Int($0) }
        let name = change[0] % 3 == 0 ? "config.json" : weights[change[0] % weights.count]
        guard var content = try? Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)), content.count > 8 else {
            continue
        }
        var range = 0..<content.count
        if name != "config.json" {
            let end = 8 + content.prefix(8).reversed().reduce(0) { ($0 << 8 | Int($1)) & 0xFF_FFFF }
            range = change[0] % 3 == 1 ? 8..<min(end, content.count) : min(end, content.count)..<content.count
        }
        guard !range.isEmpty else { continue }
        content[range.lowerBound + (change[1] << 8 | change[2]) * 7 % range.count] = UInt8(change[3])
        try? content.write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    let done = DispatchSemaphore(value: 0)
    Task.detached {
        if let checkpoint = try? Checkpoint(at: folder) {
            var options = WriteOptions()
            options.overwrite = true
            options.threads = 1
            _ = try? await checkpoint.dequantised().write(to: folder + "-out", options: options)
        }
        done.signal()
    }
    done.wait()
    try? FileManager.default.removeItem(atPath: folder + "-out")
    return 0
}
