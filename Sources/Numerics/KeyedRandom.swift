import Glibc

/// Random numbers that depend on a key and an index, and on nothing else: not on the thread, the order or the block.
///
/// The generator is Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): its 64-bit key
/// and the upper half of its 128-bit counter come from a hash of seed, tensor name and purpose; the lower half counts
/// blocks of four numbers.
package struct KeyedRandom: Sendable, Hashable {
    private let key: UInt64
    private let stream: UInt64

    package init(seed: UInt64, tensor: String, purpose: String) {
        // FNV-1a over the parts, which are told apart by a byte that UTF-8 does not have, then splitmix64 to spread it.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        for shift in stride(from: 0, to: 64, by: 8) { add(UInt8(truncatingIfNeeded: seed >> UInt64(shift))) }
        for byte in tensor.utf8 { add(byte) }
        add(0xFF)
        for byte in purpose.utf8 { add(byte) }
        key = Self.spread(hash)
        stream = Self.spread(hash ^ Self.spread(seed &+ 0x9E37_79B9_7F4A_7C15))
    }

    private static func spread(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Block `index` of four numbers.
    private func block(_ index: UInt64) -> SIMD4<UInt32> {
        philox4x32(
            SIMD4(
                UInt32(truncatingIfNeeded: index), UInt32(truncatingIfNeeded: index >> 32),
                UInt32(truncatingIfNeeded: stream), UInt32(truncatingIfNeeded: stream >> 32)),
            key: SIMD2(UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)))
    }

    /// Uniform draws from [0, 1), multiples of 2^-24: the numbers `start`, `start + 1`, ...
    package func fillUniform(_ out: UnsafeMutableBufferPointer<Float>, from start: Int) {
        fill(out, from: start) { bits in
            SIMD4<Float>(bits &>> 8) * 0x1p-24
        }
    }

    /// Standard normal draws, the numbers `start`, `start + 1`, ...: Box and Muller's transform of the uniform numbers,
    /// in F64, rounded once.
    package func fillNormal(_ out: UnsafeMutableBufferPointer<Float>, from start: Int) {
        fill(out, from: start) { bits in
            SIMD4(lowHalf: Self.pair(bits[0], bits[1]), highHalf: Self.pair(bits[2], bits[3]))
        }
    }

    private static func pair(_ a: UInt32, _ b: UInt32) -> SIMD2<Float> {
        // (a + 1/2) / 2^32 is never 0, whose logarithm is infinite.
        let radius = (-2 * log((Double(a) + 0.5) * 0x1p-32)).squareRoot()
        let angle = 2 * Double.pi * (Double(b) * 0x1p-32)
        return SIMD2(Float(radius * cos(angle)), Float(radius * sin(angle)))
    }

    private func fill(
        _ out: UnsafeMutableBufferPointer<Float>, from start: Int, _ transform: (SIMD4<UInt32>) -> SIMD4<Float>
    ) {
        var index = 0
        while index < out.count {
            let position = UInt64(start + index)
            let values = transform(block(position / 4))
            var lane = Int(position % 4)
            while lane < 4, index < out.count {
                out[index] = values[lane]
                lane += 1
                index += 1
            }
        }
    }

    /// `count` different numbers below `bound`, ascending; each set is as likely as any other.
    package func sample(_ count: Int, of bound: Int) -> [Int] { shuffled(count, of: bound).sorted() }

    /// The numbers below `bound` in an order that is as likely as any other.
    package func permutation(of bound: Int) -> [Int] { shuffled(bound, of: bound) }

    /// The first steps of Fisher and Yates' shuffle; Lemire's method gives numbers below a bound without bias.
    private func shuffled(_ count: Int, of bound: Int) -> [Int] {
        var numbers = Array(0..<max(bound, 0))
        let count = min(max(count, 0), numbers.count)
        var next: UInt64 = 0
        for i in 0..<count {
            let range = UInt64(numbers.count - i)
            var product: (high: UInt64, low: UInt64)
            repeat {
                let bits = block(next)
                next += 1
                product = (UInt64(bits[0]) << 32 | UInt64(bits[1])).multipliedFullWidth(by: range)
            } while product.low < (0 &- range) % range
            numbers.swapAt(i, i + Int(product.high))
        }
        return Array(numbers.prefix(count))
    }
}

/// Ten rounds of Philox4x32.
@inline(__always)
package func philox4x32(_ counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
    var (c0, c1, c2, c3) = (counter[0], counter[1], counter[2], counter[3])
    var (k0, k1) = (key[0], key[1])
    for _ in 0..<10 {
        let first = UInt64(c0) &* 0xD251_1F53
        let second = UInt64(c2) &* 0xCD9E_8D57
        (c0, c1, c2, c3) = (
            UInt32(truncatingIfNeeded: second >> 32) ^ c1 ^ k0, UInt32(truncatingIfNeeded: second),
            UInt32(truncatingIfNeeded: first >> 32) ^ c3 ^ k1, UInt32(truncatingIfNeeded: first)
        )
        k0 &+= 0x9E37_79B9
        k1 &+= 0xBB67_AE85
    }
    return SIMD4(c0, c1, c2, c3)
}
