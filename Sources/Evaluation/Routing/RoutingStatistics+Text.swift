extension RoutingStatistics {
    /// A few lines for a person: how each domain's tokens spread over the experts, and how even the load is.
    ///
    /// - Parameter everyLayer: a block for each layer instead of the mean over them.
    package func summary(everyLayer: Bool) -> String {
        let ordered = layers.sorted { $0.key < $1.key }
        let blocks =
            everyLayer ? ordered.map { ("layer \($0.key)", [$0.value]) } : [("mean of layers", ordered.map(\.value))]
        let chance = Double(topK) / Double(experts)
        var text = "\(experts) experts, top-\(topK): a token goes to each with \(percent(chance)) by chance.\n"
        for (title, layers) in blocks {
            text += "\(title): share of a domain's tokens that each expert gets\n"
            for (index, domain) in domains.enumerated() {
                let measures = layers.map { RoutingMeasures($0.domains[index]) }
                guard measures.contains(where: { $0.tokens > 0 }) else { continue }
                text += "  \(domain): " + shares(measures) + "\n"
            }
            let all = layers.map(\.measures)
            func mean(_ value: (RoutingMeasures) -> Double) -> Double {
                all.reduce(0) { $0 + value($1) } / Double(max(all.count, 1))
            }
            let dead = all.reduce(0) { $0 + $1.deadExperts.count }
            text +=
                "  entropy of a token's gate \(three(mean(\.meanEntropyOfGate))), of the load \(three(mean(\.entropyOfLoad)))"
            text +=
                "; load CV \(three(mean(\.loadVariation))), MaxVio \(three(mean(\.maxViolation))), dead experts \(dead)\n"
        }
        return text
    }

    private func shares(_ measures: [RoutingMeasures]) -> String {
        let count = Double(max(measures.count, 1))
        let means = (0..<experts).map { expert in measures.reduce(0) { $0 + $1.share[expert] } / count }
        // Of many experts, those that stand out.
        guard experts > 16 else { return means.map(percent).joined(separator: " ") }
        let best = means.indices.sorted { means[$0] > means[$1] }.prefix(8)
        return best.map { "#\($0) \(percent(means[$0]))" }.joined(separator: " ") + " …"
    }

    private func percent(_ value: Double) -> String { "\(Int((value * 100).rounded()))%" }
    private func three(_ value: Double) -> String { "\((value * 1000).rounded() / 1000)" }
}
