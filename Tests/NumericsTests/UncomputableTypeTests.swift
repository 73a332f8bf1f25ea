import Numerics
import Safetensors
import Testing

@Suite struct UncomputableTypeTests {
    @Test("A type without values is refused, in both directions and both widths", arguments: DType.allCases)
    func refused(_ dtype: DType) throws {
        let bytes = [UInt8](repeating: 1, count: 64)
        let floats = [Float](repeating: 1, count: 8)
        let doubles = [Double](repeating: 1, count: 8)
        func isRefused(_ body: () throws -> Void) -> Bool {
            do { try body() } catch { return error is ConversionError }
            return false
        }
        let refusals = [
            isRefused {
                var target = floats
                try bytes.withUnsafeBytes { raw in
                    try target.withUnsafeMutableBufferPointer { try widen(raw, dtype, into: $0) }
                }
            },
            isRefused {
                var target = doubles
                try bytes.withUnsafeBytes { raw in
                    try target.withUnsafeMutableBufferPointer { try widen(raw, dtype, into: $0) }
                }
            },
            isRefused {
                var target = bytes
                try floats.withUnsafeBufferPointer { values in
                    try target.withUnsafeMutableBytes { _ = try narrow(values, to: dtype, into: $0) }
                }
            },
            isRefused {
                var target = bytes
                try doubles.withUnsafeBufferPointer { values in
                    try target.withUnsafeMutableBytes { _ = try narrow(values, to: dtype, into: $0) }
                }
            },
            isRefused { _ = try bytes.withUnsafeBytes { try nonFiniteCount($0, dtype) } },
        ]
        let isNumber: Set<DType> = [.f64, .f32, .f16, .bf16, .f8E4M3, .f8E5M2]
        #expect(refusals == Array(repeating: !isNumber.contains(dtype), count: 5))
    }
}
