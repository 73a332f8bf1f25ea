import Testing
import Training

@Suite("Learning rate")
struct ScheduleTests {
    /// Python: the function `schedule` of the golden training runs, with lr 3e-3, min_lr 3e-4, warmup 4, 20 steps.
    @Test("Warm-up and cosine are the golden runs'")
    func cosine() {
        let schedule = LearningRateSchedule(peak: 3e-3, minimum: 3e-4, warmup: 4, steps: 20)
        let expected: [(Int, Double)] = [
            (0, 0.00075), (3, 0.003), (4, 0.003), (5, 0.002974060128544361), (12, 0.00165),
            (19, 0.0003259398714556389),
        ]
        for (step, rate) in expected { #expect(abs(schedule.rate(at: step) - rate) < 1e-15, "step \(step)") }
        #expect(abs(schedule.rate(at: 20) - 3e-4) < 1e-15)
        #expect(abs(schedule.rate(at: 1000) - 3e-4) < 1e-15)
    }

    @Test("Linear goes down evenly; constant stays")
    func linear() {
        var schedule = LearningRateSchedule(shape: .linear, peak: 1, minimum: 0.2, warmup: 2, steps: 10)
        #expect(
            (0..<10).map { (schedule.rate(at: $0) * 10).rounded() / 10 } == [
                0.5, 1, 1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3,
            ])
        schedule.shape = .constant
        #expect((2..<10).allSatisfy { schedule.rate(at: $0) == 1 })
    }

    @Test("Warm-up, stable, decay: the last share of the steps goes down")
    func stable() {
        let schedule = LearningRateSchedule(shape: .wsd(decay: 0.25), peak: 1, minimum: 0, warmup: 2, steps: 16)
        #expect((1..<12).allSatisfy { schedule.rate(at: $0) == 1 })
        #expect((12..<17).map(schedule.rate(at:)) == [1, 0.75, 0.5, 0.25, 0])
        // A decay longer than what is left begins after the warm-up.
        let short = LearningRateSchedule(shape: .wsd(decay: 1), peak: 1, minimum: 0, warmup: 2, steps: 4)
        #expect((0..<4).map(short.rate(at:)) == [0.5, 1, 1, 0.5])
    }

    @Test("No warm-up and no steps divide by nothing")
    func degenerate() {
        #expect(LearningRateSchedule(peak: 1, steps: 0).rate(at: 0) == 1)
        #expect(LearningRateSchedule(peak: 1, warmup: 5, steps: 5).rate(at: 4) == 1)
    }

    @Test("Shapes are read as they are typed")
    func parsing() {
        typealias Shape = LearningRateSchedule.Shape
        #expect(Shape("cosine") == .cosine)
        #expect(Shape("linear") == .linear)
        #expect(Shape("constant") == .constant)
        #expect(Shape("wsd") == .wsd(decay: 0.2))
        #expect(Shape("wsd:0.1") == .wsd(decay: 0.1))
        for text in ["", "wsd:", "wsd:2", "wsd:-1", "wsd:nan", "cosine:1", "Cosine"] { #expect(Shape(text) == nil) }
    }
}
