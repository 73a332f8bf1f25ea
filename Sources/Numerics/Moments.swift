/// The mean and standard deviation of a set of values.
package struct Moments: Sendable, Hashable {
    package let mean: Double
    /// With n - 1 in the denominator, as `torch.std` has it; 0 for fewer than two values.
    package let standardDeviation: Double

    package init(mean: Double, standardDeviation: Double) {
        self.mean = mean
        self.standardDeviation = standardDeviation
    }
}

/// Takes values in any portions and gives the same moments to the last bit.
///
/// Values are summed in blocks of 4096, counted from the first value on, each about the first value of all; in F64, so
/// that for values of F32 the shifted squares lose nothing that matters.
package struct MomentAccumulator: Sendable {
    private static let blockSize = 4096

    private var count = 0
    private var origin: Double = 0
    private var sum: Double = 0
    private var squares: Double = 0
    private var blockSum: Double = 0
    private var blockSquares: Double = 0

    package init() {}

    package mutating func add(_ values: UnsafeBufferPointer<Float>) {
        var index = 0
        if count == 0, let first = values.first { origin = Double(first) }
        while index < values.count {
            let room = Self.blockSize - count % Self.blockSize
            let end = min(index + room, values.count)
            for i in index..<end {
                let difference = Double(values[i]) - origin
                blockSum += difference
                blockSquares += difference * difference
            }
            count += end - index
            index = end
            if count % Self.blockSize == 0 {
                sum += blockSum
                squares += blockSquares
                blockSum = 0
                blockSquares = 0
            }
        }
    }

    /// The moments of what was added.
    package var moments: Moments {
        guard count > 0 else { return Moments(mean: 0, standardDeviation: 0) }
        let total = sum + blockSum
        let mean = total / Double(count)
        guard count > 1 else { return Moments(mean: origin + mean, standardDeviation: 0) }
        let variance = max(0, (squares + blockSquares - total * mean) / Double(count - 1))
        return Moments(mean: origin + mean, standardDeviation: variance.squareRoot())
    }
}
