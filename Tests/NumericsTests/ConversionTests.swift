import Numerics
import Safetensors
import TestSupport
import Testing

@Suite("Conversion")
struct ConversionTests {
    /// Bit patterns of F32 values around the borders of the narrow types.
    static let inputs: [UInt32] = [
        0x0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x3dcc_cccd, 0x322b_cc77, 0x43e0_0000, 0x43e8_0000, 0x43e8_0148,
        0x43e8_8000, 0x43f0_0000, 0x7149_f2ca, 0x4760_0000, 0x4770_0000, 0x476f_ffe6, 0x477f_e000, 0x477f_efe6,
        0x477f_f000, 0x7f7e_ff65, 0x7f7f_8000, 0x7f7f_c99e, 0x3b00_0000, 0x3a80_0000, 0x3a80_0347, 0x3780_0000,
        0x3700_0000, 0x3700_20c5, 0x3380_0000, 0x3300_0000, 0x3300_0347, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000,
        0x3c8f_5c29, 0x3eaa_aaab, 0x4020_0000, 0x4060_0000, 0x4188_0000, 0x4198_0000, 0x3f88_0000, 0x3f98_0000,
        0x3bc0_0000,
    ]
    // What PyTorch 2.15 makes of them: x.to(dtype), read as integers. Index 32 is NaN, whose payload is not fixed.
    static let expected: [(DType, [Int])] = [
        (
            .bf16,
            [
                0, 32768, 16256, 49024, 15821, 12844, 17376, 17384, 17384, 17384, 17392, 29002, 18272, 18288, 18288,
                18304,
                18304, 18304, 32639, 32640, 32640, 15104, 14976, 14976, 14208, 14080, 14080, 13184, 13056, 13056, 32640,
                65408, 65535, 15503, 16043, 16416, 16480, 16776, 16792, 16264, 16280, 15296,
            ]
        ),
        (
            .f16,
            [
                0, 32768, 15360, 48128, 11878, 0, 24320, 24384, 24384, 24388, 24448, 31744, 31488, 31616, 31616, 31743,
                31743,
                31744, 31744, 31744, 31744, 6144, 5120, 5120, 256, 128, 128, 1, 0, 1, 31744, 64512, 32256, 9339, 13653,
                16640,
                17152, 19520, 19648, 15424, 15552, 7680,
            ]
        ),
        (
            .f8E4M3,
            [
                0, 128, 56, 184, 29, 0, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 126, 1, 0,
                1, 0,
                0, 0, 0, 0, 0, 126, 254, 127, 9, 43, 66, 70, 88, 90, 56, 58, 3,
            ]
        ),
        (
            .f8E5M2,
            [
                0, 128, 60, 188, 46, 0, 95, 95, 95, 95, 96, 124, 123, 124, 123, 124, 124, 124, 124, 124, 124, 24, 20,
                20, 1, 0,
                1, 0, 0, 0, 124, 252, 127, 36, 53, 65, 67, 76, 77, 60, 61, 30,
            ]
        ),
    ]

    private func narrowed(_ values: [Float], _ dtype: DType) throws -> (patterns: [Int], overflowed: Int) {
        var bytes = [UInt8](repeating: 0, count: values.count * dtype.bits / 8)
        let overflowed = try values.withUnsafeBufferPointer { values in
            try bytes.withUnsafeMutableBytes { try narrow(values, to: dtype, into: $0) }
        }
        let size = dtype.bits / 8
        return (
            values.indices.map { i in (0..<size).reduce(0) { $0 | Int(bytes[i * size + $1]) << (8 * $1) } }, overflowed
        )
    }

    private func widened(_ patterns: [UInt16], _ dtype: DType) throws -> [Float] {
        var values = [Float](repeating: -1, count: patterns.count)
        let bytes = patterns.flatMap { pattern -> [UInt8] in
            dtype.bits == 8
                ? [UInt8(truncatingIfNeeded: pattern)] : [UInt8(truncatingIfNeeded: pattern), UInt8(pattern >> 8)]
        }
        try bytes.withUnsafeBytes { bytes in
            try values.withUnsafeMutableBufferPointer { try widen(bytes, dtype, into: $0) }
        }
        return values
    }

    @Test("Rounding is PyTorch's at every border", arguments: expected.map(\.0))
    func borders(_ dtype: DType) throws {
        let wanted = try #require(Self.expected.first { $0.0 == dtype }?.1)
        // Once in a long buffer for the vector paths, once one by one for the scalar ones.
        let values = Self.inputs.map(Float.init(bitPattern:))
        let together = try narrowed(values, dtype).patterns
        for (index, value) in values.enumerated() {
            let alone = try narrowed([value], dtype).patterns[0]
            if value.isNaN {
                for pattern in [together[index], alone] {
                    #expect(try widened([UInt16(pattern)], dtype)[0].isNaN)
                }
            } else {
                #expect(together[index] == wanted[index], "\(value) together")
                #expect(alone == wanted[index], "\(value) alone")
            }
        }
    }

    @Test("Finite values that become infinite are counted, infinite ones are not")
    func overflow() throws {
        let values: [Float] = [1, 65519, 65520, -1e6, .infinity, .nan, 3.4e38, 448, 464, 465]
        #expect(try narrowed(values, .f16).overflowed == 3)
        #expect(try narrowed(values, .bf16).overflowed == 1)
        #expect(try narrowed(values, .f8E4M3).overflowed == 5)
        #expect(try narrowed(values, .f8E5M2).overflowed == 4)
        #expect(try narrowed(values, .f32).overflowed == 0)
    }

    // Checksums of all 65536 patterns' F32 bits, NaN left out, by PyTorch: s = (31 s + bits) mod (2^61 - 1).
    @Test(
        "Every pattern is widened exactly",
        arguments: [(DType.f16, UInt64(2_013_756_857_181_931_013)), (.bf16, 880_933_263_633_996_247)])
    func allPatterns(_ dtype: DType, _ checksum: UInt64) throws {
        let values = try widened((0...UInt16.max).map { $0 }, dtype)
        let modulus: UInt64 = (1 << 61) - 1
        let sum = values.filter { !$0.isNaN }.reduce(UInt64(0)) { sum, value in
            let product = sum.multipliedFullWidth(by: 31)
            return (modulus.dividingFullWidth(product).remainder + UInt64(value.bitPattern)) % modulus
        }
        #expect(sum == checksum)
        for (index, value) in values.enumerated() where !value.isNaN {
            #expect(try narrowed([value], dtype).patterns == [index])
        }
    }

    // Sums of absolute values and single patterns by PyTorch.
    @Test("Every F8 pattern is widened exactly")
    func float8() throws {
        let e4m3 = try widened((0..<256).map { $0 }, .f8E4M3)
        let e5m2 = try widened((0..<256).map { $0 }, .f8E5M2)
        func total(_ values: [Float]) -> Double {
            values.filter(\.isFinite).reduce(0) { $0 + abs(Double($1)) }
        }
        #expect(total(e4m3) == 10815.75)
        #expect(total(e5m2) == 720895.9995117188)
        #expect(e4m3[3].bitPattern == 0x3bc0_0000 && e4m3[39].bitPattern == 0x3e70_0000)
        #expect(e5m2[3].bitPattern == 0x3840_0000 && e5m2[39].bitPattern == 0x3ce0_0000)
        #expect(e4m3.filter(\.isNaN).count == 2 && e4m3.filter(\.isInfinite).isEmpty)
        #expect(e5m2.filter(\.isNaN).count == 6 && e5m2.filter(\.isInfinite).count == 2)
    }

    @Test("Unaligned bytes and odd lengths")
    func unaligned() throws {
        var generator = SeededGenerator(seed: 1)
        let bytes = (0..<2001).map { _ in UInt8.random(in: 0...120, using: &generator) }
        for dtype in [DType.bf16, .f16, .f32, .f64] {
            let size = dtype.bits / 8
            let count = 2000 / size
            var shifted = [Float](repeating: 0, count: count)
            var aligned = shifted
            try bytes.withUnsafeBytes { raw in
                try shifted.withUnsafeMutableBufferPointer {
                    try widen(UnsafeRawBufferPointer(rebasing: raw[1...]), dtype, into: $0)
                }
            }
            try Array(bytes.dropFirst()).withUnsafeBytes { raw in
                try aligned.withUnsafeMutableBufferPointer { try widen(raw, dtype, into: $0) }
            }
            #expect(shifted.map(\.bitPattern) == aligned.map(\.bitPattern))
        }
    }

    @Test("NaN and infinities are counted in every type")
    func nonfinite() throws {
        let values: [Float] = [1, .nan, 2, .infinity, -.infinity, 0, 3]
        for (dtype, expected) in [(DType.f32, 3), (.bf16, 3), (.f16, 3), (.f64, 3), (.f8E5M2, 3), (.f8E4M3, 1)] {
            var bytes = [UInt8](repeating: 0, count: values.count * dtype.bits / 8)
            try values.withUnsafeBufferPointer { values in
                try bytes.withUnsafeMutableBytes { _ = try narrow(values, to: dtype, into: $0) }
            }
            #expect(try bytes.withUnsafeBytes { try nonFiniteCount($0, dtype) } == expected, "\(dtype)")
        }
    }
}
