import Reports
import Testing

@Suite struct AxisTests {
    private func linear(_ low: Double, _ high: Double) -> Mapping {
        Mapping(Axis("x"), [low, high], from: 0, to: 100)
    }

    private func logarithmic(_ low: Double, _ high: Double) -> Mapping {
        Mapping(Axis("x", scale: .logarithmic), [low, high], from: 0, to: 100)
    }

    /// By hand: 10 / 5 is a step of 2, 0.9 / 5 = 0.18 is nearest to 0.2, 7 / 5 = 1.4 is nearest to 1.
    @Test func stepsAreOneTwoOrFive() {
        #expect(linear(0, 10).ticks(count: 5).values == [0, 2, 4, 6, 8, 10])
        #expect(linear(0.1, 1).ticks(count: 5).values == [0.2, 0.4, 0.6, 0.8, 1])
        #expect(linear(-3, 4).ticks(count: 5).values == [-3, -2, -1, 0, 1, 2, 3, 4])
        #expect(linear(1000, 26_000).ticks(count: 5).values == [5000, 10_000, 15_000, 20_000, 25_000])
    }

    @Test func decadesHaveTicks() {
        #expect(logarithmic(1, 10_000).ticks(count: 6).values == [1, 10, 100, 1000, 10_000])
        #expect(logarithmic(0.5, 20).ticks(count: 6).values == [0.5, 1, 2, 5, 10, 20])
        #expect(logarithmic(1e-3, 1e-1).ticks(count: 3).values == [1e-3, 1e-2, 1e-1])
        // Below a decade the ticks are those of a linear axis.
        #expect(logarithmic(2, 8).ticks(count: 6).values == [2, 3, 4, 5, 6, 7, 8])
        #expect(logarithmic(1, 1e12).ticks(count: 4).values == [1, 1e3, 1e6, 1e9, 1e12])
    }

    @Test func placesAreProportional() {
        #expect(linear(0, 10).position(2.5) == 25)
        #expect(logarithmic(1, 10_000).position(100) == 50)
        #expect(logarithmic(1, 10_000).position(0) == nil)
        #expect(linear(0, 1).position(.nan) == nil)
        #expect(linear(0, 1).position(.infinity) == nil)
    }

    @Test func textsHaveTheStepsDigits() {
        #expect(ValueFormat.general.tickTexts([0, 0.25, 0.5], step: 0.25) == ["0.0", "0.3", "0.5"])
        #expect(ValueFormat.general.tickTexts([3, 3.5, 4], step: 0.5) == ["3.0", "3.5", "4.0"])
        #expect(ValueFormat.general.tickTexts([0, 500, 1000], step: 500) == ["0", "500", "1000"])
        #expect(ValueFormat.general.tickTexts([2e-4, 1e-3], step: nil) == ["2e-4", "1e-3"])
        #expect(ValueFormat.percent.tickTexts([0, 0.2, 0.4], step: 0.2) == ["0 %", "20 %", "40 %"])
        #expect(ValueFormat.bytes.text(2_200_000_000) == "2.2 GB")
        #expect(ValueFormat.four.text(-1.00005) == "−1.0001")
        #expect(ValueFormat.four.text(.nan) == "NaN")
        #expect(ValueFormat.bytes.text(1e300) == "1e300")
    }

    /// Whatever the values, there are few ticks in rising order with finite places.
    @Test func anyRangeHasTicks() {
        let extremes: [Double] = [
            0, -0.0, 1, 1 + 1e-15, -1, .leastNonzeroMagnitude, -.leastNonzeroMagnitude, 2e-308, 1e-300, 1e300,
            .greatestFiniteMagnitude,
            -.greatestFiniteMagnitude, .nan, .infinity, -.infinity, 0.1, 1e15, 1e15 + 1, 1e-12,
        ]
        for low in extremes {
            for high in extremes {
                for scale in [Axis.Scale.linear, .logarithmic] {
                    for includesZero in [false, true] {
                        var mapping = Mapping(
                            Axis("x", scale: scale), [low, high], from: 10, to: 300, includesZero: includesZero)
                        mapping.extendToTicks(count: 5)
                        for count in [0, 1, 5, 12] {
                            let ticks = mapping.ticks(count: count)
                            #expect(!ticks.values.isEmpty && ticks.values.count <= 3 * count + 8)
                            #expect(ticks.values.allSatisfy { $0.isFinite })
                            #expect(zip(ticks.values, ticks.values.dropFirst()).allSatisfy { $0 < $1 })
                            for format in [ValueFormat.general, .four, .percent, .bytes, .count] {
                                #expect(format.tickTexts(ticks.values, step: ticks.step).count == ticks.values.count)
                            }
                        }
                    }
                }
            }
        }
    }
}
