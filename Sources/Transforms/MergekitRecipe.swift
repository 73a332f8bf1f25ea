import Checkpoints
import Safetensors

/// What mergekit's configurations say beside their numbers (mergekit 0.1).
extension MergeRecipe {
    static let mergekitMoEKeys = [
        "base_model", "experts", "gate_mode", "dtype", "experts_per_token", "shared_experts", "architecture",
    ]
    static let mergekitExpertKeys = [
        "source_model", "positive_prompts", "negative_prompts", "noise_scale", "residual_scale",
    ]

    /// The entries of `models`, or those of the one slice over all layers that most notebooks write for slerp.
    ///
    /// - Returns: the entries under the key `model`, what holds the slice's parameters, and how many layers it is of.
    static func mergekitEntries(
        _ recipe: RecipeMapping
    ) throws -> (entries: [RecipeMapping], slice: RecipeMapping?, layers: Int?) {
        if recipe.has("modules") {
            throw recipe.failure("modules", "merging parts of a model differently is not supported; models is")
        }
        guard let slices = try recipe.list("slices") else {
            let entries = try recipe.list("models", short: "model") ?? []
            for entry in entries { try entry.check(known: ["model", "parameters"]) }
            return (entries, nil, nil)
        }
        guard !recipe.has("models") else {
            throw recipe.failure("slices", "give models or slices, not both")
        }
        guard let slice = slices.first, slices.count == 1 else {
            throw recipe.failure(
                "slices",
                "stacking slices of layers is not supported; one slice over all layers is, and a list of models")
        }
        try slice.check(known: ["sources", "base_model", "residual_weight", "parameters"])
        if slice.has("residual_weight") {
            throw slice.failure("residual_weight", "not supported")
        }
        if let own = try slice.string("base_model"), own != (try recipe.string("base_model")) {
            throw slice.failure(
                "base_model", "a base of the slice's own is not supported: name it as base_model of all")
        }
        let entries = try slice.list("sources") ?? []
        var layers: Int?
        for entry in entries {
            try entry.check(known: ["model", "layer_range", "parameters"])
            guard let range = try entry.ints("layer_range"), range.count == 2, range[0] == 0, range[1] > 0,
                layers == nil || layers == range[1]
            else {
                throw entry.failure("layer_range", "expected [0, N] with all N layers, the same for every source")
            }
            layers = range[1]
        }
        return (entries, slice, layers)
    }

    /// The families that `architecture` of a mergekit-moe configuration allows: those whose names in mergekit begin so.
    ///
    /// Qwen stands for two, of which the models' family decides.
    static func mergekitFamilies(_ recipe: RecipeMapping) throws -> [String] {
        guard let name = try recipe.string("architecture")?.lowercased() else { return [] }
        let names = [("mixtral", "mixtral"), ("qwen moe", "qwen2_moe"), ("qwen3 moe", "qwen3_moe")]
        let families = names.filter { $0.0.hasPrefix(name) }.map(\.1)
        guard !families.isEmpty else {
            throw recipe.failure(
                "architecture",
                "expected Mixtral, Qwen MoE or Qwen3 MoE, or how one of them begins"
                    + ("deepseek moe".hasPrefix(name) ? "; DeepSeek MoE is not supported" : ""))
        }
        return families
    }

    /// How `tokenizer` or `tokenizer_source` reconciles vocabularies.
    static func mergekitVocabulary(_ recipe: RecipeMapping) throws -> VocabularyChoice? {
        var source = try recipe.string("tokenizer_source")
        var place = (recipe, "tokenizer_source")
        if let tokenizer = try recipe.mapping("tokenizer") {
            if source != nil { throw recipe.failure("tokenizer", "give tokenizer or tokenizer_source, not both") }
            try tokenizer.check(known: ["source", "tokens", "pad_to_multiple_of"])
            for key in ["tokens", "pad_to_multiple_of"] where tokenizer.has(key) {
                throw tokenizer.failure(key, "not supported: leave it out, and change the tokenizer of the result")
            }
            source = try tokenizer.string("source") ?? "union"
            place = (tokenizer, "source")
        }
        switch source {
        case nil: return nil
        case "union": return .union
        case "base": return .base
        default:
            // The base by its own name.
            if let base = try recipe.string("base_model"), source == base { return .base }
            throw place.0.failure(place.1, "expected union or base")
        }
    }
}
