import Checkpoints
import Safetensors
public import Training

/// Figures of a training run, from its metrics.
package struct TrainingFigures {
    package typealias Losses = [HeldOutLoss]

    private let steps: [JSONObject]
    private let evaluations: [JSONObject]

    /// Reads the lines of OUT.metrics.jsonl.
    ///
    /// - Throws: `SafetensorsError` where the file cannot be read or is none.
    package init(metrics path: String) throws {
        let bytes = try PosixFile.contents(path, limit: 1 << 30)
        let lines = try bytes.split(separator: UInt8(ascii: "\n")).compactMap {
            try JSON(parsing: Array($0), file: path).object
        }
        steps = lines.filter { $0["lr"] != nil }
        evaluations = lines.filter { $0["heldout"] != nil }
    }

    package init(_ steps: [StepMetrics]) {
        self.steps = steps.map(\.json)
        evaluations = []
    }

    /// - Parameters:
    ///   - before: held-out losses before the first step; empty where there are none.
    ///   - others: losses of other models on the same text.
    package func figures(before: Losses, after: Losses, others: [(name: String, losses: Losses)] = []) -> [Figure] {
        var figures: [Figure] = []
        if !steps.isEmpty { figures.append(losses(before)) }
        if !after.isEmpty { figures.append(bars(before, after, others)) }
        guard !steps.isEmpty else { return figures }
        let rate = Axis("learning rate")
        figures.append(half("Learning rate", rate, [series("learning rate", "lr", .line)]))
        figures.append(half("Gradient norm", normAxis, [series("before clipping", "grad_norm", .line)]))
        for (key, title) in [
            ("aux", "Balancing loss"), ("z", "Router z-loss"), ("kl", "Distance from the teacher (KL)"),
        ]
        where steps.contains(where: { $0[key] != nil }) {
            figures.append(half(title, Axis("without its weight"), [series(title, key, .line)]))
        }
        return figures + loads
    }

    /// Losses over the updates; nil where there were none.
    package var loss: Figure? { steps.isEmpty ? nil : losses([]) }

    private func half(_ title: String, _ y: Axis, _ series: [LineChart.Series]) -> Figure {
        Figure(title, isHalf: true, .lines(LineChart(x: stepAxis, y: y, series)))
    }

    private var stepAxis: Axis { Axis("updates") }

    /// Norms that differ much are read on a logarithmic axis.
    private var normAxis: Axis {
        let norms = steps.compactMap { $0["grad_norm"]?.double }.filter { $0 > 0 }
        let isWide = (norms.max() ?? 1) > 20 * (norms.min() ?? 1)
        return Axis("L2 norm", scale: isWide ? .logarithmic : .linear)
    }

    private func series(_ name: String, _ key: String, _ style: LineChart.Series.Style) -> LineChart.Series {
        LineChart.Series(
            name, style,
            steps.map { .init($0["step"]?.double ?? .nan, $0[key]?.double ?? .nan) })
    }

    // MARK: Losses

    private func losses(_ before: Losses) -> Figure {
        let training = series("training", "loss", .line)
        var all = [training]
        // Single steps are noisy: the mean over some of them shows where they go.
        if steps.count >= 60 {
            let width = max(10, steps.count / 20)
            all[0].style = .faint
            all.append(
                LineChart.Series("training, mean of \(width) steps", .line, Self.smoothed(training.points, width)))
        }
        let domains = evaluations.last?["heldout"]?.object?.keys ?? before.map(\.domain)
        for domain in domains {
            all.append(
                heldOut("held out: \(domain)", before.first { $0.domain == domain }?.loss) {
                    $0["heldout"]?.object?[domain]?.double
                })
        }
        if domains.count > 1 {
            let mean = before.isEmpty ? nil : Self.mean(before)
            all.append(heldOut("held out: mean", mean) { $0["heldout_mean"]?.double })
        }
        let caption =
            domains.isEmpty
            ? "A step's loss is that of its own tokens, before its update."
            : "A step's loss is that before its update; held-out text is measured between updates."
        return Figure(
            "Loss", caption: caption,
            .lines(LineChart(x: stepAxis, y: Axis("loss", unit: "nats a token", format: .four), all)))
    }

    private func heldOut(_ name: String, _ before: Double?, _ value: (JSONObject) -> Double?) -> LineChart.Series {
        // A line of an evaluation bears the number of the step before it, which is one less than the updates so far.
        var points = evaluations.map { line in
            LineChart.Point((line["step"]?.double ?? .nan) + 1, value(line) ?? .nan)
        }
        if let before { points.insert(.init(steps.first?["step"]?.double ?? 0, before), at: 0) }
        return LineChart.Series(name, .both, points)
    }

    /// Means over windows of points, each at its middle.
    private static func smoothed(_ points: [LineChart.Point], _ width: Int) -> [LineChart.Point] {
        guard points.count >= width else { return [] }
        var sums = [0.0]
        for point in points { sums.append((sums.last ?? 0) + point.y) }
        return (0...points.count - width).map { start in
            let middle = (points[start].x + points[start + width - 1].x) / 2
            return .init(middle, (sums[start + width] - sums[start]) / Double(width))
        }
    }

    private func bars(_ before: Losses, _ after: Losses, _ others: [(name: String, losses: Losses)]) -> Figure {
        let domains = after.map(\.domain)
        func values(_ losses: Losses) -> [Double] {
            let own = domains.map { domain in losses.first { $0.domain == domain }?.loss ?? .nan }
            return own.count > 1 ? own + [own.reduce(0, +) / Double(own.count)] : own
        }
        var series = before.isEmpty ? [] : [BarChart.Series("before", values(before))]
        series.append(.init("after", values(after)))
        series += others.map { .init($0.name, values($0.losses)) }
        return Figure(
            before.isEmpty ? "Held-out loss" : "Held-out loss before and after", caption: "Lower is better.",
            .bars(
                BarChart(
                    Axis("loss", unit: "nats a token", format: .four), categoryTitle: "domain",
                    domains.count > 1 ? domains + ["mean"] : domains, series)))
    }

    private static func mean(_ losses: Losses) -> Double {
        losses.reduce(0) { $0 + $1.loss } / Double(max(losses.count, 1))
    }

    // MARK: Routing

    /// How each domain's held-out tokens spread over experts at the end, by the same colours.
    private var loads: [Figure] {
        guard let shares = evaluations.last?["expert_share"]?.object else { return [] }
        let maps = shares.keys.map { domain in
            (domain, (shares[domain]?.array ?? []).map { ($0.array ?? []).map { $0.double ?? .nan } })
        }
        let top = maps.flatMap { $0.1.joined() }.filter(\.isFinite).max() ?? 1
        return maps.map { domain, values in
            let experts = values.map(\.count).max() ?? 0
            let named = (evaluations.last?["experts"]?.array ?? []).compactMap(\.string)
            let labels = named.count == experts ? named : (0..<experts).map(String.init)
            var map = HeatMap(
                Axis("share of the layer's slots", format: .percent), rowTitle: "mixture layer",
                values.indices.map(String.init), columnTitle: "expert", labels, values)
            map.range = 0...max(top, .leastNormalMagnitude)
            return Figure(
                "Expert load on \(domain) at the end",
                caption: "Of held-out tokens, by the same colours for all domains.",
                isHalf: experts <= 8, .map(map))
        }
    }
}

extension Report {
    /// The course of a training.
    ///
    /// - Parameters:
    ///   - model: the name of what was trained.
    ///   - isContinued: whether the run went on after an interruption: it begins with what the first part of it learned.
    /// - Throws: `SafetensorsError` where the metrics beside the output cannot be read.
    public init(_ result: TrainingResult, of model: String, trained: String, isContinued: Bool = false) throws {
        self.init("Training of \(shortNames([result.output])[0])")
        var others: [(name: String, losses: [HeldOutLoss])] = []
        if !result.teacher.isEmpty { others.append(("teacher", result.teacher)) }
        if !result.base.isEmpty { others.append(("base", result.base)) }
        let curves = try TrainingFigures(metrics: result.output + ".metrics.jsonl")
        figures = curves.figures(before: isContinued ? [] : result.before, after: result.after, others: others)
        facts = [("model", model), ("trained", trained), ("output", result.output)]
    }
}
