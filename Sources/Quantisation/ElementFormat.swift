import Numerics
import Safetensors

/// What the codes of a quantised weight mean before they are scaled: a value for each code of at most eight bits.
package struct ElementFormat: Sendable, Hashable, CustomStringConvertible {
    package let description: String
    package let bits: Int
    /// The value of each of the `2^bits` codes.
    package let values: [Float]

    package init(_ description: String, bits: Int, values: [Float]) {
        precondition((1...8).contains(bits) && values.count == 1 << bits, "a value for each code")
        self.description = description
        self.bits = bits
        self.values = values
    }

    /// One sign, four exponent and three mantissa bits, as PyTorch's `float8_e4m3fn`.
    package static let e4m3 = ElementFormat("FP8 E4M3", dtype: .f8E4M3)
    package static let e5m2 = ElementFormat("FP8 E5M2", dtype: .f8E5M2)
    /// Four bits: a sign and one of 0, 0.5, 1, 1.5, 2, 3, 4, 6.
    package static let e2m1 = ElementFormat(
        "FP4 E2M1", bits: 4, values: magnitudes + magnitudes.map { -$0 })
    /// The same with a zero that has no sign, as NVIDIA's ModelOpt has it in its table of values.
    package static let e2m1UnsignedZero = ElementFormat(
        "FP4 E2M1", bits: 4, values: magnitudes + magnitudes.map { $0 == 0 ? 0 : -$0 })
    /// A power of two, 2^(code - 127); 255 is NaN.
    package static let e8m0 = ElementFormat(
        "E8M0", bits: 8,
        values: (0..<255).map { Float(sign: .plus, exponent: $0 - 127, significand: 1) } + [.nan])

    private static let magnitudes: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]

    /// Whole numbers from 0 on.
    package static func unsigned(bits: Int) -> ElementFormat {
        ElementFormat("UINT\(bits)", bits: bits, values: (0..<1 << bits).map { Float($0) })
    }

    /// Whole numbers in two's complement.
    package static func signed(bits: Int) -> ElementFormat {
        let half = 1 << (bits - 1)
        return ElementFormat(
            "INT\(bits)", bits: bits, values: (0..<1 << bits).map { Float($0 < half ? $0 : $0 - 2 * half) })
    }

    /// Whole numbers of which the code is that much more than the number, so that the least is code zero.
    package static func offset(bits: Int) -> ElementFormat {
        ElementFormat("INT\(bits)", bits: bits, values: (0..<1 << bits).map { Float($0 - 1 << (bits - 1)) })
    }

    private init(_ description: String, dtype: DType) {
        var values = [Float](repeating: 0, count: 256)
        let codes = (0..<256).map { UInt8($0) }
        codes.withUnsafeBytes { codes in
            values.withUnsafeMutableBufferPointer { values in
                do { try widen(codes, dtype, into: values) } catch { preconditionFailure("\(error)") }
            }
        }
        self.init(description, bits: 8, values: values)
    }
}
