/// The index of a checkpoint in several files: `model.safetensors.index.json`.
public struct ShardIndex: Sendable {
    /// The index's file name.
    public static let fileName = "model.safetensors.index.json"
    /// The largest index that is read.
    static let maximumSize = 64 << 20

    /// Which file holds each tensor, in the order of the index.
    public let weightMap: [(tensor: String, file: String)]
    /// What is odd about the index without making it useless.
    public let warnings: [String]

    /// Parses an index strictly.
    ///
    /// - Throws: `SafetensorsError`: `malformed` where it is not an index, `unsafePath` where it names a file that is
    ///   not a plain `.safetensors` file name.
    public init(parsing bytes: [UInt8], file: String) throws(SafetensorsError) {
        guard let object = try JSON(parsing: bytes, file: file, maximumDepth: 8).object else {
            throw SafetensorsError(.malformed, file: file, message: "expected a JSON object")
        }
        guard let map = object["weight_map"]?.object else {
            throw SafetensorsError(
                .malformed, file: file, message: "weight_map, an object that maps tensors to files, is missing")
        }
        var entries: [(tensor: String, file: String)] = []
        for tensor in map.keys {
            guard let name = map[tensor]?.string else {
                throw SafetensorsError(
                    .malformed, file: file, tensor: tensor, message: "weight_map must name its file with a string")
            }
            try Self.check(shard: name, index: file, tensor: tensor)
            entries.append((tensor, name))
        }
        guard !entries.isEmpty else {
            throw SafetensorsError(.malformed, file: file, message: "weight_map is empty")
        }
        weightMap = entries
        var warnings: [String] = []
        if let metadata = object["metadata"]?.object {
            if let size = metadata["total_size"], size.double == nil {
                warnings.append("\(escaped(file)): metadata.total_size is not a number; it is not needed")
            }
        } else {
            warnings.append("\(escaped(file)): metadata is missing, without which transformers does not load it")
        }
        self.warnings = warnings
    }

    /// Refuses whatever is not the plain name of a file in the same folder.
    private static func check(shard: String, index: String, tensor: String) throws(SafetensorsError) {
        let isPlain =
            !shard.isEmpty && shard != "." && shard != ".."
            && !shard.unicodeScalars.contains {
                $0 == "/" || $0 == "\\" || $0 == ":" || $0.value < 0x20 || $0.value == 0x7F
            }
        guard isPlain, shard.utf8.count <= 255 else {
            throw SafetensorsError(
                .unsafePath, file: index, tensor: tensor,
                message: "weight_map names \"\(escaped(shard))\", which is not the name of a file in the same folder; "
                    + "it was not opened")
        }
        guard shard.hasSuffix(".safetensors") else {
            throw SafetensorsError(
                .unsafePath, file: index, tensor: tensor,
                message: "weight_map names \"\(escaped(shard))\", which is not a .safetensors file; it was not opened")
        }
    }

    /// The index's text, as the Hugging Face libraries write it.
    ///
    /// - Parameters:
    ///   - totalSize: bytes of all tensors, headers not counted.
    ///   - totalParameters: their elements.
    public static func serialized(
        weightMap: [(tensor: String, file: String)], totalSize: Int, totalParameters: Int
    ) -> String {
        var map = JSONObject()
        for entry in weightMap { map[entry.tensor] = .string(entry.file) }
        let object: JSONObject = [
            "metadata": .object(["total_parameters": JSON(totalParameters), "total_size": JSON(totalSize)]),
            "weight_map": .object(map),
        ]
        return JSON.object(object).serialized(sortedKeys: true) + "\n"
    }

    /// `model.safetensors`, or `model-00001-of-0000N.safetensors` and so on.
    public static func shardNames(count: Int) -> [String] {
        guard count > 1 else { return ["model.safetensors"] }
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        return (1...count).map { "model-\(padded($0))-of-\(padded(count)).safetensors" }
    }

    /// Cuts tensors into files of at most `limit` bytes: each goes to the file at hand if it fits there, else begins a
    /// new one; one that is larger than the limit has a file to itself.
    ///
    /// - Returns: the indices of each file's tensors; one empty file where there are no tensors.
    public static func assignShards(sizes: [Int], limit: Int) -> [[Int]] {
        var shards: [[Int]] = []
        var current: [Int] = []
        var used = 0
        for (index, size) in sizes.enumerated() {
            if size > limit {
                shards.append([index])
                continue
            }
            if !current.isEmpty, size > limit - used {
                shards.append(current)
                current = []
                used = 0
            }
            current.append(index)
            used += size
        }
        if !current.isEmpty || shards.isEmpty { shards.append(current) }
        return shards
    }
}
