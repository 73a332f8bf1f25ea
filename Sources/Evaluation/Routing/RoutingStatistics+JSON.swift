package import Safetensors

extension RoutingStatistics {
    /// The `routing` of a report: the measures of every layer over all domains and for each, in full.
    package var json: JSON {
        let parts = layers.sorted { $0.key < $1.key }.map { number, layer -> JSON in
            var object: JSONObject = ["layer": JSON(number)]
            let measures = layer.measures.json
            for key in measures.keys { object[key] = measures[key] }
            object["coactivation"] = .array(layer.coactivation.map(Self.numbers))
            var specialisation = JSONObject()
            var byDomain = JSONObject()
            for (name, tally) in zip(domains, layer.domains) where tally.tokens > 0 {
                let measures = RoutingMeasures(tally)
                specialisation[name] = Self.numbers(measures.share)
                var own = measures.json
                own["share"] = nil
                byDomain[name] = .object(own)
            }
            object["domain_specialisation"] = .object(specialisation)
            object["domains"] = .object(byDomain)
            return .object(object)
        }
        return .object([
            "experts": JSON(experts), "expert_names": .array(labels.map { .string($0) }), "top_k": JSON(topK),
            "chance": JSON(Double(topK) / Double(experts)),
            "layers": .array(parts),
        ])
    }

    fileprivate static func numbers(_ values: [Double]) -> JSON { .array(values.map { JSON($0) }) }
}

extension RoutingMeasures {
    var json: JSONObject {
        [
            "tokens": JSON(tokens), "share": RoutingStatistics.numbers(share),
            "mean_gate": RoutingStatistics.numbers(meanGate), "entropy_of_mean_gate": JSON(entropyOfMeanGate),
            "mean_entropy_of_gate": JSON(meanEntropyOfGate), "entropy_of_load": JSON(entropyOfLoad),
            "load_cv": JSON(loadVariation), "max_violation": JSON(maxViolation),
            "dead_experts": .array(deadExperts.map { JSON($0) }),
        ]
    }
}
