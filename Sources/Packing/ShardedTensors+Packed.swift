public import Safetensors

extension SafetensorsFile {
    /// Opens a packed file (.mtz) by itself: its header is the original file's, its tensors' bytes are decompressed as they
    /// are read.
    ///
    /// - Throws: `SafetensorsError`: `malformed` or `damaged` where it is not what the format allows, `missing` where bytes
    ///   are in another file of the checkpoint.
    public static func opening(packed path: String) throws(SafetensorsError) -> SafetensorsFile {
        guard let file = try PackedFile.open([path]).first else {
            throw SafetensorsError(.missing, file: path, message: "nothing was opened")
        }
        return file
    }
}

extension ShardFormat {
    /// Packed files.
    package static let packed = ShardFormat(suffix: PackedFile.suffix) { paths throws(SafetensorsError) in
        try PackedFile.open(paths)
    }
}

extension ShardedTensors {
    /// Opens a folder of safetensors files or of packed ones, or one such file.
    ///
    /// - Throws: `SafetensorsError` as `init(opening:)` does, and where a folder has files of both kinds.
    package static func open(_ path: String) throws(SafetensorsError) -> ShardedTensors {
        try ShardedTensors(opening: path, format: isPacked(path) ? .packed : .safetensors)
    }

    /// Whether a path is a packed file, or a folder of such.
    ///
    /// - Throws: `SafetensorsError` for a folder with files of both kinds.
    package static func isPacked(_ path: String) throws(SafetensorsError) -> Bool {
        guard try PosixFile.isFolder(path) else {
            return path.hasSuffix(PackedFile.suffix)
        }
        let names = try PosixFile.listDirectory(path).filter { $0.hasPrefix("model") }
        guard let packed = names.first(where: { $0.hasSuffix(PackedFile.suffix) }) else { return false }
        if let plain = names.first(where: { $0.hasSuffix(ShardFormat.safetensors.suffix) }) {
            throw SafetensorsError(
                .malformed, file: path,
                message: "both \(escaped(packed)) and \(escaped(plain)) are here, and nothing says which counts: "
                    + "remove what is stale")
        }
        return true
    }
}
