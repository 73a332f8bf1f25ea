import Checkpoints
import Safetensors

/// Models of the same family and sizes become one of them.
struct DenseMerge {
    private let combiner: MergeCombiner

    init(_ models: [Checkpoint], base: Checkpoint?, _ options: MergeOptions) throws {
        combiner = try MergeCombiner(models, base: base, options, comparesKinds: true)
        let counts = Set(([base].compactMap { $0 } + models).map { $0.description.sizeIfKnown("experts") ?? 0 })
        guard counts.count == 1 else {
            throw CheckpointError(
                .incompatible, message: "the models have different numbers of experts: \(counts.sorted())")
        }
    }

    func run() throws -> Checkpoint {
        let config = try combiner.configuration(combiner.reference.description.config)
        let description = try ModelDescription(combiner.reference.description.architecture, config)
        var table: [Role: LazyTensor] = [:]
        var roles: [(role: Role, name: String)] = []
        for expected in try description.expectedTensors() {
            for (role, _) in expected.placements where table[role] == nil {
                if expected.isOptional, combiner.models.allSatisfy({ $0.table[role] == nil }) { continue }
                table[role] = try combiner.combined(role, name: expected.name)
                roles.append((role, expected.name))
            }
        }
        try combiner.checkFrozen(roles)
        return Checkpoint(
            description: description, table: table, sources: combiner.sources(), companions: combiner.companions,
            history: [combiner.record("merge --dense")], warnings: combiner.warnings)
    }
}
