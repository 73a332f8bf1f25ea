/// Routers' rows from what was measured on text. What is measured comes in as plain values; `MergeOptions.RouterRows` takes
/// the rows.
public enum RouterValues {
    /// Rows along the mean router input of each domain: the means less their own mean, scaled so that the logits of the
    /// means have the standard deviation asked for.
    ///
    /// The router's input is what it sees: the residual stream after the norm. Without the centring all rows would share
    /// the large common part of the stream, and the logits would hardly differ.
    ///
    /// - Parameter means: the mean router input over each domain's text, `[experts][hidden]`.
    /// - Returns: `[experts, hidden]`, row by row; zeros where the means are all the same.
    public static func domain(means: [[Double]], logitStandardDeviation: Double) -> [Float] {
        guard let hidden = means.first?.count, means.allSatisfy({ $0.count == hidden }) else { return [] }
        let count = Double(means.count)
        var centre = [Double](repeating: 0, count: hidden)
        for mean in means { for i in 0..<hidden { centre[i] += mean[i] / count } }
        let rows = means.map { mean in (0..<hidden).map { mean[$0] - centre[$0] } }
        let logits = means.flatMap { mean in rows.map { row in dot(row, mean) } }
        let average = logits.reduce(0, +) / Double(logits.count)
        let deviation =
            (logits.reduce(0) { $0 + ($1 - average) * ($1 - average) } / Double(logits.count)).squareRoot()
        let scale = deviation > 0 ? logitStandardDeviation / deviation : 0
        return rows.flatMap { $0.map { Float($0 * scale) } }
    }

    /// The centres of a balanced k-means of router inputs, as rows as `domain` makes them.
    ///
    /// Each round assigns the inputs in order of how much they prefer their nearest centre to the next; a centre that has
    /// its share of them, n/E rounded up, takes no more.
    ///
    /// - Parameters:
    ///   - inputs: router inputs of tokens, `[n][hidden]`; at least as many as experts.
    ///   - rounds: how often the centres move at most.
    public static func centroids(
        inputs: [[Double]], experts: Int, logitStandardDeviation: Double, rounds: Int = 50
    ) -> [Float] {
        domain(
            means: balancedCentres(inputs, count: experts, rounds: rounds).centres,
            logitStandardDeviation: logitStandardDeviation)
    }

    /// Balanced k-means, begun at inputs that are far from each other.
    ///
    /// - Returns: the centres, and the centre of each input.
    public static func balancedCentres(
        _ inputs: [[Double]], count: Int, rounds: Int = 50
    ) -> (centres: [[Double]], members: [Int]) {
        guard count > 0, inputs.count >= count, let first = inputs.first else { return ([], []) }
        var centres = [first]
        while centres.count < count {
            // The input that is farthest from all centres; the first of equal ones.
            let distances = inputs.map { input in centres.map { distance(input, $0) }.min() ?? 0 }
            let farthest = distances.indices.max {
                distances[$0] < distances[$1] || (distances[$0] == distances[$1] && $0 > $1)
            }
            centres.append(inputs[farthest ?? 0])
        }
        let capacity = (inputs.count + count - 1) / count
        var members = [Int](repeating: -1, count: inputs.count)
        for _ in 0..<max(rounds, 1) {
            let distances = inputs.map { input in centres.map { distance(input, $0) } }
            let order = inputs.indices.sorted { a, b in
                let (x, y) = (preference(distances[a]), preference(distances[b]))
                return x != y ? x > y : a < b
            }
            var sizes = [Int](repeating: 0, count: count)
            var next = members
            for input in order {
                let free = (0..<count).filter { sizes[$0] < capacity }
                let nearest = free.min { distances[input][$0] < distances[input][$1] } ?? 0
                next[input] = nearest
                sizes[nearest] += 1
            }
            if next == members { break }
            members = next
            for centre in 0..<count {
                let own = members.indices.filter { members[$0] == centre }
                guard !own.isEmpty else { continue }
                for i in first.indices {
                    centres[centre][i] = own.reduce(0) { $0 + inputs[$1][i] } / Double(own.count)
                }
            }
        }
        return (centres, members)
    }

    /// mergekit's `cheap_embed`: the sum of the prompts' token embeddings, positive less negative, each side of unit
    /// length before and the difference after.
    ///
    /// - Parameters:
    ///   - positive: for each expert, the sum of the embeddings of all tokens of its positive prompts, `[experts][hidden]`.
    ///   - negative: likewise; empty, or nil for an expert without negative prompts.
    /// - Returns: `[experts, hidden]`, the same for all layers.
    public static func mergekitCheapEmbed(positive: [[Double]], negative: [[Double]?] = []) -> [Float] {
        positive.enumerated().flatMap { index, sum -> [Float] in
            var row = normalised(sum)
            if index < negative.count, let other = negative[index] {
                let away = normalised(other)
                row = zip(row, away).map { $0 - $1 }
            }
            return normalised(row).map { Float($0) }
        }
    }

    /// mergekit's `hidden` for one layer: the mean over positive prompts of the last token's residual stream before the
    /// layer, less that over negative ones, of unit length.
    ///
    /// - Parameters:
    ///   - positive: for each expert, the state of each of its prompts, `[experts][prompts][hidden]`.
    ///   - negative: likewise; empty lists for experts without negative prompts.
    public static func mergekitHidden(positive: [[[Double]]], negative: [[[Double]]] = []) -> [Float] {
        positive.enumerated().flatMap { index, states -> [Float] in
            var row = mean(states)
            if index < negative.count, !negative[index].isEmpty {
                row = zip(row, mean(negative[index])).map { $0 - $1 }
            }
            return normalised(row).map { Float($0) }
        }
    }

    private static func mean(_ vectors: [[Double]]) -> [Double] {
        guard let first = vectors.first else { return [] }
        return first.indices.map { i in vectors.reduce(0) { $0 + $1[i] } / Double(vectors.count) }
    }

    private static func normalised(_ vector: [Double]) -> [Double] {
        let norm = max(dot(vector, vector).squareRoot(), 1e-8)
        return vector.map { $0 / norm }
    }

    private static func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }

    private static func distance(_ a: [Double], _ b: [Double]) -> Double {
        zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    }

    /// How much nearer the nearest centre is than the next.
    private static func preference(_ distances: [Double]) -> Double {
        let sorted = distances.sorted()
        return sorted.count > 1 ? sorted[1] - sorted[0] : 0
    }
}
