import Quantisation
import Safetensors

/// mlx-lm's layout: embedding and head too, experts stacked under `switch_mlp`, settings by module.
struct MLXWeights {
    let quantisation: Quantisation
    let architecture: Architecture

    func find(in parts: inout QuantisedParts) throws {
        for tensor in parts.all {
            let name = tensor.info.name
            guard name.hasSuffix(".weight") else { continue }
            let base = String(name.dropLast(".weight".count))
            if let scales = parts[base + ".scales"] {
                let found = try parts.settled(weight(tensor, scales, base: base, parts))
                if let members = try members(of: name, .quantised(found)) {
                    parts.add(members, insteadOf: found.parts.map(\.tensor.info.name))
                } else {
                    parts.add(found)
                }
            } else if let members = try members(of: name, .plain(tensor)) {
                parts.add(members, insteadOf: [name])
            }
        }
    }

    private func weight(
        _ tensor: SourceTensor, _ scales: SourceTensor, base: String, _ parts: QuantisedParts
    ) throws -> QuantisedTensor {
        let name = base + ".weight"
        // A router, for one, may have settings of its own.
        let own = quantisation.settings[base]?.object
        func setting(_ key: String) -> JSON? { own?[key] ?? quantisation.settings[key] }
        let mode = setting("mode")?.string ?? "affine"
        guard let bits = setting("bits")?.int, [2, 3, 4, 5, 6, 8].contains(bits),
            let group = setting("group_size")?.int,
            (1...1 << 30).contains(group)
        else {
            throw CheckpointError(
                .malformed, file: quantisation.file, tensor: name,
                message: "bits must be 2, 3, 4, 5, 6 or 8, and group_size positive: found "
                    + "\(escaped(setting("bits")?.serialized() ?? "none")) and "
                    + escaped(setting("group_size")?.serialized() ?? "none"))
        }
        let stored = tensor.info.shape.dimensions
        guard tensor.info.dtype == .u32, stored.count == 2 || stored.count == 3, let width = stored.last,
            let groups = scales.info.shape.dimensions.last
        else { throw CheckpointError.misfit(name, tensor, "U32 words of a matrix, or of a stack, are expected") }
        let (columns, overflow) = groups.multipliedReportingOverflow(by: group)
        guard !overflow, columns <= 1 << 40, width * 32 == columns * bits else {
            throw CheckpointError.misfit(
                name, tensor,
                "\(groups) groups of \(group) codes of \(bits) bits do not take \(width) words: "
                    + "\(escaped(scales.info.name)) is \(scales.info.shape)")
        }
        let shape = stored.dropLast() + [columns]
        guard mode == "affine" else {
            throw CheckpointError(
                .incompatible, file: quantisation.file, tensor: name,
                message: "MLX's mode \(escaped(mode)) is not read, affine is: dequantise the model with mlx-lm")
        }
        let stack = Array(shape)
        let layout = try ScaleLayout(scales, of: name, shape: stack, block: (1, group))
        var codec = GroupCodec(
            name: name, codes: tensor, reader: CodeReader(.unsigned(bits: bits), .stream), layout: .rows,
            rows: stack.dropLast().reduce(1, *), columns: columns, scales: layout.grid, group: group)
        guard let biases = parts[base + ".biases"], biases.info.shape == scales.info.shape else {
            throw CheckpointError.misfit(
                name, scales, "\(escaped(base)).biases of the same shape belongs beside it")
        }
        codec.biases = try ScaleLayout(biases, of: name, shape: stack, block: (1, group)).grid
        let all = [
            QuantisedPart("codes", tensor, suffix: "weight", replacing: "weight", extent: .rows(block: 1)),
            QuantisedPart("scales", scales, suffix: "scales", replacing: "weight", extent: layout.extent),
            QuantisedPart("biases", biases, suffix: "biases", replacing: "weight", extent: layout.extent),
        ]
        return QuantisedTensor(
            name: name, shape: stack, parts: all, codec: codec,
            format: "MLX affine of \(bits) bits in groups of \(group)")
    }

    /// The experts of a stack under the names that they have by themselves; nil for what is no stack of experts.
    private func members(
        of name: String, _ stack: StoredTensors.Entry
    ) throws -> [(name: String, entry: StoredTensors.Entry)]? {
        guard let range = name.firstRange(of: ".switch_mlp."), stack.shape.count == 3 else { return nil }
        let kinds: [Substring: Role.Kind] = [
            "gate_proj.weight": .expertGate, "up_proj.weight": .expertUp, "down_proj.weight": .expertDown,
        ]
        let template = architecture.expertLayouts.lazy.flatMap(\.tensors).first {
            $0.isPerExpert && $0.parts.first?.role == kinds[name[range.upperBound...]]
        }
        guard let template, let marker = template.name.firstRange(of: "{expert}") else { return nil }
        let end = template.name[marker.upperBound...]
        return (0..<stack.shape[0]).map { expert in
            ("\(name[..<range.lowerBound]).experts.\(expert)\(end)", .member(stack, expert))
        }
    }
}
