import Glibc
import Safetensors

/// The limited-memory quasi-Newton method of Liu and Nocedal (1989), with a line search by bisection for the weak Wolfe
/// conditions (Lewis and Overton 2013), which also gets across the kinks that a Huber loss with a small δ almost has.
///
/// Tolerances are relative to the value and to the gradient at the start, so that a sum and a mean of the same terms
/// stop at the same point: an absolute tolerance on a mean of small Huber terms is what stopped the fit of Hoffmann et al.
/// (2022) early.
package struct LBFGS: Sendable {
    /// Pairs of steps and gradient differences that are kept.
    package var memory = 20
    package var maximumIterations = 1000
    /// Stops where the largest component of the gradient is this share of what it was; no larger, since where curvatures
    /// differ the flat directions count for little in it.
    package var gradientTolerance = 1e-15
    /// Stops where this share of the value is gained in none of three iterations.
    package var valueTolerance = 1e-13

    package init() {}

    /// Where it stopped.
    package struct Result: Sendable {
        package let point: [Double]
        package let value: Double
        package let gradientNorm: Double
        package let iterations: Int
        /// Whether a tolerance was met, rather than the number of iterations.
        package let isConverged: Bool
    }

    /// - Parameter function: gives the value at a point, and sets the gradient.
    package func minimise(from start: [Double], _ function: ([Double], inout [Double]) -> Double) -> Result {
        var point = start
        var gradient = [Double](repeating: 0, count: start.count)
        var value = function(point, &gradient)
        guard value.isFinite, gradient.allSatisfy(\.isFinite) else {
            return Result(point: point, value: .infinity, gradientNorm: .infinity, iterations: 0, isConverged: false)
        }
        let firstNorm = largest(gradient)
        var pairs: [(step: [Double], change: [Double], curvature: Double)] = []
        var stalled = 0
        var iterations = 0
        // An interrupted search ends as one that did not converge; who called it asks why.
        while iterations < maximumIterations, !Interruption.isRequested {
            let norm = largest(gradient)
            if norm <= gradientTolerance * firstNorm || norm == 0 || stalled >= 3 {
                return Result(
                    point: point, value: value, gradientNorm: norm, iterations: iterations, isConverged: true)
            }
            iterations += 1
            var direction = descent(gradient, pairs)
            if dot(direction, gradient) >= 0 {
                pairs = []
                direction = gradient.map { -$0 }
            }
            let firstTrial = pairs.isEmpty ? min(1, 1 / dot(gradient, gradient).squareRoot()) : 1
            guard let next = search(point, value, gradient, direction, firstTrial, function) else {
                // Along the quasi-Newton direction nothing is gained; the steepest descent is the last to try.
                if pairs.isEmpty { stalled = 3 } else { pairs = [] }
                continue
            }
            let step = zip(next.point, point).map { $0 - $1 }
            let change = zip(next.gradient, gradient).map { $0 - $1 }
            let curvature = dot(step, change)
            if curvature > 1e-14 * dot(change, change) {
                pairs.append((step, change, curvature))
                if pairs.count > memory { pairs.removeFirst() }
            }
            stalled = value - next.value <= valueTolerance * abs(value) ? stalled + 1 : 0
            (point, value, gradient) = next
        }
        return Result(
            point: point, value: value, gradientNorm: largest(gradient), iterations: iterations, isConverged: false)
    }

    /// Minus the approximate inverse Hessian times the gradient: the two loops of Nocedal (1980).
    private func descent(
        _ gradient: [Double], _ pairs: [(step: [Double], change: [Double], curvature: Double)]
    ) -> [Double] {
        var direction = gradient.map { -$0 }
        var factors: [Double] = []
        for pair in pairs.reversed() {
            let factor = dot(pair.step, direction) / pair.curvature
            factors.append(factor)
            add(-factor, pair.change, to: &direction)
        }
        if let last = pairs.last {
            let scale = last.curvature / dot(last.change, last.change)
            for index in direction.indices { direction[index] *= scale }
        }
        for (pair, factor) in zip(pairs, factors.reversed()) {
            add(factor - dot(pair.change, direction) / pair.curvature, pair.step, to: &direction)
        }
        return direction
    }

    private func search(
        _ point: [Double], _ value: Double, _ gradient: [Double], _ direction: [Double], _ firstTrial: Double,
        _ function: ([Double], inout [Double]) -> Double
    ) -> (point: [Double], value: Double, gradient: [Double])? {
        let slope = dot(direction, gradient)
        var (low, high) = (0.0, Double.infinity)
        var length = firstTrial
        var best: (point: [Double], value: Double, gradient: [Double])?
        var trialGradient = [Double](repeating: 0, count: point.count)
        for _ in 0..<60 {
            var trial = point
            add(length, direction, to: &trial)
            let trialValue = function(trial, &trialGradient)
            let isUsable = trialValue.isFinite && trialGradient.allSatisfy(\.isFinite)
            if !isUsable || trialValue > value + 1e-4 * length * slope {
                high = length
            } else {
                if best.map({ trialValue < $0.value }) ?? (trialValue < value) {
                    best = (trial, trialValue, trialGradient)
                }
                if dot(direction, trialGradient) >= 0.9 * slope { break }
                low = length
            }
            length = high.isFinite ? (low + high) / 2 : 2 * low
            if high.isFinite, high - low <= 1e-15 * high { break }
        }
        return best
    }

    private func largest(_ vector: [Double]) -> Double { vector.reduce(0) { max($0, abs($1)) } }

    private func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

    private func add(_ factor: Double, _ vector: [Double], to sum: inout [Double]) {
        for (index, value) in vector.enumerated() { sum[index] += factor * value }
    }
}
