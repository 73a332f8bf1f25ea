public import Checkpoints
public import Safetensors

/// Devices, requests, latencies.
public struct ServingOptions: Sendable, Hashable {
    /// A device's name (A100-40, A100-80, H100, H200, CPU), or a .json file of the same form.
    public var hardware = "A100-80"
    /// A table of measured latencies instead of a roofline: a CSV file.
    public var latencies: String?
    /// The most devices to consider, from 1 to 4096.
    public var devices = 8
    /// Tokens of a prompt on average, from 1 to 1e9.
    public var promptTokens = 512.0
    /// Tokens of an answer on average, from 1 to 1e9.
    public var outputTokens = 256.0
    /// The largest batch, from 1 to 1e9; nil for what memory holds.
    public var maxBatch: Double?
    /// Dollars for an hour of a device, from 0 to 1e6; nil for a round figure.
    public var price: Double?

    /// The defaults.
    public init() {}
}

extension ServingPlan {
    /// - Throws: `CheckpointError` of `.usage` for numbers out of bounds and for a device that is not known;
    ///   `SafetensorsError` for a file that cannot be read.
    package init(_ options: ServingOptions) throws {
        func usage(_ message: String) -> CheckpointError { CheckpointError(.usage, message: message) }
        guard (1...4096).contains(options.devices) else {
            throw usage("`devices` \(options.devices): give a number from 1 to 4096")
        }
        let checks =
            [("`promptTokens`", options.promptTokens), ("`outputTokens`", options.outputTokens)]
            + (options.maxBatch.map { [("`maxBatch`", $0)] } ?? [])
        for (name, value) in checks where !(value >= 1 && value <= 1e9) {
            throw usage("\(name) \(numberText(value)): a number from 1 to 1e9 is needed")
        }
        if let price = options.price, !(price >= 0 && price <= 1e6) {
            throw usage("`price` \(numberText(price)): a number from 0 to 1e6 is needed")
        }
        var device = try Hardware(named: options.hardware)
        if let price = options.price { device.dollarsPerHour = price }
        self.init(
            hardware: device, latencies: try options.latencies.map { try LatencyTable(contentsOf: $0) },
            largestDeviceCount: options.devices, largestBatch: options.maxBatch)
    }

    /// How the latencies were come by.
    package var latencySource: String { latencies == nil ? "roofline" : "measured" }
}

/// What serving a model costs, over the number of devices (Yun et al., arXiv:2404.02852).
public struct ServingCost: JSONResult {
    package let plan: ServingPlan
    package let model: ServedModel
    /// For each number of devices that holds the model.
    package let estimates: [ServingPlan.Estimate]
    /// Of equals that with the fewest devices.
    package let cheapest: ServingPlan.Estimate

    /// A checkpoint's cost.
    ///
    /// - Parameter bytesPerParameter: nil for what is stored.
    /// - Throws: `CheckpointError` of `.usage` where the devices do not hold it, and for numbers out of bounds.
    public init(of checkpoint: Checkpoint, _ options: ServingOptions, bytesPerParameter: Double? = nil) throws {
        let counted = try CheckpointSizes(of: checkpoint)
        try self.init(
            counted.model(), options, bytesPerParameter: bytesPerParameter ?? counted.bytes / max(counted.total, 1))
    }

    /// The cost of a model of a law's shape.
    ///
    /// - Parameters:
    ///   - parameters: N, as the law counts it, from 1 to 1e18.
    ///   - experts: E, from 1 to 1e6.
    /// - Throws: as `init(of:_:bytesPerParameter:)`.
    public init(
        parameters: Double, experts: Double = 1, law: LawSelection = LawSelection(),
        shape: ShapeOptions = ShapeOptions(), _ options: ServingOptions, bytesPerParameter: Double = 2
    ) throws {
        let named = law.law.hasSuffix(".json") ? nil : PublishedLaw.named(law.law)?.shape
        let base = try named ?? ChosenLaw(law).shape
        try self.init(
            shape.shape(base).model(parameters: parameters, experts: experts), options,
            bytesPerParameter: bytesPerParameter)
    }

    private init(_ sizes: ModelSizes, _ options: ServingOptions, bytesPerParameter: Double) throws {
        plan = try ServingPlan(options)
        model = ServedModel(
            sizes: sizes, bytesPerParameter: bytesPerParameter, promptTokens: options.promptTokens,
            outputTokens: options.outputTokens)
        estimates = plan.estimates(model)
        guard let cheapest = ServingPlan.cheapest(estimates) else {
            throw CheckpointError(
                .usage,
                message: "\(plan.largestDeviceCount) of \(plan.hardware.name) do not serve it: its weights are "
                    + "\(bytesText(model.weightBytes)), a request's keys and values \(bytesText(model.requestBytes))"
                    + (plan.latencies == nil ? "" : ", and the table must have its size and number of devices")
                    + "; raise `devices` or choose other `hardware`")
        }
        self.cheapest = cheapest
    }

    /// Dollars for a million tokens, prompts and answers together, where it is cheapest.
    public var dollarsPerMillionTokens: Double { cheapest.dollarsPerMillionTokens }
    /// Devices where it is cheapest.
    public var devices: Int { cheapest.devices }

    /// Sizes, and all estimates.
    public var json: JSONObject {
        [
            "hardware": .string(plan.hardware.name), "latencies": .string(plan.latencySource),
            "model": .object(model.sizes.json), "weight_bytes": JSON(model.weightBytes),
            "key_value_bytes_per_token": JSON(model.keyValueBytes),
            "key_value_bytes_per_request": JSON(model.requestBytes), "cheapest_devices": JSON(cheapest.devices),
            "estimates": .array(estimates.map { .object($0.json) }),
        ]
    }
}

/// Models of one size and several numbers of experts, each on its cheapest number of devices.
public struct ServingComparison: JSONResult {
    package struct Row: Sendable {
        package let experts: Double
        package let model: ServedModel
        /// Nil where the devices do not hold it.
        package let estimate: ServingPlan.Estimate?
        /// What the law expects, where the tokens of the training are known.
        package let loss: Double?
    }

    /// The law, with its source.
    public let law: ChosenLaw
    /// N, as the law counts it.
    public let parameters: Double
    package let plan: ServingPlan
    package let rows: [Row]
    /// Where models are outside of what the law was fitted to.
    public let warnings: [String]

    /// - Parameters:
    ///   - parameters: N, as the law counts it.
    ///   - experts: numbers to compare.
    ///   - tokens: D of the training, for the loss.
    /// - Throws: `CheckpointError` of `.usage` for numbers out of bounds.
    public init(
        parameters: Double, experts: [Double], tokens: Double? = nil, law: ChosenLaw,
        shape: ShapeOptions = ShapeOptions(), _ options: ServingOptions, bytesPerParameter: Double = 2
    ) throws {
        let plan = try ServingPlan(options)
        let shape = try shape.shape(law.shape)
        var warnings: [String] = []
        rows = try experts.map { experts in
            let model = ServedModel(
                sizes: shape.model(parameters: parameters, experts: experts), bytesPerParameter: bytesPerParameter,
                promptTokens: options.promptTokens, outputTokens: options.outputTokens)
            let loss = try tokens.map { tokens in
                let point = LawPoint(parameters: parameters, tokens: tokens, experts: experts)
                try point.check(for: law.law.form)
                warnings += law.warnings([point]).filter { !warnings.contains($0) }
                return law.law.loss(point)
            }
            return Row(experts: experts, model: model, estimate: plan.cheapest(model), loss: loss)
        }
        (self.parameters, self.plan, self.law, self.warnings) = (parameters, plan, law, warnings)
    }

    /// Each model with its cheapest estimate.
    public var json: JSONObject {
        let models = rows.map { row -> JSON in
            var object = row.estimate?.json ?? JSONObject()
            object["experts"] = JSON(row.experts)
            object["model"] = .object(row.model.sizes.json)
            object["weight_bytes"] = JSON(row.model.weightBytes)
            object["loss"] = row.loss.map { JSON($0) } ?? .null
            object["fits"] = .bool(row.estimate != nil)
            return .object(object)
        }
        return [
            "hardware": .string(plan.hardware.name), "latencies": .string(plan.latencySource), "law": law.json,
            "models": .array(models), "warnings": .strings(warnings),
        ]
    }
}

extension DeviceLinks {
    /// Rates and latencies, in words.
    package var text: String {
        var text = "\(bytesText(bytesPerSecond))/s, \(numberText(seconds * 1e6)) us a hop"
        if devicesPerNode.isFinite, devicesPerNode > 1 {
            text +=
                " among \(shortText(devicesPerNode)), \(bytesText(networkBytesPerSecond))/s, "
                + "\(numberText(networkSeconds * 1e6)) us beyond"
        }
        return isAssumed ? text + ": assumed, for the description has no link_bytes_per_second" : text
    }
}
