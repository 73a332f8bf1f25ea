import Checkpoints
import Glibc
import Safetensors

/// A file of data and what is in it.
package struct DataFile: Hashable {
    /// What the end of a name says that a file is.
    enum Kind: Hashable {
        /// One document.
        case text
        /// A JSON object on each line, with a document in it.
        case lines
        /// Token ids.
        case tokens
    }

    let path: String
    let kind: Kind
    let isCompressed: Bool

    /// The kind of a file.
    ///
    /// - Throws: `.usage` for one that is not read, with what to do about it.
    static func kind(of path: String) throws(CheckpointError) -> Kind {
        try DataFile(path).kind
    }

    init(_ path: String) throws(CheckpointError) {
        var name = path.lowercased()
        self.path = path
        isCompressed = name.hasSuffix(".zst")
        if isCompressed { name.removeLast(4) }
        if name.hasSuffix(".txt") {
            kind = .text
        } else if name.hasSuffix(".jsonl") {
            kind = .lines
        } else if name.hasSuffix(".bin"), !isCompressed {
            kind = .tokens
        } else {
            throw CheckpointError(.usage, file: path, message: Self.advice(name))
        }
    }

    private static func advice(_ name: String) -> String {
        if name.hasSuffix(".gz") {
            return "gzip is not read: recompress it with `gzip -dc FILE.jsonl.gz | zstd -o FILE.jsonl.zst`"
        }
        for end in [".xz", ".bz2", ".lz4", ".zip", ".tar"] where name.hasSuffix(end) {
            return "\(end) is not read: unpack it, or recompress it with zstd"
        }
        if name.hasSuffix(".parquet") || name.hasSuffix(".arrow") || name.hasSuffix(".json") {
            return "this kind of file is not read: write .jsonl, one object with a text on each line"
        }
        return "of no kind that is read: expected .txt, .jsonl, .txt.zst, .jsonl.zst or .bin"
    }

    /// Whether a name in a folder is passed over: hidden, or a text about the data rather than data.
    static func isIgnored(_ name: String) -> Bool {
        let upper = name.uppercased()
        return name.hasPrefix(".") || upper.hasPrefix("README") || upper.hasPrefix("LICENSE") || upper.hasSuffix(".MD")
    }

    /// The files of a source: itself, or all those in the folder and the folders in it, by the bytes of their paths. A
    /// folder that several links lead to is read once.
    ///
    /// - Throws: `.usage` where a file is of no kind that is read, or is of tokens whose dtype is not said; `.incompatible`
    ///   for a folder without files, or one that leads into itself.
    package static func files(of source: DataSource) throws -> [DataFile] {
        var paths: [String] = []
        if try isFolder(source.path) {
            var (ancestors, seen): ([FolderIdentity], Set<FolderIdentity>) = ([], [])
            try collect(source.path, &ancestors, &seen, into: &paths)
            paths.sort(by: utf8Precedes)
            guard !paths.isEmpty else {
                throw CheckpointError(.incompatible, file: source.path, message: "there is no file in it")
            }
        } else {
            paths = [source.path]
        }
        let files = try paths.map { try DataFile($0) }
        let binary = files.first { $0.kind == .tokens }
        if let binary, source.tokens == nil {
            throw CheckpointError(
                .usage, file: binary.path,
                message: "the dtype of its tokens must be said: `data` NAME=PATH:uint16 or :uint32")
        }
        if binary == nil, source.tokens != nil {
            throw CheckpointError(
                .usage, file: source.path, message: "a dtype of tokens is said, and there is no .bin file")
        }
        return files
    }

    private struct FolderIdentity: Hashable {
        let device: UInt64
        let inode: UInt64
    }

    /// A symbolic link to a folder around it would be followed for ever, and links to folders beside it twice as often
    /// with each of them.
    private static func collect(
        _ folder: String, _ ancestors: inout [FolderIdentity], _ seen: inout Set<FolderIdentity>,
        into paths: inout [String]
    ) throws {
        let status = try fileStatus(folder)
        let identity = FolderIdentity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
        guard !ancestors.contains(identity), ancestors.count < 64 else {
            throw CheckpointError(.incompatible, file: folder, message: "a link that leads back to a folder around it")
        }
        guard seen.insert(identity).inserted else { return }
        try InputLog.recordFolder(folder)
        ancestors.append(identity)
        defer { ancestors.removeLast() }
        for name in try PosixFile.listDirectory(folder) where !isIgnored(name) {
            let path = folder.hasSuffix("/") ? folder + name : folder + "/" + name
            if try isFolder(path) { try collect(path, &ancestors, &seen, into: &paths) } else { paths.append(path) }
        }
    }
}
