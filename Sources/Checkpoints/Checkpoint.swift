import Numerics
public import Safetensors

/// A configuration and a table of named tensors, none of which has been read.
///
/// A transform takes checkpoints and answers with another, whose tensors are expressions over theirs; `write` evaluates
/// the table.
///
/// ```swift
/// let dense = try Checkpoint(at: "mistral-7b")
/// let moe = try dense.upcycled(experts: 8, topK: 2)
/// try await moe.write(to: "mixtral-8x7b")
/// ```
public struct Checkpoint: Sendable {
    /// The family with its sizes.
    package let description: ModelDescription
    /// What each role's matrix is.
    package let table: [Role: LazyTensor]
    /// How routed experts are laid out when it is written; nil for the family's first form.
    package private(set) var layout: String?
    /// How weights are quantised when it is written; nil where they are not.
    private var quantisation: QuantisationOptions?
    /// Which weights that are stored quantised stay so when it is written.
    package var quantisedWriting = QuantisedWriting.whereAllAreCopies
    /// The files that are read.
    package let sources: [SafetensorsFile]
    /// The files that are carried over.
    package let companions: [Companion]
    /// What was done to the sources, step by step, with the effective options.
    package private(set) var history: [JSONObject]
    /// What the user should know, and what does not keep the checkpoint from being used.
    public let warnings: [String]

    package init(
        description: ModelDescription, table: [Role: LazyTensor], layout: String? = nil, sources: [SafetensorsFile],
        companions: [Companion], history: [JSONObject], warnings: [String]
    ) {
        self.description = description
        self.table = table
        self.layout = layout
        // A set: a file that is named twice is read as one, and hashed once.
        var seen: Set<String> = []
        self.sources = sources.filter { seen.insert($0.path).inserted }
        self.companions = companions
        self.history = history
        let notes = description.config.surroundings.notes.filter { !warnings.contains($0) }
        self.warnings = warnings + notes
    }

    /// Opens a checkpoint: the configuration and the headers are read and checked against each other, no weights.
    ///
    /// - Parameter path: a folder, or `org/name[@revision]` in the local Hugging Face cache; one that holds a LoRA
    ///   adapter is opened with the base that it names.
    /// - Throws: `SafetensorsError` for files that are malformed, unsafe or missing; `CheckpointError` for a family that
    ///   is not known, or a configuration that contradicts itself or the tensors.
    public init(at path: String) throws {
        self = try Checkpoint(at: path, adapterBase: nil)
    }

    /// Opens a checkpoint as `init(at:)` does; nil for what is none, such as a file of weights by itself.
    ///
    /// - Throws: where the operating system fails, which does not tell what a file is.
    package init?(ifModelAt path: String) throws {
        do { try self.init(at: path) } catch  where isFailureOfSystem(error) { throw error } catch { return nil }
    }

    /// The folder's name, for messages.
    public var name: String {
        let file = description.config.file
        let folder = file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
        var parts = folder.split(separator: "/").map(String.init)
        if parts.last == "." || parts.last == ".." {
            parts = ((try? resolvedPath(folder)) ?? folder).split(separator: "/").map(String.init)
        }
        // models--org--name/snapshots/REVISION in the Hugging Face cache.
        if parts.count >= 3, parts[parts.count - 2] == "snapshots", parts[parts.count - 3].hasPrefix("models--") {
            return parts[parts.count - 3].split(separator: "--").last.map(String.init) ?? folder
        }
        return parts.last ?? folder
    }

    /// Whether any layer is a mixture of experts.
    public var isMixture: Bool { description.isMixture }

    /// Parameters of the model: all but what is carried beside it.
    public var parameterCount: Int {
        table.reduce(0) { $1.key.kind == .carried ? $0 : $0 + $1.value.rows * $1.value.columns }
    }

    /// The checkpoint written with routed experts laid out in another way.
    ///
    /// - Throws: `CheckpointError` where the family does not have the layout.
    public func withLayout(_ layout: String) throws -> Checkpoint {
        _ = try description.expectedTensors(layout: layout)
        var result = self
        result.layout = isMixture ? layout : nil
        return result
    }

    /// The checkpoint with weights quantised when it is written.
    ///
    /// - Throws: `CheckpointError` where nothing is of the groups that are named, or a weight cannot be stored so.
    public func quantised(_ options: QuantisationOptions) throws -> Checkpoint {
        var result = self
        result.quantisation = options
        var step: JSONObject = ["command": "quantise", "format": .string(options.format.description)]
        if let groups = options.groups { step["roles"] = .strings(groups.map(\.rawValue).sorted()) }
        if options.search { step["scale_search"] = "mse" }
        guard let table = try result.quantisedTable() else { return result }
        result = Checkpoint(
            description: description, table: self.table, layout: layout, sources: sources, companions: companions,
            history: history, warnings: warnings + table.warnings)
        result.quantisation = options
        return result.recording(step)
    }

    /// Whether any weight is stored quantised.
    package var isQuantised: Bool { table.values.contains { !$0.expression.quantised.isEmpty } }

    /// How much is quantised when it is written; nil where nothing is.
    package var quantisationSummary: QuantisationSummary? {
        get throws { try quantisedTable()?.summary }
    }

    private func quantisedTable() throws -> QuantisedTable? {
        try quantisation.map { try QuantisedTable(diskTensors(), $0, description) }
    }

    /// The checkpoint with other tensors of the same roles.
    package func replacing(table: [Role: LazyTensor]) -> Checkpoint {
        Checkpoint(
            description: description, table: table, layout: layout, sources: sources, companions: companions,
            history: history, warnings: warnings)
    }

    /// The checkpoint with another step in its history.
    package func recording(_ step: JSONObject) -> Checkpoint {
        var result = self
        result.history.append(step)
        return result
    }

    /// The checkpoint with every floating-point tensor in another dtype, rounded to nearest, ties to even.
    ///
    /// - Throws: `CheckpointError` where a tensor is of a floating-point type that cannot be converted.
    public func converted(to dtype: DType) throws -> Checkpoint {
        let keepsF32 = Set(try expectedTensors().filter(\.keepsF32).flatMap { $0.placements.map(\.role) })
        var table = table
        for (role, tensor) in self.table {
            guard tensor.dtype.isFloatingPoint, tensor.dtype != dtype, role.kind != .carried else { continue }
            if keepsF32.contains(role), tensor.dtype == .f32 { continue }
            try tensor.checkComputable(as: "\(role)")
            table[role]?.dtype = dtype
        }
        var result = Checkpoint(
            description: description, table: table, layout: layout, sources: sources, companions: companions,
            history: history, warnings: warnings)
        result.quantisedWriting = .never
        return result.recording(["command": "convert", "dtype": .string(dtype.rawValue)])
    }

    /// The tensors that are written, in the model's order.
    package func expectedTensors() throws -> [ExpectedTensor] { try description.expectedTensors(layout: layout) }

    /// The dtype that most of the weights have.
    public var dtype: DType? {
        var sizes: [DType: Int] = [:]
        for (role, tensor) in table where tensor.dtype.isFloatingPoint && role.kind != .carried {
            sizes[tensor.dtype, default: 0] += tensor.rows * tensor.columns
        }
        return sizes.max { ($0.value, $0.key.rawValue) < ($1.value, $1.key.rawValue) }?.key
    }

    /// What is written where.
    ///
    /// - Throws: `CheckpointError` where the table does not fit the description, or no program can run what would be written.
    package func writePlan(shardLimit: Int) throws -> WritePlan {
        try writePlan(output(), shardLimit: shardLimit)
    }

    private func writePlan(_ output: CheckpointOutput, shardLimit: Int) throws -> WritePlan {
        try description.checkCarriedLayers()
        try description.checkRunnable()
        return try WritePlan(
            tensors: output.tensors, shardLimit: shardLimit, parameters: output.parameters, metadata: output.metadata)
    }

    /// What is written, and what the configuration says of it.
    func output() throws -> CheckpointOutput {
        guard let table = try quantisedTable() else { return try copiedOutput() }
        let summary = table.summary
        let config = try description.config.withoutQuantisation.forAllReaders(description.architecture, dtype: dtype)
        return CheckpointOutput(
            tensors: table.tensors, parameters: summary.parameters + summary.keptParameters,
            config: config.stating(table.configuration(of: description)))
    }

    /// The tensors that are written, those that are optional only where there is something for them.
    func neededTensors() throws -> [ExpectedTensor] {
        try expectedTensors().filter { expected in
            !expected.isOptional || expected.placements.contains { table[$0.role] != nil }
        }
    }

    /// The tensors that are written where nothing is quantised.
    private func diskTensors() throws -> [(expected: ExpectedTensor, tensor: DiskTensor)] {
        try neededTensors().map { ($0, try diskTensor($0)) }
    }

    /// A tensor with what it is made of, in the dtype of that.
    func diskTensor(_ expected: ExpectedTensor) throws -> DiskTensor {
        var dtypes: Set<DType> = []
        var placements: [(tensor: LazyTensor, view: MatrixView)] = []
        for (role, view) in expected.placements {
            guard let tensor = table[role] else {
                throw CheckpointError(.incompatible, tensor: expected.name, message: "there is nothing for \(role)")
            }
            guard tensor.rows == view.rows, tensor.columns == view.columns else {
                throw CheckpointError(
                    .incompatible, tensor: expected.name,
                    message: "\(role) should be \(view.rows) x \(view.columns) and is \(tensor.rows) x "
                        + "\(tensor.columns)")
            }
            dtypes.insert(tensor.dtype)
            placements.append((tensor, view))
        }
        guard let dtype = dtypes.first, dtypes.count == 1 else {
            throw CheckpointError(
                .incompatible, tensor: expected.name,
                message:
                    "its parts have different dtypes (\(dtypes.map(\.rawValue).sorted().joined(separator: ", "))): "
                    + "choose one with `dtype`")
        }
        return DiskTensor(
            name: expected.name, dtype: dtype, shape: try Shape(expected.shape), placements: placements)
    }

    /// Writes the checkpoint into a folder that appears whole or not at all.
    ///
    /// - Parameters:
    ///   - output: the folder; it must not exist unless `options.overwrite` is set.
    ///   - options: memory, threads, shard size, and what to do with what is there.
    /// - Returns: what was written.
    /// - Throws: `CheckpointError`, `SafetensorsError`; the output is then what it was before. Of `.cancelled` when the task
    ///   is cancelled: what is written so far is kept, and `options.resume` goes on with it.
    @discardableResult
    public func write(to output: String, options: WriteOptions = WriteOptions()) async throws -> WriteReport {
        let made = try self.output()
        let plan = try writePlan(made, shardLimit: options.shardLimit)
        let config = made.config
        let companions = companions + made.companions
        let history = history
        let sources = sources
        let carried = description.config.surroundings.carried.map(\.name)
        let names = companions.map(\.name).filter { !CheckpointFolder.isMember($0) }
        let identity = try identity(plan, config, companions)
        return try await cancelling { isCancelled in
            var options = options
            let isStopped = options.isCancelled
            options.isCancelled = { isCancelled() || isStopped() }
            let writer = CheckpointWriter(
                plan: plan, documents: [("config.json", Array(config.text.utf8))],
                companions: companions, sources: sources,
                record: { digests, identity in
                    (Provenance.fileName, Provenance.record(history, sources, digests, carried, files: names, identity))
                },
                options: options, identity: identity
            )
            return try await writer.write(to: output)
        }
    }
}

extension Checkpoint {
    /// The digest of the training that made the checkpoint in a folder, if one did last.
    package static func trainingRun(in folder: String) throws -> String? {
        try InputLog.pausing { try Provenance.history(in: folder).steps }.last { $0["run"] != nil }?["run"]?.string
    }

    /// What decides the bytes that are written, but for those of the sources.
    private func identity(_ plan: WritePlan, _ config: ModelConfig, _ companions: [Companion]) throws -> String {
        var identity = RunIdentity()
        identity.add(ToolVersion.current)
        identity.add(config.text)
        for step in history { identity.add(JSON.object(step).line) }
        for file in plan.files {
            identity.add(file.name)
            identity.add(file.header)
        }
        for role in table.keys.sorted(by: { utf8Precedes("\($0)", "\($1)") }) {
            guard let tensor = table[role] else { continue }
            identity.add("\(role)")
            identity.add(tensor.expression)
        }
        try identity.add(companions)
        return identity.digest
    }
}

/// The record that a checkpoint carries of how it was made.
enum Provenance {
    static let fileName = "moe-tool.json"

    /// The steps that a checkpoint says it was made by; none, and a warning, where what it says cannot be understood: they
    /// are a record, and no transform depends on them alone.
    ///
    /// - Throws: `SafetensorsError` where the record cannot be opened or read, or is a link that leads out of the folder.
    static func history(in folder: String) throws -> (steps: [JSONObject], warnings: [String]) {
        guard let path = try PosixFile.pathIfPresent(of: fileName, inFolder: folder) else { return ([], []) }
        guard let record = try record(path) else {
            return ([], ["\(escaped(path)) is no record of moe-tool's, and nothing of it is carried over"])
        }
        return ((record["steps"]?.array ?? []).compactMap(\.object), [])
    }

    /// The files beside the weights that the record names.
    ///
    /// - Throws: as `history`.
    static func carriedFiles(in folder: String) throws -> [String] {
        guard let path = try PosixFile.pathIfPresent(of: fileName, inFolder: folder) else { return [] }
        return (try record(path)?["files"]?.array ?? []).compactMap(\.string)
    }

    private static func record(_ path: String) throws -> JSONObject? {
        do {
            return try JSON(parsing: PosixFile.contents(path, limit: 16 << 20), file: path).object
        } catch  where error.code == .malformed {
            return nil
        }
    }

    /// Version, steps and sources: nothing that depends on the machine or the time, so that the same inputs give the
    /// same bytes.
    ///
    /// - Parameters:
    ///   - carried: the names of the tensors that were copied without being understood.
    ///   - names: files that were carried over and have names of their own.
    ///   - identity: what decided the result, but for the bytes of the sources.
    static func record(
        _ history: [JSONObject], _ sources: [SafetensorsFile], _ digests: [String: String], _ carried: [String],
        files names: [String], _ identity: String
    ) -> [UInt8] {
        let files = sources.map { source -> JSON in
            let name = source.path.split(separator: "/").suffix(1).joined()
            return .object([
                "file": .string(name), "bytes": JSON(source.size), "sha256": .string(digests[source.path] ?? ""),
            ])
        }
        var object: JSONObject = [
            "moe-tool": .string(ToolVersion.current), "steps": .array(history.map { .object($0) }),
            "sources": .array(files), "identity": .string(identity),
        ]
        if !names.isEmpty { object["files"] = .strings(names) }
        if !carried.isEmpty { object["carried"] = .array(carried.map { .string($0) }) }
        return Array((JSON.object(object).serialized() + "\n").utf8)
    }
}

/// The version of this program.
public enum ToolVersion {
    /// As `moe-tool --version` prints it.
    public static let current = "0.1.0"
}
