import Numerics
import Safetensors

/// A checkpoint's tensors under the names and in the shapes that they have where nothing is quantised.
struct StoredTensors {
    /// A tensor, however it is stored.
    enum Entry {
        case plain(SourceTensor)
        case quantised(QuantisedTensor)
        /// One matrix of a stack.
        indirect case member(Entry, Int)

        var shape: [Int] {
            switch self {
            case .plain(let tensor): tensor.info.shape.dimensions
            case .quantised(let tensor): tensor.shape
            case .member(let stack, _): Array(stack.shape.dropFirst())
            }
        }

        /// The quantised weight that it is, or is of.
        var weight: QuantisedTensor? {
            switch self {
            case .plain: nil
            case .quantised(let tensor): tensor
            case .member(let stack, _): stack.weight
            }
        }

        /// A view of it in the dtype that it has on disk, or in BF16 where it must be decoded.
        func tensor(_ view: MatrixView) -> LazyTensor {
            switch self {
            case .plain(let tensor): return LazyTensor(tensor, view: view)
            case .quantised(let tensor):
                return LazyTensor(
                    rows: view.rows, columns: view.columns, dtype: .bf16,
                    expression: .quantised(tensor, tensor.stored(view)))
            case .member(let stack, let index):
                let size = shape.reduce(1, *)
                return stack.tensor(
                    MatrixView(
                        offset: index * size + view.offset, rows: view.rows, columns: view.columns,
                        rowStride: view.rowStride, columnStride: view.columnStride))
            }
        }

        /// All of it as a matrix: of as many rows as the first dimension where it is plain, else of its last dimension.
        var whole: LazyTensor {
            let shape = shape
            let elements = shape.reduce(1, *)
            guard let weight, let columns = shape.last, shape.count > 1, columns > 0 else {
                let rows = shape.first ?? 1
                return tensor(.contiguous(rows: rows, columns: shape.count < 2 || rows == 0 ? 1 : elements / rows))
            }
            guard weight.isTransposed, shape.count == 3 else {
                return tensor(.contiguous(rows: elements / columns, columns: columns))
            }
            return .concatenated(
                (0..<shape[0]).map { copy in
                    tensor(.contiguous(rows: shape[1], columns: columns, offset: copy * shape[1] * columns))
                }, .rows)
        }

        /// Bytes that its elements take on disk, but for what goes with codes.
        var byteCount: Int {
            switch self {
            case .plain(let tensor): tensor.info.end - tensor.info.begin
            case .quantised(let tensor): tensor.byteCount
            case .member(let stack, _): stack.byteCount / max(stack.shape.first ?? 1, 1)
            }
        }
    }

    /// All names, in the order of the files.
    let names: [String]
    /// What belongs to no weight, and is not needed to know the weights' values: scales of inputs, keys and values.
    let unneeded: [String]
    let quantisation: Quantisation?
    private let entries: [String: Entry]

    subscript(name: String) -> Entry? { entries[name] }

    /// The weights that are quantised, in the order of the files.
    var quantised: [QuantisedTensor] {
        var seen: Set<ObjectIdentifier> = []
        return names.compactMap { entries[$0]?.weight }.filter { seen.insert(ObjectIdentifier($0)).inserted }
    }

    /// Whether experts are quantised in stacks, which stay so.
    var hasStacks: Bool { quantised.contains { $0.shape.count > 2 } }

    /// Whether it is a bias of zeros beside a quantised weight, as AutoGPTQ wrote them for layers that have none.
    func isZeroBias(_ name: String) throws -> Bool {
        guard name.hasSuffix(".bias"), case .plain(let bias)? = entries[name],
            case .quantised? = entries[name.dropLast("bias".count) + "weight"], bias.info.shape.dimensions.count == 1
        else { return false }
        return try bias.info.dtype.isConvertible && LazyTensor.areZero([LazyTensor(whole: bias)])
    }

    /// - Throws: `CheckpointError` naming the weight and its parts where they do not fit together.
    init(_ tensors: ShardedTensors, _ config: ModelConfig, _ architecture: Architecture, folder: String) throws {
        var quantisation = try Quantisation.stated(in: config, folder: folder)
        var parts = QuantisedParts(tensors, scheme: quantisation?.scheme ?? "")
        if let quantisation { try quantisation.find(in: &parts, architecture) }
        var names: [String] = []
        var entries: [String: Entry] = [:]
        for (file, info) in tensors.entries where !parts.isTaken(info.name) {
            names.append(info.name)
            entries[info.name] = .plain(SourceTensor(file: file, info: info))
        }
        for (name, entry) in parts.found {
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw CheckpointError(
                    .incompatible, file: folder, tensor: name,
                    message: "it is there both as it is and quantised, and nothing says which counts")
            }
            names.append(name)
        }
        quantisation?.others = parts.unneeded.compactMap { parts[$0] }
        self.quantisation = quantisation
        self.names = names
        self.entries = entries
        unneeded = parts.unneeded
    }
}

/// The tensors of a folder while those that belong to quantised weights are found.
struct QuantisedParts {
    let tensors: ShardedTensors
    /// The weights that were found, under their plain names.
    private(set) var found: [(name: String, entry: StoredTensors.Entry)] = []
    /// What no weight's values depend on.
    private(set) var unneeded: [String] = []
    private var taken: Set<String> = []

    private let scheme: String

    init(_ tensors: ShardedTensors, scheme: String) {
        self.tensors = tensors
        self.scheme = scheme
    }

    /// All tensors, file by file.
    var all: [SourceTensor] { tensors.entries.map { SourceTensor(file: $0.file, info: $0.info) } }

    func isTaken(_ name: String) -> Bool { taken.contains(name) }

    subscript(name: String) -> SourceTensor? {
        tensors.lookup(name).map { SourceTensor(file: $0.file, info: $0.info) }
    }

    mutating func add(_ tensor: QuantisedTensor) {
        taken.formUnion(tensor.parts.map(\.tensor.info.name))
        found.append((tensor.name, .quantised(tensor.of(scheme))))
    }

    /// A weight with the settings that it has in common with others, for what is added by other names.
    func settled(_ tensor: QuantisedTensor) -> QuantisedTensor { tensor.of(scheme) }

    /// Takes the place of a tensor under other names.
    mutating func add(_ entries: [(name: String, entry: StoredTensors.Entry)], insteadOf names: [String]) {
        taken.formUnion(names)
        found += entries
    }

    /// Leaves out what no weight's values depend on.
    mutating func leaveOut(_ name: String) {
        guard taken.insert(name).inserted else { return }
        unneeded.append(name)
    }
}

extension CheckpointError {
    /// Parts of a quantised weight that do not fit together.
    static func misfit(_ weight: String, _ part: SourceTensor, _ message: String) -> CheckpointError {
        CheckpointError(
            .incompatible, file: part.file.path, tensor: weight,
            message: "\(escaped(part.info.name)) is \(part.info.dtype.rawValue) \(part.info.shape): \(message)")
    }
}

extension StoredTensors {
    /// What is stored beside quantised weights and is no part of their values, for the user; nil where nothing is.
    var note: String? {
        var names = unneeded
        for weight in quantised {
            names += weight.parts.filter { $0.label == "input scale" }.map(\.tensor.info.name)
        }
        guard let first = names.first else { return nil }
        return
            "\(names.count) scales of inputs, keys or values (\(escaped(first))\(names.count > 1 ? ", …" : "")) are no "
            + "part of the weights: they are written where these stay quantised, and left out where they do not"
    }
}
