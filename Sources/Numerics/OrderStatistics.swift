/// The magnitudes at given ranks among values that are streamed twice, in memory that does not depend on their number.
///
/// - Parameters:
///   - ranks: positions in ascending order of magnitude, from 0; out of range is cut to it.
///   - stream: gives all values, in any portions, to the function it is handed; it is called twice.
/// - Returns: the magnitude at each rank.
package func magnitudes(
    atRanks ranks: [Int], stream: ((UnsafeBufferPointer<Float>) -> Void) throws -> Void
) rethrows -> [Float] {
    // The bits of a magnitude order as the magnitude does; the upper 16 of its 31 bits choose a bucket, and the values
    // of the buckets that hold a rank are counted by their lower 15.
    var upper = [Int](repeating: 0, count: 1 << 16)
    try stream { values in
        upper.withUnsafeMutableBufferPointer { upper in
            for value in values { upper[Int(value.magnitude.bitPattern >> 15)] += 1 }
        }
    }
    let total = upper.reduce(0, +)
    guard total > 0 else { return ranks.map { _ in 0 } }
    var wanted: [(bucket: Int, rest: Int)] = []
    for rank in ranks {
        var rest = min(max(rank, 0), total - 1)
        var bucket = 0
        while rest >= upper[bucket] {
            rest -= upper[bucket]
            bucket += 1
        }
        wanted.append((bucket, rest))
    }
    var slots = [Int32](repeating: -1, count: 1 << 16)
    var buckets: [Int] = []
    for (bucket, _) in wanted where slots[bucket] < 0 {
        slots[bucket] = Int32(buckets.count)
        buckets.append(bucket)
    }
    var lower = [Int](repeating: 0, count: buckets.count << 15)
    try stream { values in
        lower.withUnsafeMutableBufferPointer { lower in
            slots.withUnsafeBufferPointer { slots in
                for value in values {
                    let bits = value.magnitude.bitPattern
                    let slot = Int(slots[Int(bits >> 15)])
                    if slot >= 0 { lower[slot << 15 | Int(bits & 0x7FFF)] += 1 }
                }
            }
        }
    }
    return wanted.map { bucket, rest in
        var rest = rest
        let start = Int(slots[bucket]) << 15
        var low = 0
        while low < 0x7FFF, rest >= lower[start + low] {
            rest -= lower[start + low]
            low += 1
        }
        return Float(bitPattern: UInt32(bucket) << 15 | UInt32(low))
    }
}
