import ArgumentParser
import Checkpoints
import Planning
import Reports
import Safetensors

struct PlanOptimal: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "optimal",
        abstract: "The best size and number of tokens for a budget, for each number of experts.",
        discussion: """
            The lowest loss with 6 FLOPs for an active parameter and token of training and 2 of inference, and, with \
            --memory, with weights and the keys and values of --context tokens in it. * marks the lowest of all; "memory" \
            a model that would be larger if it fitted.

              moe-tool plan optimal --flops 1e21
              moe-tool plan optimal --flops 1e21 --experts 1,8 --memory 80GB --inference-tokens 1e12
            """)

    @OptionGroup var law: LawArguments
    @OptionGroup var shape: ShapeArguments
    @OptionGroup var budget: BudgetArguments

    @Option(name: [.customShort("E"), .long], help: "Numbers of experts to compare.")
    var experts: QuantityList?

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        let page = try reporting.file()
        let chosen = try law.chosen()
        let plan = try budget.plan(chosen, try shape.shape(chosen))
        let numbers =
            experts?.values
            ?? (chosen.law.form.variables.contains(.experts)
                ? [1, 2, 4, 8, 16, 32] : [chosen.defaultExperts])
        let candidates = try numbers.map { try plan.optimum(experts: $0) }
        let lowest = candidates.map(\.loss).min()
        let warnings = chosen.warnings(candidates.map(\.point))
        if let page {
            var report = Report("Plan for \(numberText(plan.flops)) FLOPs")
            report.facts = PlanFigures.facts(chosen, warnings)
            report.figures = try PlanFigures.optimal(plan, candidates)
            try page.write(report, common)
        }
        if common.json {
            let models = candidates.map { candidate -> JSON in .object(candidate.json(chosen.law.form)) }
            try standardOutput(
                JSON.object([
                    "law": chosen.json, "flops": JSON(plan.flops), "models": .array(models),
                    "warnings": .strings(warnings),
                ]).serialized())
            return
        }
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .left])
        table.add("experts", "N", "active", "total", "tokens", "memory", "loss", "")
        for candidate in candidates {
            table.add(
                shortText(candidate.point.experts), shortText(candidate.point.parameters),
                shortText(candidate.sizes.active), shortText(candidate.sizes.total), shortText(candidate.point.tokens),
                bytesText(candidate.bytes),
                fixedText(candidate.loss, digits: 4) + (candidate.loss == lowest ? "*" : " "),
                candidate.isLimitedByMemory ? "memory" : "")
        }
        try standardOutput(table.text, terminator: "")
        warn(warnings, notes: chosen.notes, common)
    }
}

/// A budget, and what it has to pay for.
struct BudgetArguments: ParsableArguments {
    @Option(name: [.customShort("F"), .long], help: "FLOPs of the training, and of the inference if there is any.")
    var flops: Quantity

    @Option(help: ArgumentHelp("Memory for weights and context; by default no limit.", valueName: "size"))
    var memory: ByteCount?

    @Option(help: "Tokens of context whose keys and values are in memory.")
    var context = Quantity(value: 16384)

    @Option(help: "Tokens that the model will be run on, paid from --flops.")
    var inferenceTokens = Quantity(value: 0)

    @Option(help: "Bytes of a parameter, and of an element of keys and values.")
    var bytesPerParameter = Quantity(value: 2)

    @Option(name: [.customShort("G"), .long], help: "The feed-forward width over an expert's.")
    var granularity = Quantity(value: 1)

    @Option(help: "Tokens that the dense model saw before it was upcycled.")
    var sunkTokens: Quantity?

    func plan(_ law: LawArguments.Chosen, _ shape: ModelShape) throws -> BudgetPlan {
        let checks = [
            ("--context", context.value, 0.0), ("--inference-tokens", inferenceTokens.value, 0),
            ("--bytes-per-parameter", bytesPerParameter.value, 0.1), ("--granularity", granularity.value, 1),
        ]
        for (name, value, least) in checks where !(value >= least && value <= 1e30) {
            throw usage("\(name) \(numberText(value)): a number from \(numberText(least)) to 1e30 is needed")
        }
        if law.law.form.variables.contains(.sunkTokens), sunkTokens == nil {
            throw usage("\(law.law.form.name) needs --sunk-tokens")
        }
        var plan = BudgetPlan(law: law.law, shape: shape, flops: flops.value)
        plan.memory = memory.map { Double($0.bytes) }
        plan.context = context.value
        plan.inferenceTokens = inferenceTokens.value
        plan.bytesPerParameter = bytesPerParameter.value
        plan.granularity = granularity.value
        plan.sunkTokens = sunkTokens?.value ?? 1
        return plan
    }
}

extension BudgetPlan.Candidate {
    func json(_ form: LawForm) -> JSONObject {
        var object = point.json(form)
        object["tokens"] = JSON(point.tokens)
        object["loss"] = JSON(loss)
        object["memory_bytes"] = JSON(bytes)
        object["training_flops"] = JSON(trainingFLOPs)
        object["limited_by_memory"] = .bool(isLimitedByMemory)
        let sizes = sizes.json
        for key in sizes.keys { object[key] = sizes[key] }
        return object
    }
}
