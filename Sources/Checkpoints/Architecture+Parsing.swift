import Safetensors

extension Architecture {
    /// - Throws: `CheckpointError` where an architecture file of ours is not what it should be.
    init(parsing bytes: [UInt8], file: String) throws {
        let parser = ArchitectureParser(file: file)
        let object = try parser.object(try JSON(parsing: bytes, file: file), "the file")
        modelType = try parser.string(object["model_type"], "model_type")
        classNames = try parser.strings(object["architectures"], "architectures")
        defaults = object["defaults"]?.object ?? JSONObject()
        var aliases: [String: [String]] = [:]
        let spellings = object["aliases"]?.object ?? JSONObject()
        for key in spellings.keys { aliases[key] = try parser.strings(spellings[key], "aliases") }
        self.aliases = aliases
        var symbols: [String: DimensionExpression] = [:]
        let expressions = try parser.object(object["symbols"], "symbols")
        for name in expressions.keys {
            symbols[name] = try DimensionExpression(parser.string(expressions[name], name))
        }
        self.symbols = symbols
        var adjusted: [String: (condition: String, value: DimensionExpression)] = [:]
        let rules = object["adjusted"]?.object ?? JSONObject()
        for name in rules.keys {
            let rule = rules[name]?.object
            adjusted[name] = (
                try parser.string(rule?["when"], name), try DimensionExpression(parser.string(rule?["is"], name))
            )
        }
        adjustedSymbols = adjusted
        tensors = try (object["tensors"]?.array ?? []).map { try parser.tensor($0) }
        let layouts = object["experts"]?.object ?? JSONObject()
        expertLayouts = try layouts.keys.map { name in
            (name, try (layouts[name]?.array ?? []).map { try parser.tensor($0) })
        }
        let keys = object["moeLayers"]?.object
        layerKeys = MoELayerKeys(
            firstDense: keys?["firstDense"]?.string, step: keys?["step"]?.string, dense: keys?["dense"]?.string,
            frequency: keys?["frequency"]?.string, last: keys?["last"]?.string, types: keys?["types"]?.string,
            listed: keys?["listed"]?.string, when: keys?["when"]?.string)
        mixerKeys = try object["mixers"].map { try parser.mixers($0) }
        router = try object["router"].map { try parser.router($0) }
        let activation = try parser.object(object["activation"], "activation")
        self.activation = (
            try parser.strings(activation["keys"], "activation.keys"),
            try parser.strings(activation["supported"], "activation.supported")
        )
        ignored = try object["ignored"].map { try parser.strings($0, "ignored") } ?? []
        hasFurtherLayers = object["layersBeyond"] != nil
        stackedCodes = try object["mxfp4"].map { value in
            let endings = try parser.object(value, "mxfp4")
            return StackedCodes(
                codes: try parser.string(endings["codes"], "mxfp4.codes"),
                scales: try parser.string(endings["scales"], "mxfp4.scales"))
        }
        var wrappers: [String: (modelType: String, className: String)] = [:]
        for type in object["wrappers"]?.object?.keys ?? [] {
            let wrapper = object["wrappers"]?.object?[type]?.object
            wrappers[type] = (
                try parser.string(wrapper?["model_type"], "wrappers.model_type"),
                try parser.string(wrapper?["architecture"], "wrappers.architecture")
            )
        }
        self.wrappers = wrappers
        upcycling = try object["upcycle"].map { try parser.upcycling($0) }
        densification = try object["densify"].map { try parser.densification($0) }
        computation = object["compute"]?.object ?? JSONObject()
        gguf = try object["gguf"].map { try parser.gguf($0) }
    }
}

/// Takes an architecture file's JSON apart.
struct ArchitectureParser {
    let file: String

    func failure(_ what: String) -> CheckpointError {
        CheckpointError(.internalFailure, file: file, message: "the architecture file lacks or misstates \(what)")
    }

    func object(_ value: JSON?, _ what: String) throws -> JSONObject {
        guard let object = value?.object else { throw failure(what) }
        return object
    }

    func string(_ value: JSON?, _ what: String) throws -> String {
        guard let string = value?.string else { throw failure(what) }
        return string
    }

    func strings(_ value: JSON?, _ what: String) throws -> [String] {
        guard let array = value?.array else { throw failure(what) }
        return try array.map { try string($0, what) }
    }

    func kind(_ value: JSON?, _ what: String) throws -> Role.Kind {
        guard let kind = Role.Kind(rawValue: try string(value, what)) else { throw failure("the role of \(what)") }
        return kind
    }

    func tensor(_ value: JSON) throws -> TensorTemplate {
        let object = try object(value, "tensors")
        let name = try string(object["name"], "a tensor's name")
        let parts: [TensorTemplate.Part]
        if let list = object["parts"]?.array {
            parts = try list.map { part in
                TensorTemplate.Part(
                    role: try kind(part.object?["role"], name),
                    rows: try DimensionExpression(string(part.object?["rows"], name)))
            }
        } else {
            parts = [TensorTemplate.Part(role: try kind(object["role"], name), rows: nil)]
        }
        guard let layers = TensorTemplate.Layers(rawValue: object["layers"]?.string ?? "all") else {
            throw failure(name)
        }
        let mixer = object["mixer"]?.string
        guard mixer == nil || mixer.flatMap({ MixerKind(rawValue: $0) }) != nil else { throw failure(name) }
        let attends = object["attends"]?.string
        guard attends == nil || attends.flatMap({ AttentionSpan(rawValue: $0) }) != nil else { throw failure(name) }
        return TensorTemplate(
            name: name, shape: try strings(object["shape"], name).map { try DimensionExpression($0) }, parts: parts,
            condition: object["when"]?.string, layers: layers,
            mixer: mixer.flatMap { MixerKind(rawValue: $0) }, attends: attends.flatMap { AttentionSpan(rawValue: $0) },
            isStacked: object["stacked"]?.bool ?? false,
            isTransposed: object["transposed"]?.bool ?? false, isInterleaved: object["interleaved"]?.bool ?? false,
            isOptional: object["optional"]?.bool ?? false, keepsF32: object["keepsF32"]?.bool ?? false)
    }

    func mixers(_ value: JSON) throws -> MixerKeys {
        let object = try object(value, "mixers")
        let names = try self.object(object["kinds"], "mixers.kinds")
        let kinds = try names.keys.map { name in
            guard let kind = names[name]?.string.flatMap({ MixerKeys.Kind(rawValue: $0) }) else {
                throw failure("mixers.kinds")
            }
            return (name, kind)
        }
        return MixerKeys(
            key: try string(object["key"], "mixers.key"), kinds: kinds,
            otherwise: object["otherwise"]?.string.flatMap { MixerKeys.Kind(rawValue: $0) },
            listed: object["listed"]?.string, interval: object["interval"]?.string,
            pattern: object["pattern"]?.object, isAlone: object["alone"]?.bool ?? false)
    }

    func router(_ value: JSON) throws -> Architecture.Router {
        let object = try object(value, "router")
        guard let score = Architecture.Router.Score(rawValue: try string(object["score"], "router.score")) else {
            throw failure("router.score")
        }
        return Architecture.Router(
            score: score, scoreKey: object["scoreKey"]?.string,
            selectsBeforeScoring: object["order"]?.string == "topk-then-softmax",
            renormalization: try string(object["renormalize"], "router.renormalize"),
            scaleKey: object["scale"]?.string, groups: object["groups"]?.object, jitterKey: object["jitter"]?.string,
            gatesInput: object["gatesInput"]?.bool ?? false,
            leastSumKey: object["leastSum"]?.string, sumOffset: object["sumOffset"]?.double ?? 1e-20)
    }
}
