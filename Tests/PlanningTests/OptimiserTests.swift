import Glibc
import Planning
import Testing

@Suite("L-BFGS")
struct OptimiserTests {
    private func rosenbrock(_ x: [Double], _ gradient: inout [Double]) -> Double {
        var value = 0.0
        for index in gradient.indices { gradient[index] = 0 }
        for (i, next) in zip(x.indices, x.indices.dropFirst()) {
            let (a, b) = (x[next] - x[i] * x[i], 1 - x[i])
            value += 100 * a * a + b * b
            gradient[i] += -400 * a * x[i] - 2 * b
            gradient[next] += 200 * a
        }
        return value
    }

    // Its minimum is at ones, with value 0.
    @Test("Rosenbrock's valley", arguments: [2, 10])
    func valley(_ dimensions: Int) {
        let start = (0..<dimensions).map { $0 % 2 == 0 ? -1.2 : 1 }
        let result = LBFGS().minimise(from: start, rosenbrock)
        #expect(result.isConverged)
        #expect(result.point.allSatisfy { abs($0 - 1) < 1e-6 }, "\(result)")
    }

    // Beale's function: its minimum is at (3, 1/2), with value 0.
    @Test("Beale's function")
    func beale() {
        let result = LBFGS().minimise(from: [1, 1]) { x, gradient in
            var value = 0.0
            gradient = [0, 0]
            for (power, constant) in zip([1.0, 2, 3], [1.5, 2.25, 2.625]) {
                let residual = constant - x[0] * (1 - pow(x[1], power))
                value += residual * residual
                gradient[0] += -2 * residual * (1 - pow(x[1], power))
                gradient[1] += 2 * residual * x[0] * power * pow(x[1], power - 1)
            }
            return value
        }
        #expect(abs(result.point[0] - 3) < 1e-6 && abs(result.point[1] - 0.5) < 1e-6, "\(result)")
    }

    // Minimum of Σ cᵢ (xᵢ - i)² is at xᵢ = i, however different the cᵢ.
    @Test("Curvatures from 1e-4 to 1e8")
    func quadratic() {
        let curvatures = (0..<13).map { pow(10, Double($0) - 4) }
        let result = LBFGS().minimise(from: curvatures.map { _ in 0 }) { x, gradient in
            var value = 0.0
            for (i, c) in curvatures.enumerated() {
                let difference = x[i] - Double(i)
                value += c * difference * difference
                gradient[i] = 2 * c * difference
            }
            return value
        }
        #expect(zip(result.point, 0...).allSatisfy { abs($0 - Double($1)) < 1e-2 }, "\(result)")
        #expect(result.value < 1e-8)
    }

    // The sum of distances to points is least at their median.
    @Test("A Huber loss with a small δ goes to the median")
    func median() {
        let points = [-7.0, 1, 2, 3, 40]
        let result = LBFGS().minimise(from: [-50]) { x, gradient in
            gradient[0] = 0
            return points.reduce(0) { sum, point in
                let residual = x[0] - point
                if abs(residual) <= 1e-3 {
                    gradient[0] += residual
                    return sum + residual * residual / 2
                }
                gradient[0] += residual < 0 ? -1e-3 : 1e-3
                return sum + 1e-3 * (abs(residual) - 5e-4)
            }
        }
        #expect(abs(result.point[0] - 2) < 1e-6, "\(result)")
    }

    @Test("A mean stops where the sum stops")
    func scale() {
        let results = [1.0, 1e-9].map { factor in
            LBFGS().minimise(from: [-1.2, 1]) { x, gradient in
                let value = rosenbrock(x, &gradient)
                gradient = gradient.map { $0 * factor }
                return value * factor
            }.point
        }
        #expect(results.allSatisfy { abs($0[0] - 1) < 1e-5 && abs($0[1] - 1) < 1e-5 }, "\(results)")
    }

    @Test("A function without a value where it begins, or along the way, ends the search")
    func undefined() {
        let nothing = LBFGS().minimise(from: [1]) { _, _ in .nan }
        #expect(!nothing.isConverged && nothing.point == [1])
        // -ln x + x, not defined below 0, has its minimum at 1.
        let logarithm = LBFGS().minimise(from: [10]) { x, gradient in
            gradient[0] = 1 - 1 / x[0]
            return x[0] - log(x[0])
        }
        #expect(abs(logarithm.point[0] - 1) < 1e-6)
    }
}
