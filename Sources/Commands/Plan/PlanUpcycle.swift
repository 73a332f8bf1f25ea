import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors
import Transforms

struct PlanUpcycle: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "upcycle", abstract: "What a dense checkpoint would become, and whether upcycling it pays.",
        discussion: """
            Parameters, bytes, keys and values and FLOPs from the tensors that `upcycle` would write; with --tokens the \
            loss that the law expects of such a mixture from scratch, and with --sunk-tokens, what the dense model was \
            trained on, whether upcycling or training from scratch is expected to win with the same FLOPs (Liew et al., \
            arXiv:2502.03009; Komatsuzaki et al., arXiv:2212.05055; Skywork-MoE, arXiv:2406.06563).

              moe-tool plan upcycle mistral-7b --experts 8 --tokens 100B --sunk-tokens 2T
              moe-tool plan upcycle mistral-7b --experts 4,8,16 --tokens 100B    # side by side, with the cost of serving
            """)

    @Argument(
        help: "The dense checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var input = "."

    @Option(
        name: [.customShort("e"), .customShort("E"), .long],
        help: "Copies of the feed-forward network; several numbers, as in 4,8,16, are compared.")
    var experts: QuantityList

    @OptionGroup var mixture: MixtureShapeArguments

    @Option(name: [.customShort("D"), .long], help: "Tokens to train the mixture on.")
    var tokens: Quantity?

    @Option(help: "Tokens that the dense model was trained on.")
    var sunkTokens: Quantity?

    @Option(help: "Tokens of context.")
    var context = Quantity(value: 4096)

    @OptionGroup var law: LawArguments
    @OptionGroup var serving: ServingArguments
    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    private typealias Outlook = UpcycleOutlooks.Outlook

    func run() throws {
        let page = try reporting.file()
        let chosen = try law.chosen()
        let source = try Checkpoint(at: input)
        var numbers: [Int] = []
        for value in experts.values {
            guard value == value.rounded(), let number = Int(exactly: value), number >= 1 else {
                throw usage("--experts \(numberText(value)): give whole numbers from 1 up")
            }
            if !numbers.contains(number) { numbers.append(number) }
        }
        let result = try UpcycleOutlooks(
            source, experts: numbers, mixture.options(experts: numbers.first ?? 1), tokens: tokens?.value,
            sunkTokens: sunkTokens?.value, context: context.value, law: chosen, serving: serving.options)
        try page?.write(Report(result, of: input), common)
        if common.json {
            try standardOutput(result.jsonText)
            return
        }
        var text = table(result.outlooks, result.plan, chosen).text
        if let only = result.outlooks.first, result.outlooks.count == 1, let expected = only.expected {
            text += "\n" + outlook(only.forecast, chosen, expected).text
        }
        try standardOutput(text, terminator: "")
        warn(result.warnings, common)
    }

    /// A column for the dense model and one for each number of experts.
    private func table(_ outlooks: [Outlook], _ plan: ServingPlan, _ chosen: ChosenLaw) -> TextTable {
        var table = TextTable([.left, .right] + outlooks.map { _ in TextTable.Alignment.right })
        guard let dense = outlooks.first?.forecast.dense else { return table }
        let context = outlooks[0].forecast.context
        func add(_ name: String, _ now: String, _ value: (Outlook) -> String) {
            table.add(row: [name, now] + outlooks.map(value))
        }
        func addSizes(_ name: String, _ value: (CheckpointSizes) -> String) {
            add(name, value(dense)) { value($0.forecast.mixture) }
        }
        add("", "now") { outlooks.count == 1 ? $0.forecast.family : $0.name }
        if outlooks.count > 1 { add("family", "") { $0.forecast.family } }
        addSizes("parameters") { shortText($0.total) }
        addSizes("active per token") { shortText($0.active) }
        addSizes("bytes") { bytesText($0.bytes) }
        let kept = dense.stateElements > 0 ? "keys, values, state of" : "keys, values of"
        addSizes("\(kept) \(shortText(context)) tokens") { sizes in
            bytesText(
                (sizes.keyValueElements * context + sizes.stateElements) * sizes.bytes / max(sizes.total, 1))
        }
        addSizes("FLOPs per token") { shortText($0.forwardFLOPs(context: context)) }
        addSizes("FLOPs per token of training") { shortText($0.trainingFLOPs(context: context)) }
        addSizes("memory to train all (AdamW)") { bytesText(16 * $0.total) }
        add("memory to train the routers", "") { bytesText($0.forecast.routerTrainingBytes) }
        let least = outlooks.compactMap { $0.estimate?.dollarsPerMillionTokens }.min()
        add("$ per 1M tokens, \(plan.hardware.name)", "") { outlook in
            guard let estimate = outlook.estimate else { return "does not fit" }
            let isLeast = outlooks.count > 1 && estimate.dollarsPerMillionTokens == least
            return numberText(estimate.dollarsPerMillionTokens) + (isLeast ? "*" : "")
        }
        add("devices of that", "") { $0.estimate.map { String($0.devices) } ?? "" }
        guard outlooks.count > 1, outlooks[0].expected != nil else { return table }
        add("FLOPs of training", "") { $0.forecast.trainingFLOPs.map(numberText) ?? "" }
        add("loss from scratch, \(chosen.name)", "") { $0.expected.map { fixedText($0.loss, digits: 4) } ?? "" }
        guard outlooks[0].forecast.shareOfSunkFLOPs != nil else { return table }
        // Their laws are of eight experts.
        add("loss upcycled, Liew et al.", "") { outlook in
            outlook.experts == 8 ? outlook.forecast.comparison.map { fixedText($0.upcycledLoss, digits: 4) } ?? "" : ""
        }
        add("of the dense model's FLOPs", "") { $0.forecast.shareOfSunkFLOPs.map(percentText) ?? "" }
        add("Komatsuzaki et al.", "") { $0.forecast.komatsuzaki?.rawValue ?? "" }
        add("Skywork-MoE", "") { $0.forecast.skywork?.rawValue ?? "" }
        return table
    }

    /// What is to be expected of training.
    private func outlook(
        _ forecast: UpcycleForecast, _ chosen: ChosenLaw, _ expected: (point: LawPoint, loss: Double)
    ) -> TextTable {
        var outlook = TextTable([.left, .left])
        if let flops = forecast.trainingFLOPs {
            outlook.add("training", "\(shortText(expected.point.tokens)) tokens, \(numberText(flops)) FLOPs")
        }
        outlook.add("from scratch", "\(fixedText(expected.loss, digits: 4)) by \(chosen.name), on that law's own data")
        if let comparison = forecast.comparison {
            let dense = forecast.continuedDenseLoss.map { ", dense model trained on \(fixedText($0, digits: 4))" } ?? ""
            outlook.add(
                "Liew et al.",
                "upcycled \(fixedText(comparison.upcycledLoss, digits: 4)), from scratch "
                    + "\(fixedText(comparison.scratchLoss, digits: 4))\(dense): \(comparison.verdict.rawValue)")
            outlook.add(
                "",
                comparison.crossover.map {
                    "from scratch is ahead from \(shortText($0.lowerBound)) to \(shortText($0.upperBound)) tokens on, "
                        + "as the printed constants are rounded"
                } ?? "where from scratch gets ahead is lost in the rounding of the printed constants")
        }
        if let share = forecast.shareOfSunkFLOPs, let komatsuzaki = forecast.komatsuzaki, let skywork = forecast.skywork
        {
            let percent = "\(numberText((share * 1000).rounded() / 10)) % of the dense model's FLOPs"
            outlook.add("Komatsuzaki et al.", "\(percent), even at about 120 %: \(komatsuzaki.rawValue)")
            outlook.add("Skywork-MoE", "from scratch from 200 % on: \(skywork.rawValue)")
        } else {
            outlook.add("upcycling", "give --sunk-tokens, what the dense model was trained on, to compare")
        }
        return outlook
    }
}
