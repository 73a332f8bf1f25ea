import Checkpoints
import Numerics
import Safetensors

/// What the models bring together: their tensors combined role by role.
struct MergeCombiner {
    let models: [Checkpoint]
    let base: Checkpoint?
    let options: MergeOptions
    let vocabulary: VocabularyMerge?

    /// The checkpoint whose configuration and tokenizer the result has.
    var reference: Checkpoint { base ?? models[0] }

    init(_ models: [Checkpoint], base: Checkpoint?, _ options: MergeOptions, comparesKinds: Bool) throws {
        guard !models.isEmpty else {
            throw CheckpointError(.usage, message: "there is nothing to merge: name at least one model")
        }
        if options.includesBase, base == nil {
            throw CheckpointError(.usage, message: "`includeBase`: name the base with `base`")
        }
        if options.average == .base, base == nil {
            throw CheckpointError(.usage, message: "`average` base needs a base: name it with `base`")
        }
        let all = [base].compactMap { $0 } + models + [options.sharedExpert].compactMap { $0 }
        try MergeSurvey(
            all, allowsVocabularies: options.vocabulary != nil, allowsDTypes: options.dtype != nil,
            choosesTopK: options.topK != nil, comparesKinds: comparesKinds
        ).check()
        vocabulary = try VocabularyMerge(all, options.vocabulary, requiresTokenizer: options.requiresTokenizer)
        self.models = options.includesBase ? models + [base].compactMap { $0 } : models
        self.base = base
        self.options = options
        let tied = try ([base].compactMap { $0 } + self.models).map { try $0.description.isTied }
        spellsHead = tied.contains(true) && tied.contains(false)
    }

    /// Whether some models have a head of their own and some have the embedding for it: the result then has one.
    let spellsHead: Bool

    /// The result's configuration from that of one of the models.
    func configuration(_ config: ModelConfig) throws -> ModelConfig {
        var config = try vocabulary?.configuration(config) ?? config
        if spellsHead { config.object["tie_word_embeddings"] = false }
        return config
    }

    /// What a model has for a role; a tied head is the embedding.
    private func tensor(_ role: Role, of model: Checkpoint) -> LazyTensor? {
        model.table[role] ?? (role.kind == .head && spellsHead ? model.table[Role(.embedding)] : nil)
    }

    /// Every file that is read, once.
    func sources() -> [SafetensorsFile] {
        var seen: Set<String> = []
        return (models + [base, options.sharedExpert].compactMap { $0 }).flatMap(\.sources).filter {
            seen.insert($0.path).inserted
        }
    }

    /// The combination of what the models have for a role.
    ///
    /// - Parameter name: the tensor's name on disk, which filters and draws go by.
    func combined(_ role: Role, name: String) throws -> LazyTensor {
        // What no family describes is not averaged either: it goes with the configuration that speaks of it.
        if role.kind == .carried, let tensor = reference.table[role] { return tensor }
        let having = models.indices.filter { tensor(role, of: models[$0]) != nil }
        let origin = base.flatMap { aligned(role, $0) }
        let tensors = having.compactMap { aligned(role, models[$0]) }
        guard let first = options.average == .base ? origin ?? tensors.first : tensors.first else {
            throw CheckpointError(.incompatible, tensor: name, message: "no model has \(role)")
        }
        for tensor in tensors where tensor.rows != first.rows || tensor.columns != first.columns {
            throw CheckpointError(
                .incompatible, tensor: name,
                message: "\(role) is \(first.rows) x \(first.columns) in one model and "
                    + "\(tensor.rows) x \(tensor.columns) in another")
        }
        let dtype = options.dtype ?? (origin ?? first).dtype
        // Integers and packed types are never averaged: they are kept where the models agree on them, or one is taken.
        if !first.dtype.isConvertible {
            let isTaken = options.average == .base || options.average == .frozen
            if try isTaken || tensors.allSatisfy({ try Difference.between(first, $0).isIdentical }) { return first }
            try first.checkComputable(as: name)
        }
        let parameters = options.settings.parameters(models: having, for: name, depth: depth(role))
        try parameters.check(for: name)
        let expression = try options.average.expression(
            tensors, base: origin, parameters, name: name, seed: options.seed)
        return LazyTensor(rows: first.rows, columns: first.columns, dtype: dtype, expression: expression)
    }

    /// A model's tensor, its rows lined up where they stand for tokens.
    private func aligned(_ role: Role, _ model: Checkpoint) -> LazyTensor? {
        guard let tensor = tensor(role, of: model) else { return nil }
        guard role.kind == .embedding || role.kind == .head || role.kind == .headBias, let vocabulary else {
            return tensor
        }
        return vocabulary.aligned(tensor, of: model, role)
    }

    private func depth(_ role: Role) -> Double {
        if let layer = role.layer {
            let last = models[0].description.layerCount - 1
            return last > 0 ? min(Double(layer) / Double(last), 1) : 1
        }
        return role.kind == .embedding ? 0 : options.settings.headDepth
    }

    /// With `frozen`, every tensor that is not an expert must be the same in all models.
    func checkFrozen(_ roles: [(role: Role, name: String)]) throws {
        guard options.average == .frozen else { return }
        let all = [base].compactMap { $0 } + models
        var differing: [String] = []
        for (role, name) in roles {
            let tensors = all.compactMap { tensor(role, of: $0) }
            guard let first = tensors.first else { continue }
            for other in tensors.dropFirst() {
                guard other.rows == first.rows, other.columns == first.columns,
                    try Difference.between(first, other).isIdentical
                else {
                    differing.append(name)
                    break
                }
            }
        }
        guard differing.isEmpty else {
            let shown = differing.prefix(8).map(escaped).joined(separator: ", ")
            throw CheckpointError(
                .incompatible,
                message: "`average` frozen: \(differing.count) tensors are not the same in all models: \(shown)"
                    + (differing.count > 8 ? ", …" : "") + "; choose another `average`")
        }
    }

    /// What the record says of the average.
    func record(_ command: String) -> JSONObject {
        var step: JSONObject = [
            "command": .string(command), "average": .string(options.average.rawValue),
            "models": .array(models.map { .string($0.name) }), "seed": .number(String(options.seed)),
        ]
        if let base { step["base"] = .string(base.name) }
        let settings = options.settings
        let own = models.indices.map { settings.parameters(models: [$0], for: "", depth: 0) }
        step["weights"] = .array(own.map { JSON($0.weights[0]) })
        if options.average.needsBase { step["densities"] = .array(own.map { JSON($0.densities[0]) }) }
        if let vocabulary = options.vocabulary { step["vocab"] = .string(vocabulary.rawValue) }
        let earlier = models.filter { !$0.history.isEmpty }
        if !earlier.isEmpty {
            step["earlier"] = .array(
                earlier.map { model in
                    .object(["model": .string(model.name), "steps": .array(model.history.map { .object($0) })])
                })
        }
        return step
    }

    var warnings: [String] { models.flatMap(\.warnings) + (vocabulary?.warnings ?? []) + carriedNotes }

    /// Whose carried tensors the result has, and whose it has not.
    private var carriedNotes: [String] {
        func names(_ model: Checkpoint) -> [String] { model.description.config.surroundings.carried.map(\.name) }
        let kept = Set(names(reference))
        var notes: [String] = []
        if !kept.isEmpty { notes.append("what is carried is \(escaped(reference.name))'s, and is not averaged") }
        for model in models {
            let lost = names(model).filter { !kept.contains($0) }
            guard !lost.isEmpty else { continue }
            notes.append(
                "\(escaped(model.name)) has what \(escaped(reference.name)) has not, and it is left out: "
                    + CarriedTensor.summary(lost))
        }
        return notes
    }
    var companions: [Companion] { vocabulary?.companions ?? reference.companions }
}
