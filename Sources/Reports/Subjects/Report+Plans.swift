import Glibc
public import Planning
import Safetensors

extension Report {
    /// The best models for a budget.
    public init(_ models: OptimalModels) throws {
        self.init("Plan for \(numberText(models.plan.flops)) FLOPs")
        facts = PlanFigures.facts(models.law, models.warnings)
        figures = try PlanFigures.optimal(models.plan, models.candidates)
    }

    /// Smaller models trained longer.
    public init(_ models: OvertrainedModels) throws {
        self.init("Overtraining at \(numberText(models.plan.budget.flops)) FLOPs")
        summary = OvertrainedModels.published
        facts =
            [("hardware", models.plan.serving.hardware.name)] + PlanFigures.facts(models.law, models.warnings)
        figures = try PlanFigures.overtraining(
            models.plan, base: models.base, experts: models.rows.map(\.experts))
    }

    /// The cost of serving a model.
    public init(_ cost: ServingCost) {
        let (plan, model) = (cost.plan, cost.model)
        self.init("Cost of serving on \(plan.hardware.name)")
        facts = [
            ("parameters", "\(shortText(model.sizes.total)), \(shortText(model.sizes.active)) active per token"),
            ("weights", bytesText(model.weightBytes)),
            ("latencies", plan.latencies == nil ? "roofline, not measured" : "measured"),
            ("links", plan.hardware.links.text),
        ]
        figures = PlanFigures.serving(cost.estimates)
    }

    /// The cost of serving models of several numbers of experts.
    public init(_ comparison: ServingComparison) {
        let plan = comparison.plan
        let parameters = comparison.parameters
        self.init("Cost of serving \(shortText(parameters)) parameters on \(plan.hardware.name)")
        facts = [("links", plan.hardware.links.text)] + comparison.warnings.map { ("note", $0) }
        figures = PlanFigures.cost(
            comparison.rows.map { ($0.experts, $0.estimate?.dollarsPerMillionTokens, $0.loss) })
    }

    /// A law fitted to runs.
    public init(_ fit: FittedLaw) {
        let form = fit.result.law.form
        self.init("\(form.name) fitted to \(fit.measured.runs.count) runs")
        facts =
            [("law", form.formula)]
            + fit.constants.map { ($0.name, numberText($0.value)) }
            + [("error", "\(fixedText(fit.rootMeanSquare * 100, digits: 3)) % of the loss (root mean square of ln L)")]
        figures = PlanFigures.fit(fit.result, fit.measured)
        result = .object(fit.json)
    }

    /// What a dense model would become.
    ///
    /// - Parameter name: the dense model's.
    public init(_ outlooks: UpcycleOutlooks, of name: String) throws {
        let text = outlooks.outlooks.map { String($0.experts) }.joined(separator: ", ")
        self.init("Upcycling \(shortNames([name])[0]) to \(text) experts")
        facts = outlooks.outlooks.map {
            ("memory to train the routers of \($0.name)", bytesText($0.forecast.routerTrainingBytes))
        }
        facts += outlooks.warnings.map { ("note", $0) }
        figures = try PlanFigures.upcycling(outlooks.outlooks.map { ($0.name, $0.forecast) })
        result = .object(outlooks.json)
    }
}

/// Figures of plans, and what they have in common.
private enum PlanFigures {
    static let loss = Axis("loss", unit: "nats a token", format: .four)
    static let dollars = Axis("cost", unit: "$ per 1M tokens", scale: .logarithmic)

    /// "8 experts".
    static func name(experts: Double) -> String { experts == 1 ? "dense" : "\(shortText(experts)) experts" }

    /// A law and its warnings, as a report tells of them.
    static func facts(_ law: ChosenLaw, _ warnings: [String]) -> [(name: String, text: String)] {
        [("law", "\(law.name): \(law.law.form.formula)"), ("source", law.source)]
            + [("N counts", law.law.form.meaningOfSize)]
            + (law.notes + warnings).map { ("note", $0) }
    }

    // MARK: A budget

    /// Loss over N with the whole budget spent, for each number of experts.
    static func optimal(_ plan: BudgetPlan, _ optima: [BudgetPlan.Candidate]) throws -> [Figure] {
        let size = Axis("N", unit: "parameters", scale: .logarithmic, format: .count)
        var series = try optima.map { best in
            // Far from the optimum the loss is of no interest, and would press the curves together.
            let near = (best.point.parameters / 30)...(best.point.parameters * 30)
            let points = try plan.curve(experts: best.point.experts, count: 256).filter {
                near.contains($0.point.parameters)
            }
            return LineChart.Series(
                name(experts: best.point.experts), .line, points.map { .init($0.point.parameters, $0.loss) })
        }
        series.append(
            LineChart.Series(
                "best", .points,
                optima.map { .init($0.point.parameters, $0.loss, label: shortText($0.point.experts)) }))
        let experts = optima.map { name(experts: $0.point.experts) }
        return [
            Figure(
                "Loss over size at \(numberText(plan.flops)) FLOPs",
                caption: "A smaller model is trained on more tokens, until the budget is spent.",
                .lines(LineChart(x: size, y: loss, series))),
            Figure(
                "Parameters of the best models", isHalf: true,
                .bars(
                    BarChart(
                        Axis("parameters", format: .count), categoryTitle: "experts", experts,
                        [
                            .init("active per token", optima.map(\.sizes.active)),
                            .init("total", optima.map(\.sizes.total)),
                        ]))),
            Figure(
                "Tokens of the best models", isHalf: true,
                .bars(
                    BarChart(
                        Axis("tokens", format: .count), categoryTitle: "experts", experts,
                        [.init("training tokens", optima.map(\.point.tokens))]))),
        ]
    }

    // MARK: Cost

    /// Cost over loss for each number of experts, from much overtrained to the optimum.
    static func overtraining(_ plan: Overtraining, base: Overtraining.Choice, experts: [Double]) throws -> [Figure] {
        var numbers = [base.candidate.point.experts]
        for number in experts where !numbers.contains(number) { numbers.append(number) }
        let series = try numbers.map { number in
            LineChart.Series(
                name(experts: number), .both,
                try plan.curve(experts: number, count: 20).map { .init($0.candidate.loss, $0.cost) })
        }
        return [
            Figure(
                "Cost of inference over loss at \(numberText(plan.budget.flops)) FLOPs of training",
                caption: "Each line goes from a model of a hundredth of the best size to the best one: smaller models "
                    + "trained longer are cheaper to run.",
                .lines(LineChart(x: loss, y: dollars, series, frontier: .leastBoth)))
        ]
    }

    /// Cost over the number of experts, and over the loss where that is known.
    static func cost(_ models: [(experts: Double, dollars: Double?, loss: Double?)]) -> [Figure] {
        var figures = [
            Figure(
                "Cost over experts",
                .lines(
                    LineChart(
                        x: Axis("experts"), y: dollars,
                        [
                            LineChart.Series(
                                "cost", .both,
                                models.compactMap { model in model.dollars.map { .init(model.experts, $0) } })
                        ])))
        ]
        let known = models.compactMap { model in
            model.dollars.flatMap { cost in model.loss.map { (model.experts, LineChart.Point($0, cost)) } }
        }
        if !known.isEmpty {
            figures.append(
                Figure(
                    "Cost over loss",
                    .lines(
                        LineChart(
                            x: loss, y: dollars,
                            known.map { LineChart.Series(name(experts: $0.0), .points, [$0.1]) }))))
        }
        return figures
    }

    static func serving(_ estimates: [ServingPlan.Estimate]) -> [Figure] {
        let devices = Axis("devices")
        func line(_ name: String, _ value: (ServingPlan.Estimate) -> Double) -> LineChart.Series {
            LineChart.Series(name, .both, estimates.map { .init(Double($0.devices), value($0)) })
        }
        return [
            Figure(
                "Cost over devices",
                .lines(LineChart(x: devices, y: dollars, [line("cost") { $0.dollarsPerMillionTokens }]))
            ),
            Figure(
                "Latency", isHalf: true,
                .lines(
                    LineChart(
                        x: devices, y: Axis("latency", unit: "ms", scale: .logarithmic),
                        [
                            line("first token") { $0.firstTokenSeconds * 1000 },
                            line("step of decoding") { $0.decodeSeconds * 1000 },
                        ]))),
            Figure(
                "Throughput", isHalf: true,
                .lines(
                    LineChart(
                        x: devices, y: Axis("throughput", unit: "tokens/s", format: .count),
                        [line("all devices together") { $0.tokensPerSecond }]))),
        ]
    }

    // MARK: Fits

    static func fit(_ result: LawFit.Result, _ measured: MeasuredRuns) -> [Figure] {
        let runs = zip(measured.runs, result.residuals)
        var groups: [Double] = []
        for run in measured.runs where !groups.contains(run.point.experts) { groups.append(run.point.experts) }
        func series(_ point: (MeasuredRuns.Run, Double) -> LineChart.Point) -> [LineChart.Series] {
            groups.sorted().map { group in
                let name = result.law.form.variables.contains(.experts) ? name(experts: group) : "runs"
                return LineChart.Series(
                    name, .points, runs.filter { $0.0.point.experts == group }.map { point($0.0, $0.1) })
            }
        }
        let losses = measured.runs.map(\.loss)
        let diagonal = LineChart.Series(
            "equal", .dashed, [losses.min(), losses.max()].compactMap { $0 }.map { .init($0, $0) })
        return [
            Figure(
                "Predicted and measured loss",
                .lines(
                    LineChart(
                        x: Axis("measured loss", unit: "nats a token", format: .three),
                        y: Axis("loss by the law", unit: "nats a token", format: .three),
                        series { run, _ in .init(run.loss, result.law.loss(run.point)) } + [diagonal]))),
            Figure(
                "Errors over size", caption: "Errors that lean one way at an end say that the law does not hold there.",
                .lines(
                    LineChart(
                        x: Axis("N", unit: "parameters", scale: .logarithmic, format: .count),
                        y: Axis("law's loss above the measured", format: .percent),
                        series { .init($0.point.parameters, exp($1) - 1) }))),
        ]
    }

    // MARK: Upcycling

    /// - Parameter forecasts: of one dense model, each with its name.
    static func upcycling(_ forecasts: [(name: String, forecast: UpcycleForecast)]) throws -> [Figure] {
        guard let (_, forecast) = forecasts.first else { return [] }
        let dense = forecast.dense
        var figures = [
            Figure(
                "Parameters", isHalf: true,
                .bars(
                    BarChart(
                        Axis("parameters", format: .count), categoryTitle: "parameters", ["total", "active per token"],
                        [.init("now", [dense.total, dense.active])]
                            + forecasts.map { .init($0.name, [$0.forecast.mixture.total, $0.forecast.mixture.active]) })
                )),
            Figure(
                "Memory", isHalf: true,
                .bars(
                    BarChart(
                        Axis("memory", format: .bytes), categoryTitle: "use",
                        ["checkpoint", "train all (AdamW)"],
                        [.init("now", [dense.bytes, 16 * dense.total])]
                            + forecasts.map {
                                .init($0.name, [$0.forecast.mixture.bytes, $0.forecast.fullTrainingBytes])
                            }))),
        ]
        guard let comparison = forecast.comparison, let upcycled = PublishedLaw.named("liew-upcycled"),
            let scratch = PublishedLaw.named("liew-scratch")
        else { return figures }
        func line(_ name: String, _ law: ScalingLaw) -> LineChart.Series {
            // Three orders of magnitude around what was asked for.
            let points = (0...48).map { step in
                let tokens = comparison.tokens * pow(10, Double(step) / 16 - 1.5)
                return LineChart.Point(
                    tokens,
                    law.loss(
                        LawPoint(
                            parameters: comparison.parameters, tokens: tokens, experts: 8,
                            sunkTokens: comparison.sunkTokens)))
            }
            return LineChart.Series(name, .line, points)
        }
        let asked = LineChart.Series(
            "asked for", .points,
            [.init(comparison.tokens, comparison.upcycledLoss), .init(comparison.tokens, comparison.scratchLoss)])
        figures.append(
            Figure(
                "Upcycled or from scratch, by Liew et al.",
                caption:
                    "By the printed constants, of 8 experts, top-2, on their data: \(comparison.verdict.rawValue).",
                .lines(
                    LineChart(
                        x: Axis("tokens", scale: .logarithmic, format: .count), y: loss,
                        [line("upcycled", try upcycled.law()), line("from scratch", try scratch.law()), asked]))))
        return figures
    }
}
