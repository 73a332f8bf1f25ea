import Checkpoints
import Models
import Numerics
import TestSupport
import Testing

/// Against the sum that a convolution is, in F64.
@Suite struct CausalConvolutionTests {
    private func random(_ rows: Int, _ columns: Int, seed: UInt64) -> Matrix {
        var generator = SeededGenerator(seed: seed)
        return Matrix(
            rows: rows, columns: columns,
            (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) })
    }

    private func weights(channels: Int, kernel: Int) -> ConvolutionWeights {
        ConvolutionWeights(
            values: VectorWeights(
                role: Role(.mixerConvolution, layer: 0), values: random(channels, kernel, seed: 1)),
            biasWeights: VectorWeights(
                role: Role(.mixerConvolutionBias, layer: 0), values: random(1, channels, seed: 2)))
    }

    private func plain(_ x: Matrix, _ weights: ConvolutionWeights, length: Int, silu: Bool) -> [Double] {
        let kernel = weights.values.values.columns
        return (0..<x.rows).flatMap { row in
            (0..<x.columns).map { channel in
                var sum = Double(weights.bias?.values[channel] ?? 0)
                for tap in 0..<kernel {
                    let before = kernel - 1 - tap
                    guard before <= row % length else { continue }
                    sum += Double(weights.values.values[channel, tap]) * Double(x[row - before, channel])
                }
                guard silu else { return sum }
                // e^-s = (e^(-s/64))^64, by its series.
                var (term, series) = (1.0, 1.0)
                for n in 1...20 {
                    term *= -sum / 64 / Double(n)
                    series += term
                }
                for _ in 0..<6 { series *= series }
                return sum / (1 + series)
            }
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5], [false, true])
    func forward(kernel: Int, silu: Bool) {
        let x = random(2 * 9, 133, seed: 3)
        let weights = weights(channels: 133, kernel: kernel)
        let expected = plain(x, weights, length: 9, silu: silu).map { Float($0) }
        let convolution = CausalConvolution(weights: weights, activates: silu)
        let y = Matrix(rows: x.rows, columns: x.columns)
        convolution.forward(
            x.span, into: y.span, SequenceShape(count: 2, length: 9), window: nil, Workers(threads: 2))
        #expect(largestDifference(y.array, expected) <= 2e-6)
        // The first sequence again, in pieces.
        let state = RecurrentState(window: kernel - 1, channels: 133, state: nil)
        var first = 0
        for piece in [2, 1, 1, 5] {
            let part = x.span(rows: first..<first + piece)
            convolution.forward(
                part, into: y.span(rows: first..<first + piece), SequenceShape(count: 1, length: piece),
                window: state.window, Workers(threads: 1))
            state.slide(part)
            first += piece
        }
        #expect(largestDifference(y.array, expected) <= 2e-6)
    }

    /// The gradient of a sum of outputs times `dy` is a sum of the same kind, which is written down here.
    @Test(arguments: [3, 4])
    func backward(kernel: Int) throws {
        let (x, dy) = (random(2 * 9, 133, seed: 4), random(2 * 9, 133, seed: 5))
        let weights = weights(channels: 133, kernel: kernel)
        weights.values.gradient = Matrix(zeros: 133, kernel)
        weights.biasWeights?.gradient = Matrix(zeros: 1, 133)
        let dx = Matrix(rows: x.rows, columns: x.columns)
        CausalConvolution(weights: weights, activates: false).backward(
            x.span, dy.copy().span, into: dx.span, SequenceShape(count: 2, length: 9), Workers(threads: 2))
        var (expected, taps) = ([Double](repeating: 0, count: x.count), [Double](repeating: 0, count: 133 * kernel))
        var bias = [Double](repeating: 0, count: 133)
        for row in 0..<x.rows {
            for channel in 0..<133 {
                bias[channel] += Double(dy[row, channel])
                for tap in 0..<kernel where kernel - 1 - tap <= row % 9 {
                    let source = row - (kernel - 1 - tap)
                    expected[source * 133 + channel] +=
                        Double(dy[row, channel]) * Double(weights.values.values[channel, tap])
                    taps[channel * kernel + tap] += Double(dy[row, channel]) * Double(x[source, channel])
                }
            }
        }
        #expect(largestDifference(dx.array, expected.map { Float($0) }) <= 1e-5)
        let gradient = try #require(weights.values.gradient)
        #expect(largestDifference(gradient.array, taps.map { Float($0) }) <= 1e-5)
        #expect(largestDifference(weights.biasWeights?.gradient?.array ?? [], bias.map { Float($0) }) <= 1e-5)
    }
}
