import Numerics
import Safetensors

/// A LoRA adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.
///
/// `W + (alpha / r) B A` (Hu et al. 2022, 2106.09685), or `alpha / sqrt(r)` with `use_rslora` (Kalajdzievski 2023,
/// 2312.03732). B A is summed in F32; the sum with W is rounded once.
struct LowRankAdapter {
    static let configName = "adapter_config.json"
    private static let prefix = "base_model.model."

    private let folder: String
    private let config: JSONObject
    private let path: String

    /// - Throws: `CheckpointError` where the adapter is of a kind that is not a LoRA on weight matrices.
    init(folder: String) throws {
        self.folder = folder
        path = folder + "/" + Self.configName
        guard let config = try JSON(parsing: PosixFile.contents(path, limit: 16 << 20), file: path).object else {
            throw CheckpointError(.malformed, file: path, message: "expected a JSON object")
        }
        self.config = config
        func refuse(_ what: String) -> CheckpointError {
            CheckpointError(
                .incompatible, file: path,
                message: "\(what) cannot be merged here: merge the adapter with PEFT's merge_and_unload() first")
        }
        guard config["peft_type"]?.string ?? "LORA" == "LORA" else {
            throw refuse("an adapter of type \(escaped(config["peft_type"]?.serialized() ?? ""))")
        }
        if config["use_dora"]?.bool == true { throw refuse("DoRA") }
        if let bias = config["bias"]?.string, bias != "none" { throw refuse("an adapter that trains biases (\(bias))") }
        if config["fan_in_fan_out"]?.bool == true { throw refuse("fan_in_fan_out") }
    }

    /// The path or name of the model that it was trained on.
    var baseName: String? { config["base_model_name_or_path"]?.string }

    /// The base with the adapter's change.
    func applied(to base: Checkpoint) throws -> Checkpoint {
        let file = try SafetensorsFile(path: folder + "/adapter_model.safetensors")
        var roles: [String: Role] = [:]
        for expected in try base.expectedTensors() where expected.placements.count == 1 {
            roles[expected.name] = expected.placements[0].role
        }
        var table = base.table
        var pairs: [String: (a: TensorInfo?, b: TensorInfo?)] = [:]
        for info in file.header.tensors {
            func failure(_ message: String) -> CheckpointError {
                CheckpointError(.incompatible, file: file.path, tensor: info.name, message: message)
            }
            guard info.name.hasPrefix(Self.prefix) else { throw failure("expected a name that begins \(Self.prefix)") }
            let name = String(info.name.dropFirst(Self.prefix.count))
            if name.hasSuffix(".lora_A.weight") {
                pairs[String(name.dropLast(".lora_A.weight".count)), default: (nil, nil)].a = info
            } else if name.hasSuffix(".lora_B.weight") {
                pairs[String(name.dropLast(".lora_B.weight".count)), default: (nil, nil)].b = info
            } else if let role = roles[name], let old = table[role] {
                // What modules_to_save trained whole.
                let new = LazyTensor(whole: SourceTensor(file: file, info: info))
                guard new.rows == old.rows, new.columns == old.columns, new.dtype.isConvertible else {
                    throw failure("it is \(new.rows) x \(new.columns), and the base's is \(old.rows) x \(old.columns)")
                }
                table[role] = new.written(as: old.dtype)
            } else {
                throw failure("the base has no tensor that it belongs to")
            }
        }
        guard !pairs.isEmpty else {
            throw CheckpointError(.incompatible, file: file.path, message: "there are no LoRA matrices in it")
        }
        for (module, pair) in pairs.sorted(by: { $0.key < $1.key }) {
            func failure(_ message: String) -> CheckpointError {
                CheckpointError(.incompatible, file: file.path, tensor: module, message: message)
            }
            guard let a = pair.a, let b = pair.b else { throw failure("one of lora_A and lora_B is missing") }
            guard let role = roles[module + ".weight"], let old = table[role] else {
                throw failure("the base has no matrix \(escaped(module)).weight of its own")
            }
            let left = LazyTensor(whole: SourceTensor(file: file, info: b))
            let right = LazyTensor(whole: SourceTensor(file: file, info: a))
            let rank = right.rows
            guard rank > 0, left.columns == rank, left.rows == old.rows, right.columns == old.columns,
                left.dtype.isConvertible, right.dtype.isConvertible
            else {
                throw failure(
                    "lora_B is \(left.rows) x \(left.columns) and lora_A \(right.rows) x \(right.columns), "
                        + "and the base's matrix is \(old.rows) x \(old.columns)")
            }
            table[role] = LazyTensor(
                rows: old.rows, columns: old.columns, dtype: old.dtype,
                expression: .lowRank(
                    old.expression, a: right.expression, b: left.expression, rank: rank,
                    scale: try scale(module, rank: rank)))
        }
        // A tokenizer that was saved with the adapter is the one it was trained with.
        let own = try Companion.inFolder(folder).filter(\.isTokenizer)
        let companions = own.isEmpty ? base.companions : base.companions.filter { !$0.isTokenizer } + own
        let config = ModelConfig(object: base.description.config.object, file: path)
        let result = Checkpoint(
            description: try ModelDescription(base.description.architecture, config), table: table,
            sources: base.sources + [file], companions: companions,
            history: base.history, warnings: base.warnings)
        let name = folder.split(separator: "/").last.map(String.init) ?? folder
        return result.recording(["command": "apply adapter", "adapter": .string(name)])
    }

    /// alpha over r, or over its square root; patterns name modules by the end of their names.
    private func scale(_ module: String, rank: Int) throws -> Float {
        func pattern(_ key: String) -> Double? {
            let entries = config[key]?.object
            return entries?.keys.first { module == $0 || module.hasSuffix("." + $0) }.flatMap { entries?[$0]?.double }
        }
        guard let alpha = pattern("alpha_pattern") ?? config["lora_alpha"]?.double, alpha.isFinite else {
            throw CheckpointError(.malformed, file: path, message: "lora_alpha is missing or not a number")
        }
        let stated = pattern("rank_pattern") ?? config["r"]?.double
        guard stated == nil || stated == Double(rank) else {
            throw CheckpointError(
                .incompatible, file: path, tensor: module,
                message: "the rank is \(rank) and should be \(numberText(stated ?? 0)) by the configuration")
        }
        return Float(config["use_rslora"]?.bool == true ? alpha / Double(rank).squareRoot() : alpha / Double(rank))
    }
}

extension Checkpoint {
    /// Opens a checkpoint, or a LoRA adapter with its base.
    ///
    /// - Parameters:
    ///   - path: a folder, or `org/name[@revision]` in the local Hugging Face cache.
    ///   - adapterBase: the base of an adapter that names none, or none that is where it says, beside the adapter or in
    ///     the cache.
    /// - Throws: `SafetensorsError` for files that are malformed, unsafe or missing; `CheckpointError` for a family that
    ///   is not known, or a configuration that contradicts itself or the tensors.
    public init(at path: String, adapterBase: String?) throws {
        try self.init(at: path, adapterBase: adapterBase, following: [])
    }

    /// - Parameter adapters: the folders of the adapters that led here, one the base of the other.
    private init(at path: String, adapterBase: String?, following adapters: Set<String>) throws {
        let folder = try resolveModelPath(path)
        let identity = resolvedPath(folder)
        guard !adapters.contains(identity) else {
            throw CheckpointError(
                .incompatible, file: folder,
                message: "the adapter is its own base, by itself or by way of others: name a model as base with --base")
        }
        guard fileExists(folder + "/" + LowRankAdapter.configName), !fileExists(folder + "/config.json") else {
            self = try CheckpointReader(path: folder).read()
            return
        }
        let adapter = try LowRankAdapter(folder: folder)
        var base = adapterBase
        if let name = adapter.baseName, !name.isEmpty {
            let beside = folder + "/../" + name
            if !name.hasPrefix("/"), fileExists(beside) {
                base = beside
            } else if adapterBase == nil || (try? resolveModelPath(name)) != nil {
                base = name
            }
        }
        guard let base else {
            throw CheckpointError(
                .incompatible, file: folder, message: "the adapter does not name its base: give it with --base")
        }
        self = try adapter.applied(
            to: Checkpoint(at: base, adapterBase: nil, following: adapters.union([identity])))
    }
}
