import TestSupport
import Testing

/// The comparison that other tests rely on fails where it must.
@Suite struct DifferenceTests {
    @Test func whatCannotBeComparedIsInfinitelyFar() {
        #expect(largestDifference([Float](), []) == .infinity)
        #expect(largestDifference([Float(1)], nil) == .infinity)
        #expect(largestDifference([Float(1)], [1, 2]) == .infinity)
        for bad in [Float.nan, .infinity, -.infinity] {
            for place in 0..<3 {
                var values: [Float] = [1, 2, 3]
                values[place] = bad
                #expect(largestDifference(values, [1, 2, 3]) == .infinity)
                #expect(largestDifference([1, 2, 3], values) == .infinity)
                #expect(relativeDifference(values, [1, 2, 3]) == .infinity)
                #expect(largestDifference(values, values) == .infinity || !bad.isNaN)
            }
        }
    }

    @Test func numbersAreComparedByTheLargestDistance() {
        #expect(largestDifference([1, 5, -3], [1, 2, -7.5]) == Float(4.5))
        #expect(abs(relativeDifference([3, 4], [3, 3]) - 0.23570226) < 1e-6, "1 over the root of 18")
    }
}
