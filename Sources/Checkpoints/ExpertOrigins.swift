import Safetensors

extension Checkpoint {
    /// The name of the model that each routed expert came from, as the record of how the checkpoint was made has it; nil
    /// for an expert of which it does not say. Empty for a dense model.
    package var expertOrigins: [String?] {
        guard isMixture, let count = try? description.size("experts") else { return [] }
        let names = history.reduce(into: [String?]()) { names, step in Self.apply(step, to: &names, limit: count) }
        return names.count == count ? names : [String?](repeating: nil, count: count)
    }

    /// A label for each routed expert: its model's name, or its number where that is not known.
    package var expertLabels: [String] { expertOrigins.enumerated().map { $1 ?? String($0) } }

    /// Follows the experts through a step; what cannot be followed leaves no names.
    private static func apply(_ step: JSONObject, to names: inout [String?], limit: Int) {
        let own = (step["experts_of"]?.array ?? []).map(\.string)
        switch step["command"]?.string {
        case "merge": names = own
        case "merge --into":
            // The number comes from a file: a record of more experts than a mixture can have is none.
            guard let total = step["experts"]?.int, total >= own.count, total - own.count <= 65_536 else {
                names = []
                return
            }
            let old = total - own.count
            names = (names.count == old ? names : [String?](repeating: nil, count: old)) + own
        case "prune": names = kept(step, names)
        case "upcycle", "densify": names = []
        default: break
        }
    }

    /// Where every layer keeps the same experts, their names; merged ones have all of theirs.
    private static func kept(_ step: JSONObject, _ names: [String?]) -> [String?] {
        guard let layers = step["kept"]?.object, let first = layers.keys.first.flatMap({ layers[$0] }),
            layers.keys.allSatisfy({ layers[$0] == first })
        else { return [] }
        return (first.array ?? []).map { entry in
            let members = entry.int.map { [$0] } ?? (entry.array ?? []).compactMap(\.int)
            let known = members.compactMap { names.indices.contains($0) ? names[$0] : nil }
            return known.count == members.count && !known.isEmpty ? known.joined(separator: "+") : nil
        }
    }
}
