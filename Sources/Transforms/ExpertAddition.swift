import Checkpoints
import Safetensors

/// Models become further experts of a mixture.
struct ExpertAddition {
    private let mixture: Checkpoint
    private let options: MergeOptions
    private let bank: ExpertBank
    private let old: Int
    private let vocabularyWarnings: [String]

    init(_ mixture: Checkpoint, _ models: [Checkpoint], _ options: MergeOptions) throws {
        guard mixture.isMixture else {
            throw CheckpointError(
                .incompatible, file: mixture.description.config.file,
                message: "`into` takes a mixture of experts, and this is a dense model")
        }
        guard !models.isEmpty else {
            throw CheckpointError(.usage, message: "there is nothing to add: name at least one model")
        }
        self.mixture = mixture
        self.options = options
        try MergeSurvey(
            [mixture] + models, allowsVocabularies: false, allowsDTypes: options.dtype != nil,
            choosesTopK: options.topK != nil, comparesKinds: false
        ).check()
        let vocabularies = try VocabularyMerge([mixture] + models, nil, requiresTokenizer: options.requiresTokenizer)
        vocabularyWarnings = vocabularies.warnings
        bank = try ExpertBank(models, options, layers: mixture.description.moeLayers)
        old = try mixture.description.size("experts")
        guard bank.width == (try mixture.description.size("expert_inner")) else {
            throw CheckpointError(
                .incompatible,
                message: "the new experts are \(bank.width) wide and those of \(mixture.name) "
                    + "\(try mixture.description.size("expert_inner")): a mixture's experts have one width")
        }
    }

    func run() throws -> Checkpoint {
        var config = try mixture.description.configuration(
            setting: "experts", to: old + bank.count, in: mixture.description.config)
        if let topK = options.topK {
            config = try mixture.description.configuration(setting: "top_k", to: topK, in: config)
        }
        let target = try ModelDescription(mixture.description.architecture, config)
        try target.checkRunnable()
        let rows = try RouterBuilder(options, target, experts: bank.count)
        var table: [Role: LazyTensor] = [:]
        for expected in try target.expectedTensors() {
            for (role, _) in expected.placements where table[role] == nil {
                if let expert = role.expert, expert >= old {
                    let own = Role(role.kind, layer: role.layer, expert: expert - old)
                    table[role] = try bank.tensor(own, name: expected.name)
                    if let dtype = mixture.table[Role(role.kind, layer: role.layer, expert: 0)]?.dtype {
                        table[role]?.dtype = dtype
                    }
                    continue
                }
                guard let present = mixture.table[role] else {
                    if expected.isOptional { continue }
                    throw CheckpointError(
                        .incompatible, tensor: expected.name, message: "\(mixture.name) has no \(role)")
                }
                switch role.kind {
                case .router:
                    let new = try rows.tensor(role, name: expected.name, dtype: present.dtype)
                    table[role] = .concatenated([present, new], .rows)
                case .routerBias, .routerCorrectionBias, .routerExpertScale:
                    let new = LazyTensor(
                        rows: bank.count, columns: 1, dtype: present.dtype,
                        expression: .constant(role.kind == .routerExpertScale ? 1 : 0))
                    table[role] = .concatenated([present, new], .rows)
                default: table[role] = present
                }
            }
        }
        let step: JSONObject = [
            "command": "merge --into", "experts": JSON(old + bank.count),
            "experts_of": .array(bank.origins.map { .string($0) }), "router": .string(rows.text),
            "seed": .number(String(options.seed)),
        ]
        var seen: Set<String> = []
        let files = ([mixture] + bank.models).flatMap(\.sources).filter { seen.insert($0.path).inserted } + rows.files
        return Checkpoint(
            description: target, table: table, layout: mixture.layout, sources: files,
            companions: mixture.companions, history: mixture.history + [step],
            warnings: mixture.warnings + bank.models.flatMap(\.warnings) + vocabularyWarnings)
    }
}
