import ArgumentParser
import Checkpoints
import Safetensors

/// What `convert` takes to quantise weights.
struct QuantisingOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Quantise weights: fp8-block (E4M3, 128 x 128), fp8-channel, mxfp4, int8, int4-group:128 or nvfp4, in the layout of transformers, vLLM and compressed-tensors.",
            valueName: "format"),
        completion: .list(QuantisationOptions.Format.names))
    var quantise: String?

    @Option(
        help: ArgumentHelp(
            "With --quantise: what is quantised, of experts, shared-experts, feed-forward, attention, mixers, router, embedding, head, joined by commas; by default all but the last three.",
            valueName: "roles"),
        completion: .list(QuantisationOptions.Group.allCases.map(\.rawValue)))
    var roles: String?

    @Option(
        help: ArgumentHelp(
            "With --quantise to four bits: mse tries some scales for each group and takes that of the least squared error; absmax takes that of the largest magnitude.",
            valueName: "rule"),
        completion: .list(["absmax", "mse"]))
    var scaleSearch: String?

    func validate() throws { _ = try options }

    /// What was asked for; nil where nothing is to be quantised.
    var options: QuantisationOptions? {
        get throws {
            guard let quantise else {
                if roles != nil { throw ValidationError("--roles says what --quantise is for: give it too") }
                if scaleSearch != nil { throw ValidationError("--scale-search says how to --quantise: give it too") }
                return nil
            }
            guard let format = QuantisationOptions.Format(name: quantise) else {
                throw ValidationError(
                    "--quantise \(quantise): give \(QuantisationOptions.Format.names.joined(separator: ", ")); a group has "
                        + "a multiple of 8 columns")
            }
            var options = QuantisationOptions(format)
            if let roles {
                options.groups = try Set(
                    roles.split(separator: ",", omittingEmptySubsequences: false).map { name in
                        let name = name.split(separator: " ").joined()
                        guard let group = QuantisationOptions.Group(rawValue: name) else {
                            let known = QuantisationOptions.Group.allCases.map(\.rawValue).joined(separator: ", ")
                            throw ValidationError("--roles \(name.isEmpty ? roles : name): give some of \(known)")
                        }
                        return group
                    })
            }
            switch scaleSearch {
            case nil, "absmax": break
            case "mse":
                guard format.isFourBits else {
                    throw ValidationError(
                        "--scale-search mse is for mxfp4, int4-group and nvfp4: \(format) has no use of it")
                }
                options.search = true
            case let rule?: throw ValidationError("--scale-search \(rule): give absmax or mse")
            }
            return options
        }
    }
}

extension QuantisationSummary {
    /// What is told of it.
    var remark: String {
        "Quantised to \(format): \(weights) weights of \(countText(parameters)) values at "
            + "\(numberText((bitsPerWeight * 1000).rounded() / 1000)) bits each; \(countText(keptParameters)) values stay as they are."
    }

    var json: JSONObject {
        [
            "format": .string(format.description), "weights": JSON(weights), "parameters": JSON(parameters),
            "bytes": JSON(bytes), "bits_per_weight": JSON(bitsPerWeight), "kept_parameters": JSON(keptParameters),
        ]
    }
}
