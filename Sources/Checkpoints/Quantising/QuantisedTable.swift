import Quantisation
import Safetensors

/// What a checkpoint is written as when some of its weights are quantised.
struct QuantisedTable {
    /// All tensors, codes and scales in the place of the weights.
    let tensors: [DiskTensor]
    /// The weights that are quantised, as they would be otherwise.
    let weights: [DiskTensor]
    /// What stays as it is.
    let kept: [DiskTensor]
    /// Of that, what was asked for and would have short blocks at its ends, or is put together with such a weight.
    let ragged: [DiskTensor]
    /// The layout in which they are stored.
    let layout: QuantisedLayout

    /// - Throws: `CheckpointError` where nothing is of the groups that were asked for, or a weight cannot be stored so.
    init(
        _ table: [(expected: ExpectedTensor, tensor: DiskTensor)], _ options: QuantisationOptions,
        _ description: ModelDescription
    ) throws {
        let layout = QuantisedLayout(options: options, architecture: description.architecture)
        try Self.check(table.map(\.expected), options, description)
        let globals = options.format == .nvfp4 ? Self.globals(table, layout) : [:]
        var tensors: [DiskTensor] = []
        var weights: [DiskTensor] = []
        var kept: [DiskTensor] = []
        var ragged: [DiskTensor] = []
        let short = options.format == .fp8Block ? Self.short(table, layout) : []
        for (expected, tensor) in table {
            let fused = Self.fused(expected)
            let isSelected = layout.selects(expected)
            let isShort = fused.map { short.contains($0) } ?? false
            guard isSelected, !isShort else {
                tensors.append(tensor)
                kept.append(tensor)
                if isSelected { ragged.append(tensor) }
                continue
            }
            let global = fused.flatMap { globals[$0] }
            tensors += try layout.tensors(for: tensor, global: global)
            weights.append(tensor)
        }
        guard !weights.isEmpty else {
            if let first = ragged.first {
                throw CheckpointError(
                    .incompatible, tensor: first.name,
                    message:
                        "it is \(first.shape), and blocks of 128 x 128 fill none of the \(ragged.count) weights that were "
                        + "asked for: choose fp8-channel")
            }
            let asked = layout.groups.map(\.rawValue).sorted().joined(separator: ", ")
            throw CheckpointError(
                .usage, file: description.config.file,
                message: "there is nothing to quantise: this \(description.architecture.modelType) has no \(asked)")
        }
        self.tensors = tensors
        self.weights = weights
        self.kept = kept
        self.ragged = ragged
        self.layout = layout
    }

    /// Refuses what could not be read again.
    private static func check(
        _ table: [ExpectedTensor], _ options: QuantisationOptions, _ description: ModelDescription
    ) throws {
        for group in QuantisationOptions.Group.allCases where options.groups?.contains(group) == true {
            guard !table.contains(where: { $0.placements.contains { group.kinds.contains($0.role.kind) } }) else {
                continue
            }
            let isTied = group == .head && description.headName != nil
            throw CheckpointError(
                .usage, file: description.config.file,
                message: "`roles` \(group.rawValue): this \(description.architecture.modelType) has "
                    + (isTied ? "no head of its own: it is the embedding" : "none"))
        }
        guard options.groups?.contains(.embedding) == true else { return }
        guard options.format != .fp8Block else {
            throw CheckpointError(
                .usage, message: "`roles` embedding: no reader takes an embedding in fp8-block; choose another format")
        }
        guard table.contains(where: { $0.placements.contains { $0.role.kind == .head } }) else {
            throw CheckpointError(
                .usage,
                message: "`roles` embedding: it is the head too (tie_word_embeddings), which no reader takes quantised")
        }
    }

    /// What readers put together: they take one global scale for all of it.
    private struct Fused: Hashable {
        let kind: Role.Kind
        let layer: Int?
        let expert: Int?
    }

    private static func fused(_ expected: ExpectedTensor) -> Fused? {
        guard let role = expected.placements.first?.role else { return nil }
        let kind: Role.Kind =
            switch role.kind {
            case .key, .value: .query
            case .keyValueDown: .queryDown
            case .feedForwardUp: .feedForwardGate
            case .expertUp: .expertGate
            case .sharedExpertUp: .sharedExpertGate
            default: role.kind
            }
        return Fused(kind: kind, layer: role.layer, expert: role.expert)
    }

    /// Weights that blocks of 128 x 128 do not fill, which transformers takes for blocks of another size and vLLM does not
    /// put together, with those that they are put together with.
    private static func short(
        _ table: [(expected: ExpectedTensor, tensor: DiskTensor)], _ layout: QuantisedLayout
    ) -> Set<Fused> {
        var result: Set<Fused> = []
        for (expected, tensor) in table where layout.selects(expected) {
            guard tensor.shape.dimensions.suffix(2).contains(where: { $0 > 128 && $0 % 128 != 0 }) else { continue }
            if let key = fused(expected) { result.insert(key) }
        }
        return result
    }

    private static func globals(
        _ table: [(expected: ExpectedTensor, tensor: DiskTensor)], _ layout: QuantisedLayout
    ) -> [Fused: Deferred<Float>] {
        var members: [Fused: [LazyTensor]] = [:]
        for (expected, tensor) in table where layout.selects(expected) {
            guard let key = fused(expected) else { continue }
            members[key, default: []] += tensor.placements.map(\.tensor)
        }
        return members.mapValues { deferredGlobal($0, layout.options.format.encoder(for: .bf16, search: false)) }
    }
}

extension QuantisedTable {
    /// What the user should know of it.
    var warnings: [String] {
        var result: [String] = []
        if let first = ragged.first {
            result.append(
                "\(ragged.count) weights stay as they are (\(escaped(first.name)) is \(first.shape)): blocks of 128 x 128 do "
                    + "not fill them or what they are put together with, and readers do not agree on short blocks; "
                    + "fp8-channel takes them")
        }
        let format = layout.options.format
        if layout.groups.contains(.experts), format == .int8 || format == .nvfp4,
            weights.contains(where: { $0.name.contains(".experts.") })
        {
            result.append(
                format == .int8
                    ? "transformers 5.24 does not load experts in int8; vLLM and compressed-tensors do"
                    : "transformers 5.24 loads experts in nvfp4 without their global scale, which makes them wrong; vLLM and "
                        + "compressed-tensors take it")
        }
        return result
    }

    /// What is written, in numbers.
    var summary: QuantisationSummary {
        let names = Set(kept.map(\.name))
        let bytes = tensors.filter { !names.contains($0.name) }.reduce(0) {
            $0 + $1.shape.elementCount * $1.dtype.bits / 8
        }
        return QuantisationSummary(
            format: layout.options.format, weights: weights.count,
            parameters: weights.reduce(0) { $0 + $1.shape.elementCount }, bytes: bytes,
            keptParameters: kept.reduce(0) { $0 + $1.shape.elementCount })
    }
}

/// How much of a checkpoint is quantised.
package struct QuantisationSummary: Sendable {
    package let format: QuantisationOptions.Format
    /// Weights that are quantised, and the values that they have.
    package let weights: Int
    package let parameters: Int
    /// Bytes of their codes and scales.
    package let bytes: Int
    /// Values of what stays as it is.
    package let keptParameters: Int

    /// Bits for each value that is quantised, scales included.
    package var bitsPerWeight: Double { 8 * Double(bytes) / Double(max(parameters, 1)) }
}
