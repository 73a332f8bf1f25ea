import ArgumentParser
import Checkpoints
import Planning
import Reports
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
        let plan = try serving.plan()
        if let bytes = bytesPerParameter?.value, !(bytes >= 0.1 && bytes <= 16) {
            throw usage("--bytes-per-parameter \(numberText(bytes)): a number from 0.1 to 16 is needed")
        }
        let sizes: ModelSizes
        var bytes = bytesPerParameter?.value ?? 2
        switch (checkpoint, parameters) {
        case (let path?, nil):
            guard tokens == nil else { throw usage("--tokens goes with -N: a checkpoint has been trained") }
            let source = try Checkpoint(at: path)
            let counted = try CheckpointSizes(of: source)
            sizes = counted.model()
            bytes = bytesPerParameter?.value ?? counted.bytes / max(counted.total, 1)
        case (nil, let parameters?):
            guard parameters.value >= 1, parameters.value <= 1e18, experts.values.allSatisfy({ $0 >= 1 && $0 <= 1e6 })
            else { throw usage("-N must be from 1 to 1e18, and -E from 1 to 1e6") }
            if experts.values.count > 1 || tokens != nil { return try compare(parameters.value, plan, bytes, page) }
            let named = law.law.hasSuffix(".json") ? nil : PublishedLaw.named(law.law)?.shape
            let base = try named ?? law.chosen().shape
            sizes = try shape.shape(base).model(parameters: parameters.value, experts: experts.values[0])
        default: throw usage("give a checkpoint, or -N")
        }
        let model = ServedModel(
            sizes: sizes, bytesPerParameter: bytes, promptTokens: serving.promptTokens.value,
            outputTokens: serving.outputTokens.value)
        let estimates = plan.estimates(model)
        guard let cheapest = ServingPlan.cheapest(estimates) else {
            throw usage(
                "\(plan.largestDeviceCount) of \(plan.hardware.name) do not serve it: its weights are "
                    + "\(bytesText(model.weightBytes)), a request's keys and values \(bytesText(model.requestBytes))"
                    + (plan.latencies == nil ? "" : ", and the table must have its size and number of devices")
                    + "; raise --devices or choose other --hardware")
        }
        if let page {
            var report = Report("Cost of serving on \(plan.hardware.name)")
            report.facts = [
                ("parameters", "\(shortText(sizes.total)), \(shortText(sizes.active)) active per token"),
                ("weights", bytesText(model.weightBytes)),
                ("latencies", plan.latencies == nil ? "roofline, not measured" : "measured"),
                ("links", plan.hardware.links.text),
            ]
            report.figures = PlanFigures.serving(estimates)
            try page.write(report, common)
        }
        if common.json {
            try standardOutput(JSON.object(json(model, plan, estimates, cheapest)).serialized())
            return
        }
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
        for estimate in estimates {
            table.add(
                "\(estimate.devices)", shortText(estimate.batch), milliseconds(estimate.firstTokenSeconds),
                milliseconds(estimate.prefillSeconds), milliseconds(estimate.decodeSeconds),
                estimate.communicationSeconds.map(milliseconds) ?? "",
                shortText(estimate.tokensPerSecond),
                numberText(estimate.dollarsPerMillionTokens) + (estimate.devices == cheapest.devices ? "*" : " "))
        }
        try standardOutput(summary.text + "\n" + table.text, terminator: "")
    }

    /// Models of one N and several numbers of experts, each on its cheapest number of devices.
    private func compare(_ parameters: Double, _ plan: ServingPlan, _ bytes: Double, _ page: ReportFile?) throws {
        let chosen = try law.chosen()
        let shape = try shape.shape(chosen)
        var warnings: [String] = []
        let rows = try experts.values.map { experts in
            let model = ServedModel(
                sizes: shape.model(parameters: parameters, experts: experts), bytesPerParameter: bytes,
                promptTokens: serving.promptTokens.value, outputTokens: serving.outputTokens.value)
            let loss = try tokens.map { tokens in
                let point = LawPoint(parameters: parameters, tokens: tokens.value, experts: experts)
                try point.check(for: chosen.law.form)
                warnings += chosen.warnings([point]).filter { !warnings.contains($0) }
                return chosen.law.loss(point)
            }
            return Comparison(experts: experts, model: model, estimate: plan.cheapest(model), loss: loss)
        }
        let least = rows.compactMap { $0.estimate?.dollarsPerMillionTokens }.min()
        if let page {
            var report = Report("Cost of serving \(shortText(parameters)) parameters on \(plan.hardware.name)")
            report.facts = [("links", plan.hardware.links.text)] + warnings.map { ("note", $0) }
            report.figures = PlanFigures.cost(rows.map { ($0.experts, $0.estimate?.dollarsPerMillionTokens, $0.loss) })
            try page.write(report, common)
        }
        if common.json {
            let models = rows.map { row -> JSON in
                var object = row.estimate?.json ?? JSONObject()
                object["experts"] = JSON(row.experts)
                object["model"] = .object(row.model.sizes.json)
                object["weight_bytes"] = JSON(row.model.weightBytes)
                object["loss"] = row.loss.map { JSON($0) } ?? .null
                object["fits"] = .bool(row.estimate != nil)
                return .object(object)
            }
            try standardOutput(
                JSON.object([
                    "hardware": .string(plan.hardware.name),
                    "latencies": plan.latencies == nil ? "roofline" : "measured", "law": chosen.json,
                    "models": .array(models), "warnings": .strings(warnings),
                ]).serialized())
            return
        }
        var table = TextTable([.right, .right, .right, .right, .right, .right, .right, .right, .right, .right])
        table.add(
            "experts", "total", "active", "weights", "loss", "devices", "batch", "sending", "tokens/s",
            "$ per 1M tokens")
        for row in rows {
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
        warn(warnings, common)
    }

    private struct Comparison {
        let experts: Double
        let model: ServedModel
        let estimate: ServingPlan.Estimate?
        let loss: Double?
    }

    private func milliseconds(_ seconds: Double) -> String { "\(numberText(seconds * 1000)) ms" }

    private func json(
        _ model: ServedModel, _ plan: ServingPlan, _ estimates: [ServingPlan.Estimate], _ cheapest: ServingPlan.Estimate
    ) -> JSONObject {
        [
            "hardware": .string(plan.hardware.name), "latencies": plan.latencies == nil ? "roofline" : "measured",
            "model": .object(model.sizes.json), "weight_bytes": JSON(model.weightBytes),
            "key_value_bytes_per_token": JSON(model.keyValueBytes),
            "key_value_bytes_per_request": JSON(model.requestBytes), "cheapest_devices": JSON(cheapest.devices),
            "estimates": .array(estimates.map { .object($0.json) }),
        ]
    }
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

    func plan() throws -> ServingPlan {
        guard (1...4096).contains(devices) else {
            throw usage("--devices \(devices): give a number from 1 to 4096")
        }
        let checks =
            [("--prompt-tokens", promptTokens.value), ("--output-tokens", outputTokens.value)]
            + (maxBatch.map { [("--max-batch", $0.value)] } ?? [])
        for (name, value) in checks where !(value >= 1 && value <= 1e9) {
            throw usage("\(name) \(numberText(value)): a number from 1 to 1e9 is needed")
        }
        if let price, !(price >= 0 && price <= 1e6) {
            throw usage("--price \(numberText(price)): a number from 0 to 1e6 is needed")
        }
        var device = try Hardware(named: hardware)
        if let price { device.dollarsPerHour = price }
        return ServingPlan(
            hardware: device, latencies: try latencies.map { try LatencyTable(contentsOf: $0) },
            largestDeviceCount: devices, largestBatch: maxBatch?.value)
    }
}

extension ServingPlan.Estimate {
    var json: JSONObject {
        [
            "devices": JSON(devices), "batch": JSON(batch), "first_token_seconds": JSON(firstTokenSeconds),
            "prefill_seconds": JSON(prefillSeconds), "decode_seconds": JSON(decodeSeconds),
            "communication_seconds": communicationSeconds.map { JSON($0) } ?? .null,
            "tokens_per_second": JSON(tokensPerSecond), "dollars_per_million_tokens": JSON(dollarsPerMillionTokens),
            "memory_bytes": JSON(memoryBytes), "key_value_bytes": JSON(keyValueBytes),
        ]
    }
}

extension DeviceLinks {
    /// What the user is told.
    var text: String {
        var text = "\(bytesText(bytesPerSecond))/s, \(numberText(seconds * 1e6)) us a hop"
        if devicesPerNode.isFinite, devicesPerNode > 1 {
            text +=
                " among \(shortText(devicesPerNode)), \(bytesText(networkBytesPerSecond))/s, "
                + "\(numberText(networkSeconds * 1e6)) us beyond"
        }
        return isAssumed ? text + ": assumed, for the description has no link_bytes_per_second" : text
    }
}
