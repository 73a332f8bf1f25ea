import Numerics
import Safetensors
import TestSupport
import Testing

@Suite("Assignment, order statistics, singular directions")
struct LinearAlgebraTests {
    @Test("The assignment is the best of all permutations")
    func assignment() {
        var generator = SeededGenerator(seed: 1)
        func permutations(_ items: [Int]) -> [[Int]] {
            items.isEmpty
                ? [[]] : items.flatMap { item in permutations(items.filter { $0 != item }).map { [item] + $0 } }
        }
        for count in 1...6 {
            let all = permutations(Array(0..<count))
            for _ in 0..<20 {
                let costs = (0..<count * count).map { _ in Float.random(in: -1...1, using: &generator) }
                let cost = { (columns: [Int]) in
                    columns.enumerated().reduce(0.0) { $0 + Double(costs[$1.offset * count + $1.element]) }
                }
                let found = linearAssignment(costs, count: count)
                #expect(found.sorted() == Array(0..<count))
                #expect(abs(cost(found) - (all.map(cost).min() ?? 0)) < 1e-9)
            }
        }
    }

    @Test("Magnitudes by rank are those of the sorted list")
    func ranks() {
        var generator = SeededGenerator(seed: 2)
        let values = (0..<5000).map { _ in
            Float.random(in: -1...1, using: &generator) * (Bool.random(using: &generator) ? 1e-6 : 100)
        }
        let sorted = values.map(\.magnitude).sorted()
        let asked = [0, 1, 2499, 2500, 4998, 4999]
        let found = magnitudes(atRanks: asked) { take in
            values.withUnsafeBufferPointer { all in
                take(UnsafeBufferPointer(rebasing: all[..<1234]))
                take(UnsafeBufferPointer(rebasing: all[1234...]))
            }
        }
        #expect(found == asked.map { sorted[$0] })
    }

    /// [[3, 0], [0, 2], [0, 0]] turned in the plane keeps its singular values; by hand, rank one of a diagonal matrix is
    /// its larger entry.
    @Test("The best approximation of rank one")
    func singular() {
        var flat = [Double](repeating: 0, count: 6)
        #expect(addLeadingDirections(of: [3, 0, 0, 2, 0, 0], rows: 3, columns: 2, rank: 1, to: &flat))
        for (a, b) in zip(flat, [3.0, 0, 0, 0, 0, 0]) { #expect(abs(a - b) < 1e-14) }
        // A = u v' with u = (1, 2), v = (1, 0, -1) plus a smaller direction at right angles to both.
        let matrix: [Double] = [1 + 0.2, 0.2, -1 + 0.2, 2 - 0.1, -0.1, -2 - 0.1]
        var best = [Double](repeating: 1, count: 6)
        #expect(addLeadingDirections(of: matrix, rows: 2, columns: 3, rank: 1, to: &best))
        for (a, b) in zip(best, [1.0, 0, -1, 2, 0, -2]) { #expect(abs(a - 1 - b) < 1e-14) }
        var untouched = [Double](repeating: 1, count: 4)
        #expect(!addLeadingDirections(of: [.nan, 0, 0, 1], rows: 2, columns: 2, rank: 1, to: &untouched))
        #expect(untouched == [1, 1, 1, 1])
    }

    @Test("F64 is rounded once to BF16: what two roundings would get wrong")
    func once() throws {
        // 1 + 2^-8 + 2^-40: to F32 it is 1 + 2^-8, a tie that goes to 1; rounded once it is 1 + 2^-7.
        let values: [Double] = [
            1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8, -(1 + 0x1p-8 + 0x1p-40), 1e-60, 0x1.FEFFFFFFFFFFFp127,
        ]
        var bytes = [UInt8](repeating: 0, count: 10)
        let overflowed = try values.withUnsafeBufferPointer { source in
            try bytes.withUnsafeMutableBytes { try narrow(source, to: .bf16, into: $0) }
        }
        let patterns = (0..<5).map { UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8 }
        #expect(patterns == [0x3F81, 0x3F80, 0xBF81, 0x0000, 0x7F7F])
        #expect(overflowed == 0)
    }
}
