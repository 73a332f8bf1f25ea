public import Evaluation
import Glibc
import Safetensors

extension Report {
    /// Figures of all that an evaluation measured.
    public init(_ result: EvaluationResult) { self = EvaluationFigures(result: result).report }
}

private struct EvaluationFigures {
    let result: EvaluationResult

    private var rows: [EvaluationResult.Model] { result.models }

    var report: Report {
        let names = shortNames(rows.map(\.scores.model))
        var report = Report(
            rows.count == 1 ? "Evaluation of \(names.first ?? "")" : "Evaluation of \(rows.count) models")
        let domains = rows.first?.scores.domains.map(\.name) ?? []
        if let first = rows.first, !domains.isEmpty {
            report.summary =
                "Held-out text: \(first.scores.tokens) predicted tokens of \(domains.joined(separator: ", "))."
        }
        if let gating = result.gating { report.facts.append(("a look for research", gating.remark)) }
        report.figures += scoreFigures(names, domains) + taskFigures(names)
        for (name, row) in zip(names, rows) {
            guard let routing = row.routing else { continue }
            report.figures += RoutingFigures(routing, model: name, isAlone: rows.count { $0.routing != nil } == 1).all
        }
        report.result = .object(result.json)
        return report
    }

    // MARK: Scores

    private func scoreFigures(_ names: [String], _ domains: [String]) -> [Figure] {
        guard !domains.isEmpty else { return [] }
        let loss = Axis("loss", unit: "nats a token", format: .four)
        let bits = Axis("bits per byte", format: .four)
        var figures = [map("Loss by model and domain", loss, names, domains, { $0.loss }, { $0.loss })]
        if rows.contains(where: { $0.scores.bitsPerByte != nil }) {
            figures.append(
                map(
                    "Bits per byte by model and domain", bits, names, domains, { $0.bitsPerByte ?? .nan },
                    { $0.bitsPerByte ?? .nan }))
        }
        // More models than colours are told apart by their names.
        if rows.count > 8 {
            figures.append(
                Figure(
                    "Models side by side", caption: "The mean of the domains, in the order given: lower is better.",
                    .bars(
                        BarChart(
                            loss, categoryTitle: "model", names,
                            [BarChart.Series("mean of the domains", rows.map(\.scores.loss))]))))
            return figures
        }
        let series = zip(names, rows).map { BarChart.Series($0, $1.scores.domains.map(\.loss) + [$1.scores.loss]) }
        figures.append(
            Figure(
                rows.count == 1 ? "Loss by domain" : "Models side by side",
                caption: rows.count == 1 ? "" : "In the order in which they were given: lower is better.",
                .bars(BarChart(loss, categoryTitle: "domain", domains + ["mean"], series))))
        return figures
    }

    private func map(
        _ title: String, _ value: Axis, _ names: [String], _ domains: [String], _ domain: (DomainScore) -> Double,
        _ mean: (ModelScores) -> Double
    ) -> Figure {
        let values = rows.map { $0.scores.domains.map(domain) + [mean($0.scores)] }
        var map = HeatMap(
            value, rowTitle: "model", names, columnTitle: "domain", domains + ["mean"], values)
        if rows.count > 1 {
            for column in 0...domains.count {
                let found = values.map { $0.indices.contains(column) ? $0[column] : .nan }
                guard let best = found.filter(\.isFinite).min() else { continue }
                for (row, value) in found.enumerated() where value == best { map.marks.insert(.init(row, column)) }
            }
            map.markName = "lowest of its column"
        }
        return Figure(title, caption: "The mean counts every domain the same. Lower is better.", .map(map))
    }

    private func taskFigures(_ names: [String]) -> [Figure] {
        let tasks = rows.first?.tasks.map(\.name) ?? []
        guard !tasks.isEmpty else { return [] }
        func figure(_ title: String, _ value: (MultipleChoiceResult) -> Double) -> Figure {
            let series = zip(names, rows).map { BarChart.Series($0, $1.tasks.map { value($0.result) }) }
            return Figure(
                title, .bars(BarChart(Axis(title, format: .percent), categoryTitle: "task", tasks, series)))
        }
        return [figure("Accuracy") { $0.accuracy }, figure("Accuracy by characters") { $0.normalizedAccuracy }]
    }
}

/// Figures of how a mixture routes.
struct RoutingFigures {
    private let routing: RoutingStatistics
    private let layers: [(number: Int, layer: RoutingStatistics.Layer)]
    /// What titles end with.
    private let suffix: String

    /// - Parameter isAlone: whether no other mixture's figures are on the page.
    init(_ routing: RoutingStatistics, model: String, isAlone: Bool) {
        self.routing = routing
        layers = routing.layers.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        suffix = isAlone ? "" : ", \(model)"
    }

    var all: [Figure] { layers.isEmpty ? [] : loads + [entropies, entropiesByDomain, balance] + coactivations }

    private var numbers: [String] { layers.map { "\($0.number)" } }
    private var experts: [String] { routing.labels }
    private let share = Axis("share of the tokens", format: .percent)
    private let layerAxis = Axis("layer")

    /// The load of all text, and of each domain by the same colours.
    private var loads: [Figure] {
        let all = layers.map { $0.layer.measures.share }
        let byDomain = routing.domains.indices.map { domain in
            layers.map { RoutingMeasures($0.layer.domains[domain]).share }
        }
        let top = (byDomain + [all]).joined().joined().filter(\.isFinite).max() ?? 1
        let chance = Double(routing.topK) / Double(routing.experts)
        let caption =
            "Share of the tokens that go to each expert; top-\(routing.topK) of \(routing.experts), so that chance gives "
            + "each \(ValueFormat.percent.text(chance))."
        func figure(_ title: String, _ values: [[Double]], _ caption: String) -> Figure {
            var map = HeatMap(share, rowTitle: "layer", numbers, columnTitle: "expert", experts, values)
            map.range = 0...max(top, .leastNormalMagnitude)
            return Figure(title + suffix, caption: caption, isHalf: routing.experts <= 8, .map(map))
        }
        var figures = [figure("Expert load", all, caption)]
        guard routing.domains.count > 1 else { return figures }
        for (name, values) in zip(routing.domains, byDomain) {
            figures.append(figure("Expert load on \(name)", values, "By the same colours as for all text."))
        }
        return figures
    }

    private func series(_ name: String, _ value: (Int) -> Double) -> LineChart.Series {
        LineChart.Series(name, .both, layers.indices.map { LineChart.Point(Double(layers[$0].number), value($0)) })
    }

    private var entropies: Figure {
        let measures = layers.map { $0.layer.measures }
        let uniform = log(Double(max(routing.experts, 1)))
        return Figure(
            "Gate entropy by layer" + suffix,
            caption:
                "Of a token's gates it is 0 where the router is sure; of the load it is highest where experts are used "
                + "alike.", isHalf: true,
            .lines(
                LineChart(
                    x: layerAxis, y: Axis("entropy", unit: "nats", format: .three),
                    [
                        series("of a token's gates, mean") { measures[$0].meanEntropyOfGate },
                        series("of the mean gates") { measures[$0].entropyOfMeanGate },
                        series("of the load") { measures[$0].entropyOfLoad },
                        LineChart.Series(
                            "all experts alike", .dashed, layers.map { .init(Double($0.number), uniform) }),
                    ])))
    }

    private var entropiesByDomain: Figure {
        Figure(
            "Gate entropy by domain" + suffix, caption: "The mean entropy of a token's gates.", isHalf: true,
            .lines(
                LineChart(
                    x: layerAxis, y: Axis("entropy", unit: "nats", format: .three),
                    routing.domains.enumerated().map { index, name in
                        series(name) { RoutingMeasures(layers[$0].layer.domains[index]).meanEntropyOfGate }
                    })))
    }

    private var balance: Figure {
        let measures = layers.map { $0.layer.measures }
        return Figure(
            "Balance by layer" + suffix,
            caption: "Both are 0 where every expert gets as much.", isHalf: true,
            .lines(
                LineChart(
                    x: layerAxis, y: Axis("relative to the mean load", format: .three),
                    [
                        series("standard deviation of the load") { measures[$0].loadVariation },
                        series("largest load above the mean (MaxVio)") { measures[$0].maxViolation },
                    ])))
    }

    /// Of all layers where they are few, else of the first, the middle and the last; the rest are in the JSON.
    private var coactivations: [Figure] {
        guard routing.topK > 1, routing.experts > 1 else { return [] }
        let isFew = layers.count <= 6 && routing.experts <= 32
        let chosen = isFew ? Array(layers.indices) : Array(Set([0, layers.count / 2, layers.count - 1])).sorted()
        return chosen.map { index in
            var values = layers[index].layer.coactivation
            // That an expert is where it is says nothing, and would outshine the rest.
            for expert in values.indices where values[expert].indices.contains(expert) { values[expert][expert] = .nan }
            var map = HeatMap(
                Axis("share of the expert's tokens", format: .percent), rowTitle: "expert", experts,
                columnTitle: "also goes to expert", experts, values)
            map.holeName = "itself"
            map.holeText = "–"
            return Figure(
                "Co-activation in layer \(layers[index].number)" + suffix,
                caption: "Of an expert's tokens (row), the share that also go to another (column).",
                isHalf: routing.experts <= 8, .map(map))
        }
    }
}
