package import Evaluation
package import Models
package import Safetensors

/// Text that is not trained on, held in memory as windows, and the losses on it.
package struct HeldOut {
    private let domains: [(name: String, windows: TokenWindows)]
    private let tokensAtOnce: Int

    /// Reads every source whole.
    ///
    /// - Parameters:
    ///   - tokenLimit: at most so many tokens of each.
    ///   - tokensAtOnce: tokens that go through the model at once.
    package init(
        _ sources: [DataSource], length: Int, options: DataOptions, encoder: TextEncoder, tokensAtOnce: Int
    ) throws {
        domains = try sources.compactMap { source in
            let reader = try WindowReader(source, length: length, options: options, encoder: encoder)
            return try reader.next(atMost: .max).map { (source.name, $0) }
        }
        self.tokensAtOnce = tokensAtOnce
    }

    /// The mean cross-entropy of each domain's predictions, in nats, and how each domain's tokens spread over experts.
    package func losses(_ decoder: Decoder) throws -> (losses: [TrainingRun.HeldOutLoss], details: JSONObject) {
        var losses: [TrainingRun.HeldOutLoss] = []
        var routing = JSONObject()
        for (name, windows) in domains {
            let observer = LoadObserver()
            var sum = 0.0
            var predictions = 0
            let atOnce = max(1, tokensAtOnce / windows.length)
            var first = 0
            while first < windows.count {
                let last = min(windows.count, first + atOnce)
                let batch = TokenBatch(
                    ids: Array(windows.ids[first * windows.length..<last * windows.length]), length: windows.length)
                let states = try decoder.forward(batch, observer: decoder.configuration.mixture == nil ? nil : observer)
                let part = try decoder.losses(states, batch)
                sum += part.reduce(0) { $0 + Double($1) }
                predictions += part.count
                first = last
            }
            losses.append(.init(domain: name, loss: sum / Double(max(predictions, 1))))
            if !observer.counts.isEmpty { routing[name] = observer.json }
        }
        return (losses, routing.keys.isEmpty ? [:] : ["expert_share": .object(routing)])
    }
}

/// Counts how many tokens each expert of each layer gets.
private final class LoadObserver: ForwardObserver {
    var counts: [Int: [Int]] = [:]

    func routed(_ record: MixtureRecord) {
        var load = counts[record.layer] ?? [Int](repeating: 0, count: record.decision.experts)
        for expert in record.decision.selected { load[Int(expert)] += 1 }
        counts[record.layer] = load
    }

    /// The share of each layer's slots that each expert has.
    var json: JSON {
        .array(
            counts.sorted { $0.key < $1.key }.map { _, load in
                let total = Double(max(load.reduce(0, +), 1))
                return .array(load.map { JSON((Double($0) / total * 1e4).rounded() / 1e4) })
            })
    }
}
