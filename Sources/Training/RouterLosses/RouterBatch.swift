import Glibc
package import Numerics

/// What the routers of all MoE layers computed for a batch: what the losses of routing are functions of.
///
/// Probabilities are a softmax over all logits, whatever gates the family makes of them (a softmax over the selected
/// ones, sigmoids): so the papers and transformers define these losses, and their gradients need nothing else.
package struct RouterBatch {
    /// One for each MoE layer, with as many tokens and experts each.
    package let layers: [RouterReading]
    /// How many experts a token goes to.
    package let topK: Int
    /// Each token's domain, counted from 0, for losses that know domains; empty where nobody said.
    package let domains: [Int]

    /// Computes what the losses share, the layers side by side.
    ///
    /// - Parameters:
    ///   - logits: `[tokens, experts]` for each layer, before noise.
    ///   - noise: for each layer, where the routers are noisy.
    ///   - topK: how many experts a token goes to.
    ///   - domains: each token's domain, counted from 0.
    package init(logits: [Matrix], noise: [RouterNoise] = [], topK: Int, domains: [Int] = [], _ workers: Workers) {
        let layers = logits.indices.map { index in
            RouterReading(logits[index], noise: index < noise.count ? noise[index] : nil, topK: topK)
        }
        workers.forEach(layers.count) { layers[$0].read() }
        self.layers = layers
        self.topK = topK
        self.domains = domains
    }

    package var tokens: Int { layers.first?.tokens ?? 0 }
    package var experts: Int { layers.first?.experts ?? 0 }

    /// The sum of what `body` returns for each layer, in the order of the layers.
    func sum(_ workers: Workers, _ body: (Int) -> Double) -> Double {
        withUnsafeTemporaryAllocation(of: Double.self, capacity: layers.count) { values in
            workers.forEach(layers.count) { values.initializeElement(at: $0, to: body($0)) }
            return values.reduce(0, +)
        }
    }
}

/// What the router of one layer computed.
package final class RouterReading: @unchecked Sendable {
    /// `[tokens, experts]`, before noise.
    package let logits: Matrix
    /// The noise, where the router is noisy.
    package let noise: RouterNoise?
    /// The softmax of each row, `[tokens, experts]`.
    package let probabilities: Matrix
    /// The logarithm of the sum of each row's exponentials, `[tokens, 1]`.
    package let logSums: Matrix
    /// `[tokens, topK]`: the experts of the largest logits, the largest first.
    package let selected: UnsafeMutableBufferPointer<Int32>
    /// How many experts a token goes to.
    package let topK: Int

    package var tokens: Int { logits.rows }
    package var experts: Int { logits.columns }

    fileprivate init(_ logits: Matrix, noise: RouterNoise?, topK: Int) {
        self.logits = logits
        self.noise = noise
        self.topK = min(topK, logits.columns)
        probabilities = Matrix(rows: logits.rows, columns: logits.columns)
        logSums = Matrix(rows: logits.rows, columns: 1)
        selected = .allocate(capacity: logits.rows * self.topK)
    }

    deinit { selected.deallocate() }

    fileprivate func read() {
        guard let choices = selected.baseAddress, experts > 0 else { return }
        for token in 0..<tokens {
            let row = logits.row(token)
            selectLargest(topK, of: UnsafeBufferPointer(start: row, count: experts), into: choices + token * topK)
            logSums.values[token] = softmax(row, into: probabilities.row(token), count: experts)
        }
    }

    /// How many tokens chose each expert among their first `depth`.
    func choices(depth: Int) -> [Double] {
        var counts = [Double](repeating: 0, count: experts)
        for token in 0..<tokens {
            for place in 0..<min(depth, topK) { counts[Int(selected[token * topK + place])] += 1 }
        }
        return counts
    }

    /// The mean probability of each expert.
    func meanProbabilities() -> [Double] {
        var sums = [Double](repeating: 0, count: experts)
        for token in 0..<tokens {
            let row = probabilities.row(token)
            for expert in 0..<experts { sums[expert] += Double(row[expert]) }
        }
        for expert in sums.indices { sums[expert] /= Double(tokens) }
        return sums
    }

    /// Adds the gradient with respect to the logits, given that with respect to the probabilities:
    /// `dz = p (g - sum g p)` for each token.
    ///
    /// - Parameters:
    ///   - slopes: rows of gradients with respect to the probabilities, `[any, experts]`.
    ///   - row: which row is a token's; the first where nil.
    ///   - gradient: `[tokens, experts]`.
    func addGradient(slopes: [Double], row: (Int) -> Int = { _ in 0 }, to gradient: Matrix) {
        for token in 0..<tokens {
            let start = row(token) * experts
            let p = probabilities.row(token)
            let target = gradient.row(token)
            var mean = 0.0
            for expert in 0..<experts { mean += slopes[start + expert] * Double(p[expert]) }
            for expert in 0..<experts {
                target[expert] += Float(Double(p[expert]) * (slopes[start + expert] - mean))
            }
        }
    }
}

/// The places of the `count` largest values, the largest first, of equal ones the first.
func selectLargest(_ count: Int, of values: UnsafeBufferPointer<Float>, into places: UnsafeMutablePointer<Int32>) {
    var filled = 0
    for index in values.indices {
        var place = min(filled, count - 1)
        if filled == count, count == 0 || values[index] <= values[Int(places[place])] { continue }
        while place > 0, values[index] > values[Int(places[place - 1])] {
            places[place] = places[place - 1]
            place -= 1
        }
        places[place] = Int32(truncatingIfNeeded: index)
        filled = min(filled + 1, count)
    }
}

/// `y[i] = exp(x[i]) / sum exp(x)`; returns the logarithm of the sum.
@discardableResult
func softmax(_ values: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, count: Int) -> Float {
    var largest = -Float.infinity
    for i in 0..<count { largest = max(largest, values[i]) }
    var sum = 0.0
    for i in 0..<count {
        result[i] = exp(values[i] - largest)
        sum += Double(result[i])
    }
    let factor = Float(1 / sum)
    for i in 0..<count { result[i] *= factor }
    return Float(Double(largest) + log(sum))
}
