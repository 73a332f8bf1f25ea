import Packing
import Safetensors

/// Opens a folder and finds every tensor's role.
struct CheckpointReader {
    let path: String

    func read() throws -> Checkpoint {
        var (description, _) = try describe()
        let tensors = try ShardedTensors.open(path)
        let match = try TensorMatch(description, tensors)
        try match.check()
        description = match.description
        let history = try Provenance.history(in: path)
        return Checkpoint(
            description: description, table: match.table, layout: match.stored.hasStacks ? match.layout : nil,
            sources: tensors.files,
            companions: try Companion.inFolder(path), history: history.steps,
            warnings: tensors.warnings + match.notes + history.warnings)
    }

    /// The family and the sizes that `config.json` states.
    func describe() throws -> (ModelDescription, ModelConfig) {
        guard let file = try PosixFile.pathIfPresent(of: "config.json", inFolder: path) else {
            throw CheckpointError(
                .malformed, file: path, message: "there is no config.json: is it a checkpoint's folder?")
        }
        let config = try ModelConfig(contentsOf: file).languageModel
        guard let type = config.object["model_type"]?.string else {
            throw config.failure(.malformed, "model_type is missing")
        }
        guard let architecture = try Architecture.named(type) else {
            throw config.failure(
                .incompatible,
                "model_type \"\(escaped(type))\" is not a family that moe-tool knows: "
                    + Architecture.names.joined(separator: ", "))
        }
        return (try ModelDescription(architecture, config), config)
    }
}

/// The tensors of a folder beside those that its configuration asks for.
struct TensorMatch {
    private(set) var table: [Role: LazyTensor] = [:]
    /// Tensors that are asked for and not there.
    private(set) var missing: [String] = []
    /// Tensors that nothing is known about.
    private(set) var unknown: [String] = []
    /// Tensors whose shape is not the one that the configuration gives: name, expected, found.
    private(set) var misshapen: [(name: String, expected: String, found: String)] = []
    /// A head that is there although the configuration ties it to the embedding, and is not the same.
    private(set) var untiedHead: String?
    /// What is dropped, and why.
    private(set) var notes: [String] = []
    /// How the routed experts lie on disk.
    let layout: String?

    /// The description with the names that the tensors have, and what is carried.
    private(set) var description: ModelDescription
    /// The tensors under the names that they have where nothing is quantised.
    let stored: StoredTensors
    private let folder: String

    init(_ given: ModelDescription, _ tensors: ShardedTensors) throws {
        folder = given.config.file
        try given.checkCounts(tensors)
        var config = given.config
        let stored = try StoredTensors(
            tensors, config, given.architecture, folder: WorkFolder.split(given.config.file).parent)
        self.stored = stored
        let names = Set(stored.names)
        config.surroundings.quantisation = stored.quantisation
        config.surroundings.naming = .found(in: names, of: given.architecture)
        var description = try ModelDescription(given.architecture, config)
        layout = try Self.layout(of: description, names)
        // Of the layers behind the model's own, those are described that are whole layers of the family.
        for layer in FurtherLayer.found(in: names, description).prefix(FurtherLayer.most) {
            var trial = config
            trial.surroundings.further.append(layer)
            let candidate = try ModelDescription(given.architecture, trial)
            let isWhole = try candidate.expectedTensors(layout: layout).allSatisfy { expected in
                guard expected.name.hasPrefix(layer.prefix) else { return true }
                guard let found = stored[expected.name] else { return expected.isOptional }
                return found.shape == expected.shape
            }
            if isWhole { (config, description) = (trial, candidate) }
        }
        self.description = description
        var seen: Set<String> = []
        for expected in try description.expectedTensors(layout: layout) {
            seen.insert(expected.name)
            guard let entry = stored[expected.name] else {
                if !expected.isOptional { missing.append(expected.name) }
                continue
            }
            guard entry.shape == expected.shape else {
                misshapen.append((expected.name, "\(try Shape(expected.shape))", "\(try Shape(entry.shape))"))
                continue
            }
            if case .plain(let source) = entry, source.info.dtype.bits % 8 != 0 {
                throw CheckpointError(
                    .incompatible, file: source.file.path, tensor: source.info.name,
                    message: "it is \(source.info.dtype.rawValue), a packed type: dequantise the checkpoint first")
            }
            for (role, view) in expected.placements { table[role] = entry.tensor(view) }
        }
        if let name = description.headName, table[Role(.embedding)] == nil, names.contains(name), try description.isTied
        {
            try useHead(name)
            seen.insert(name)
        }
        if let name = description.headName, let head = table[Role(.head)], try description.isTied {
            try checkTied(head, name)
        }
        var dropped: [String] = []
        for name in stored.names where !seen.contains(name) {
            if name == description.headName, let entry = stored[name], untiedHead == nil {
                try checkTied(entry.whole, name)
                notes.append("\(name) is the embedding again, as tie_word_embeddings says, and is dropped")
            } else if try description.ignores(name) || Self.isBuffer(name) || stored.isZeroBias(name) {
                dropped.append(name)
            } else if description.describes(name),
                !description.architecture.hasFurtherLayers || description.layerBeyond(name) == nil
            {
                unknown.append(name)
            } else if let entry = stored[name] {
                let tensor = entry.whole
                table[Role(carried: name)] = tensor
                config.surroundings.carried.append(
                    CarriedTensor(
                        name: name, shape: entry.shape, byteCount: entry.byteCount,
                        view: .contiguous(rows: tensor.rows, columns: tensor.columns)))
            }
        }
        if !description.further.isEmpty {
            notes.append(
                "layers that predict further tokens, which transforms treat like the model's own: "
                    + description.further.map { escaped(String($0.prefix.dropLast())) }.joined(separator: ", "))
        }
        if !config.surroundings.carried.isEmpty {
            config.surroundings.carried.sort { utf8Precedes($0.name, $1.name) }
            notes.append("carried as they are: \(CarriedTensor.summary(config.surroundings.carried.map(\.name)))")
            description = try ModelDescription(given.architecture, config)
            self.description = description
        }
        if let note = stored.note { notes.append(note) }
        if let first = dropped.first {
            notes.append(
                "\(dropped.count) tensors that the model does not need are dropped (\(escaped(first))"
                    + (dropped.count > 1 ? ", …)" : ")"))
        }
    }

    /// Tied embeddings are one matrix, whichever of its two names a file has it under.
    private mutating func useHead(_ head: String) throws {
        guard
            let embedding = try description.expectedTensors().first(where: {
                $0.placements.first?.role.kind == .embedding
            }),
            let placement = embedding.placements.first, let entry = stored[head], entry.shape == embedding.shape,
            let index = missing.firstIndex(of: embedding.name)
        else { return }
        table[placement.role] = entry.tensor(placement.view)
        missing.remove(at: index)
        notes.append("the tied embedding is stored as \(head), and becomes \(embedding.name)")
    }

    /// Whether a tensor is a buffer that a reader makes anew (tables of rotary embeddings, masks), or the value head that a
    /// trainer put on the model.
    private static func isBuffer(_ name: String) -> Bool {
        let parts = name.split(separator: ".")
        if parts.first == "v_head" { return true }
        let buffers: Set<Substring> = [
            "inv_freq", "original_inv_freq", "cos_cached", "sin_cached", "masked_bias", "causal_mask", "position_ids",
        ]
        return parts.last.map(buffers.contains) ?? false
    }

    /// A head beside tied embeddings is the embedding again, or it contradicts the configuration.
    private mutating func checkTied(_ head: LazyTensor, _ name: String) throws {
        guard let embedding = table[Role(.embedding)], embedding.rows == head.rows, embedding.columns == head.columns,
            embedding.dtype == head.dtype, try Difference.between(embedding, head).isIdentical
        else {
            untiedHead = name
            return
        }
    }

    /// The layout whose expert tensors are there.
    private static func layout(of description: ModelDescription, _ names: Set<String>) throws -> String? {
        guard description.isMixture else { return nil }
        let known = description.architecture.layoutNames
        for name in known {
            let experts = try description.expectedTensors(layout: name).lazy.filter { tensor in
                tensor.placements.contains { $0.role.expert != nil }
            }
            if experts.contains(where: { names.contains($0.name) }) { return name }
        }
        return known.first
    }

    /// What is wrong, in sentences.
    var problems: [String] {
        var result: [String] = []
        func list(_ names: [String]) -> String {
            names.prefix(6).map(escaped).joined(separator: ", ")
                + (names.count > 6 ? ", … (\(names.count) in all)" : "")
        }
        if description.config.surroundings.naming.body.isEmpty, missing == [description.headName] {
            result.append(
                "it was saved without its head (\(list(missing))), and tie_word_embeddings is false: without a head it "
                    + "predicts nothing; save it again as a language model")
        } else if !missing.isEmpty {
            result.append("missing: \(list(missing))")
        }
        if !unknown.isEmpty { result.append("not part of a \(description.architecture.modelType): \(list(unknown))") }
        for (name, expected, found) in misshapen.prefix(6) {
            result.append("\(escaped(name)) should be \(expected) by the configuration and is \(found)")
        }
        if misshapen.count > 6 { result.append("\(misshapen.count - 6) more tensors have other shapes") }
        if let untiedHead {
            result.append(
                "tie_word_embeddings is true, and \(escaped(untiedHead)) is there and differs from the embedding: "
                    + "readers do not agree on which to use; set tie_word_embeddings to false, or remove the tensor")
        }
        return result
    }

    /// - Throws: `CheckpointError` where the tensors are not those of the configuration.
    func check() throws {
        guard problems.isEmpty else {
            throw CheckpointError(
                .incompatible, file: folder,
                message: "the tensors do not fit the configuration: " + problems.joined(separator: "; "))
        }
    }
}

extension ModelDescription {
    /// Refuses a configuration of many more tensors than there are, before they are listed: a few bytes can ask for
    /// millions.
    fileprivate func checkCounts(_ tensors: ShardedTensors) throws {
        let count = tensors.files.reduce(0) { $0 + $1.header.tensors.count }
        func refuse(_ what: String) -> CheckpointError {
            config.failure(
                .incompatible,
                "the configuration has \(what), and the files only \(count) tensors: they are of another model, or some of "
                    + "them are missing")
        }
        // No family has layers of fewer tensors, nor an expert of its own of fewer than one.
        let most = 2 * count + 1024
        guard layerCount * 4 <= most else { throw refuse("\(layerCount) layers") }
        let experts = sizeIfKnown("experts") ?? 0
        guard isMixture, moeLayers.count(where: { $0 }) * experts > most else { return }
        let areStacked = tensors.files.contains { file in
            file.header.tensors.contains { $0.shape.dimensions.count > 1 && $0.shape.dimensions[0] == experts }
        }
        guard areStacked else { throw refuse("\(experts) experts in each layer") }
    }
}
