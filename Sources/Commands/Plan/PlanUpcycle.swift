import ArgumentParser
import Checkpoints
import Planning
import Reports
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
            """)

    @Argument(
        help: "The dense checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.",
        completion: .directory)
    var input = "."

    @OptionGroup var mixture: MixtureArguments

    @Option(name: [.customShort("D"), .long], help: "Tokens to train the mixture on.")
    var tokens: Quantity?

    @Option(help: "Tokens that the dense model was trained on.")
    var sunkTokens: Quantity?

    @Option(help: "Tokens of context.")
    var context = Quantity(value: 4096)

    @OptionGroup var law: LawArguments
    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        let page = try reporting.file()
        let chosen = try law.chosen()
        let forecast = try UpcycleForecast(
            Checkpoint(at: input), options: mixture.options, context: context.value, tokens: tokens?.value,
            sunkTokens: sunkTokens?.value)
        let expected = try expectation(forecast, chosen)
        let warnings = expected.map { chosen.warnings([$0.point]) } ?? []
        let document = JSON.object(json(forecast, chosen, expected, warnings))
        if let page {
            var report = Report("Upcycling \(shortNames([input])[0]) to \(mixture.experts) experts")
            report.facts =
                [("memory to train the routers", bytesText(forecast.routerTrainingBytes))]
                + (warnings + liewWarnings(forecast)).map { ("note", $0) }
            report.figures = try PlanFigures.upcycling(forecast)
            report.result = document
            try page.write(report, common)
        }
        if common.json {
            try standardOutput(document.serialized())
        } else {
            try standardOutput(text(forecast, chosen, expected), terminator: "")
            warn(warnings + liewWarnings(forecast), common)
        }
    }

    /// The loss of such a mixture from scratch, by the law that was chosen.
    private func expectation(
        _ forecast: UpcycleForecast, _ chosen: LawArguments.Chosen
    ) throws -> (point: LawPoint, loss: Double)? {
        guard let tokens = forecast.tokens else { return nil }
        var point = LawPoint(
            parameters: forecast.mixture.parameters(counted: chosen.shape, dense: forecast.dense), tokens: tokens,
            experts: Double(mixture.experts), granularity: Double(mixture.granularity))
        if chosen.law.form.variables.contains(.sunkTokens) {
            guard let sunk = forecast.sunkTokens else {
                throw usage("\(chosen.name) needs --sunk-tokens")
            }
            point.sunkTokens = sunk
        }
        try point.check(for: chosen.law.form)
        return (point, chosen.law.loss(point))
    }

    private func liewWarnings(_ forecast: UpcycleForecast) -> [String] {
        guard let comparison = forecast.comparison, let law = PublishedLaw.named("liew-upcycled") else { return [] }
        return law.warnings(
            LawPoint(
                parameters: comparison.parameters, tokens: comparison.tokens, experts: Double(mixture.experts),
                sunkTokens: comparison.sunkTokens))
    }

    private func text(
        _ forecast: UpcycleForecast, _ chosen: LawArguments.Chosen, _ expected: (point: LawPoint, loss: Double)?
    ) -> String {
        let (dense, mixture) = (forecast.dense, forecast.mixture)
        var table = TextTable([.left, .right, .right])
        table.add("", "now", forecast.family)
        table.add("parameters", shortText(dense.total), shortText(mixture.total))
        table.add("active per token", shortText(dense.active), shortText(mixture.active))
        table.add("bytes", bytesText(dense.bytes), bytesText(mixture.bytes))
        func cache(_ sizes: CheckpointSizes) -> String {
            let elements = sizes.keyValueElements * forecast.context + sizes.stateElements
            return bytesText(elements * sizes.bytes / max(sizes.total, 1))
        }
        let kept = dense.stateElements > 0 ? "keys, values, state of" : "keys, values of"
        table.add("\(kept) \(shortText(forecast.context)) tokens", cache(dense), cache(mixture))
        let context = forecast.context
        table.add(
            "FLOPs per token", shortText(dense.forwardFLOPs(context: context)),
            shortText(mixture.forwardFLOPs(context: context)))
        table.add(
            "FLOPs per token of training", shortText(dense.trainingFLOPs(context: context)),
            shortText(mixture.trainingFLOPs(context: context)))
        table.add("memory to train all (AdamW)", bytesText(16 * dense.total), bytesText(forecast.fullTrainingBytes))
        table.add("memory to train the routers", "", bytesText(forecast.routerTrainingBytes))
        var text = table.text
        guard let expected else { return text }
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
        text += "\n" + outlook.text
        return text
    }

    private func json(
        _ forecast: UpcycleForecast, _ chosen: LawArguments.Chosen, _ expected: (point: LawPoint, loss: Double)?,
        _ warnings: [String]
    ) -> JSONObject {
        func json(_ sizes: CheckpointSizes) -> JSON {
            .object([
                "total_parameters": JSON(sizes.total), "active_parameters": JSON(sizes.active),
                "bytes": JSON(sizes.bytes), "router_parameters": JSON(sizes.routers),
                "key_value_elements_per_token": JSON(sizes.keyValueElements),
                "state_elements": JSON(sizes.stateElements),
                "flops_per_token": JSON(sizes.forwardFLOPs(context: forecast.context)),
                "training_flops_per_token": JSON(sizes.trainingFLOPs(context: forecast.context)),
            ])
        }
        var object: JSONObject = [
            "family": .string(forecast.family), "dense": json(forecast.dense), "mixture": json(forecast.mixture),
            "context": JSON(forecast.context), "full_training_bytes": JSON(forecast.fullTrainingBytes),
            "router_training_bytes": JSON(forecast.routerTrainingBytes),
        ]
        if let expected {
            object["law"] = chosen.json
            object["tokens"] = JSON(expected.point.tokens)
            object["expected_loss_from_scratch"] = JSON(expected.loss)
            object["training_flops"] = forecast.trainingFLOPs.map { JSON($0) } ?? .null
        }
        if let comparison = forecast.comparison {
            object["liew"] = .object([
                "upcycled_loss": JSON(comparison.upcycledLoss), "scratch_loss": JSON(comparison.scratchLoss),
                "continued_dense_loss": forecast.continuedDenseLoss.map { JSON($0) } ?? .null,
                "share_for_upcycling": JSON(comparison.shareForUpcycling),
                "verdict": .string(comparison.verdict.rawValue),
                "crossover_tokens": comparison.crossover.map {
                    .array([JSON($0.lowerBound), JSON($0.upperBound)])
                } ?? .null,
            ])
        }
        if let share = forecast.shareOfSunkFLOPs {
            object["flops_over_dense"] = JSON(share)
            object["komatsuzaki"] = forecast.komatsuzaki.map { .string($0.rawValue) } ?? .null
            object["skywork"] = forecast.skywork.map { .string($0.rawValue) } ?? .null
        }
        object["warnings"] = .strings(warnings + liewWarnings(forecast))
        return object
    }
}
