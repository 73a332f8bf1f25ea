import Numerics
import Safetensors

/// A LoRA adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.
///
/// `W + (alpha / r) B A` (Hu et al. 2022, 2106.09685), or `alpha / sqrt(r)` with `use_rslora` (Kalajdzievski 2023,
/// 2312.03732). B A is summed in F32; the sum with W is rounded once. What was trained whole (`modules_to_save`, biases,
/// rows of tokens, a vocabulary that grew) takes the place of the base's.
struct LowRankAdapter {
    let configuration: AdapterConfiguration
    private let folder: String

    /// - Throws: `CheckpointError` where the adapter computes something else.
    init(folder: String) throws {
        self.folder = folder
        configuration = try AdapterConfiguration(folder: folder)
    }

    /// The base with the adapter's change.
    func applied(to base: Checkpoint) throws -> Checkpoint {
        let tensors = try AdapterTensors(open())
        var change = try AdaptedModel(base, configuration, tensors.file)
        for (name, info) in tensors.whole { try change.replace(name, info) }
        for product in tensors.products { try change.add(product) }
        for (module, info) in tensors.tokens { try change.replaceTokens(of: module, info) }
        let (description, table) = try change.result()
        // A tokenizer that was saved with the adapter is the one it was trained with.
        let own = try Companion.inFolder(folder).filter(\.isTokenizer)
        let companions = own.isEmpty ? base.companions : base.companions.filter { !$0.isTokenizer } + own
        let result = Checkpoint(
            description: description, table: table, layout: base.layout, sources: base.sources + [tensors.file],
            companions: companions, history: base.history, warnings: base.warnings)
        return result.recording(["command": "apply adapter", "adapter": .string(result.name)])
    }

    private func open() throws -> SafetensorsFile {
        if let path = try PosixFile.pathIfPresent(of: "adapter_model.safetensors", inFolder: folder) {
            return try SafetensorsFile(path: path)
        }
        func failure(_ message: String) -> CheckpointError {
            CheckpointError(.malformed, file: folder, message: message)
        }
        if try fileExists(folder + "/adapter_model.bin") {
            throw failure(
                "the adapter is a PyTorch pickle (adapter_model.bin), which can run code when it is read: load it with "
                    + "PEFT and save it again, with safe_serialization=True")
        }
        if try fileExists(folder + "/adapters.safetensors") || fileExists(folder + "/adapters.npz") {
            throw failure("it is an adapter of mlx-lm, not of PEFT: make a model of it with mlx_lm.fuse first")
        }
        throw failure("there is no adapter_model.safetensors beside \(AdapterConfiguration.fileName)")
    }
}

/// A model that an adapter is being applied to.
private struct AdaptedModel {
    private let base: Checkpoint
    private let configuration: AdapterConfiguration
    private let file: SafetensorsFile
    /// The tensors of the family under each name that a layout has for them, the head among them although it be tied.
    private var named: [String: ExpectedTensor] = [:]
    private var order: [String] = []
    private var table: [Role: LazyTensor]
    private let isTied: Bool
    /// What both embedding and head are where they are tied.
    private var shared: LazyTensor?
    /// Whether the embedding has become another than the head that was tied to it.
    private var leavesHead = false

    init(_ base: Checkpoint, _ configuration: AdapterConfiguration, _ file: SafetensorsFile) throws {
        self.base = base
        self.configuration = configuration
        self.file = file
        table = base.table
        let architecture = base.description.architecture
        isTied = try base.description.isTied
        shared = isTied ? table[Role(.embedding)] : nil
        let untied = try Self.untied(base.description)
        let layouts: [String?] = base.isMixture ? architecture.layoutNames.map { $0 } : [nil]
        for layout in layouts {
            for tensor in try untied.expectedTensors(layout: layout) where named[tensor.name] == nil {
                named[tensor.name] = tensor
                order.append(tensor.name)
            }
        }
    }

    private static func untied(_ description: ModelDescription) throws -> ModelDescription {
        var config = description.config
        config.object["tie_word_embeddings"] = false
        return try ModelDescription(description.architecture, config)
    }

    private func failure(_ name: String, _ message: String) -> CheckpointError {
        CheckpointError(.incompatible, file: file.path, tensor: name, message: message)
    }

    /// The tensor of that name; a model saved without its head, and an adapter of one, has names that begin otherwise.
    private func tensor(_ name: String) -> ExpectedTensor? {
        let own = named[name] ?? named["model." + name]
        return own ?? (name.hasPrefix("model.") ? named[String(name.dropFirst("model.".count))] : nil)
    }

    private func current(_ role: Role, _ name: String) throws -> LazyTensor {
        if let tensor = table[role] ?? (role.kind == .head ? shared : nil) { return tensor }
        throw failure(name, "the base has nothing for \(role)")
    }

    // MARK: Whole tensors

    /// Puts a tensor in the place of the base's.
    mutating func replace(_ name: String, _ info: TensorInfo) throws {
        guard let expected = tensor(name) else { throw failure(info.name, "the base has no \(escaped(name))") }
        let source = SourceTensor(file: file, info: info)
        let kind = expected.placements.first?.role.kind
        if kind == .embedding || kind == .head {
            // The only ones that may have another number of rows: of a vocabulary that grew.
            let old = try current(Role(kind ?? .embedding), info.name)
            guard info.shape.dimensions.count == 2, info.shape.dimensions[1] == old.columns else {
                throw failure(info.name, "it is \(info.shape), and the base's is \(old.rows) x \(old.columns)")
            }
            let new = LazyTensor(whole: source).written(as: old.dtype)
            let isOwn = configuration.saves(name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : name)
            if kind == .head {
                table[Role(.head)] = new
            } else {
                table[Role(.embedding)] = new
                if isTied, isOwn { leavesHead = true } else if isTied { shared = new }
            }
            return
        }
        guard info.shape.dimensions == expected.shape else {
            throw failure(info.name, "it is \(info.shape), and the base's is \(try Shape(expected.shape))")
        }
        for (role, view) in expected.placements {
            table[role] = LazyTensor(source, view: view).written(as: try current(role, info.name).dtype)
        }
    }

    /// Puts rows of an embedding in the place of the base's. A head that is tied has them too, as in PEFT.
    mutating func replaceTokens(of module: String, _ info: TensorInfo) throws {
        guard let role = tensor(module + ".weight")?.placements.first?.role, [.embedding, .head].contains(role.kind)
        else { throw failure(info.name, "the base has no embedding \(escaped(module))") }
        let old = try current(role, info.name)
        guard info.shape.dimensions.count == 2, info.shape.dimensions[1] == old.columns else {
            throw failure(info.name, "it is \(info.shape), and a row of the base's has \(old.columns) values")
        }
        let rows = LazyTensor(whole: SourceTensor(file: file, info: info))
        let tokens = try configuration.tokens(of: module, count: rows.rows, vocabulary: old.rows)
        var order = Array(0..<old.rows)
        for (index, token) in tokens.enumerated() { order[token] = old.rows + index }
        let new = LazyTensor.concatenated([old, rows], .rows).picking(order, .rows)
        table[role] = new
        if role.kind == .embedding, isTied { shared = new }
    }

    // MARK: Products

    mutating func add(_ product: AdapterTensors.Product) throws {
        let module = product.module
        guard let a = product.a, let b = product.b else {
            throw failure(module, "one of lora_A and lora_B is missing")
        }
        let (expected, name) = try target(of: product)
        let outer = expected.placements.filter { $0.role.expert == expected.placements.first?.role.expert }
            .reduce(0) { $0 + $1.view.rows }
        let inner = expected.placements.first?.view.columns ?? 0
        let experts = expected.shape.count == 3 ? expected.shape[0] : 1
        var (left, right) = (a.shape.dimensions, b.shape.dimensions)
        if product.isEmbedding { (left, right) = (right.reversed(), left.reversed()) }
        // `left` is [experts * rank, inner] and `right` [outer, rank * experts].
        let rank = (left.first ?? 0) / max(experts, 1)
        let isVocabulary = product.isEmbedding || expected.placements.first?.role.kind == .head
        let rows = isVocabulary ? try current(expected.placements[0].role, module).rows : outer
        guard expected.shape.count >= 2, rank > 0, left == [rank * experts, inner], right == [rows, rank * experts]
        else {
            throw failure(
                module,
                "lora_B is \(b.shape) and lora_A \(a.shape), and the base's is \(try Shape(expected.shape)): "
                    + "their ranks and sizes do not fit it")
        }
        let scale = try configuration.scale(name, rank: rank)
        for (role, view) in expected.placements {
            let old = try current(role, module)
            let expert = expected.shape.count == 3 ? role.expert ?? 0 : 0
            let expression: TensorExpression
            if product.isEmbedding {
                // (B A)ᵀ, of A [rank, vocabulary] and B [hidden, rank].
                expression = .lowRank(
                    old.expression, a: source(b, rank, inner, 0, rowStride: 1, columnStride: rank),
                    b: source(a, rows, rank, 0, rowStride: 1, columnStride: rows), rank: rank, scale: scale)
            } else {
                let (first, step) = Self.rows(of: view, expert, outer: outer, inner: inner)
                let width = rank * experts
                expression = .lowRank(
                    old.expression,
                    a: source(a, rank, inner, expert * rank * inner, rowStride: inner, columnStride: 1),
                    b: source(
                        b, old.rows, rank, first * width + expert, rowStride: step * width, columnStride: experts),
                    rank: rank, scale: scale)
            }
            table[role] = LazyTensor(rows: old.rows, columns: old.columns, dtype: old.dtype, expression: expression)
            if role.kind == .embedding, isTied { leavesHead = true }
        }
        if let bias = product.bias { try addBias(bias, to: module, scale: scale) }
    }

    /// What a product changes, and the name that patterns go by: a module's weight, or a parameter.
    private func target(of product: AdapterTensors.Product) throws -> (ExpectedTensor, name: String) {
        if product.depth == 0, let weight = tensor(product.module + ".weight") { return (weight, product.module) }
        // The parameters of a module are wrapped in the order in which it has them, the last outermost.
        let parameters = order.filter { name in
            guard let dot = name.lastIndex(of: "."), name[..<dot] == product.module else { return false }
            return configuration.targetParameters.contains { name == $0 || name.hasSuffix("." + $0) }
        }
        guard parameters.count > product.depth, let expected = named[parameters[parameters.count - 1 - product.depth]]
        else {
            throw failure(product.module, "the base has no matrix of that name, nor does target_parameters name one")
        }
        return (expected, expected.name)
    }

    /// Which rows of the product a matrix within a tensor has: the first, and from each to the next.
    private static func rows(of view: MatrixView, _ expert: Int, outer: Int, inner: Int) -> (first: Int, step: Int) {
        let rowLength = view.columnStride == 1 ? inner : 1
        let offset = view.offset - expert * outer * inner
        return (max(offset, 0) / max(rowLength, 1), max(view.rowStride / max(rowLength, 1), 1))
    }

    private func source(
        _ info: TensorInfo, _ rows: Int, _ columns: Int, _ offset: Int, rowStride: Int, columnStride: Int
    ) -> TensorExpression {
        .source(
            SourceTensor(file: file, info: info),
            MatrixView(
                offset: offset, rows: rows, columns: columns, rowStride: rowStride, columnStride: columnStride))
    }

    private mutating func addBias(_ info: TensorInfo, to module: String, scale: Float) throws {
        guard let expected = tensor(module + ".bias"), info.shape.dimensions == expected.shape else {
            throw failure(
                info.name,
                "it changes a bias, and the base has none of its size at \(escaped(module)): merge the adapter with PEFT "
                    + "into a family that has one")
        }
        for (role, view) in expected.placements {
            let old = try current(role, info.name)
            let own = TensorExpression.source(SourceTensor(file: file, info: info), view)
            table[role] = LazyTensor(
                rows: old.rows, columns: old.columns, dtype: old.dtype,
                expression: .lowRank(old.expression, a: .constant(1), b: own, rank: 1, scale: scale))
        }
    }

    // MARK: Result

    /// The tensors, and the configuration that says how many tokens there are and whether the head is tied.
    func result() throws -> (ModelDescription, [Role: LazyTensor]) {
        var table = table
        var description = base.description
        let (embedding, head) = (Role(.embedding), Role(.head))
        if isTied, leavesHead, table[head] == nil, !configuration.ensuresTying { table[head] = shared }
        if isTied, let own = table[head], let tokens = table[embedding] {
            let isSame =
                own.copied != nil && tokens.copied != nil && own.rows == tokens.rows
                ? try Difference.between(own, tokens).isIdentical : false
            if isSame { table[head] = nil } else { description = try Self.untied(description) }
        }
        let rows = [table[embedding], table[head]].compactMap { $0?.rows }
        guard let vocabulary = rows.first, rows.allSatisfy({ $0 == vocabulary }) else {
            throw failure(
                "embedding", "embedding and head have \(rows.map(String.init).joined(separator: " and ")) rows")
        }
        var config = description.config
        if vocabulary != (try description.size("vocab")) {
            config = try description.configuration(setting: "vocab", to: vocabulary, in: config)
        }
        // Messages and names are the adapter's from here on.
        var own = ModelConfig(object: config.object, file: configuration.path)
        own.surroundings = config.surroundings
        return (try ModelDescription(description.architecture, own), table)
    }
}
