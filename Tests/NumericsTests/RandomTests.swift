import Glibc
import Numerics
import Testing

@Suite("Keyed random numbers")
struct RandomTests {
    private func normals(_ count: Int, from start: Int = 0, tensor: String = "t") -> [Float] {
        var values = [Float](repeating: 0, count: count)
        values.withUnsafeMutableBufferPointer {
            KeyedRandom(seed: 7, tensor: tensor, purpose: "p").fillNormal($0, from: start)
        }
        return values
    }

    // The known answers of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds).
    @Test("Philox gives the published answers")
    func knownAnswers() {
        #expect(
            philox4x32(SIMD4(repeating: 0), key: SIMD2(repeating: 0))
                == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
        #expect(
            philox4x32(SIMD4(repeating: .max), key: SIMD2(repeating: .max))
                == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
        #expect(
            philox4x32(SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: SIMD2(0xa409_3822, 0x299f_31d0))
                == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
    }

    @Test("A draw does not depend on the block it is made in")
    func blocks() {
        let whole = normals(1000)
        for (start, count) in [(0, 1), (1, 7), (3, 100), (997, 3), (500, 500)] {
            #expect(normals(count, from: start) == Array(whole[start..<start + count]))
        }
        #expect(normals(10, tensor: "u") != normals(10))
    }

    @Test("Normal draws are normal")
    func distribution() {
        let values = normals(1_000_000).map(Double.init)
        let mean = values.reduce(0, +) / 1e6
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 1e6
        let fourth = values.reduce(0) { $0 + $1 * $1 * $1 * $1 } / 1e6
        // Five standard errors of each: 1/sqrt(n), sqrt(2/n), sqrt(96/n).
        #expect(abs(mean) < 0.005)
        #expect(abs(variance - 1) < 0.0071)
        #expect(abs(fourth - 3) < 0.049)
        // P(|x| < 1) = 0.682689.
        #expect(abs(Double(values.filter { abs($0) < 1 }.count) / 1e6 - 0.682689) < 0.0024)
    }

    @Test("A sample has the size asked for, no element twice, and no bias")
    func sample() {
        var counts = [Int](repeating: 0, count: 10)
        for seed in 0..<10_000 {
            let sample = KeyedRandom(seed: UInt64(seed), tensor: "t", purpose: "s").sample(3, of: 10)
            #expect(sample.count == 3 && Set(sample).count == 3 && sample == sample.sorted())
            for index in sample { counts[index] += 1 }
        }
        // 3000 expected, standard deviation sqrt(10000 * 0.3 * 0.7) = 46.
        #expect(counts.allSatisfy { abs($0 - 3000) < 230 }, "\(counts)")
        #expect(KeyedRandom(seed: 0, tensor: "", purpose: "").sample(5, of: 5) == [0, 1, 2, 3, 4])
    }
}

@Suite("Moments")
struct MomentTests {
    // numpy: a.mean() and a.std(ddof=1) in float64 of float32(sin(0..9999)) * float32(0.25) + float32(3).
    @Test("Mean and standard deviation are numpy's, whatever the portions")
    func values() {
        let values = (0..<10_000).map { Float(sin(Double($0))) * 0.25 + 3 }
        var results: [Moments] = []
        for portion in [10_000, 1, 4096, 4097, 333] {
            var accumulator = MomentAccumulator()
            values.withUnsafeBufferPointer { buffer in
                for start in stride(from: 0, to: buffer.count, by: portion) {
                    accumulator.add(UnsafeBufferPointer(rebasing: buffer[start..<min(start + portion, buffer.count)]))
                }
            }
            results.append(accumulator.moments)
        }
        #expect(abs(results[0].mean - 3.0000484877824785) < 1e-12)
        #expect(abs(results[0].standardDeviation - 0.17678305023847413) < 1e-12)
        #expect(results.allSatisfy { $0 == results[0] })
    }

    @Test("Nothing and a single value have no deviation")
    func few() {
        #expect(MomentAccumulator().moments == Moments(mean: 0, standardDeviation: 0))
        var accumulator = MomentAccumulator()
        [Float(5)].withUnsafeBufferPointer { accumulator.add($0) }
        #expect(accumulator.moments == Moments(mean: 5, standardDeviation: 0))
    }
}
