import Checkpoints
import Evaluation
import Safetensors
import TestSupport
import Testing

@Suite("Training data")
struct TrainingStreamTests {
    /// A domain of `count` windows of two tokens, of which the first is the number of the window.
    private func domain(_ name: String, windows count: Int, vocabulary: Int = 1000) throws -> TrainingDomain {
        let tokens: [UInt8] = (0..<count).flatMap { [UInt8($0), 0, 7, 0] as [UInt8] }
        let folder = try TemporaryFolder()
        let path = try folder.write("x.bin", tokens + [9, 0])
        let encoder = try TextEncoder(.none, vocabularySize: vocabulary, beginning: nil, end: nil)
        return try TrainingDomain(
            DataSource(name: name, path: path, tokens: .uint16), length: 2, options: DataOptions(), encoder: encoder)
    }

    /// The next windows, as (domain, number of the window).
    private func draw(_ count: Int, _ stream: inout TrainingStream) -> [[Int]] {
        (0..<count).map { _ in
            var ids: [Int32] = []
            let domain = stream.next(appendingTo: &ids)
            #expect(ids.count == 2 && ids.last == 7)
            return [domain, Int(ids.first ?? -1)]
        }
    }

    @Test("An epoch has every window once, each in an order of its own", arguments: [1000, 70_000])
    func epochs(_ vocabulary: Int) throws {
        let data = try domain("a", windows: 40, vocabulary: vocabulary)
        #expect(data.windowCount == 40)
        #expect(data.summary.tokens == 81)
        var stream = try TrainingStream([data], seed: 1)
        let first = draw(40, &stream).map { $0[1] }
        let second = draw(40, &stream).map { $0[1] }
        #expect(first.sorted() == Array(0..<40))
        #expect(second.sorted() == Array(0..<40))
        #expect(first != second && first != Array(0..<40))
        var same = try TrainingStream([data], seed: 1)
        #expect(draw(40, &same).map { $0[1] } == first)
        var other = try TrainingStream([data], seed: 2)
        #expect(draw(40, &other).map { $0[1] } != first)
    }

    @Test("Domains take turns by their weights")
    func weights() throws {
        let domains = [try domain("a", windows: 5), try domain("b", windows: 7), try domain("c", windows: 3)]
        var equal = try TrainingStream(domains, seed: 1)
        #expect(draw(9, &equal).map { $0[0] } == [0, 1, 2, 0, 1, 2, 0, 1, 2])
        // Shares of 3/5, 1/5 and 1/5 by hand: 3 draws of 5 go to the first.
        var weighted = try TrainingStream(domains, weights: [3, 1, 1], seed: 1)
        let drawn = draw(100, &weighted).map { $0[0] }
        #expect(drawn.filter { $0 == 0 }.count == 60)
        #expect(drawn.filter { $0 == 1 }.count == 20)
        for count in 1...100 {
            let part = drawn.prefix(count).filter { $0 == 0 }.count
            #expect(abs(Double(part) - 0.6 * Double(count)) < 2)
        }
    }

    @Test("A stream goes on where another one was")
    func resume() throws {
        let domains = [try domain("a", windows: 5), try domain("b", windows: 7)]
        var whole = try TrainingStream(domains, weights: [2, 1], seed: 3)
        let all = draw(60, &whole)
        for count in [0, 1, 17, 30] {
            var first = try TrainingStream(domains, weights: [2, 1], seed: 3)
            _ = draw(count, &first)
            var second = try TrainingStream(domains, weights: [2, 1], seed: 3)
            try second.restore(first.state)
            #expect(draw(60 - count, &second) == Array(all[count...]))
        }
    }

    @Test("A state of other data and weights that are none are refused")
    func refusals() throws {
        let domains = [try domain("a", windows: 5), try domain("b", windows: 7)]
        var stream = try TrainingStream(domains, seed: 3)
        for state in [
            TrainingStream.State(draws: 1, epochs: [0], positions: [1]),
            TrainingStream.State(draws: 5, epochs: [0, 0], positions: [5, 0]),
            TrainingStream.State(draws: 3, epochs: [0, 0], positions: [1, 1]),
            TrainingStream.State(draws: -4, epochs: [-1, 0], positions: [1, 0]),
            TrainingStream.State(draws: 0, epochs: [.max, 0], positions: [1, 0]),
        ] {
            #expect(refusal { try stream.restore(state) }?.code == .incompatible)
        }
        for weights in [[1.0], [1, 0], [1, -1], [1, .nan], [1, .infinity], [1, 1, 1]] {
            #expect(throws: CheckpointError.self) { try TrainingStream(domains, weights: weights, seed: 1) }
        }
        #expect(throws: CheckpointError.self) { try TrainingStream([], seed: 1) }
        #expect(throws: CheckpointError.self) { try TrainingStream([domains[0], domains[0]], seed: 1) }
    }
}
