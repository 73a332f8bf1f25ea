import ArgumentParser
import Checkpoints
import MoEToolkit
import Safetensors

struct PlanCost: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cost", abstract: "What serving a model costs, over the number of devices.",
        discussion: """
            Memory of weights, keys and values, the largest batch, latencies, throughput and dollars per million tokens, by \
            the model of Yun et al. (arXiv:2404.02852). The model is a checkpoint, or -N and -E in the shape of a law's \
            models. Latencies are those of a roofline, the slower of memory and arithmetic at the shares of peak that the \
            device's description has, and of what devices send one another over its links (an all-reduce of the tokens' \
            states for every attention and dense network, two all-to-alls for every mixture); or measured ones, from a \
            table with the columns phase (prefill or decode), devices, batch, seconds and, for several models, \
            parameters. * marks the cheapest, of equals that with the fewest devices.

              moe-tool plan cost mixtral-8x7b --hardware H100
              moe-tool plan cost -N 7B -E 8 --hardware A100-80 --prompt-tokens 1000 --output-tokens 500
              moe-tool plan cost -N 1B -E 1,4,8,16 --tokens 100B     # side by side, with the loss that the law expects
              moe-tool plan cost mixtral-8x7b --hardware mine.json --latencies measured.csv
            """)

    @Argument(
        help: "A checkpoint: a folder, or org/name[@revision] in the local Hugging Face cache.", completion: .directory)
    var checkpoint: String?

    @Option(name: [.customShort("N"), .long], help: "Or N of a model of the law's shape, as the law counts it.")
    var parameters: Quantity?

    @Option(name: [.customShort("E"), .long], help: "Experts of that model; several, as in 4,8,16, are compared.")
    var experts = QuantityList(values: [1])

    @Option(name: [.customShort("D"), .long], help: "Tokens of its training, for the loss that the law expects.")
    var tokens: Quantity?

    @OptionGroup var law: LawArguments
    @OptionGroup var shape: ShapeArguments
    @OptionGroup var serving: ServingArguments

    @Option(help: "Bytes of a parameter, and of an element of keys and values; by default as stored, or 2.")
    var bytesPerParameter: Quantity?

    @OptionGroup var reporting: ReplacingReportOptions
    @OptionGroup var common: CommonOptions

    func run() throws {
        let page = try reporting.file()
        if let bytes = bytesPerParameter?.value, !(bytes >= 0.1 && bytes <= 16) {
            throw usage("--bytes-per-parameter \(numberText(bytes)): a number from 0.1 to 16 is needed")
        }
        switch (checkpoint, parameters) {
        case (let path?, nil):
            guard tokens == nil else { throw usage("--tokens goes with -N: a checkpoint has been trained") }
            let source = try Checkpoint(at: path)
            try show(ServingCost(of: source, serving.options, bytesPerParameter: bytesPerParameter?.value), page)
        case (nil, let parameters?):
            guard parameters.value >= 1, parameters.value <= 1e18, experts.values.allSatisfy({ $0 >= 1 && $0 <= 1e6 })
            else { throw usage("-N must be from 1 to 1e18, and -E from 1 to 1e6") }
            let bytes = bytesPerParameter?.value ?? 2
            if experts.values.count > 1 || tokens != nil {
                let comparison = try ServingComparison(
                    parameters: parameters.value, experts: experts.values, tokens: tokens?.value, law: law.chosen(),
                    shape: shape.options, serving.options, bytesPerParameter: bytes)
                try show(comparison, page)
            } else {
                let cost = try ServingCost(
                    parameters: parameters.value, experts: experts.values[0], law: law.selection(),
                    shape: shape.options, serving.options, bytesPerParameter: bytes)
                try show(cost, page)
            }
        default: throw usage("give a checkpoint, or -N")
        }
    }

    private func show(_ cost: ServingCost, _ page: ReportFile?) throws {
        try page?.write(Report(cost), common)
        if common.json {
            try standardOutput(cost.jsonText)
            return
        }
        let (plan, model, sizes) = (cost.plan, cost.model, cost.model.sizes)
        var summary = TextTable([.left, .left])
        summary.add(
            "parameters",
            "\(shortText(sizes.total))"
                + (sizes.active < sizes.total ? ", \(shortText(sizes.active)) active per token" : ""))
        summary.add("weights", bytesText(model.weightBytes))
        summary.add(
            "keys, values",
            "\(bytesText(model.keyValueBytes)) a token, \(bytesText(model.requestBytes)) a request on average")
        summary.add("latencies", plan.latencies == nil ? "roofline of \(plan.hardware.name), not measured" : "measured")
        if plan.latencies == nil { summary.add("links", plan.hardware.links.text) }
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .right])
        table.add("devices", "batch", "first token", "prefill", "decode", "sending", "tokens/s", "$ per 1M tokens")
        for estimate in cost.estimates {
            table.add(
                "\(estimate.devices)", shortText(estimate.batch), milliseconds(estimate.firstTokenSeconds),
                milliseconds(estimate.prefillSeconds), milliseconds(estimate.decodeSeconds),
                estimate.communicationSeconds.map(milliseconds) ?? "",
                shortText(estimate.tokensPerSecond),
                numberText(estimate.dollarsPerMillionTokens) + (estimate.devices == cost.devices ? "*" : " "))
        }
        try standardOutput(summary.text + "\n" + table.text, terminator: "")
    }

    /// Models of one N and several numbers of experts, each on its cheapest number of devices.
    private func show(_ comparison: ServingComparison, _ page: ReportFile?) throws {
        try page?.write(Report(comparison), common)
        if common.json {
            try standardOutput(comparison.jsonText)
            return
        }
        let least = comparison.rows.compactMap { $0.estimate?.dollarsPerMillionTokens }.min()
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .right, .right, .right])
        table.add(
            "experts", "total", "active", "weights", "loss", "devices", "batch", "sending", "tokens/s",
            "$ per 1M tokens")
        for row in comparison.rows {
            let sizes = row.model.sizes
            let head = [
                shortText(row.experts), shortText(sizes.total), shortText(sizes.active),
                bytesText(row.model.weightBytes),
                row.loss.map { fixedText($0, digits: 4) } ?? "",
            ]
            guard let estimate = row.estimate else {
                table.add(row: head + ["", "", "", "", "does not fit "])
                continue
            }
            let isLeast = estimate.dollarsPerMillionTokens == least
            table.add(
                row: head + [
                    "\(estimate.devices)", shortText(estimate.batch),
                    estimate.communicationSeconds.map(milliseconds) ?? "",
                    shortText(estimate.tokensPerSecond),
                    numberText(estimate.dollarsPerMillionTokens) + (isLeast ? "*" : " "),
                ])
        }
        try standardOutput(table.text, terminator: "")
        warn(comparison.warnings, common)
    }

    private func milliseconds(_ seconds: Double) -> String { "\(numberText(seconds * 1000)) ms" }
}

/// Devices, requests, latencies.
struct ServingArguments: ParsableArguments {
    @Option(
        help: "A100-40, A100-80, H100, H200, CPU, or a .json file of the same form.",
        completion: .list(["A100-40", "A100-80", "H100", "H200", "CPU"]))
    var hardware = "A100-80"

    @Option(help: ArgumentHelp("Measured latencies instead of a roofline.", valueName: "file.csv"), completion: .file())
    var latencies: String?

    @Option(help: "The most devices to consider.")
    var devices = 8

    @Option(help: "Tokens of a prompt, on average.")
    var promptTokens = Quantity(value: 512)

    @Option(help: "Tokens of an answer, on average.")
    var outputTokens = Quantity(value: 256)

    @Option(help: "The largest batch; by default what memory holds.")
    var maxBatch: Quantity?

    @Option(help: "Dollars for an hour of a device; by default a round figure.")
    var price: Double?

    var options: ServingOptions {
        var options = ServingOptions()
        options.hardware = hardware
        options.latencies = latencies
        options.devices = devices
        options.promptTokens = promptTokens.value
        options.outputTokens = outputTokens.value
        options.maxBatch = maxBatch?.value
        options.price = price
        return options
    }
}
