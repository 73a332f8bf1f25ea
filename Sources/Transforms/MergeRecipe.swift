public import Checkpoints
import Safetensors

/// Which models are merged and how: what a recipe file or a command line says.
public struct MergeRecipe: Sendable {
    /// The models' paths, in the order of their experts.
    public var models: [String]
    /// Where they branched from.
    public var base: String?
    /// A mixture that they are added to.
    public var into: String?
    /// Merge to one dense model.
    public var isDense = false
    /// The folder to write, where the recipe names one.
    public var output: String?
    /// What the models are merged to and how, beside their names.
    public var options = MergeOptions()
    /// A model for the shared expert.
    public var sharedExpert: String?
    /// The chat template of the result; nil for the base's.
    public private(set) var chatTemplate: ChatTemplateChoice?
    /// How many layers each model must have, where the recipe says that it is of so many.
    private var layerCount: Int?
    /// The families that the result may be of; empty for any.
    private var families: [String] = []
    /// What the reader of a recipe should know.
    public private(set) var notes: [String] = []
    /// The rows of routers that have to be measured before there is a merge; nil where `options.router` says all.
    public private(set) var measurement: RouterMeasurement?
    /// The standard deviation of the logits that measured rows give the means that they were made of.
    public var logitDeviation = 1.0
    /// Domains that rows are measured on are the experts' in their order, whatever they are called.
    public var takesDomainsInOrder = false

    /// A merge with the defaults of all options.
    public init(models: [String]) { self.models = models }

    /// Reads a recipe of ours, a mergekit-moe configuration (`experts`) or a mergekit-yaml one (`merge_method`).
    ///
    /// - Throws: `CheckpointError` for what is not YAML, an unknown key (with the nearest known one), or a value of the
    ///   wrong kind.
    public init(contentsOf file: String) throws {
        let document = try RecipeMapping.document(file)
        self.init(models: [])
        if document.has("merge_method") {
            try readMergekit(document)
        } else if document.has("experts"), !document.has("models") {
            try readMergekitMoE(document)
        } else {
            try readOwn(document)
        }
        // Paths in a recipe are relative to it where they are there.
        let folder = document.folder
        func resolved(_ path: String) throws -> String {
            if !path.hasPrefix("/"), try !fileExists(path), try fileExists(folder + "/" + path) {
                return folder + "/" + path
            }
            guard let (model, adapter) = try Self.parts(of: path) else { return path }
            return try resolved(model) + "+" + resolved(adapter)
        }
        models = try models.map(resolved)
        base = try base.map(resolved)
        into = try into.map(resolved)
        sharedExpert = try sharedExpert.map(resolved)
        if case .file(let path) = options.router { options.router = .file(try resolved(path)) }
    }

    /// Chooses the routers' rows, whatever the recipe says of them.
    public mutating func choose(router: MergeOptions.RouterRows) {
        options.router = router
        measurement = nil
    }

    /// Chooses rows that are measured, whatever the recipe says of them.
    public mutating func choose(measurement: RouterMeasurement) {
        self.measurement = measurement
    }

    /// The merged checkpoint; no weights are read but for what must be compared.
    public func merged() throws -> Checkpoint {
        if let measurement {
            throw CheckpointError(
                .usage,
                message:
                    "the routers' rows (\(measurement.name)) are measured with a model first; choose(router:) takes them"
            )
        }
        var options = options
        let opened = try models.map(open)
        if let sharedExpert { options.sharedExpert = try open(sharedExpert) }
        let origin = try base.map(open)
        let all = [origin].compactMap { $0 } + opened
        if let layerCount, let other = all.first(where: { $0.description.layerCount != layerCount }) {
            throw CheckpointError(
                .incompatible,
                message: "the recipe's slice is of \(layerCount) layers, and \(other.name) has "
                    + "\(other.description.layerCount): a slice of some layers is not supported, one of all is")
        }
        var result: Checkpoint
        if let into {
            result = try Checkpoint(at: into).adding(opened, options: options)
        } else {
            result =
                isDense
                ? try Checkpoint.mergingDense(opened, base: origin, options: options)
                : try Checkpoint.merging(opened, base: origin, options: options)
        }
        let family = result.description.architecture.modelType
        guard families.isEmpty || families.contains(family) else {
            throw CheckpointError(
                .incompatible,
                message: "the recipe's architecture is \(families.joined(separator: " or ")), and the models become a "
                    + "\(family)")
        }
        if let chatTemplate { result = try result.with(chatTemplate: chatTemplate, of: all) }
        return result
    }

    /// Opens one of the models: a folder or a name in the cache, or with an adapter, as `MODEL+ADAPTER`.
    package func open(_ path: String) throws -> Checkpoint {
        if let (model, adapter) = try Self.parts(of: path), try knownModelPath(model) != nil,
            let folder = try knownModelPath(adapter)
        {
            guard try fileExists(folder + "/adapter_config.json") else {
                throw CheckpointError(
                    .incompatible, file: path,
                    message: "what follows the plus is an adapter, and \(escaped(adapter)) is none")
            }
            return try Checkpoint(at: adapter, adapterBase: model, named: models)
        }
        return try Checkpoint(at: path, adapterBase: path == base ? nil : base, named: models)
    }

    /// The parts of `MODEL+ADAPTER`; nil for a path that is there as it is, and for one without a plus.
    private static func parts(of path: String) throws -> (model: String, adapter: String)? {
        let parts = path.split(separator: "+", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty, try !fileExists(path) else { return nil }
        return (parts[0], parts[1])
    }

    /// A sibling of the first model, named for all of them.
    public var defaultOutput: String {
        if let output { return output }
        let all = ([into].compactMap { $0 } + models).map { defaultPlace(for: $0) }
        let name = all.map(\.name).joined(separator: "+") + (isDense ? "-merged" : "")
        return (all.first?.folder.map { $0 + "/" } ?? "") + name
    }

    /// What the user is told of the result.
    public func remarks(_ merged: Checkpoint) -> [String] {
        var result = notes
        guard merged.isMixture, let experts = try? merged.description.size("experts"),
            let topK = try? merged.description.size("top_k")
        else { return result }
        let family = merged.description.architecture.modelType
        result.append("\(experts) experts, top-\(topK), as a \(family).")
        if into == nil, !isDense {
            result.append(
                options.average == .base
                    ? "Everything but the experts is the base's."
                    : "Everything but the experts: \(options.average.rawValue).")
        }
        return result
    }

    // MARK: - Recipes of ours

    private mutating func readOwn(_ recipe: RecipeMapping) throws {
        try recipe.check(known: [
            "models", "base", "include-base", "into", "dense", "top-k", "target", "average", "parameters", "router",
            "router-std", "domains-in-order", "vocab", "layout", "layers", "norm-topk", "scale", "dtype", "seed",
            "output",
            "require-tokenizer",
        ])
        guard let entries = try recipe.list("models", short: "path"), !entries.isEmpty else {
            throw recipe.failure("models", "expected a list of models")
        }
        for entry in entries {
            try entry.check(known: ["path", "weight", "density", "gamma", "epsilon"])
            guard let path = try entry.string("path") else { throw entry.failure("path", "a model needs a path") }
            models.append(path)
            try readModelSettings(entry)
        }
        base = try recipe.string("base")
        into = try recipe.string("into")
        output = try recipe.string("output")
        isDense = try recipe.bool("dense") ?? false
        options.includesBase = try recipe.bool("include-base") ?? false
        options.topK = try recipe.int("top-k")
        options.target = try recipe.string("target")
        options.average = try method(recipe, "average") ?? .linear
        options.requiresTokenizer = try recipe.bool("require-tokenizer") ?? false
        options.normalisesTopK = try recipe.bool("norm-topk") ?? true
        options.scale = try recipe.double("scale").map { Float($0) }
        if let seed = try recipe.int("seed") {
            guard seed >= 0 else { throw recipe.failure("seed", "expected a number that is not negative") }
            options.seed = UInt64(seed)
        }
        if let text = try recipe.string("vocab") {
            guard let choice = VocabularyChoice(rawValue: text) else {
                throw recipe.failure("vocab", "expected base, union or intersect")
            }
            options.vocabulary = choice
        }
        if let text = try recipe.string("layout") {
            guard let arrangement = MergeOptions.ExpertArrangement(text: text) else {
                throw recipe.failure("layout", "expected experts, split:C or blend:C")
            }
            options.arrangement = arrangement
        }
        if let text = try recipe.string("layers") {
            guard let layers = LayerSelection(text: text) else {
                throw recipe.failure("layers", "expected all, every:2, first-dense:1, or a list such as 3,5-9")
            }
            options.layers = layers
        }
        if let text = try recipe.string("router") {
            if let rows = MergeOptions.RouterRows(text: text) {
                options.router = rows
            } else if let measured = try RouterMeasurement(text: try recipe.resolving(text)) {
                measurement = measured
            } else {
                throw recipe.failure(
                    "router",
                    "expected random[:std], uniform[:std], zero, file:PATH, embed:PROMPTS, hidden:PROMPTS, domain:DATA or "
                        + "centroids:DATA")
            }
        }
        if let value = try recipe.double("router-std") {
            guard value > 0 else { throw recipe.failure("router-std", "expected a number above 0") }
            logitDeviation = value
        }
        takesDomainsInOrder = try recipe.bool("domains-in-order") ?? false
        options.dtype = try dtype(recipe, "dtype")
        guard let parameters = try recipe.mapping("parameters") else { return }
        try parameters.check(known: [
            "weight", "density", "gamma", "epsilon", "t", "lambda", "normalize", "rescale", "select-topk",
            "max-iter", "tol", "row-wise",
        ])
        try readCommonSettings(parameters, selectTopK: "select-topk", iterations: "max-iter")
        if let text = try parameters.string("rescale") {
            guard let rescaling = Rescaling(rawValue: text) else {
                throw parameters.failure("rescale", "expected paper, l1 or none")
            }
            options.settings.rescaling = rescaling
        }
        options.settings.isRowWise = try parameters.bool("row-wise") ?? false
    }

    private mutating func readModelSettings(_ entry: RecipeMapping?) throws {
        options.settings.weights.append(try entry?.setting("weight"))
        options.settings.densities.append(try entry?.setting("density"))
        options.settings.gammas.append(try entry?.setting("gamma"))
        options.settings.epsilons.append(try entry?.setting("epsilon"))
    }

    private mutating func readCommonSettings(
        _ parameters: RecipeMapping, selectTopK: String, iterations: String
    ) throws {
        let numbers: [(key: String, WritableKeyPath<MergeSettings, MergeSetting>)] = [
            ("weight", \.weight), ("density", \.density), ("gamma", \.gamma), ("epsilon", \.epsilon), ("t", \.t),
            ("lambda", \.lambda), (selectTopK, \.selectTopK),
        ]
        for (key, path) in numbers {
            guard let value = try parameters.setting(key) else { continue }
            options.settings[keyPath: path] = value.or(options.settings[keyPath: path])
        }
        if let value = try parameters.bool("normalize") { options.settings.normalises = value }
        if let value = try parameters.int(iterations) { options.settings.maximumIterations = max(value, 0) }
        if let value = try parameters.double("tol") { options.settings.tolerance = value }
    }

    private func method(_ mapping: RecipeMapping, _ key: String) throws -> MergeMethod? {
        guard let text = try mapping.string(key) else { return nil }
        guard let method = MergeMethod(name: text) else {
            throw mapping.failure(
                key, "no such method; there are \(MergeMethod.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return method
    }

    private func dtype(_ mapping: RecipeMapping, _ key: String) throws -> DType? {
        guard let text = try mapping.string(key) else { return nil }
        let names: [String: DType] = [
            "float32": .f32, "f32": .f32, "float16": .f16, "f16": .f16, "bfloat16": .bf16, "bf16": .bf16,
            "f8_e4m3": .f8E4M3, "f8_e5m2": .f8E5M2,
        ]
        guard let dtype = names[text.lowercased()] else {
            throw mapping.failure(key, "expected float32, float16, bfloat16, F8_E4M3 or F8_E5M2")
        }
        return dtype
    }

    // MARK: - mergekit's

    private mutating func readMergekitMoE(_ recipe: RecipeMapping) throws {
        try recipe.check(known: Self.mergekitMoEKeys)
        base = try recipe.string("base_model")
        guard base != nil else { throw recipe.failure("base_model", "mergekit-moe needs a base model") }
        options.average = .base
        var prompts: [RouterPrompts] = []
        let known = Self.mergekitExpertKeys
        for entry in try recipe.list("experts") ?? [] {
            try entry.check(known: known)
            guard let path = try entry.string("source_model") else {
                throw entry.failure("source_model", "an expert needs a source_model")
            }
            models.append(path)
            prompts.append(try RouterPrompts(entry))
            options.expertNoise.append(Float(try entry.double("noise_scale") ?? 0))
            options.expertScale.append(Float(try entry.double("residual_scale") ?? 1))
        }
        guard !models.isEmpty else { throw recipe.failure("experts", "expected a list of experts") }
        if let shared = try recipe.list("shared_experts"), let first = shared.first {
            guard shared.count == 1 else {
                throw recipe.failure("shared_experts", "one shared expert at most, as in mergekit")
            }
            try first.check(known: known)
            sharedExpert = try first.string("source_model")
            let own = try RouterPrompts(first)
            if !own.positive.isEmpty { prompts.append(own) }
            options.sharedExpertScale = Float(try first.double("residual_scale") ?? 1)
            if try first.double("noise_scale") ?? 0 != 0 {
                throw first.failure("noise_scale", "noise on a shared expert is not supported")
            }
        }
        options.topK = try recipe.int("experts_per_token") ?? min(2, models.count)
        options.dtype = try dtype(recipe, "dtype")
        families = try Self.mergekitFamilies(recipe)
        if families.count == 1 { options.target = families[0] }
        switch try recipe.string("gate_mode") ?? "hidden" {
        case "random":
            options.router = .random(std: 1)
            notes.append(
                "gate_mode random is N(0, 1), as mergekit has it: the routers start saturated, and random:0.02 trains "
                    + "better (`router` random:0.02).")
        case "uniform_random": options.router = .uniform(std: nil)
        case "hidden", "hidden_last": measurement = .prompts(.hiddenLast, prompts)
        case "hidden_avg": measurement = .prompts(.hiddenAverage, prompts)
        case "cheap_embed": measurement = .prompts(.cheapEmbed, prompts)
        case let mode:
            throw recipe.failure(
                "gate_mode",
                "no such mode: \(escaped(mode)); there are hidden, hidden_avg, hidden_last, cheap_embed, "
                    + "random and uniform_random")
        }
    }

    private mutating func readMergekit(_ recipe: RecipeMapping) throws {
        try recipe.check(known: [
            "merge_method", "models", "slices", "modules", "base_model", "parameters", "dtype", "out_dtype",
            "tokenizer_source", "tokenizer", "chat_template",
        ])
        if let text = try recipe.string("chat_template") {
            guard let choice = try ChatTemplateChoice(text, folder: recipe.folder) else {
                throw recipe.failure(
                    "chat_template",
                    "expected auto, \(ChatTemplateChoice.names.joined(separator: ", ")), a file, or a template")
            }
            chatTemplate = choice
        }
        let (entries, slice, layers) = try Self.mergekitEntries(recipe)
        layerCount = layers
        isDense = true
        base = try recipe.string("base_model")
        options.average = try method(recipe, "merge_method") ?? .linear
        options.dtype = try dtype(recipe, "out_dtype") ?? dtype(recipe, "dtype")
        options.settings.density = .value(1)
        options.settings.headDepth = 0
        for entry in entries {
            guard let path = try entry.string("model") else { throw entry.failure("model", "a model needs a path") }
            // In mergekit's lists the base may be named again; a task vector of its own would be zero.
            if path == base, options.average.needsBase { continue }
            models.append(path)
            let parameters = try entry.mapping("parameters")
            try parameters?.check(known: ["weight", "density", "gamma", "epsilon"])
            try readModelSettings(parameters)
        }
        guard !models.isEmpty else { throw recipe.failure("models", "expected a list of models") }
        if options.average == .slerp {
            // The first is the base, whatever the order of the list.
            guard models.count == 2 || (models.count == 1 && base != nil) else {
                throw recipe.failure("models", "slerp takes two models")
            }
            if let base, models.count == 1 { models = [base] + models }
            if let base, models[1] == base { models.swapAt(0, 1) }
            options.settings.weights = []
            options.settings.densities = []
        }
        // What a slice says goes before what is said of all.
        for parameters in [try recipe.mapping("parameters"), try slice?.mapping("parameters")].compactMap({ $0 }) {
            try parameters.check(known: [
                "weight", "density", "gamma", "epsilon", "t", "lambda", "normalize", "rescale", "int8_mask",
                "select_topk", "max_iter", "tol", "filter_wise", "nuslerp_flatten", "nuslerp_row_wise",
                "normalize_weights", "eps",
            ])
            try readCommonSettings(parameters, selectTopK: "select_topk", iterations: "max_iter")
            if let value = try parameters.bool("normalize_weights") { options.settings.normalises = value }
            if try parameters.bool("nuslerp_row_wise") == true {
                throw parameters.failure("nuslerp_row_wise", "normalising down the columns is not supported")
            }
            let rows = try (parameters.bool("filter_wise") ?? false, parameters.bool("nuslerp_flatten") ?? true)
            options.settings.isRowWise = rows.0 || !rows.1
            if let rescales = try parameters.bool("rescale") {
                options.settings.rescaling = rescales ? .l1 : Rescaling.none
            }
        }
        // mergekit matches the L1 norm where the papers divide by the probability.
        let drops: [MergeMethod] = [.dareLinear, .dareTies, .della, .dellaLinear]
        if options.settings.rescaling == nil, drops.contains(options.average) { options.settings.rescaling = .l1 }
        options.vocabulary = try Self.mergekitVocabulary(recipe)
    }
}
