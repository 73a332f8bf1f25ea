import Foundation
import Numerics
import Packing
import Safetensors
import TestSupport
import Testing

/// Packing a file and making it again.
struct PackedFileTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func pack(_ tensors: [(name: String, dtype: DType, shape: Shape, bytes: [UInt8])]) throws -> (
        plain: String, packed: PackedFile
    ) {
        let plain = folder.path + "/a.safetensors"
        try writeSafetensors(tensors, metadata: ["format": "pt"], to: plain)
        return (plain, try packFile(plain, to: folder.path + "/a.mtz"))
    }

    @Test(arguments: DType.allCases)
    func everyDTypeComesBackBitForBit(dtype: DType) throws {
        var generator = SeededGenerator(seed: UInt64(dtype.bits) + 1)
        // Empty, a scalar's worth, one short of a chunk, several chunks with a rest; eight elements are whole bytes.
        let counts = [0, 8, 1000, (256 << 10) * 8 / dtype.bits - 8, (600 << 10) * 8 / dtype.bits]
        let tensors = try counts.enumerated().map { index, count in
            let count = count / 8 * 8
            let shape = try Shape([count])
            let size = try shape.byteCount(of: dtype)
            let bytes = (0..<size).map { _ in UInt8.random(in: 0...255, using: &generator) & 0x7F }
            return (name: "t\(index)", dtype: dtype, shape: shape, bytes: bytes)
        }
        let (plain, packed) = try pack(tensors)
        let unpacked = folder.path + "/b.safetensors"
        let unpacker = FileUnpacker(workers: Workers(threads: 2))
        try unpacker.unpack(packed, among: [packed], to: unpacked)
        try unpacker.verify(unpacked: unpacked, of: packed)
        #expect(try contents(unpacked) == contents(plain))
        let opened = try ShardedTensors.open(packed.path)
        for tensor in tensors {
            let found = try #require(opened.lookup(tensor.name))
            #expect(found.info.dtype == dtype && found.info.shape == tensor.shape)
            #expect(try found.file.bytes(tensor.name) == tensor.bytes)
        }
    }

    @Test func anyRangeOfATensorIsRead() throws {
        let bytes = normalBF16(count: 400_000, seed: 5)
        let (_, packed) = try pack([("w", .bf16, try Shape([400, 1000]), bytes)])
        let file = try #require(try ShardedTensors.open(packed.path).files.first)
        let info = try #require(file.info("w"))
        for range in [0..<1, 262_143..<262_145, 2000..<4000, 262_144..<524_288, 100..<700_001, 799_999..<800_000] {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 1)
            defer { buffer.deallocate() }
            try file.read(info, from: range.lowerBound, into: buffer)
            #expect(buffer.elementsEqual(bytes[range]))
        }
    }

    /// The bound of the method: 8 bits of sign and mantissa as they are, and the exponents' entropy.
    @Test func weightsTakeTheirEntropy() throws {
        let bytes = normalBF16(count: 2_000_000, seed: 9)
        var counts = [Double](repeating: 0, count: 256)
        for index in stride(from: 0, to: bytes.count, by: 2) {
            let bits = UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8
            counts[Int(bits >> 7 & 0xFF)] += 1
        }
        let total = counts.reduce(0, +)
        let entropy = counts.filter { $0 > 0 }.reduce(0) { $0 - $1 / total * log2($1 / total) }
        let (_, packed) = try pack([("w", .bf16, try Shape([2_000_000]), bytes)])
        let share = Double(packed.size) / Double(bytes.count)
        let bound = (8 + entropy) / 16
        #expect(share > bound * 0.99 && share < bound * 1.01, "\(share) for a bound of \(bound)")
    }

    @Test func equalTensorsAreStoredOnce() throws {
        let bytes = normalBF16(count: 100_000, seed: 1)
        let shape = try Shape([100_000])
        let one = try pack([("w0", .bf16, shape, bytes)]).packed.size
        let plain = folder.path + "/many.safetensors"
        try writeSafetensors((0..<64).map { ("w\($0)", .bf16, shape, bytes) }, to: plain)
        let many = try packFile(plain, to: folder.path + "/many.mtz")
        #expect(many.directory.contents.count == 1)
        #expect(Double(many.size) < 1.01 * Double(one))
        let opened = try ShardedTensors.open(many.path)
        for index in 0..<64 { #expect(try opened.lookup("w\(index)")?.file.bytes("w\(index)") == bytes) }
    }

    /// Noise of a hundredth of the weights' deviation: by the exclusive-or about 34 % are left, 66 % by planes alone.
    @Test func aTensorNearAnotherIsStoredAgainstIt() throws {
        let base = normalValues(count: 200_000, seed: 2)
        let noise = normalValues(count: 200_000, seed: 3)
        let near = zip(base, noise).map { $0 + 0.01 * $1 }
        let shape = try Shape([200_000])
        let (plain, packed) = try pack([
            ("a", .bf16, shape, bf16(base)), ("b", .bf16, shape, bf16(near)),
            ("c", .bf16, shape, normalBF16(count: 200_000, seed: 4)),
        ])
        let records = packed.directory.contents
        #expect(records.map { $0.base != nil } == [false, true, false])
        let stored = try PackedTensors(packed, among: [packed]).entries.map(\.content.storedSize)
        #expect(Double(stored[1]) < 0.6 * Double(stored[0]) && stored[2] > stored[1])
        let unpacked = folder.path + "/b.safetensors"
        try FileUnpacker(workers: Workers(threads: 2)).unpack(packed, among: [packed], to: unpacked)
        #expect(try contents(unpacked) == contents(plain))
        let file = try #require(try ShardedTensors.open(packed.path).files.first)
        #expect(try file.bytes("b") == bf16(near))
    }

    @Test func theBytesDoNotDependOnTheThreads() throws {
        let (plain, packed) = try pack([("w", .bf16, try Shape([900_000]), normalBF16(count: 900_000, seed: 6))])
        let other = folder.path + "/other.mtz"
        try FilePacker(workers: Workers(threads: 1)).pack(SafetensorsFile(path: plain), to: other)
        #expect(try contents(other) == contents(packed.path))
    }

    @Test func contentsOfAnotherFileAreFoundByTheirHash() throws {
        let shape = try Shape([50_000])
        let bytes = normalBF16(count: 50_000, seed: 7)
        let packer = FilePacker(workers: Workers(threads: 2))
        for name in ["one", "two"] {
            try writeSafetensors([(name, .bf16, shape, bytes)], to: folder.path + "/\(name).safetensors")
            try packer.pack(
                SafetensorsFile(path: folder.path + "/\(name).safetensors"), to: folder.path + "/\(name).mtz")
        }
        let files = try PackedFile.open([folder.path + "/two.mtz", folder.path + "/one.mtz"])
        #expect(try files[0].bytes("two") == bytes)
        let alone = #expect(throws: SafetensorsError.self) { try PackedFile.open([folder.path + "/two.mtz"]) }
        #expect(alone?.code == .missing && alone?.tensor == "two")
    }
}

/// Packs one file.
func packFile(_ plain: String, to path: String) throws -> PackedFile {
    try FilePacker(workers: Workers(threads: 2)).pack(SafetensorsFile(path: plain), to: path)
    return try PackedFile(path: path)
}

/// Normal values of deviation 0.02, by Box and Muller.
func normalValues(count: Int, seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
        let (u, v) = (Double.random(in: 1e-12..<1, using: &generator), Double.random(in: 0..<1, using: &generator))
        return Float(0.02 * (-2 * log(u)).squareRoot() * cos(2 * .pi * v))
    }
}

func bf16(_ values: [Float]) -> [UInt8] {
    values.flatMap { value in
        let bits = (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16
        return [UInt8(bits & 0xFF), UInt8(bits >> 8)]
    }
}

func normalBF16(count: Int, seed: UInt64) -> [UInt8] { bf16(normalValues(count: count, seed: seed)) }
