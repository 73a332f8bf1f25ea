import Glibc
import Packing
import Safetensors

// The codec by itself on one core: frames of chunks that are in memory, and chunks of frames in the page cache.
// Usage: packing-benchmark FILE.safetensors FILE.mtz TENSOR
let arguments = CommandLine.arguments
guard arguments.count == 4 else {
    print("usage: packing-benchmark FILE.safetensors FILE.mtz TENSOR")
    exit(2)
}
let plain = try SafetensorsFile(path: arguments[1])
let packed = try PackedFile(path: arguments[2])
let name = arguments[3]
guard let number = packed.header.tensors.firstIndex(where: { $0.name == name }) else {
    print("there is no tensor \(name)")
    exit(2)
}
let entry = try PackedTensors(packed, among: [packed]).entries[number]
let bytes = try plain.bytes(name)

func rate(_ what: String, _ body: () throws -> Void) rethrows {
    var best = 0.0
    for _ in 0..<5 {
        var (start, end) = (timespec(), timespec())
        clock_gettime(CLOCK_MONOTONIC, &start)
        try body()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let seconds = Double(end.tv_sec - start.tv_sec) + 1e-9 * Double(end.tv_nsec - start.tv_nsec)
        best = max(best, Double(bytes.count) / seconds / 1e6)
    }
    print("\(what) \(Int(best)) MB/s, best of 5, \(bytes.count) bytes")
}

let codec = try ChunkBenchmark(entry)
try rate("pack one core  ") { try codec.encode(bytes) }
try rate("unpack one core") { try codec.decode() }
