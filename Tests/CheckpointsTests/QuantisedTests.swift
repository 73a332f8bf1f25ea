import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing

/// Quantised checkpoints, read as what the reference libraries make of them.
@Suite("Quantised checkpoints")
struct QuantisedTests {
    static let names: [String] = {
        let folder = Fixtures.file("quantised")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { !$0.contains(".") }.sorted()
    }()

    @Test("Every weight is the reference library's, bit for bit", arguments: names)
    func weights(_ name: String) async throws {
        let folder = try TemporaryFolder()
        let source = Fixtures.file("quantised/" + name)
        try await Checkpoint(at: source).converted(to: .f32).write(to: folder.path + "/out")
        let file = source + "/weights.json"
        let expected = try #require(JSON(parsing: contents(file), file: file).object)
        let written = try ShardedTensors(opening: folder.path + "/out")
        #expect(Set(written.names) == Set(expected.keys))
        for name in written.names {
            let bytes = try #require(written.lookup(name)).file.bytes(name)
            #expect(expected[name]?.int == Int(crc32(bytes)), "\(name)")
        }
        let config = folder.path + "/out/config.json"
        let keys = try #require(JSON(parsing: contents(config), file: config).object).keys
        #expect(!keys.contains("quantization_config") && !keys.contains("quantization"))
    }

    /// The checksum of zlib's `crc32`.
    private func crc32(_ bytes: [UInt8]) -> UInt32 {
        var value = ~UInt32(0)
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 {
                let isOdd = value & 1 == 1
                value >>= 1
                if isOdd { value ^= 0xEDB8_8320 }
            }
        }
        return ~value
    }
}
