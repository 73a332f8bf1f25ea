import ArgumentParser
import Checkpoints
import MoEToolkit
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

    func run() throws {
        let page = try reporting.file()
        let result = try OvertrainedModels(
            law.chosen(), budget.options(shape), serving.options, base: base.value, experts: experts.values)
        try page?.write(Report(result), common)
        if common.json {
            try standardOutput(result.jsonText)
            return
        }
        let base = result.base
        var text = "The best model of \(shortText(base.candidate.point.experts)) experts\n\n"
        text += table([(base.candidate.point.experts, base)], result)
        text += "\nNo more loss, lowest cost\n\n" + table(result.rows.map { ($0.experts, $0.boundedLoss) }, result)
        text += "\nNo more cost, lowest loss\n\n" + table(result.rows.map { ($0.experts, $0.boundedCost) }, result)
        text += "\n" + OvertrainedModels.published + "\n"
        try standardOutput(text, terminator: "")
        warn(result.warnings, notes: result.law.notes, common)
    }

    private func table(
        _ rows: [(experts: Double, choice: Overtraining.Choice?)], _ result: OvertrainedModels
    ) -> String {
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
                result.share(choice).map { "\(fixedText($0 * 100, digits: 1)) %" } ?? "")
        }
        return table.text
    }
}
