import Safetensors

/// What an `adapter_config.json` of PEFT's LoRA says (PEFT 0.21.2, `LoraConfig`).
///
/// Every key is known and followed, known and refused because the adapter then computes something else, or unknown and
/// refused: what a key that nobody knows does to the function, nobody knows.
struct AdapterConfiguration: Sendable {
    static let fileName = "adapter_config.json"

    /// The file.
    let path: String
    /// The path or name of the model that it was trained on.
    let baseName: String?
    /// Modules that were trained whole, by the ends of their names.
    let savedModules: [String]
    /// Parameters, rather than modules, that have low-rank changes, by the ends of their names.
    let targetParameters: [String]
    /// Whether what is tied to what was trained follows it.
    let ensuresTying: Bool

    private let rank: Int
    private let alpha: Double
    private let isRankStabilized: Bool
    private let ranks: [(pattern: ModulePattern, value: Double)]
    private let alphas: [(pattern: ModulePattern, value: Double)]
    /// Rows of embeddings that were trained: by the end of the module's name, or of the input embedding.
    private let tokens: JSON

    /// Keys that say how the adapter was trained, or what its tensors say too.
    private static let harmless: Set<String> = [
        "task_type", "auto_mapping", "peft_version", "revision", "inference_mode", "target_modules", "exclude_modules",
        "lora_dropout", "layers_to_transform", "layers_pattern", "megatron_core", "loftq_config", "eva_config",
        "corda_config", "lora_ga_config", "velora_config", "qalora_group_size", "runtime_config", "merge_weights",
        // PEFT switches it off for modules that are linear layers, as all of the families' are.
        "fan_in_fan_out",
    ]
    /// Keys that are followed.
    private static let followed: Set<String> = [
        "base_model_name_or_path", "peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora",
        "bias",
        "lora_bias", "modules_to_save", "target_parameters", "trainable_token_indices", "ensure_weight_tying",
        "init_lora_weights",
    ]
    /// Keys with which the adapter is no sum of the base and a product of two matrices, unless they are off.
    private static let refused = [
        "use_dora": "DoRA", "alora_invocation_tokens": "an activated LoRA, which acts after some tokens alone",
        "layer_replication": "layer_replication, which makes another stack of layers", "use_qalora": "QALoRA",
        "monteclora_config": "MonteCLoRA", "kasa_config": "KaSA", "use_bdlora": "BD-LoRA", "arrow_config": "Arrow",
        "megatron_config": "Megatron's parallel layers", "enable_lora": "enable_lora",
    ]
    /// Initialisations that leave the base as it is. The others subtract from it what they begin with.
    private static let initialisations: Set<String> = ["gaussian", "eva", "orthogonal", "mica", "true", "false"]

    /// - Throws: `CheckpointError` where it is not one of PEFT's, or computes something else.
    init(folder: String) throws {
        path = try PosixFile.path(of: Self.fileName, inFolder: folder)
        guard let config = try JSON(parsing: PosixFile.contents(path, limit: 16 << 20), file: path).object else {
            throw CheckpointError(.malformed, file: path, message: "expected a JSON object")
        }
        let reader = Reader(config: config, path: path)
        if config["peft_type"] == nil, config["fine_tune_type"] != nil || config["lora_parameters"] != nil {
            throw CheckpointError(
                .incompatible, file: path,
                message: "it is an adapter of mlx-lm, not of PEFT: make a model of it with mlx_lm.fuse first")
        }
        guard config["peft_type"]?.string ?? "LORA" == "LORA" else {
            throw reader.refusal("an adapter of type \(escaped(config["peft_type"]?.serialized() ?? ""))")
        }
        for key in config.keys {
            guard let value = config[key], !value.isNull else { continue }
            if let what = Self.refused[key] {
                if Self.isOff(value) { continue }
                throw reader.refusal(what)
            }
            guard Self.harmless.contains(key) || Self.followed.contains(key) else {
                throw reader.refusal(
                    "\(escaped(key)), which is not a key of LoRA adapters in PEFT 0.21, may change what it computes, and"
                )
            }
        }
        let start = config["init_lora_weights"]
        let name = start?.string ?? start?.bool.map { $0 ? "true" : "false" } ?? "true"
        guard Self.initialisations.contains(name.lowercased()) else {
            throw reader.refusal(
                "an adapter that began with \(escaped(name)) changed its base as well (PEFT's "
                    + "path_initial_model_for_weight_conversion saves it as a plain LoRA); it")
        }
        guard ["none", "all", "lora_only"].contains(try reader.string("bias") ?? "none") else {
            throw CheckpointError(.malformed, file: path, message: "bias must be none, all or lora_only")
        }
        baseName = try reader.string("base_model_name_or_path")
        savedModules = try reader.strings("modules_to_save")
        targetParameters = try reader.strings("target_parameters")
        ensuresTying = try reader.bool("ensure_weight_tying")
        isRankStabilized = try reader.bool("use_rslora")
        let rank = try reader.number("r") ?? 8
        guard rank >= 1, rank <= 1_048_576, rank.rounded() == rank else {
            throw CheckpointError(.malformed, file: path, message: "r must be a whole number from 1 up")
        }
        self.rank = Int(rank)
        alpha = try reader.number("lora_alpha") ?? 8
        ranks = try reader.patterns("rank_pattern")
        alphas = try reader.patterns("alpha_pattern")
        tokens = config["trainable_token_indices"] ?? .null
    }

    /// The factor on the product of a module's matrices: alpha over the rank, or over its square root.
    ///
    /// - Throws: `CheckpointError` where the matrices have another rank than the configuration gives the module.
    func scale(_ module: String, rank found: Int) throws -> Float {
        let alpha = alphas.first { $0.pattern.matches(module) }?.value ?? alpha
        let stated = ranks.first { $0.pattern.matches(module) }?.value ?? Double(rank)
        guard stated == Double(found) else {
            throw CheckpointError(
                .incompatible, file: path, tensor: module,
                message: "the rank is \(found) and should be \(numberText(stated)) by the configuration")
        }
        return Float(isRankStabilized ? alpha / Double(found).squareRoot() : alpha / Double(found))
    }

    /// Whether a module was trained whole.
    func saves(_ module: String) -> Bool { savedModules.contains { module.hasSuffix($0) } }

    /// The tokens whose rows of an embedding were trained.
    ///
    /// - Throws: `CheckpointError` where the configuration does not say, or not as `count` different tokens of the
    ///   vocabulary.
    func tokens(of module: String, count: Int, vocabulary: Int) throws -> [Int] {
        var list = tokens.array
        if let byModule = tokens.object {
            list = byModule.keys.first { module == $0 || module.hasSuffix("." + $0) }.flatMap { byModule[$0]?.array }
        }
        let indices = (list ?? []).compactMap(\.int)
        guard list?.count == count, indices.count == count, Set(indices).count == count,
            indices.allSatisfy({ (0..<vocabulary).contains($0) })
        else {
            throw CheckpointError(
                .incompatible, file: path, tensor: module,
                message:
                    "there are rows of \(count) tokens, and trainable_token_indices does not name as many different "
                    + "ones from 0 to \(vocabulary - 1)")
        }
        return indices
    }

    /// A flag that is down, or a list or mapping without anything.
    private static func isOff(_ value: JSON) -> Bool {
        value.bool == false || value.array?.isEmpty == true || value.object?.keys.isEmpty == true
    }
}

/// Reads keys of one kind.
private struct Reader {
    let config: JSONObject
    let path: String

    func refusal(_ what: String) -> CheckpointError {
        CheckpointError(
            .incompatible, file: path,
            message: "\(what) cannot be merged here: merge it with PEFT first (merge_and_unload())")
    }

    private func value(_ key: String) -> JSON? { config[key].flatMap { $0.isNull ? nil : $0 } }

    private func failure(_ key: String, _ expected: String) -> CheckpointError {
        CheckpointError(.malformed, file: path, message: "\(escaped(key)) must be \(expected)")
    }

    func string(_ key: String) throws -> String? {
        guard let value = value(key) else { return nil }
        guard let string = value.string else { throw failure(key, "a string") }
        return string
    }

    func bool(_ key: String) throws -> Bool {
        guard let value = value(key) else { return false }
        guard let bool = value.bool else { throw failure(key, "true or false") }
        return bool
    }

    func number(_ key: String) throws -> Double? {
        guard let value = value(key) else { return nil }
        guard let number = value.double, number.isFinite else { throw failure(key, "a number") }
        return number
    }

    func strings(_ key: String) throws -> [String] {
        guard let value = value(key) else { return [] }
        guard let list = value.array, list.allSatisfy({ $0.string != nil }) else {
            throw failure(key, "a list of names")
        }
        return list.compactMap(\.string)
    }

    func patterns(_ key: String) throws -> [(pattern: ModulePattern, value: Double)] {
        guard let value = value(key) else { return [] }
        guard let object = value.object else { throw failure(key, "a mapping of names to numbers") }
        return try object.keys.map { name in
            guard let number = object[name]?.double, number.isFinite else {
                throw failure(key, "a mapping of names to numbers")
            }
            do { return (try ModulePattern(name), number) } catch let error as ModulePattern.Unsupported {
                throw refusal("\(key) has \"\(escaped(name))\", a regular expression with \(error.what); it")
            }
        }
    }
}
