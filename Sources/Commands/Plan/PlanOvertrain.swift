import ArgumentParser
import Checkpoints
import Planning
import Reports
import Safetensors

struct PlanOvertrain: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "overtrain", abstract: "Smaller models trained longer: cheaper to serve at equal loss or cost.",
        discussion: """
            The budget's best model of --base experts has a loss and a cost per token. For other numbers of experts and \
            the same budget: the cheapest model of at most that loss, and the model of the lowest loss at at most that \
            cost (Yun et al., arXiv:2404.02852, algorithms 1 and 2), on the law and the hardware you choose.

              moe-tool plan overtrain --flops 1e21
              moe-tool plan overtrain --flops 5e21 --base 1 --experts 8,16,32 --hardware A100-40
            """)

    @OptionGroup var law: LawArguments
    @OptionGroup var shape: ShapeArguments
    @OptionGroup var budget: BudgetArguments
    @OptionGroup var serving: ServingArguments

    @Option(help: "Experts of the model that sets loss and cost.")
    var base = Quantity(value: 4)

    @Option(name: [.customShort("E"), .long], help: "Numbers of experts to compare with it.")
    var experts = QuantityList(values: [8, 16, 32])

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    private struct Row {
        let experts: Double
        let boundedLoss: Overtraining.Choice?
        let boundedCost: Overtraining.Choice?
    }

    /// What the paper found with constants that it does not print, of all there is to compare with.
    private static let published = """
        The paper's own figures, from a fit whose constants it does not print and latencies of A100-40 with vLLM, not \
        reproduced here: at the loss of a 4-expert model, 8 experts need 47.7 to 51.0 % and 16 experts 47 to 52 % of its \
        inference cost.
        """

    func run() throws {
        let page = try reporting.file()
        let chosen = try law.chosen()
        guard chosen.law.form.variables.contains(.experts) else {
            throw usage("\(chosen.name) does not know the number of experts: there is nothing to compare")
        }
        let plan = Overtraining(
            budget: try budget.plan(chosen, try shape.shape(chosen)), serving: try serving.plan(),
            promptTokens: serving.promptTokens.value, outputTokens: serving.outputTokens.value)
        let base = try plan.base(experts: base.value)
        let rows = try experts.values.map { experts in
            Row(
                experts: experts, boundedLoss: try plan.boundedLoss(base.candidate.loss, experts: experts),
                boundedCost: try plan.boundedCost(base.cost, experts: experts))
        }
        let all = [base] + rows.flatMap { [$0.boundedLoss, $0.boundedCost].compactMap { $0 } }
        let warnings = chosen.warnings(all.map(\.candidate.point))
        if let page {
            var report = Report("Overtraining at \(numberText(plan.budget.flops)) FLOPs")
            report.summary = Self.published
            report.facts =
                [("hardware", plan.serving.hardware.name)] + PlanFigures.facts(chosen, warnings)
            report.figures = try PlanFigures.overtraining(plan, base: base, experts: experts.values)
            try page.write(report, common)
        }
        if common.json {
            let results = rows.map { row -> JSON in
                .object([
                    "experts": JSON(row.experts), "bounded_loss": json(row.boundedLoss, base, chosen),
                    "bounded_cost": json(row.boundedCost, base, chosen),
                ])
            }
            try standardOutput(
                JSON.object([
                    "law": chosen.json, "hardware": .string(plan.serving.hardware.name),
                    "flops": JSON(plan.budget.flops),
                    "base": json(base, base, chosen), "models": .array(results), "published": .string(Self.published),
                    "warnings": .strings(warnings),
                ]).serialized())
            return
        }
        var text = "The best model of \(shortText(base.candidate.point.experts)) experts\n\n"
        text += table([(base.candidate.point.experts, base)], base)
        text += "\nNo more loss, lowest cost\n\n" + table(rows.map { ($0.experts, $0.boundedLoss) }, base)
        text += "\nNo more cost, lowest loss\n\n" + table(rows.map { ($0.experts, $0.boundedCost) }, base)
        text += "\n" + Self.published + "\n"
        try standardOutput(text, terminator: "")
        warn(warnings, notes: chosen.notes, common)
    }

    private func table(_ rows: [(experts: Double, choice: Overtraining.Choice?)], _ base: Overtraining.Choice) -> String
    {
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .right])
        table.add("experts", "N", "total", "tokens", "loss", "devices", "$ per 1M tokens", "of the base's")
        for (experts, choice) in rows {
            guard let choice else {
                table.add(shortText(experts), "none", "", "", "", "", "", "")
                continue
            }
            table.add(
                shortText(experts), shortText(choice.candidate.point.parameters),
                shortText(choice.candidate.sizes.total), shortText(choice.candidate.point.tokens),
                fixedText(choice.candidate.loss, digits: 4), "\(choice.estimate.devices)", numberText(choice.cost),
                share(choice, base).map { "\(fixedText($0 * 100, digits: 1)) %" } ?? "")
        }
        return table.text
    }

    private func share(_ choice: Overtraining.Choice, _ base: Overtraining.Choice) -> Double? {
        base.cost > 0 ? choice.cost / base.cost : nil
    }

    private func json(
        _ choice: Overtraining.Choice?, _ base: Overtraining.Choice, _ law: LawArguments.Chosen
    ) -> JSON {
        guard let choice else { return .null }
        var object = choice.candidate.json(law.law.form)
        let estimate = choice.estimate.json
        for key in estimate.keys { object[key] = estimate[key] }
        object["memory_bytes"] = JSON(choice.candidate.bytes)
        object["cost_over_base"] = share(choice, base).map { JSON($0) } ?? .null
        return .object(object)
    }
}
