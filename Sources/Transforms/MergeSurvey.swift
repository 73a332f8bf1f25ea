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

        var agrees: Bool { Set(values).count <= 1 }
    }

    package let models: [String]
    package private(set) var rows: [Row] = []

    /// - Parameters:
    ///   - allowsVocabularies: the vocabularies are reconciled.
    ///   - allowsDTypes: the result's dtype is chosen.
    ///   - comparesKinds: dense models and mixtures cannot be combined.
    package init(_ checkpoints: [Checkpoint], allowsVocabularies: Bool, allowsDTypes: Bool, comparesKinds: Bool) throws
    {
        models = checkpoints.map(\.name)
        let all = checkpoints.map(\.description)
        func add(_ name: String, _ mustAgree: Bool = true, _ value: (ModelDescription) throws -> String) rethrows {
            rows.append(Row(name: name, values: try all.map(value), mustAgree: mustAgree))
        }
        func size(_ name: String, _ symbol: String) {
            add(name) { $0.sizeIfKnown(symbol).map(String.init) ?? "-" }
        }
        let hasDense = all.contains { !$0.isMixture }
        let hasMixture = all.contains(where: \.isMixture)
        add("family", !(hasDense && hasMixture) || comparesKinds) { $0.architecture.modelType }
        size("layers", "layers")
        size("hidden size", "hidden")
        size("attention heads", "heads")
        size("key/value heads", "kv_heads")
        size("head dimension", "head_dim")
        add("expert width") { description in
            let width = description.sizeIfKnown(description.isMixture ? "expert_inner" : "inner")
            return width.map(String.init) ?? "-"
        }
        add("vocabulary", !allowsVocabularies) { $0.sizeIfKnown("vocab").map(String.init) ?? "-" }
        try add("tied embeddings") {
            try $0.config.value("tie_word_embeddings", $0.architecture)?.bool == true ? "yes" : "no"
        }
        try add("rope") {
            try $0.config.ropeParameters($0.architecture).map { JSON.object($0).serialized(sortedKeys: true) }?
                .filter { !$0.isWhitespace } ?? "-"
        }
        rows.append(
            Row(
                name: "dtype", values: checkpoints.map { $0.dtype?.rawValue ?? "-" }, mustAgree: !allowsDTypes))
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
            advice.append("vocabularies can be reconciled with --vocab base, union or intersect")
        }
        if conflicts.contains(where: { $0.name == "dtype" }) { advice.append("choose a dtype with --dtype") }
        if conflicts.contains(where: { $0.name == "tied embeddings" }) {
            advice.append("untie or tie the embeddings of some, so that all have a head or none has")
        }
        throw CheckpointError(
            .incompatible,
            message: "the models differ in \(conflicts.map(\.name).joined(separator: ", ")):\n\(table)"
                + (advice.isEmpty ? "" : "\n" + advice.joined(separator: "; ")))
    }
}
