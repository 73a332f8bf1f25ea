import MoEToolkit
import Safetensors

/// What `evaluate` prints: scores of models on domains, best of each column marked, and how mixtures routed.
extension EvaluationResult {
    /// Lines for people.
    var text: String {
        var text = ""
        if let gating { text += "A look for research, not what the checkpoint computes: \(gating.remark).\n\n" }
        let hasDomains = models.first?.scores.domains.isEmpty == false
        if hasDomains { text += models.count == 1 ? domainTable(models[0].scores) : modelTables }
        let tasks = taskTable
        text += hasDomains && !tasks.isEmpty ? "\n" + tasks : tasks
        for model in models {
            guard let routing = model.routing else { continue }
            text += "\nRouting of \(escaped(model.scores.model)): \(routing.experts) experts, top-\(routing.topK), "
            text +=
                "so that chance gives each \(percent(Double(routing.topK) / Double(routing.experts))) of the tokens\n"
            text += routingTable(routing)
        }
        return text
    }

    /// One model: a row for each domain.
    private func domainTable(_ scores: ModelScores) -> String {
        var table = TextTable([.left, .right, .right, .right, .right, .right])
        table.add("", "loss (nats)", "perplexity", "bits per byte", "tokens", "tokens/s")
        func add(
            _ name: String, _ loss: Double, _ perplexity: Double, _ bits: Double?, _ tokens: Int, _ rate: Double
        ) {
            table.add(
                escaped(name), fixedText(loss, digits: 4), perplexityText(perplexity),
                bits.map { fixedText($0, digits: 4) } ?? "unknown", "\(tokens)", "\(Int(saturating: rate))")
        }
        for domain in scores.domains {
            add(
                domain.name, domain.loss, domain.perplexity, domain.bitsPerByte, domain.tokens, domain.tokensPerSecond)
        }
        if scores.domains.count > 1 {
            add("mean", scores.loss, scores.perplexity, scores.bitsPerByte, scores.tokens, scores.tokensPerSecond)
        }
        return escaped(scores.model) + "\n" + table.text
    }

    /// Several models: a matrix of models and domains for each measure.
    private var modelTables: String {
        let measures: [(title: String, domain: (DomainScore) -> Double?, mean: (ModelScores) -> Double?, digits: Int)] =
            [
                ("loss (nats)", { $0.loss }, { $0.loss }, 4), ("perplexity", { $0.perplexity }, { $0.perplexity }, 2),
                ("bits per byte", { $0.bitsPerByte }, { $0.bitsPerByte }, 4),
            ]
        let names = models[0].scores.domains.map(\.name)
        return measures.map { measure in
            var table = TextTable([.left] + names.map { _ in .right } + [.right, .right])
            table.add(row: [measure.title] + names.map(escaped) + ["mean", "tokens/s"])
            let columns = names.indices.map { domain in models.map { measure.domain($0.scores.domains[domain]) } }
            let means = models.map { measure.mean($0.scores) }
            func cell(_ column: [Double?], _ row: Int) -> String {
                guard let value = column[row] else { return "unknown " }
                let isBest = value == column.compactMap { $0 }.filter(\.isFinite).min()
                return (measure.digits == 2 ? perplexityText(value) : fixedText(value, digits: measure.digits))
                    + (isBest ? "*" : " ")
            }
            for (index, model) in models.enumerated() {
                table.add(
                    row: [escaped(model.scores.model)] + columns.map { cell($0, index) }
                        + [cell(means, index), "\(Int(saturating: model.scores.tokensPerSecond))"])
            }
            return table.text
        }.joined(separator: "\n") + "* the best of its column\n"
    }

    /// A row for each model and task; empty where there are none.
    private var taskTable: String {
        guard models.contains(where: { !$0.tasks.isEmpty }) else { return "" }
        var table = TextTable([.left, .left, .right, .right, .right])
        table.add("", "task", "questions", "acc", "acc_norm")
        for model in models {
            for task in model.tasks {
                table.add(
                    escaped(model.scores.model), escaped(task.name), "\(task.result.questions)",
                    fixedText(task.result.accuracy, digits: 4), fixedText(task.result.normalizedAccuracy, digits: 4))
            }
        }
        return table.text
    }

    /// A line for each mixture layer; the expert that most of a domain's tokens go to, and their share.
    private func routingTable(_ routing: RoutingStatistics) -> String {
        var table = TextTable(
            [.right, .right, .right, .right, .right, .right, .right] + routing.domains.map { _ in .right })
        table.add(
            row: ["layer", "load CV", "MaxVio", "H(load)", "H(mean gate)", "mean H(gate)", "dead"]
                + routing.domains.map { "top of \(escaped($0))" })
        for (number, layer) in routing.layers.sorted(by: { $0.key < $1.key }) {
            let measures = layer.measures
            let favourites = layer.domains.map { tally -> String in
                let share = RoutingMeasures(tally).share
                guard let top = share.max(), top > 0, let expert = share.firstIndex(of: top) else { return "none" }
                return "\(escaped(routing.labels[expert])) (\(percent(top)))"
            }
            table.add(
                row: [
                    "\(number)", fixedText(measures.loadVariation, digits: 3),
                    fixedText(measures.maxViolation, digits: 3),
                    fixedText(measures.entropyOfLoad, digits: 3), fixedText(measures.entropyOfMeanGate, digits: 3),
                    fixedText(measures.meanEntropyOfGate, digits: 3), "\(measures.deadExperts.count)",
                ] + favourites)
        }
        return table.text
    }

    private func percent(_ share: Double) -> String { fixedText(share * 100, digits: 1) + " %" }

    private func perplexityText(_ value: Double) -> String {
        value < 1e7 ? fixedText(value, digits: 2) : numberText(value)
    }
}
