import Safetensors

extension Checkpoint {
    /// Opens a checkpoint, or a LoRA adapter with its base.
    ///
    /// A path that an adapter's own configuration names is not followed, since who wrote that file is not who runs this
    /// program: the base is `adapterBase`, one of `named` where the adapter names it, or in the local Hugging Face cache.
    ///
    /// - Parameters:
    ///   - path: a folder, or `org/name[@revision]` in the local Hugging Face cache.
    ///   - adapterBase: the base of an adapter, whatever the adapter names.
    ///   - named: other models that the user named.
    /// - Throws: `SafetensorsError` for files that are malformed, unsafe or missing; `CheckpointError` for a family that
    ///   is not known, or a configuration that contradicts itself or the tensors.
    public init(at path: String, adapterBase: String?, named: [String] = []) throws {
        try self.init(at: path, adapterBase: adapterBase, named: named, visited: [])
    }

    private init(at path: String, adapterBase: String?, named: [String], visited: [String]) throws {
        let folder = try resolveModelPath(path)
        guard try Self.isAdapter(folder) else {
            self = try CheckpointReader(path: folder).read()
            return
        }
        let place = try resolvedPath(folder)
        guard !visited.contains(place) else {
            throw CheckpointError(
                .incompatible, file: folder,
                message: visited.count == 1
                    ? "the adapter is its own base: give the model that it was trained on with `base`"
                    : "the adapters are each other's bases (\(visited.map(escaped).joined(separator: ", "))): give the "
                        + "model that they were trained on with `base`")
        }
        let adapter = try LowRankAdapter(folder: folder)
        let base = try adapterBase ?? Self.base(of: adapter, folder, named: named)
        let opened = try Checkpoint(at: base, adapterBase: nil, named: named, visited: visited + [place])
        self = try adapter.applied(to: opened)
    }

    /// Whether a folder is an adapter rather than a model.
    ///
    /// - Throws: `CheckpointError` where it is both.
    private static func isAdapter(_ folder: String) throws -> Bool {
        guard try fileExists(folder + "/" + AdapterConfiguration.fileName) else { return false }
        // Trainers leave a copy of the base's config.json beside an adapter.
        let names = try PosixFile.listDirectory(folder)
        let hasWeights = names.contains { $0.hasPrefix("model") && $0.contains(".safetensors") || $0.hasSuffix(".mtz") }
        guard names.contains("config.json"), hasWeights else { return true }
        guard names.contains(where: { $0.hasPrefix("adapter_model.") }) else { return false }
        throw CheckpointError(
            .incompatible, file: folder,
            message: "there are a model (config.json and weights) and an adapter (\(AdapterConfiguration.fileName) and "
                + "adapter_model) in it, and readers do not agree on which counts: move one of them to a folder of its own"
        )
    }

    private static func base(of adapter: LowRankAdapter, _ folder: String, named: [String]) throws -> String {
        guard let name = adapter.configuration.baseName, !name.isEmpty else {
            throw CheckpointError(
                .incompatible, file: folder,
                message:
                    "the adapter does not name its base: give it with `base`; a merge "
                    + "of the adapter with that base makes one model of the two")
        }
        let places = try [name, folder + "/" + name, folder + "/../" + name].filter(fileExists).map(resolvedPath)
        if let own = try named.first(where: { try fileExists($0) && places.contains(resolvedPath($0)) }) { return own }
        do { return try cachedModelPath(name) } catch is CheckpointError {}
        throw CheckpointError(
            .incompatible, file: folder,
            message: "the adapter names its base \"\(escaped(name))\", which is not in the local Hugging Face cache "
                + (places.isEmpty ? "" : "(a path in a file is not followed) ")
                + "and not among the models given: name it with `base`; a merge of the adapter with that base makes one "
                + "model of the two"
        )
    }
}
