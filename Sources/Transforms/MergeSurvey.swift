package import Checkpoints
import Safetensors

/// What models must have in common to be merged, side by side.
package struct MergeSurvey {
    /// A property of every model.
    package struct Row {
        package let name: String
        package let values: [String]
        /// Whether the models must agree on it.
        package let mustAgree: Bool
        let agrees: Bool
    }

    package let models: [String]
    package private(set) var rows: [Row] = []

    /// - Parameters:
    ///   - allowsVocabularies: the vocabularies are reconciled.
    ///   - allowsDTypes: the result's dtype is chosen.
    ///   - choosesTopK: the number of experts of a token is chosen.
    ///   - comparesKinds: dense models and mixtures cannot be combined.
    package init(
        _ checkpoints: [Checkpoint], allowsVocabularies: Bool, allowsDTypes: Bool, choosesTopK: Bool,
        comparesKinds: Bool
    ) throws {
        models = checkpoints.map(\.name)
        let all = checkpoints.map(\.description)
        func add(_ name: String, _ values: [String], mustAgree: Bool = true) {
            rows.append(
                Row(name: name, values: values, mustAgree: mustAgree, agrees: Set(values).count <= 1))
        }
        let functions = try FunctionTraits.of(checkpoints)
        /// A trait of every model, or only of the mixtures among them.
        func values(_ name: String, ofMixtures: Bool = false) -> (values: [String], agrees: Bool) {
            let values = functions.map { function in function.traits.first { $0.name == name }?.value ?? "-" }
            let compared = ofMixtures ? zip(all, values).filter(\.0.isMixture).map(\.1) : values
            return (values, Set(compared).count <= 1)
        }
        let hasDense = all.contains { !$0.isMixture }
        let hasMixture = all.contains(where: \.isMixture)
        add(
            "family", functions.map(\.family), mustAgree: !(hasDense && hasMixture) || comparesKinds)
        for name in ["layers", "hidden size", "attention heads", "key/value heads", "head dimension"] {
            add(name, values(name).values)
        }
        add(
            "expert width",
            all.map { $0.sizeIfKnown($0.isMixture ? "expert_inner" : "inner").map(String.init) ?? "-" })
        add("vocabulary", all.map { $0.sizeIfKnown("vocab").map(String.init) ?? "-" }, mustAgree: !allowsVocabularies)
        add("rope", values("rope").values)
        add("dtype", checkpoints.map { $0.dtype?.rawValue ?? "-" }, mustAgree: !allowsDTypes)
        // Of the rest only what differs is shown.
        var seen = Set(rows.map(\.name))
        for trait in functions.flatMap(\.traits) where seen.insert(trait.name).inserted {
            switch trait.scope {
            case .sizes, .network, .parts: break
            case .routing where trait.name != "experts of a token" || !choosesTopK: break
            case .experts where comparesKinds || !["experts", "feed-forward width"].contains(trait.name): break
            case .routing, .experts: continue
            }
            let isOfMixtures = !comparesKinds && (trait.scope == .routing || trait.scope == .experts)
            let (values, agrees) = values(trait.name, ofMixtures: isOfMixtures)
            if !agrees { rows.append(Row(name: trait.name, values: values, mustAgree: true, agrees: false)) }
        }
    }

    /// Aligned columns, disagreement marked.
    package var table: String {
        var lines = [[""] + models]
        for row in rows { lines.append([(row.agrees || !row.mustAgree ? "  " : "! ") + row.name] + row.values) }
        var widths: [Int] = []
        for line in lines {
            for (column, cell) in line.enumerated() {
                if column == widths.count { widths.append(0) }
                widths[column] = max(widths[column], min(cell.count, 40))
            }
        }
        return lines.map { line in
            var text = ""
            for (column, cell) in line.enumerated() {
                let cut = cell.count > 40 ? cell.prefix(39) + "…" : cell
                text += cut + String(repeating: " ", count: max(0, widths[column] - cut.count) + 2)
            }
            while text.last == " " { text.removeLast() }
            return text
        }.joined(separator: "\n")
    }

    /// - Throws: `CheckpointError` with the table, where the models do not fit together.
    package func check() throws {
        let conflicts = rows.filter { $0.mustAgree && !$0.agrees }
        guard !conflicts.isEmpty else { return }
        var advice: [String] = []
        if conflicts.contains(where: { $0.name == "vocabulary" }) {
            advice.append("vocabularies can be reconciled with `vocab` base, union or intersect")
        }
        if conflicts.contains(where: { $0.name == "dtype" }) { advice.append("choose a dtype with `dtype`") }
        if conflicts.contains(where: { $0.name == "experts of a token" }) { advice.append("choose one with `topK`") }
        throw CheckpointError(
            .incompatible,
            message: "the models differ in \(conflicts.map(\.name).joined(separator: ", ")):\n\(table)"
                + (advice.isEmpty ? "" : "\n" + advice.joined(separator: "; ")))
    }
}
