import Glibc
import Safetensors

/// A tensor as llama.cpp wants it.
package struct GGUFTensor: Sendable {
    package let name: String
    /// Row-major: `[out, in]`, `[experts, out, in]`.
    package let dimensions: [Int]
    package let tensor: LazyTensor
}

/// A checkpoint's tensors under llama.cpp's names and in its layout.
package struct GGUFTable {
    package private(set) var tensors: [GGUFTensor] = []
    private let checkpoint: Checkpoint
    private let rules: GGUFRules
    private let configuration: DecoderConfiguration

    /// - Throws: `CheckpointError` where llama.cpp has no tensor for something.
    init(_ checkpoint: Checkpoint, _ rules: GGUFRules, _ configuration: DecoderConfiguration) throws {
        self.checkpoint = checkpoint
        self.rules = rules
        self.configuration = configuration
        var made: Set<String> = []
        for expected in try checkpoint.expectedTensors() {
            for (role, _) in expected.placements {
                guard role.kind != .carried else {
                    throw CheckpointError(
                        .incompatible, tensor: expected.name,
                        message:
                            "a GGUF file has no place for a tensor that the family does not describe: leave it out "
                            + "with `drop`")
                }
                guard let tensor = checkpoint.table[role] else {
                    if expected.isOptional { continue }
                    throw CheckpointError(.incompatible, tensor: expected.name, message: "there is nothing for \(role)")
                }
                // What a tied head is a copy of is read in its place.
                if role.kind == .head,
                    try checkpoint.description.config.holds(
                        "tie_word_embeddings", checkpoint.description.architecture)
                {
                    continue
                }
                try add(role, tensor, &made)
            }
        }
        if let factors = configuration.rotation?.llama3Factors {
            tensors.append(
                GGUFTensor(
                    name: "rope_freqs.weight", dimensions: [factors.count],
                    tensor: LazyTensor(rows: factors.count, columns: 1, dtype: .f32, expression: .values(factors))))
        }
    }

    private mutating func add(_ role: Role, _ tensor: LazyTensor, _ made: inout Set<String>) throws {
        let prefix = role.layer.map { "blk.\($0)." } ?? ""
        if let (name, parts) = rules.joined.first(where: { $0.parts.contains(role.kind) }) {
            let name = prefix + name + ".weight"
            guard made.insert(name).inserted else { return }
            try append(name, parts.map { try part(Role($0, layer: role.layer), name) })
            return
        }
        if role.kind == .keyValueUp { return try addKeyValueUp(tensor, prefix) }
        guard let base = rules.name(role.kind) else {
            throw CheckpointError(
                .incompatible, message: "llama.cpp's architecture \(rules.architecture) has no tensor for \(role)")
        }
        let name = prefix + base
        guard made.insert(name).inserted else { return }
        if role.expert != nil {
            let count = configuration.mixture?.experts ?? 0
            let experts = try (0..<count).map { try part(Role(role.kind, layer: role.layer, expert: $0), name) }
            guard let first = experts.first else { return }
            tensors.append(
                GGUFTensor(
                    name: name,
                    dimensions: role.kind.isBias ? [count, first.rows] : [count, first.rows, first.columns],
                    tensor: .concatenated(experts, .rows)))
            return
        }
        try append(name, [part(role, name)])
    }

    private mutating func append(_ name: String, _ parts: [LazyTensor]) throws {
        let whole = LazyTensor.concatenated(parts, .rows)
        let isVector = whole.columns == 1 || name.hasSuffix("ffn_gate_inp_shexp.weight")
        tensors.append(
            GGUFTensor(
                name: name, dimensions: isVector ? [whole.rows * whole.columns] : [whole.rows, whole.columns],
                tensor: whole))
    }

    /// A role's matrix with its rows in llama.cpp's order, and what is added to norms.
    private func part(_ role: Role, _ name: String) throws -> LazyTensor {
        guard let tensor = checkpoint.table[role] else {
            throw CheckpointError(.incompatible, tensor: name, message: "there is nothing for \(role)")
        }
        let attention = configuration.attention
        switch role.kind {
        case .query, .queryBias, .key, .keyBias, .queryNorm, .keyNorm:
            let kept = rotated(tensor, dimension: attention.keyDimension)
            return role.kind == .queryNorm || role.kind == .keyNorm ? shifted(kept) : kept
        case .mixerNorm: return tensor
        default: return role.kind.rawValue.hasPrefix("norm.") && !role.kind.isBias ? shifted(tensor) : tensor
        }
    }

    /// `1 + w` where the family's norms multiply by it: llama.cpp's multiply by what is stored.
    private func shifted(_ tensor: LazyTensor) -> LazyTensor {
        guard configuration.norm.weightOffset != 0 else { return tensor }
        return LazyTensor(
            rows: tensor.rows, columns: tensor.columns, dtype: .f32,
            expression: .combined(
                [tensor.expression, .constant(configuration.norm.weightOffset)], Sum(), rows: tensor.rows))
    }

    private func rotated(_ tensor: LazyTensor, dimension: Int) -> LazyTensor {
        guard let rotation = configuration.rotation, rotation.isInterleaved != rules.rotatesPairs,
            configuration.attention.latent == nil, dimension > 0, tensor.rows % dimension == 0
        else { return tensor }
        let half = rotation.dimension / 2
        var order = Array(0..<dimension)
        for i in 0..<half {
            if rules.rotatesPairs {
                (order[2 * i], order[2 * i + 1]) = (i, i + half)
            } else {
                (order[i], order[i + half]) = (2 * i, 2 * i + 1)
            }
        }
        return tensor.picking(
            stride(from: 0, to: tensor.rows, by: dimension).flatMap { start in order.map { start + $0 } }, .rows)
    }

    /// The projection to keys, turned about for each head, and that to values.
    private mutating func addKeyValueUp(_ tensor: LazyTensor, _ prefix: String) throws {
        let attention = configuration.attention
        guard let latent = attention.latent else { return }
        let (heads, plain, rank, width) = (
            attention.heads, latent.plain, latent.keyValueRank, attention.valueDimension
        )
        let keys = try (0..<heads).map { head in
            let part = tensor.rows(head * (plain + width)..<head * (plain + width) + plain)
            guard case .source(let source, let view) = part.expression else {
                throw CheckpointError(
                    .incompatible, tensor: prefix + "attn_k_b.weight",
                    message:
                        "the projection to keys is turned about, and can be where it is stored as it is: write the "
                        + "checkpoint first, and convert that")
            }
            let turned = MatrixView(
                offset: view.offset, rows: view.columns, columns: view.rows, rowStride: view.columnStride,
                columnStride: view.rowStride)
            return LazyTensor(rows: rank, columns: plain, dtype: part.dtype, expression: .source(source, turned))
        }
        let values = (0..<heads).map { head in
            tensor.rows(head * (plain + width) + plain..<(head + 1) * (plain + width))
        }
        tensors.append(
            GGUFTensor(
                name: prefix + "attn_k_b.weight", dimensions: [heads, rank, plain],
                tensor: .concatenated(keys, .rows)))
        tensors.append(
            GGUFTensor(
                name: prefix + "attn_v_b.weight", dimensions: [heads, width, rank],
                tensor: .concatenated(values, .rows)))
    }
}

/// Matrices added up.
private struct Sum: Combining {
    let isDeferred = false
    let needsWholeVectors = false

    func combine(
        _ inputs: [UnsafeBufferPointer<Double>], rows: Range<Int>, columns: Int,
        into out: UnsafeMutableBufferPointer<Double>, _ evaluator: Evaluator
    ) throws {
        for i in out.indices { out[i] = inputs.reduce(0) { $0 + $1[i] } }
    }
}

extension DecoderConfiguration {
    /// How layers that see all tokens rotate, or else the first that has positions; nil where none has.
    var rotation: RotaryEmbedding? {
        let layers = attention.rotaryOfLayer.indices.filter {
            attention.rotaries.indices.contains(attention.rotaryOfLayer[$0])
                && attention.rotaries[attention.rotaryOfLayer[$0]].dimension > 0
        }
        guard let layer = layers.first(where: { attention.windows[$0] == nil }) ?? layers.first else { return nil }
        return attention.rotaries[attention.rotaryOfLayer[layer]]
    }

    /// How layers with a window rotate; nil where there is none.
    var windowedRotation: RotaryEmbedding? {
        let layer = attention.rotaryOfLayer.indices.first {
            attention.windows[$0] != nil && attention.rotaries.indices.contains(attention.rotaryOfLayer[$0])
        }
        return layer.map { attention.rotaries[attention.rotaryOfLayer[$0]] }
    }
}

extension RotaryEmbedding {
    /// What llama.cpp divides the frequencies by; nil where they are not scaled so.
    var llama3Factors: [Float]? {
        guard case .llama3(let factor, let low, let high, let original) = scaling else { return nil }
        return (0..<dimension / 2).map { pair in
            let power = Float(pow(Double(Float(theta)), Double(Float(2 * pair) / Float(dimension))))
            let wave = 2 * Float.pi / (1 / power)
            if wave < Float(original / high) { return 1 }
            if wave > Float(original / low) { return Float(factor) }
            let smooth = (Float(original) / wave - Float(low)) / Float(high - low)
            return 1 / ((1 - smooth) / Float(factor) + smooth)
        }
    }
}
