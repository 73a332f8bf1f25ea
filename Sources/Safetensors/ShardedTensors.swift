import Glibc

/// What the files of a checkpoint are called, and what opens them.
package struct ShardFormat: Sendable {
    /// The end of the files' names.
    package let suffix: String
    /// Opens files of one checkpoint.
    package let open: @Sendable (_ paths: [String]) throws(SafetensorsError) -> [SafetensorsFile]

    package init(
        suffix: String, open: @escaping @Sendable (_ paths: [String]) throws(SafetensorsError) -> [SafetensorsFile]
    ) {
        self.suffix = suffix
        self.open = open
    }

    /// Safetensors files as they are.
    package static let safetensors = ShardFormat(suffix: ".safetensors") { paths throws(SafetensorsError) in
        var files: [SafetensorsFile] = []
        for path in paths { files.append(try SafetensorsFile(path: path)) }
        return files
    }

    /// The name of the file that stands for a `.safetensors` file.
    package func name(of file: String) -> String {
        file.hasSuffix(".safetensors") ? file.dropLast(".safetensors".count) + suffix : file
    }
}

/// The tensors of a checkpoint's folder, in one file or in several with an index, or of one file by itself.
public struct ShardedTensors: Sendable {
    /// The files, in the order of their names.
    public let files: [SafetensorsFile]
    /// What is odd without being wrong.
    public let warnings: [String]
    private let places: [String: (file: Int, index: Int)]
    /// What an index names and no file has: nothing is wrong with it unless it is needed.
    package let absent: [String]

    /// Opens a folder that holds `model.safetensors`, or an index and its shards; or one `.safetensors` file.
    ///
    /// - Throws: `SafetensorsError`: `missing` where a shard or a tensor is not there, `unsafePath` where a shard lies
    ///   outside of the folder, `malformed` where the index and the shards do not agree.
    public init(opening path: String) throws(SafetensorsError) {
        try self.init(opening: path, format: .safetensors)
    }

    /// Opens a folder whose files are of some format, or one file of that.
    ///
    /// The index names `.safetensors` files whatever the format: the files that these are made again of have the same
    /// names but for the suffix.
    package init(opening path: String, format: ShardFormat) throws(SafetensorsError) {
        let suffix = format.suffix
        var status = stat()
        guard systemPath(path, { stat($0, &status) }) == 0 else { throw PosixFile.failure(path, "cannot be opened") }
        if status.st_mode & S_IFMT != S_IFDIR {
            try self.init(files: format.open([path]), index: nil, warnings: [])
            return
        }
        let names = try PosixFile.listDirectory(path)
        let weights = names.filter { $0.hasSuffix(suffix) }
        let hasSingle = names.contains("model" + suffix)
        guard names.contains(ShardIndex.fileName) else {
            guard hasSingle else { throw Self.nothingToRead(path, names, suffix) }
            let stray = weights.filter { $0.hasPrefix("model-") }
            guard stray.isEmpty else {
                throw SafetensorsError(
                    .malformed, file: path,
                    message:
                        "both model\(suffix) and \(escaped(stray[0])) are here, and no index says which counts: "
                        + "remove what is stale")
            }
            let file = try PosixFile.path(of: "model" + suffix, inFolder: path)
            try self.init(files: format.open([file]), index: nil, warnings: [])
            return
        }
        let indexPath = try PosixFile.path(of: ShardIndex.fileName, inFolder: path)
        let index = try ShardIndex(
            parsing: PosixFile.contents(indexPath, limit: ShardIndex.maximumSize), file: indexPath)
        let map = index.weightMap.map { (tensor: $0.tensor, file: format.name(of: $0.file)) }
        let shards = Set(map.map(\.file)).sorted(by: utf8Precedes)
        guard !hasSingle || shards.contains("model" + suffix) else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "both model\(suffix) and an index of other files are here: remove what is stale")
        }
        let missing = shards.filter { !names.contains($0) }
        guard missing.isEmpty else {
            throw SafetensorsError(
                .missing, file: path,
                message: "\(missing.count) of \(shards.count) files that the index names are not here: "
                    + missing.prefix(20).map(escaped).joined(separator: ", ") + "; download them again")
        }
        let stray = weights.filter { $0.hasPrefix("model") && !shards.contains($0) }
        guard stray.isEmpty else {
            throw SafetensorsError(
                .malformed, file: path,
                message: "\(escaped(stray[0])) is not in the index, and some readers would read it: "
                    + "remove it, or repair the index")
        }
        var paths: [String] = []
        for shard in shards { paths.append(try PosixFile.path(of: shard, inFolder: path)) }
        try self.init(files: format.open(paths), index: (indexPath, map, shards), warnings: index.warnings)
    }

    private init(
        files: [SafetensorsFile], index: (path: String, map: [(tensor: String, file: String)], shards: [String])?,
        warnings: [String]
    ) throws(SafetensorsError) {
        try Self.checkTotal(files)
        var places: [String: (file: Int, index: Int)] = [:]
        places.reserveCapacity(files.reduce(0) { $0 + $1.header.tensors.count })
        // Where several files have a tensor, as where some shards lie over others, the index decides.
        var owners: [String: String] = [:]
        for entry in index?.map ?? [] { owners[entry.tensor] = entry.file }
        for (number, file) in files.enumerated() {
            for (position, tensor) in file.header.tensors.enumerated() {
                guard let other = places[tensor.name] else {
                    places[tensor.name] = (number, position)
                    continue
                }
                guard let index, let owner = owners[tensor.name] else {
                    throw SafetensorsError(
                        .malformed, file: file.path, tensor: tensor.name,
                        message: "another file has it too, and no index says which counts")
                }
                if index.shards[number] == owner, index.shards[other.file] != owner {
                    places[tensor.name] = (number, position)
                }
            }
        }
        var unneeded: [String] = []
        var warnings = warnings
        if let index {
            var absent: [String] = []
            for entry in index.map {
                guard let place = places[entry.tensor] else {
                    unneeded.append(entry.tensor)
                    continue
                }
                if index.shards[place.file] != entry.file { absent.append(entry.tensor) }
            }
            if let first = unneeded.first {
                warnings.append(
                    "\(escaped(index.path)): \(unneeded.count) tensors that it names are in no file (\(escaped(first))"
                        + (unneeded.count > 1 ? ", …)" : ")"))
            }
            let extra = places.keys.filter { owners[$0] == nil }.sorted(by: utf8Precedes)
            guard absent.isEmpty, extra.isEmpty else {
                func list(_ names: [String]) -> String {
                    names.prefix(5).map(escaped).joined(separator: ", ") + (names.count > 5 ? ", …" : "")
                }
                var parts: [String] = []
                if !absent.isEmpty {
                    parts.append("\(absent.count) tensors are not in the file it names (\(list(absent)))")
                }
                if !extra.isEmpty { parts.append("\(extra.count) tensors of the files are not in it (\(list(extra)))") }
                throw SafetensorsError(
                    .malformed, file: index.path,
                    message: "the index and the files do not agree: " + parts.joined(separator: "; "))
            }
        }
        self.files = files
        self.warnings = warnings
        self.places = places
        absent = unneeded
    }

    /// What packed files claim is not bounded by their sizes, and must still have a sum, in bytes and in elements of less
    /// than a byte.
    private static func checkTotal(_ files: [SafetensorsFile]) throws(SafetensorsError) {
        var total = 0
        for file in files {
            let (sum, overflow) = total.addingReportingOverflow(file.header.tensors.last?.end ?? 0)
            guard !overflow, sum <= 1 << 60 else {
                throw SafetensorsError(
                    .malformed, file: file.path,
                    message: "the tensors of the files up to this one claim more bytes than any disk holds")
            }
            total = sum
        }
    }

    /// All tensors' names, file by file, in the order of their bytes; each once.
    public var names: [String] { entries.map(\.info.name) }

    /// The tensors that count with the files that hold them, file by file, in the order of their bytes.
    package var entries: [(file: SafetensorsFile, info: TensorInfo)] {
        files.enumerated().flatMap { number, file in
            file.header.tensors.filter { places[$0.name]?.file == number }.map { (file, $0) }
        }
    }

    /// The tensor of that name and the file that holds it.
    public func lookup(_ name: String) -> (file: SafetensorsFile, info: TensorInfo)? {
        guard let place = places[name] else { return nil }
        return (files[place.file], files[place.file].header.tensors[place.index])
    }

    private static func nothingToRead(_ path: String, _ names: [String], _ suffix: String) -> SafetensorsError {
        let shards = names.filter { $0.hasPrefix("model-") && $0.hasSuffix(suffix) }
        if let first = shards.first {
            return SafetensorsError(
                .missing, file: path,
                message: "there are \(shards.count) shards (\(escaped(first))\(shards.count > 1 ? ", …" : "")) and no "
                    + "\(ShardIndex.fileName), which says what belongs to the model: download it too")
        }
        if names.contains("consolidated.safetensors") || names.contains("consolidated.00.pth") {
            return SafetensorsError(
                .missing, file: path,
                message:
                    "there are only consolidated weights, which is Mistral's own form (with params.json, and other "
                    + "names of tensors): download model*.safetensors of the same repository, or convert them with "
                    + "transformers' convert_mistral_weights_to_hf.py")
        }
        if let pickle = names.first(where: { $0.hasPrefix("pytorch_model") && $0.contains(".bin") }) {
            return SafetensorsError(
                .missing, file: path,
                message: "there are only PyTorch pickles (\(escaped(pickle))), which can run code when they are read. "
                    + "Convert them: python -c \"from transformers import AutoModelForCausalLM as A; "
                    + "A.from_pretrained('\(escaped(path))', dtype='auto').save_pretrained('OUT')\"")
        }
        if let gguf = names.first(where: { $0.hasSuffix(".gguf") }) {
            return SafetensorsError(
                .missing, file: path,
                message:
                    "there is only a GGUF file (\(escaped(gguf))). Convert it: python -c \"from transformers import "
                    + "AutoModelForCausalLM as A; A.from_pretrained('\(escaped(path))', "
                    + "gguf_file='\(escaped(gguf))').save_pretrained('OUT')\"")
        }
        if let shard = names.first(where: { $0.hasPrefix("model-") && $0.hasSuffix(".safetensors") }) {
            return SafetensorsError(
                .missing, file: path,
                message:
                    "there are shards (\(escaped(shard))) and no \(ShardIndex.fileName), which says what they hold: "
                    + "download it from where they came from, or save the model again")
        }
        return SafetensorsError(
            .missing, file: path,
            message: "there is no model.safetensors and no \(ShardIndex.fileName): is it a checkpoint's folder?")
    }
}
