import Testing
import Transforms

@Suite("Router rows from measured values")
struct RouterValuesTests {
    /// Means (4, 0) and (0, 2): the centre is (2, 1), the rows ±(2, -1). Logits of the means: 8, -8, -2, 2; their mean is
    /// 0 and their standard deviation sqrt(136 / 4) = sqrt(34).
    @Test("Domain rows are the centred means at the chosen scale")
    func domain() {
        let rows = RouterValues.domain(means: [[4, 0], [0, 2]], logitStandardDeviation: 0.5)
        let scale = 0.5 / 34.0.squareRoot()
        for (a, b) in zip(rows, [2 * scale, -scale, -2 * scale, scale]) { #expect(abs(Double(a) - b) < 1e-7) }
        #expect(RouterValues.domain(means: [[1, 2], [1, 2]], logitStandardDeviation: 1) == [0, 0, 0, 0])
    }

    @Test("Balanced k-means gives every centre its share")
    func balanced() {
        // Five points near 0 and one near 10: three each, the nearest of the five joins the far one.
        let points: [[Double]] = [[0], [0.1], [0.2], [0.3], [3], [10]]
        let (centres, members) = RouterValues.balancedCentres(points, count: 2)
        #expect(members.filter { $0 == 0 }.count == 3)
        #expect(members[0] == members[1])
        #expect(members[4] == members[5])
        #expect(members[3] == members[5])
        #expect(abs(centres[members[5]][0] - 13.3 / 3) < 1e-12)
    }

    /// (3, 4) has length 5, (0, 2) length 2: (0.6, 0.8) - (0, 1) = (0.6, -0.2), of length sqrt(0.4).
    @Test("mergekit's formulas")
    func mergekit() {
        let rows = RouterValues.mergekitCheapEmbed(positive: [[3, 4], [0, 2]], negative: [[0, 2], nil])
        let length = 0.4.squareRoot()
        for (a, b) in zip(rows, [0.6 / length, -0.2 / length, 0, 1]) { #expect(abs(Double(a) - b) < 1e-7) }
        // Not normalised before the difference: mean (2, 2) - (2, 0) = (0, 2).
        #expect(RouterValues.mergekitHidden(positive: [[[1, 1], [3, 3]]], negative: [[[2, 0]]]) == [0, 1])
    }
}
