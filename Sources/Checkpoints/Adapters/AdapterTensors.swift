import Numerics
import Safetensors

/// The tensors of an `adapter_model.safetensors`, by what they are.
struct AdapterTensors {
    /// The matrices of a module's change. Of parameters that are wrapped one in another the outermost has depth 0.
    struct Product {
        let module: String
        let depth: Int
        var a: TensorInfo?
        var b: TensorInfo?
        var bias: TensorInfo?
        /// Of an embedding, whose matrices are stored the other way round.
        let isEmbedding: Bool
    }

    let file: SafetensorsFile
    /// In the order of their names.
    private(set) var products: [Product] = []
    /// Tensors that stand for the base's of that name.
    private(set) var whole: [(name: String, info: TensorInfo)] = []
    /// Rows of an embedding's tokens, by module.
    private(set) var tokens: [(module: String, info: TensorInfo)] = []

    private static let prefix = "base_model.model."
    private enum Part: CaseIterable { case a, b, bias, embeddingA, embeddingB }

    private static func end(of part: Part) -> String {
        switch part {
        case .a: ".lora_A.weight"
        case .b: ".lora_B.weight"
        case .bias: ".lora_B.bias"
        case .embeddingA: ".lora_embedding_A"
        case .embeddingB: ".lora_embedding_B"
        }
    }

    /// - Throws: `CheckpointError` for a name that is none of PEFT's.
    init(_ file: SafetensorsFile) throws {
        self.file = file
        var found: [String: Product] = [:]
        for info in file.header.tensors {
            guard info.name.hasPrefix(Self.prefix) else {
                throw CheckpointError(
                    .incompatible, file: file.path, tensor: info.name,
                    message: "expected a name that begins \(Self.prefix): is it an adapter that PEFT saved?")
            }
            guard info.dtype.isConvertible else {
                throw CheckpointError(
                    .incompatible, file: file.path, tensor: info.name,
                    message: "it is \(info.dtype.rawValue), and an adapter's tensors are floating-point numbers")
            }
            let name = String(info.name.dropFirst(Self.prefix.count))
            if let part = Part.allCases.first(where: { name.hasSuffix(Self.end(of: $0)) }) {
                let isEmbedding = part == .embeddingA || part == .embeddingB
                var parts = name.dropLast(Self.end(of: part).count).split(
                    separator: ".", omittingEmptySubsequences: false)
                var depth = 0
                while parts.last == "base_layer" {
                    parts.removeLast()
                    depth += 1
                }
                let module = parts.joined(separator: ".")
                let key = "\(module) \(depth) \(isEmbedding)"
                var product = found[key] ?? Product(module: module, depth: depth, isEmbedding: isEmbedding)
                switch part {
                case .a, .embeddingA: product.a = info
                case .b, .embeddingB: product.b = info
                case .bias: product.bias = info
                }
                found[key] = product
            } else if name.hasSuffix(".token_adapter.trainable_tokens_delta") {
                tokens.append((String(name.dropLast(".token_adapter.trainable_tokens_delta".count)), info))
            } else {
                let wrappers: Set<Substring> = ["base_layer", "modules_to_save"]
                let parts = name.split(separator: ".", omittingEmptySubsequences: false).filter {
                    !wrappers.contains($0)
                }
                whole.append((parts.joined(separator: "."), info))
            }
        }
        products = found.sorted { utf8Precedes($0.key, $1.key) }.map(\.value)
        guard !products.isEmpty || !tokens.isEmpty || !whole.isEmpty else {
            throw CheckpointError(.incompatible, file: file.path, message: "there are no tensors in it")
        }
    }
}
