/// The inner products of vectors; a combination of them is its coefficients.
struct Gram {
    let count: Int
    private var products: [Double]

    init(count: Int) {
        self.count = count
        products = Array(repeating: 0, count: count * count)
    }

    /// Adds the products of elements `range`.
    mutating func add(_ values: [UnsafeBufferPointer<Double>], hasOrigin: Bool, _ range: Range<Int>) {
        let offset = hasOrigin ? 1 : 0
        for a in 0..<count {
            for b in a..<count {
                let (x, y) = (values[a + offset], values[b + offset])
                // Four sums, so that the processor need not wait for each addition.
                var sums = SIMD4<Double>.zero
                var i = range.lowerBound
                while i < range.upperBound {
                    var left = SIMD4<Double>.zero
                    var right = SIMD4<Double>.zero
                    for lane in 0..<min(4, range.upperBound - i) {
                        let origin = hasOrigin ? values[0][i + lane] : 0
                        left[lane] = x[i + lane] - origin
                        right[lane] = y[i + lane] - origin
                    }
                    sums += left * right
                    i += 4
                }
                let sum = sums.sum()
                products[a * count + b] += sum
                if a != b { products[b * count + a] += sum }
            }
        }
    }

    /// The inner product of two combinations.
    func product(_ x: [Double], _ y: [Double]) -> Double {
        var sum = 0.0
        for a in 0..<count where x[a] != 0 {
            for b in 0..<count { sum += x[a] * y[b] * products[a * count + b] }
        }
        return sum
    }

    func norm(_ x: [Double]) -> Double { max(product(x, x), 0).squareRoot() }

    /// The combination that is vector `index`.
    func unit(_ index: Int) -> [Double] { (0..<count).map { $0 == index ? 1 : 0 } }

    /// The norms of the vectors.
    var norms: [Double] { (0..<count).map { max(products[$0 * count + $0], 0).squareRoot() } }

    func product(_ a: Int, _ b: Int) -> Double { products[a * count + b] }
}
