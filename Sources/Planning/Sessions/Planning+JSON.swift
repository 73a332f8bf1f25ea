package import Safetensors

extension ModelSizes {
    /// Parameters, shape and FLOPs.
    package var json: JSONObject {
        [
            "active_parameters": JSON(active), "total_parameters": JSON(total), "width": JSON(width),
            "layers": JSON(layers), "training_flops_per_token": JSON(trainingFLOPs),
            "inference_flops_per_token": JSON(inferenceFLOPs),
        ]
    }
}

extension LawPoint {
    /// The variables that a form has, and the experts.
    package func json(_ form: LawForm) -> JSONObject {
        var object = JSONObject()
        for variable in LawVariable.allCases where form.variables.contains(variable) || variable == .experts {
            object[variable.rawValue] = JSON(self[variable])
        }
        return object
    }
}

extension BudgetPlan.Candidate {
    package func json(_ form: LawForm) -> JSONObject {
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

extension ServingPlan.Estimate {
    package var json: JSONObject {
        [
            "devices": JSON(devices), "batch": JSON(batch), "first_token_seconds": JSON(firstTokenSeconds),
            "prefill_seconds": JSON(prefillSeconds), "decode_seconds": JSON(decodeSeconds),
            "communication_seconds": communicationSeconds.map { JSON($0) } ?? .null,
            "tokens_per_second": JSON(tokensPerSecond), "dollars_per_million_tokens": JSON(dollarsPerMillionTokens),
            "memory_bytes": JSON(memoryBytes), "key_value_bytes": JSON(keyValueBytes),
        ]
    }
}

extension CheckpointSizes {
    /// - Parameter context: tokens that are attended to.
    package func json(context: Double) -> JSON {
        .object([
            "total_parameters": JSON(total), "active_parameters": JSON(active), "bytes": JSON(bytes),
            "router_parameters": JSON(routers), "key_value_elements_per_token": JSON(keyValueElements),
            "state_elements": JSON(stateElements), "flops_per_token": JSON(forwardFLOPs(context: context)),
            "training_flops_per_token": JSON(trainingFLOPs(context: context)),
        ])
    }
}
