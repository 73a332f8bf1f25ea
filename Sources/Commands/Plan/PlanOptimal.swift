import ArgumentParser
import Checkpoints
import MoEToolkit
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
        let result = try OptimalModels(law.chosen(), budget.options(shape), experts: experts?.values)
        try page?.write(Report(result), common)
        if common.json {
            try standardOutput(result.jsonText)
            return
        }
        let lowest = result.candidates.map(\.loss).min()
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .left])
        table.add("experts", "N", "active", "total", "tokens", "memory", "loss", "")
        for candidate in result.candidates {
            table.add(
                shortText(candidate.point.experts), shortText(candidate.point.parameters),
                shortText(candidate.sizes.active), shortText(candidate.sizes.total), shortText(candidate.point.tokens),
                bytesText(candidate.bytes),
                fixedText(candidate.loss, digits: 4) + (candidate.loss == lowest ? "*" : " "),
                candidate.isLimitedByMemory ? "memory" : "")
        }
        try standardOutput(table.text, terminator: "")
        warn(result.warnings, notes: result.law.notes, common)
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

    func options(_ shape: ShapeArguments) -> BudgetOptions {
        var options = BudgetOptions(flops: flops.value)
        options.memory = memory.map { Double($0.bytes) }
        options.context = context.value
        options.inferenceTokens = inferenceTokens.value
        options.bytesPerParameter = bytesPerParameter.value
        options.granularity = granularity.value
        options.sunkTokens = sunkTokens?.value
        options.shape = shape.options
        return options
    }
}
