public import Checkpoints
package import Safetensors
public import Transforms

/// The file that `evaluate --stats` writes and `prune`, `densify` and `merge` read: what a pass over text found out about
/// experts.
///
/// For each mixture layer L (its number in the model), with E experts, D domains and H the hidden size:
///
/// | tensor | shape | what it is |
/// |---|---|---|
/// | `layers.L.tokens` | I64 `[D]` | tokens of each domain |
/// | `layers.L.frequency` | F64 `[E]` | tokens routed to each expert |
/// | `layers.L.domain_frequency` | F64 `[D, E]` | those of each domain |
/// | `layers.L.gate_mass` | F64 `[E]` | the sum of each expert's gates |
/// | `layers.L.mean_gate` | F64 `[E]` | the router's mean probability for each expert, selected or not |
/// | `layers.L.gate_sum` | F64 `[]` | the mean of a token's gates' sum, before the family's factor |
/// | `layers.L.shared_gate` | F64 `[]` | the mean of the shared expert's gate; not there where it has none |
/// | `layers.L.coactivation` | F64 `[E, E]` | tokens that went to both; to each, on the diagonal |
/// | `layers.L.output_norm` | F64 `[E]` | the mean norm of each expert's output over its tokens (EAN) |
/// | `layers.L.reap` | F64 `[E]` | the mean of gate times norm over its tokens (Lasby et al. 2025, 2510.13999) |
/// | `layers.L.mean_output` | F32 `[E, H]` | the mean of each expert's output over its tokens |
/// | `layers.L.mean_input` | F32 `[D, H]` | the mean of what the router sees, by domain |
/// | `layers.L.logit_gram` | F64 `[E, E]` | the sum of products of the experts' logits |
///
/// Means over no tokens are 0. With `--fisher` there is also an F32 tensor for each of the experts' tensors, under its name
/// in the checkpoint (one tensor an expert) and of its shape: the mean over windows of the squared gradient of the log
/// likelihood. The file's metadata name the `domains` and `expert_names` (JSON arrays), `experts`, `top_k`, `layers` and
/// the `length` of the windows: what experts do depends on how much text a token sees.
public struct ExpertStatisticsFile: Sendable {
    /// Where it was read from; "the statistics" where it was just measured.
    public let path: String
    /// The domains that the text was of.
    public let domains: [String]
    /// Experts of a layer.
    public let experts: Int
    /// Experts that a token is routed to.
    public let topK: Int
    /// Tokens of the windows that were read; nil where the file does not say.
    public let length: Int?
    /// Layers of the model, mixtures or not.
    public let layerCount: Int
    /// The numbers of the mixture layers.
    public let layers: [Int]

    /// Where the tensors are.
    private enum Storage: Sendable {
        case file(SafetensorsFile)
        case memory(TensorFile)
    }
    private let storage: Storage

    /// Reads a file; its tensors are read when they are asked for.
    ///
    /// - Throws: `SafetensorsError` where it is not such a file.
    public init(path: String) throws {
        let file = try SafetensorsFile(path: path)
        let metadata = Dictionary(
            file.header.metadata.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first })
        try self.init(path, .file(file), metadata: metadata, names: file.header.tensors.map(\.name))
    }

    /// What a pass has just found out, as the file would have it.
    package init(_ file: TensorFile) throws {
        try self.init("the statistics", .memory(file), metadata: file.metadata, names: file.names)
    }

    private init(_ path: String, _ storage: Storage, metadata: [String: String], names: [String]) throws {
        self.path = path
        self.storage = storage
        guard let list = metadata["domains"], let experts = metadata["experts"].flatMap({ Int($0) }), experts > 0,
            let topK = metadata["top_k"].flatMap({ Int($0) }), topK > 0,
            let layerCount = metadata["layers"].flatMap({ Int($0) }), layerCount > 0, layerCount < 1 << 20,
            let domains = try JSON(parsing: Array(list.utf8), file: path).array?.compactMap(\.string)
        else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "expected a file of statistics, as an evaluation with `statistics` writes it"
            )
        }
        self.domains = domains
        self.experts = experts
        self.topK = topK
        length = metadata["length"].flatMap { Int($0) }
        self.layerCount = layerCount
        let suffix = ".frequency"
        layers = names.compactMap { name in
            guard name.hasPrefix("layers."), name.hasSuffix(suffix) else { return nil }
            return Int(name.dropFirst(7).dropLast(suffix.count))
        }.filter { $0 >= 0 && $0 < layerCount }.sorted()
    }

    /// What prune ranks experts by, by layer.
    ///
    /// - Throws: `SafetensorsError` for a tensor that is missing or of another shape.
    public func expertStatistics() throws -> [Int: ExpertStatistics] {
        try byLayer { layer in
            ExpertStatistics(
                frequency: try values("frequency", layer, [experts]),
                gateMass: try values("gate_mass", layer, [experts]),
                outputNorm: try values("output_norm", layer, [experts]), reap: try values("reap", layer, [experts]))
        }
    }

    /// How often each expert is used, by layer: `DensifyOptions.usage`.
    public func usage() throws -> [Int: [Double]] { try byLayer { try values("frequency", $0, [experts]) } }

    /// The mean sum of a token's gates for each layer of the model: `DensifyOptions.gateMass`. A dense layer's is 1. Empty
    /// where all are 1 but for rounding: a factor of 0.9999999 would make copies of what are averages of copies.
    public func gateSums() throws -> [Double] {
        let known = try byLayer { try values("gate_sum", $0, [])[0] }
        if known.values.allSatisfy({ abs($0 - 1) < 1e-5 }) { return [] }
        return (0..<layerCount).map { known[$0] ?? 1 }
    }

    /// The mean of the shared expert's gate for each layer of the model: `DensifyOptions.sharedGate`; empty where it has
    /// none.
    public func sharedGates() throws -> [Double] {
        guard let first = layers.first, info("layers.\(first).shared_gate") != nil else { return [] }
        let known = try byLayer { try values("shared_gate", $0, [])[0] }
        return (0..<layerCount).map { known[$0] ?? 1 }
    }

    /// The mean of each expert's output over its tokens, `[E][H]`, by layer: HC-SMoE's features.
    public func meanOutputs() throws -> [Int: [[Double]]] {
        try byLayer { try rows("mean_output", $0, count: experts) }
    }

    /// The mean of what the router sees, `[D][H]`, by layer: `RouterValues.domain`'s means.
    public func meanInputs() throws -> [Int: [[Double]]] {
        try byLayer { try rows("mean_input", $0, count: domains.count) }
    }

    /// The cosines between experts' logits over all tokens, `[E][E]`, by layer: M-SMoE's similarity.
    public func similarity() throws -> [Int: [[Double]]] {
        try byLayer { layer in
            let gram = try values("logit_gram", layer, [experts, experts])
            return (0..<experts).map { i in
                (0..<experts).map { j in
                    let norm = (gram[i * experts + i] * gram[j * experts + j]).squareRoot()
                    return norm > 0 ? gram[i * experts + j] / norm : 0
                }
            }
        }
    }

    /// Writes them where `init(path:)` can read them.
    ///
    /// - Parameter overwrite: replace a file of statistics that is there.
    /// - Throws: `CheckpointError` and `SafetensorsError` for a place that cannot be written to.
    public func write(to path: String, overwrite: Bool = false) throws {
        try write(to: OutputFile(path, .expertStatistics, overwrite: overwrite))
    }

    package func write(to output: OutputFile) throws {
        switch storage {
        case .memory(let tensors): try output.write(tensors)
        case .file(let file):
            throw CheckpointError(
                .usage, file: output.path, message: "the statistics are in \(escaped(file.path)): copy that file")
        }
    }

    private func info(_ name: String) -> (dtype: DType, shape: Shape)? {
        switch storage {
        case .file(let file): file.info(name).map { ($0.dtype, $0.shape) }
        case .memory(let file): file.tensor(name).map { ($0.dtype, $0.shape) }
        }
    }

    private func bytes(_ name: String) throws -> [UInt8] {
        switch storage {
        case .file(let file): try file.bytes(name)
        case .memory(let file): file.tensor(name)?.bytes ?? []
        }
    }

    /// Refuses statistics of another model.
    ///
    /// - Throws: `.incompatible` where layers, experts or top-k are not the checkpoint's.
    public func check(_ checkpoint: Checkpoint) throws {
        let description = checkpoint.description
        guard checkpoint.isMixture else {
            throw CheckpointError(
                .incompatible, file: description.config.file,
                message: "a dense model has no experts to have statistics of")
        }
        let mixtures = description.moeLayers.indices.filter { description.moeLayers[$0] }
        let (own, ownTopK) = (try description.size("experts"), try description.size("top_k"))
        guard layerCount == description.layerCount, layers == mixtures, experts == own else {
            throw CheckpointError(
                .incompatible, file: path,
                message: "the statistics are of \(experts) experts in \(layers.count) of \(layerCount) layers, and "
                    + "\(checkpoint.name) has \(own) in \(mixtures.count) of \(description.layerCount): they are another "
                    + "model's")
        }
        guard topK == ownTopK else {
            throw CheckpointError(
                .incompatible, file: path,
                message: "the statistics are of top-\(topK) routing, and \(checkpoint.name) is top-\(ownTopK)")
        }
    }

    private func byLayer<Value>(_ value: (Int) throws -> Value) throws -> [Int: Value] {
        var result: [Int: Value] = [:]
        for layer in layers { result[layer] = try value(layer) }
        return result
    }

    private func rows(_ name: String, _ layer: Int, count: Int) throws -> [[Double]] {
        let full = "layers.\(layer).\(name)"
        guard let shape = info(full)?.shape.dimensions, shape.count == 2, shape[0] == count else {
            throw unexpected(full, "[\(count), H]")
        }
        let all = try values(name, layer, shape)
        return (0..<count).map { Array(all[$0 * shape[1]..<($0 + 1) * shape[1]]) }
    }

    /// A tensor of F64 or F32 values.
    private func values(_ name: String, _ layer: Int, _ shape: [Int]) throws -> [Double] {
        let full = "layers.\(layer).\(name)"
        guard let info = info(full), info.shape.dimensions == shape, info.dtype == .f64 || info.dtype == .f32
        else {
            throw unexpected(full, "\(shape)")
        }
        let bytes = try bytes(full)
        let values = bytes.withUnsafeBytes { raw in
            info.dtype == .f64
                ? (0..<raw.count / 8).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
                : (0..<raw.count / 4).map { Double(raw.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self)) }
        }
        guard values.allSatisfy(\.isFinite) else {
            throw SafetensorsError(
                .malformed, file: path, tensor: full, message: "there are values that are NaN or infinite in it")
        }
        return values
    }

    private func unexpected(_ name: String, _ shape: String) -> SafetensorsError {
        guard let info = info(name) else {
            return SafetensorsError(.missing, file: path, tensor: name, message: "the file has no such tensor")
        }
        return SafetensorsError(
            .malformed, file: path, tensor: name,
            message: "expected F64 or F32 of shape \(shape), found \(info.dtype.rawValue) \(info.shape)")
    }
}

extension OutputKind {
    /// A file of statistics.
    package static let expertStatistics = OutputKind.file("a file of statistics") {
        _ = try ExpertStatisticsFile(path: $0)
    }
}
