/// A floating-point type of eight bits, as PyTorch's `float8_e4m3fn` and `float8_e5m2`.
struct Float8: Sendable {
    let mantissaBits: Int
    let bias: Int
    /// Whether the largest exponent is for infinity and NaN alone, as IEEE 754 has it; E4M3 gives up only one pattern.
    let hasInfinity: Bool
    /// The value of each of the 256 patterns.
    let table: [Float]

    static let e4m3 = Float8(mantissaBits: 3, bias: 7, hasInfinity: false)
    static let e5m2 = Float8(mantissaBits: 2, bias: 15, hasInfinity: true)

    private init(mantissaBits: Int, bias: Int, hasInfinity: Bool) {
        self.mantissaBits = mantissaBits
        self.bias = bias
        self.hasInfinity = hasInfinity
        table = (0..<256).map { pattern in
            let exponent = (pattern & 0x7F) >> mantissaBits
            let mantissa = pattern & ((1 << mantissaBits) - 1)
            let sign: Float = pattern & 0x80 != 0 ? -1 : 1
            if hasInfinity, exponent == 0x7F >> mantissaBits {
                return mantissa == 0 ? sign * .infinity : .nan
            }
            if !hasInfinity, pattern & 0x7F == 0x7F { return .nan }
            let unit = Float(sign: .plus, exponent: max(exponent, 1) - bias - mantissaBits, significand: 1)
            return sign * Float(exponent > 0 ? mantissa + 1 << mantissaBits : mantissa) * unit
        }
    }

    /// Rounds to the nearest, ties to even; what is too large becomes infinite, or the largest value where there is no
    /// infinity, as PyTorch has it. Returns how many finite values did so.
    func narrow(_ from: UnsafePointer<Float>, _ to: UnsafeMutableRawPointer, _ count: Int) -> Int {
        let shift = UInt32(23 - mantissaBits)
        let smallestNormal = Float(sign: .plus, exponent: 1 - bias, significand: 1)
        // Adding this aligns the unit of the subnormal values with the last bit of the sum, which rounds to even.
        let aligner = Float(sign: .plus, exponent: 1 - bias - mantissaBits + 23, significand: 1)
        let rebias = UInt32(127 - bias) << 23
        let limit: UInt32 = hasInfinity ? 0x7C : 0x7F
        let largest: UInt8 = hasInfinity ? 0x7C : 0x7E
        let nan: UInt8 = hasInfinity ? 0x7E : 0x7F
        var overflowed = 0
        for i in 0..<count {
            let bits = from[i].bitPattern
            let sign = UInt8(truncatingIfNeeded: bits >> 24) & 0x80
            let magnitude = Float(bitPattern: bits & 0x7FFF_FFFF)
            let pattern: UInt8
            if magnitude.isNaN {
                pattern = nan
            } else if magnitude < smallestNormal {
                pattern = UInt8(truncatingIfNeeded: (magnitude + aligner).bitPattern &- aligner.bitPattern)
            } else {
                let value = magnitude.bitPattern
                let rounded = (value &+ (1 << (shift - 1)) &- 1 &+ ((value >> shift) & 1)) &- rebias
                if rounded >> shift >= limit || magnitude.isInfinite {
                    if magnitude.isFinite { overflowed += 1 }
                    pattern = largest
                } else {
                    pattern = UInt8(truncatingIfNeeded: rounded >> shift)
                }
            }
            to.storeBytes(of: sign | pattern, toByteOffset: i, as: UInt8.self)
        }
        return overflowed
    }
}
