import Safetensors

/// What of a checkpoint is quantised, and how.
public struct StoredQuantisation: Sendable {
    /// Weights of one format.
    public struct Format: Sendable {
        /// The format in words.
        public let name: String
        /// How many weights are of it.
        public let weights: Int
        /// Elements of the weights.
        public let elements: Int
        /// Bytes of all that is stored of them, scales and the like included.
        public let bytes: Int

        /// Bits that an element takes, scales included.
        public var bitsPerWeight: Double { elements > 0 ? 8 * Double(bytes) / Double(elements) : 0 }
    }

    /// What `quant_method` names, and mlx for mlx-lm's settings, which name none.
    public let method: String
    /// The formats, the one of most elements first.
    public let formats: [Format]
    /// The roles of matrices that are not quantised, and how many there are of each.
    public let unquantised: [(role: String, tensors: Int)]

    /// Nil where nothing is quantised.
    init?(_ stored: StoredTensors, _ expected: [ExpectedTensor]) {
        guard let quantisation = stored.quantisation else { return nil }
        method = quantisation.method.rawValue
        var found: [String: (weights: Int, elements: Int, bytes: Int)] = [:]
        for weight in stored.quantised {
            let entry = found[weight.format] ?? (0, 0, 0)
            found[weight.format] = (
                entry.weights + 1, entry.elements + weight.elementCount, entry.bytes + weight.byteCount
            )
        }
        formats = found.map {
            Format(name: $0.key, weights: $0.value.weights, elements: $0.value.elements, bytes: $0.value.bytes)
        }
        .sorted { ($1.elements, $0.name) < ($0.elements, $1.name) }
        var others: [String: Int] = [:]
        for tensor in expected where tensor.shape.count >= 2 {
            guard let entry = stored[tensor.name], entry.weight == nil, let role = tensor.placements.first?.role else {
                continue
            }
            others[role.kind == .carried ? "carried" : role.kind.rawValue, default: 0] += 1
        }
        unquantised = others.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Bits that an element of a quantised weight takes, scales included.
    public var bitsPerWeight: Double {
        let elements = formats.reduce(0) { $0 + $1.elements }
        return elements > 0 ? 8 * Double(formats.reduce(0) { $0 + $1.bytes }) / Double(elements) : 0
    }

    var json: JSON {
        .object([
            "method": .string(method), "bits_per_weight": .number(String(bitsPerWeight)),
            "formats": .array(
                formats.map {
                    .object([
                        "format": .string($0.name), "weights": JSON($0.weights), "elements": JSON($0.elements),
                        "bytes": JSON($0.bytes), "bits_per_weight": .number(String($0.bitsPerWeight)),
                    ])
                }),
            "not_quantised": .array(
                unquantised.map { .object(["role": .string($0.role), "tensors": JSON($0.tensors)]) }),
        ])
    }
}
