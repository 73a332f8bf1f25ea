package import Packing
public import Safetensors

/// What a checkpoint, or a safetensors file by itself, is: from its headers alone.
public struct Inspection: JSONResult {
    /// The model, as configuration and headers have it.
    public struct Model: Sendable {
        /// `model_type` of the configuration.
        public let family: String
        /// The class that the configuration names.
        public let architecture: String
        /// Layers, mixtures or not.
        public let layers: Int
        /// Which layers are mixtures.
        public let moeLayers: [Int]
        /// Which layers have which mixer, and those without one; nil where all attend.
        public let mixers: [(name: String, layers: [Int])]?
        /// Elements of keys and values of a token in all layers, and of what layers without attention keep of a sequence.
        public let keptElements: (token: Int, sequence: Int)
        /// The width of the residual stream.
        public let hidden: Int
        /// The width of a layer's feed-forward network, or of an expert where all layers are mixtures.
        public let feedForward: Int
        /// Attention heads.
        public let heads: Int
        /// A head's width.
        public let headDimension: Int
        /// Heads of keys and values.
        public let keyValueHeads: Int
        /// Rows of the embedding.
        public let vocabulary: Int
        /// Whether embedding and head are one matrix.
        public let isTied: Bool
        /// The mixtures; nil for a dense model.
        public let experts: Experts?
    }

    /// The mixtures of experts.
    public struct Experts: Sendable {
        /// Routed experts of a layer.
        public let count: Int
        /// Experts that a token is routed to.
        public let topK: Int
        /// An expert's width.
        public let width: Int
        /// The width of the shared expert; nil where there is none.
        public let sharedWidth: Int?
        /// How the experts lie on disk.
        public let layout: String
    }

    /// The sizes, where the folder has a configuration of a family that is known.
    public private(set) var model: Model?
    /// Parameters in all, and those that one token's computation uses.
    public private(set) var parameters: (total: Int, active: Int)?
    /// The weight files' names.
    public let files: [String]
    /// Tensors in all files.
    public let tensorCount: Int
    /// Bytes of their data.
    public let byteCount: Int
    /// How much there is of each dtype.
    public let dtypes: [(dtype: DType, tensors: Int, bytes: Int)]
    /// What is quantised and how; nil where nothing is.
    public private(set) var quantisation: StoredQuantisation?
    /// What packing came to, where the files are packed.
    package let packed: PackedSummary?
    /// Files of the tokenizer beside the weights.
    public private(set) var tokenizerFiles: [String] = []
    /// The names of tensors that the family does not describe, and their bytes.
    public private(set) var carried: (names: [String], bytes: Int) = ([], 0)
    /// Every tensor.
    public let tensors: [(name: String, dtype: DType, shape: Shape, file: String)]
    /// What the user should know.
    public private(set) var warnings: [String]
    /// What keeps the checkpoint from being used.
    public private(set) var problems: [String] = []

    /// - Parameter path: a folder, a file, or a name in the Hugging Face cache.
    /// - Throws: `SafetensorsError`, `CheckpointError` where the files cannot be read at all.
    public init(of path: String) throws {
        let folder = try resolveModelPath(path)
        let tensors = try ShardedTensors.open(folder)
        files = tensors.files.map { Self.name(of: $0.path) }
        var all: [(name: String, dtype: DType, shape: Shape, file: String)] = []
        var byDType: [DType: (tensors: Int, bytes: Int)] = [:]
        for (file, tensor) in tensors.entries {
            all.append((tensor.name, tensor.dtype, tensor.shape, Self.name(of: file.path)))
            byDType[tensor.dtype, default: (0, 0)].tensors += 1
            byDType[tensor.dtype, default: (0, 0)].bytes += tensor.end - tensor.begin
        }
        self.tensors = all.sorted { utf8Precedes($0.name, $1.name) }
        tensorCount = all.count
        byteCount = tensors.files.reduce(0) { $0 + $1.size }
        dtypes = byDType.map { ($0.key, $0.value.tensors, $0.value.bytes) }.sorted { $0.bytes > $1.bytes }
        packed =
            try ShardedTensors.isPacked(folder)
            ? PackedSummary(tensors.files.map { file throws(SafetensorsError) in try PackedFile(path: file.path) })
            : nil
        warnings = tensors.warnings
        let elements = all.reduce(0) { $0 + $1.shape.elementCount }
        parameters = (elements, elements)
        guard try PosixFile.pathIfPresent(of: "config.json", inFolder: folder) != nil else {
            if ![".safetensors", PackedFile.suffix].contains(where: { folder.hasSuffix($0) }) {
                warnings.append("there is no config.json: the family is not known")
            }
            return
        }
        tokenizerFiles = try Companion.inFolder(folder).filter(\.isTokenizer).map(\.name)
        do {
            try describe(folder, tensors)
        } catch let error as CheckpointError where error.code == .incompatible {
            problems.append(error.description)
        }
    }

    /// Adds what was found elsewhere.
    package mutating func warn(_ message: String) { warnings.append(message) }

    private mutating func describe(_ folder: String, _ tensors: ShardedTensors) throws {
        let (description, config) = try CheckpointReader(path: folder).describe()
        let architecture = description.architecture
        var experts: Experts?
        let match = try TensorMatch(description, tensors)
        if description.isMixture {
            experts = Experts(
                count: try description.size("experts"), topK: try description.size("top_k"),
                width: try description.size("expert_inner"), sharedWidth: description.sizeIfKnown("shared_inner"),
                layout: match.layout ?? "")
        }
        let headDimension = try description.sizeIfKnown("head_dim") ?? description.size("v_dim")
        model = Model(
            family: architecture.modelType,
            architecture: (config.surroundings.wrapper?.outer ?? config.object)["architectures"]?.array?.first?.string
                .map(escaped) ?? "no class named",
            layers: description.layerCount,
            moeLayers: description.moeLayers.indices.filter { description.moeLayers[$0] },
            mixers: mixers(of: description), keptElements: try keptElements(of: description),
            hidden: try description.size("hidden"),
            feedForward: try description.sizeIfKnown("inner") ?? description.size("expert_inner"),
            heads: try description.size("heads"), headDimension: headDimension,
            keyValueHeads: try description.size("kv_heads"), vocabulary: try description.size("vocab"),
            isTied: try description.isTied, experts: experts)
        quantisation = StoredQuantisation(
            match.stored, try match.description.expectedTensors(layout: match.layout))
        let beside = match.description.config.surroundings.carried
        carried = (beside.map(\.name), beside.reduce(0) { $0 + $1.byteCount })
        warnings += match.notes
        problems += match.problems
        try count(description)
    }

    private func mixers(of description: ModelDescription) -> [(name: String, layers: [Int])]? {
        let names = description.mixers.map { $0?.rawValue ?? "none" }
        guard names.contains(where: { $0 != MixerKind.attention.rawValue }) else { return nil }
        return Set(names).sorted().map { name in (name, names.indices.filter { names[$0] == name }) }
    }

    private func keptElements(of description: ModelDescription) throws -> (token: Int, sequence: Int) {
        let sequence = try (0..<description.layerCount).reduce(0) { try $0 + description.stateElements(of: $1) }
        return (try description.keyValueElements(), sequence)
    }

    /// Counts from the sizes: what is active are all matrices but those of the experts that a token is not routed to.
    private mutating func count(_ description: ModelDescription) throws {
        var total = 0
        var active = 0
        let topK = description.sizeIfKnown("top_k") ?? 0
        let isTied = try description.isTied
        for expected in try description.expectedTensors() {
            // Where embedding and head are one, a copy in the file is not another parameter.
            if isTied, expected.placements.contains(where: { $0.role.kind == .head }) { continue }
            let elements = try Shape(expected.shape).elementCount
            let (sum, overflow) = total.addingReportingOverflow(elements)
            guard !overflow else {
                throw description.config.failure(.malformed, "the sizes give more parameters than any model has")
            }
            total = sum
            let routed = Set(expected.placements.compactMap(\.role.expert))
            let isUsed = routed.count > 1 || (routed.first.map { $0 < topK } ?? true)
            guard isUsed else { continue }
            active += routed.count > 1 ? elements / routed.count * topK : elements
        }
        parameters = (total, active)
    }

    private static func name(of path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}

extension Inspection.Model {
    /// "32, all of them mixtures" and the like.
    package var layersText: String {
        guard experts != nil else { return "\(layers)" }
        if moeLayers.count == layers { return "\(layers), all of them mixtures of experts" }
        return "\(layers), \(moeLayers.count) of them mixtures of experts (\(ranges(moeLayers)))"
    }

    private func ranges(_ numbers: [Int]) -> String {
        var parts: [(first: Int, last: Int)] = []
        for number in numbers {
            if let last = parts.last, last.last + 1 == number {
                parts[parts.count - 1].last = number
            } else {
                parts.append((number, number))
            }
        }
        return parts.map { $0.first == $0.last ? "\($0.first)" : "\($0.first)-\($0.last)" }.joined(separator: ", ")
    }
}

extension Inspection {
    /// The inspection as a JSON document, without a list of tensors.
    public var json: JSONObject { json(tensors: false) }

    /// The inspection as a JSON document.
    package func json(tensors listed: Bool) -> JSONObject {
        var object = JSONObject()
        if let model {
            object["family"] = .string(model.family)
            object["architecture"] = .string(model.architecture)
            object["layers"] = JSON(model.layers)
            object["hidden_size"] = JSON(model.hidden)
            object["feed_forward_size"] = JSON(model.feedForward)
            object["heads"] = JSON(model.heads)
            object["head_dimension"] = JSON(model.headDimension)
            object["key_value_heads"] = JSON(model.keyValueHeads)
            object["key_value_elements_per_token"] = JSON(model.keptElements.token)
            if let mixers = model.mixers {
                var entry = JSONObject()
                for mixer in mixers { entry[mixer.name] = .array(mixer.layers.map { JSON($0) }) }
                object["mixers"] = .object(entry)
                object["state_elements"] = JSON(model.keptElements.sequence)
            }
            object["vocabulary"] = JSON(model.vocabulary)
            object["tied_embeddings"] = .bool(model.isTied)
            if let experts = model.experts {
                var entry: JSONObject = [
                    "count": JSON(experts.count), "top_k": JSON(experts.topK), "width": JSON(experts.width),
                    "layout": .string(experts.layout), "layers": .array(model.moeLayers.map { JSON($0) }),
                ]
                if let shared = experts.sharedWidth { entry["shared_width"] = JSON(shared) }
                object["experts"] = .object(entry)
            }
        }
        if let parameters {
            object["parameters"] = .object(["total": JSON(parameters.total), "active": JSON(parameters.active)])
        }
        object["bytes"] = JSON(byteCount)
        if let packed {
            var shares = JSONObject()
            for codec in PlaneCodec.allCases { shares[codec.name] = JSON(packed.codecs[codec] ?? 0) }
            object["packed"] = .object([
                "raw_bytes": JSON(packed.rawBytes), "stored_bytes": JSON(packed.storedBytes),
                "unique_bytes": JSON(packed.uniqueBytes), "unique_tensors": JSON(packed.unique),
                "shared_tensors": JSON(packed.shared), "differences": JSON(packed.differences),
                "plane_bytes_by_codec": .object(shares),
            ])
        }
        object["tensor_count"] = JSON(tensorCount)
        object["carried"] = .object(["tensors": JSON(carried.names.count), "bytes": JSON(carried.bytes)])
        object["files"] = .array(files.map { .string($0) })
        object["dtypes"] = .array(
            dtypes.map { entry in
                .object([
                    "dtype": .string(entry.dtype.rawValue), "tensors": JSON(entry.tensors), "bytes": JSON(entry.bytes),
                ])
            })
        if let quantisation { object["quantisation"] = quantisation.json }
        object["tokenizer_files"] = .array(tokenizerFiles.map { .string($0) })
        if listed {
            object["tensors"] = .array(
                tensors.map { tensor in
                    .object([
                        "name": .string(tensor.name), "dtype": .string(tensor.dtype.rawValue),
                        "shape": .array(tensor.shape.dimensions.map { JSON($0) }), "file": .string(tensor.file),
                    ])
                })
        }
        object["warnings"] = .array(warnings.map { .string($0) })
        object["problems"] = .array(problems.map { .string($0) })
        return object
    }
}
