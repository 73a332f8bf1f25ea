import Quantisation
import Safetensors
import TestSupport
import Testing

/// Codes and scales beside those of compressed-tensors and torch: Tests/Fixtures/quantising/make.py says how they were made.
@Suite("Encoding in blocks")
struct BlockEncoderTests {
    private static let encoders: [String: BlockEncoder] = [
        "fp8-channel": BlockEncoder(codes: .e4m3, scales: .float(.bf16)),
        "int8": BlockEncoder(codes: .int8, scales: .float(.bf16)),
        "int4-group:128": BlockEncoder(codes: .int4, scales: .float(.bf16), columnsPerBlock: 128),
        "mxfp4": BlockEncoder(codes: .e2m1, scales: .e8m0, columnsPerBlock: 32),
        "nvfp4": BlockEncoder(codes: .e2m1, scales: .e4m3, columnsPerBlock: 16),
        "fp8-block": BlockEncoder(codes: .e4m3, scales: .float(.f32), rowsPerBlock: 128, columnsPerBlock: 128),
    ]

    /// A matrix of the fixture.
    private struct Matrix {
        let file: SafetensorsFile
        let name: String
        let rows: Int
        let columns: Int
        let values: [Float]

        init(_ name: String) throws {
            file = try SafetensorsFile(path: Fixtures.file("quantising/encodings.safetensors"))
            let shape = try #require(file.info(name)).shape.dimensions
            (self.name, rows, columns) = (name, shape[0], shape[1])
            values = try floats(file.bytes(name))
        }

        func bytes(_ part: String) throws -> [UInt8] { try file.bytes("\(name).\(part)") }
    }

    private struct Encoded {
        let scales: [Float]
        let codes: [UInt8]
        let scaleBytes: [UInt8]
        let global: Float
    }

    private func encode(_ values: [Float], _ rows: Int, _ columns: Int, _ encoder: BlockEncoder) throws -> Encoded {
        try values.withUnsafeBufferPointer { values in
            let global = encoder.scales == .e4m3 ? encoder.global(largest: encoder.largest(values, above: 0)) : 1
            var overflowed = 0
            let scales = encoder.scales(values, rows: rows, columns: columns, global: global, overflowed: &overflowed)
            #expect(overflowed == 0)
            var codes = [UInt8](repeating: 0xAA, count: encoder.byteCount(rows * columns))
            codes.withUnsafeMutableBytes {
                encoder.encode(values, rows: rows, columns: columns, scales: scales, global: global, into: $0)
            }
            var bytes = [UInt8](repeating: 0xAA, count: scales.count * encoder.scaleType.bits / 8)
            try bytes.withUnsafeMutableBytes { try encoder.write(scales, into: $0) }
            return Encoded(scales: scales, codes: codes, scaleBytes: bytes, global: global)
        }
    }

    @Test("Codes and scales are the reference's, byte for byte", arguments: ["a", "b"])
    func reference(_ name: String) throws {
        let matrix = try Matrix(name)
        for (format, encoder) in Self.encoders {
            let made = try encode(matrix.values, matrix.rows, matrix.columns, encoder)
            let codes = try matrix.bytes(format + ".codes")
            let scales = try matrix.bytes(format + ".scales")
            if format == "nvfp4" {
                #expect(try floats(matrix.bytes("nvfp4.global")) == [made.global])
                // Where a scale would be zero the library takes 0.125 and loses the values; the least there is keeps some.
                let width = matrix.columns / 16
                for group in scales.indices where made.scaleBytes[group] != 1 || group / width != 2 {
                    #expect(made.scaleBytes[group] == scales[group], "\(format) \(group)")
                    #expect(made.codes[group * 8..<group * 8 + 8] == codes[group * 8..<group * 8 + 8])
                }
                continue
            }
            #expect(made.codes == codes, "\(format)")
            #expect(made.scaleBytes == scales, "\(format)")
        }
    }

    @Test(
        "A search ends at the least error of what it tries, and never above the largest magnitude's",
        arguments: ["int4-group:128", "mxfp4", "nvfp4"])
    func search(_ format: String) throws {
        for name in ["a", "b"] {
            let matrix = try Matrix(name)
            let plain = try #require(Self.encoders[format])
            let searching = BlockEncoder(
                codes: plain.codes, scales: plain.scales, columnsPerBlock: plain.columnsPerBlock, search: true)
            let best = try matrix.file.bytes("\(name).\(format).best").withUnsafeBytes {
                Array($0.bindMemory(to: Double.self))
            }
            let found = try errors(matrix, searching)
            let without = try errors(matrix, plain)
            for (index, error) in found.enumerated() {
                #expect(error <= best[index] * (1 + 1e-5) + 1e-30, "\(format) \(name) \(index)")
                #expect(error <= without[index] * (1 + 1e-6))
            }
            #expect(zip(found, without).contains { $0 < 0.95 * $1 })
        }
    }

    /// The squared error of each group, from what the bytes mean.
    private func errors(_ matrix: Matrix, _ encoder: BlockEncoder) throws -> [Double] {
        let made = try encode(matrix.values, matrix.rows, matrix.columns, encoder)
        let size = try #require(encoder.columnsPerBlock)
        let magnitudes: [Double] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
        return made.scales.enumerated().map { group, scale in
            let factor = encoder.scales == .e4m3 ? Double(scale / made.global) : Double(scale)
            return (group * size..<(group + 1) * size).reduce(0.0) { sum, index in
                let code = Int(made.codes[index / 2] >> (index % 2 == 0 ? 0 : 4)) & 15
                let value =
                    encoder.codes == .int4 ? Double(code - 8) : magnitudes[code & 7] * (code & 8 == 0 ? 1 : -1)
                let missed = Double(matrix.values[index]) - value * factor
                return sum + missed * missed
            }
        }
    }

    @Test("Blocks of 128 x 128 end short at the edges, and each has its own largest magnitude")
    func edges() throws {
        let encoder = try #require(Self.encoders["fp8-block"])
        let (rows, columns) = (130, 200)
        var values = [Float](repeating: 0.5, count: rows * columns)
        values[0] = 448
        values[129 * columns + 199] = -896
        let made = try encode(values, rows, columns, encoder)
        // Largest magnitudes over 448, by hand: 448, 0.5 of the columns beyond 128, 0.5 of the last rows, 896.
        #expect(made.scales == [1, 0.5 / 448, 0.5 / 448, 2])
        #expect(made.codes[0] == 0x7E)
        #expect(made.codes[128] == 0x7E)
        #expect(made.codes[129 * columns + 199] == 0xFE)
        // 0.5 in the first block is 2^-1, and 0.25 in the last 2^-2: exponent bits 6 and 5.
        #expect(made.codes[1] == 0x30)
        #expect(made.codes[129 * columns + 198] == 0x28)
    }

    @Test("Zeros have codes of zero and a scale that is a number", arguments: Array(encoders.keys))
    func zeros(_ format: String) throws {
        let encoder = try #require(Self.encoders[format])
        let made = try encode([Float](repeating: 0, count: 2 * 256), 2, 256, encoder)
        #expect(made.codes.allSatisfy { $0 == (encoder.codes == .int4 ? 0x88 : 0) })
        #expect(made.scales.allSatisfy { $0 > 0 && $0.isFinite })
        #expect(made.global == 1)
    }

    @Test("The least and the largest numbers neither vanish nor overflow", arguments: Array(encoders.keys))
    func extremes(_ format: String) throws {
        let encoder = try #require(Self.encoders[format])
        for magnitude in [Float.leastNonzeroMagnitude, .leastNormalMagnitude, 3e38] {
            let values = (0..<256).map { $0 % 2 == 0 ? magnitude : -magnitude }
            let made = try encode(values, 1, 256, encoder)
            #expect(made.scales.allSatisfy { $0 > 0 && $0.isFinite }, "\(format) \(magnitude)")
            guard magnitude > 1 else { continue }
            #expect(made.codes.allSatisfy { $0 != 0 && $0 != 0x88 })
        }
    }

    @Test("A scale that F16 cannot hold is counted, and becomes the largest that it holds")
    func overflow() {
        let encoder = BlockEncoder(codes: .int4, scales: .float(.f16), columnsPerBlock: 8)
        var overflowed = 0
        let scales = [Float](repeating: 1e6, count: 8).withUnsafeBufferPointer {
            encoder.scales($0, rows: 1, columns: 8, overflowed: &overflowed)
        }
        #expect(overflowed == 1)
        #expect(scales == [65504])
    }
}

private func floats(_ bytes: [UInt8]) -> [Float] {
    bytes.withUnsafeBytes { raw in
        (0..<raw.count / 4).map { raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
    }
}
