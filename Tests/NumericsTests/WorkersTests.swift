import Numerics
import Synchronization
import Testing

@Suite("Workers")
struct WorkersTests {
    @Test("Each piece runs once, for loops of any size that follow one another at once", arguments: [1, 2, 3, 8])
    func pieces(_ threads: Int) {
        let workers = Workers(threads: threads)
        // Short loops: a thread that comes late finds the next one, or none, and holds nothing of the one before.
        for loop in 0..<20_000 {
            let count = loop % 7
            let sum = Atomic<Int>(0)
            workers.forEach(count) { piece in sum.add(1 << (8 * piece), ordering: .relaxed) }
            let expected = (0..<count).reduce(0) { $0 + 1 << (8 * $1) }
            #expect(sum.load(ordering: .relaxed) == expected)
        }
    }

    @Test("Ranges cover everything once")
    func ranges() {
        let workers = Workers(threads: 2)
        let touched = Matrix(zeros: 1, 1001)
        workers.forEachRange(of: 1001, size: 100) { range in for i in range { touched.values[i] += 1 } }
        #expect(touched.array.allSatisfy { $0 == 1 })
        workers.forEachRange(of: 0, size: 100) { _ in Issue.record("there is nothing to do") }
    }

    @Test("Workers come and go")
    func lifetime() {
        for _ in 0..<200 {
            let total = Atomic<Int>(0)
            Workers(threads: 4).forEach(16) { total.add($0, ordering: .relaxed) }
            #expect(total.load(ordering: .relaxed) == 120)
        }
    }
}
