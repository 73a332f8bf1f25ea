import Checkpoints
import Models
import Numerics
import TestSupport
import Testing
import Training

@Suite struct LocalRouterTests {
    /// Four sequences of four domains, each with a token of its own that recurs.
    private var tokens: [Int32] {
        (0..<96).map { index -> Int32 in
            let value: Int = index % 3 == 0 ? 10 + index / 24 : (index * 29 + 5) % 90
            return Int32(value)
        }
    }

    private func run(_ target: LocalRouterTraining.Target, steps: Int) throws -> (losses: [Double], result: Checkpoint)
    {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model("mixtral")), workers: Workers(threads: 2), memory: 1)
        #expect(decoder.isStreamed, "nothing but the routers is kept in memory")
        var options = TrainingOptions()
        options.schedule = LearningRateSchedule(shape: .constant, peak: 0.02, steps: steps)
        options.optimizer.weightDecay = 0
        let learner = try LocalRouterTraining(decoder, target, domainExperts: [0, 1, 2, 3], options)
        let ids = tokens
        let batch = MicroBatch(TokenBatch(ids: ids, length: 24), domains: [0, 1, 2, 3])
        var losses: [Double] = []
        for _ in 0..<steps { losses.append(try learner.step([batch]).loss) }
        return (losses, learner.result)
    }

    @Test func domainsAreLearnt() throws {
        let (losses, result) = try run(.domain, steps: 60)
        let last = try #require(losses.last)
        // Chance is the logarithm of four experts.
        #expect(last < 0.7 * 1.3863, "\(losses)")
        // The rows that are written are those that were learned: begun again, they are no worse.
        let decoder = try Decoder(result, workers: Workers(threads: 1))
        let again = try LocalRouterTraining(decoder, .domain, domainExperts: [0, 1, 2, 3], TrainingOptions())
        let ids = tokens
        let step = try again.step([MicroBatch(TokenBatch(ids: ids, length: 24), domains: [0, 1, 2, 3])])
        #expect(step.loss <= last + 0.02)
    }

    @Test func theReconstructionOfAllExpertsImproves() throws {
        let (losses, _) = try run(.reconstruction, steps: 60)
        #expect(try #require(losses.last) < 0.9 * losses[0], "\(losses)")
    }

    @Test func moreDomainsThanExpertsAreRefused() throws {
        let decoder = try Decoder(Checkpoint(at: Fixtures.model("mixtral")), workers: Workers(threads: 1))
        let learner = try LocalRouterTraining(decoder, .domain, domainExperts: [0, 1, 2, 3], TrainingOptions())
        let batch = MicroBatch(TokenBatch(ids: [1, 2, 3, 4], length: 2), domains: [0, 7])
        #expect(throws: CheckpointError.self) { try learner.step([batch]) }
    }
}
