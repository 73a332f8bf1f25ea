package import Checkpoints
package import Evaluation
import Safetensors
package import Transforms

extension Report {
    /// What pruning left, and by what scores.
    ///
    /// - Parameter groups: by layer, the experts that each new one is made of.
    package init(
        pruning source: Checkpoint, to pruned: Checkpoint, _ choice: PruneOptions.Choice, criterion: String,
        groups: [Int: [[Int]]], expected: PruningForecast, loss: LossChange?
    ) throws {
        self.init("Pruning of \(shortNames([source.name])[0])")
        let (before, after) = (try source.description.size("experts"), try pruned.description.size("experts"))
        summary = "\(after) of \(before) experts are left in each layer, by \(criterion)."
        facts.append(("expected loss", expected.weights.share))
        if let loss, let after = loss.after {
            facts += zip(loss.before.domains, after.domains).map { old, new in
                (
                    "loss on \(old.name)",
                    "\(fixedText(old.loss, digits: 4)) before, \(fixedText(new.loss, digits: 4)) after"
                )
            }
            result = .object(["loss": loss.json, "expected_loss": expected.weights.json(isExact: expected.isExact)])
        }
        figures.append(
            CheckpointParts.comparison([("before", CheckpointParts(source)), ("after", CheckpointParts(pruned))]))
        let layers = groups.keys.sorted()
        let experts = source.expertLabels
        func map(_ value: Axis, _ values: [[Double]]) -> HeatMap {
            HeatMap(value, rowTitle: "layer", layers.map(String.init), columnTitle: "expert", experts, values)
        }
        var scores: [Int: [Double]] = [:]
        if case .scores(let given) = choice { scores = given }
        if case .groups(_, let usage) = choice {
            scores = usage
            let numbers = layers.map { layer in
                (0..<before).map { expert in
                    Double((groups[layer] ?? []).firstIndex { $0.contains(expert) } ?? -1)
                }
            }
            figures.append(
                Figure(
                    "Which experts became one", caption: "Experts of a layer with the same number were merged.",
                    .map(map(Axis("number of the new expert"), numbers))))
        }
        var kept = map(
            Axis(scores.isEmpty ? "left (1) or not (0)" : "score"),
            layers.map { layer in
                scores[layer]
                    ?? (0..<before).map { expert in (groups[layer] ?? []).contains { $0.first == expert } ? 1 : 0 }
            })
        for (row, layer) in layers.enumerated() {
            for group in groups[layer] ?? [] { if let first = group.first { kept.marks.insert(.init(row, first)) } }
        }
        kept.markName = "left"
        figures.append(
            Figure(
                scores.isEmpty ? "Experts that are left" : "Scores of the experts",
                caption: "The criterion: \(criterion).",
                .map(kept)))
    }
}
