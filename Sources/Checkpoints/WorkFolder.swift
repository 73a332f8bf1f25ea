import Glibc
package import Safetensors

/// The locked folder beside the output in which a checkpoint grows, and from which it is published whole.
///
/// `.OUT.moe-tool-partial` holds `lock`, `journal` and `checkpoint/`; the last becomes OUT by one rename. A kill at any
/// time leaves the old state or the new one, and the folder to go on from.
package final class WorkFolder {
    let output: String
    private let parent: String
    private let folder: String
    private let lock: PosixFile

    var content: String { folder + "/checkpoint" }
    var journalPath: String { folder + "/journal" }

    /// The folder in which `output` grows.
    static func path(for output: String) -> String {
        let (parent, name) = split(output)
        return "\(parent)/.\(name).moe-tool-partial"
    }

    /// Takes the lock, and refuses what must not be overwritten.
    ///
    /// - Throws: `CheckpointError` with code `usage` where the output exists, another run is at work on it, or an
    ///   unfinished one lies there and neither `resume` nor `overwrite` was asked for.
    package init(output: String, overwrite: Bool, resume: Bool) throws {
        let (parent, name) = Self.split(output)
        self.output = "\(parent)/\(name)"
        self.parent = parent
        folder = Self.path(for: output)
        try Self.refuseExisting(self.output, overwrite: overwrite)
        let existed = fileExists(folder)
        if !existed { try PosixFile.makeDirectory(folder) }
        lock = try PosixFile.openOrCreate(folder + "/lock")
        guard try lock.tryLock() else {
            throw CheckpointError(
                .usage, file: self.output,
                message: "another run of moe-tool is writing this checkpoint (it holds \(folder)/lock); "
                    + "wait for it, or write to another folder")
        }
        guard existed, fileExists(journalPath) else {
            try PosixFile.removeTree(content)
            return
        }
        if overwrite, !resume {
            try PosixFile.removeTree(content)
            try PosixFile.unlink(journalPath)
        } else if !resume {
            throw CheckpointError(
                .usage, file: self.output,
                message: "an unfinished run left its work in \(folder): continue it with --resume, "
                    + "or start over with --force")
        }
    }

    /// Puts the finished checkpoint in its place.
    ///
    /// The old checkpoint, if `overwrite` allows for one, changes places with the new one and is removed after that.
    func publish(overwrite: Bool) throws {
        try PosixFile.syncDirectory(content)
        if overwrite, fileExists(output) {
            try PosixFile.exchange(content, output)
        } else {
            try PosixFile.renameNoReplace(content, output)
        }
        try PosixFile.syncDirectory(parent)
        try remove()
    }

    /// Removes the folder and what is in it.
    package func remove() throws {
        try PosixFile.removeTree(content)
        // The journal goes before the folder's lock: what has no journal is started over, never resumed.
        if fileExists(journalPath) { try PosixFile.unlink(journalPath) }
        try PosixFile.unlink(folder + "/lock")
        try PosixFile.removeDirectory(folder)
        try PosixFile.syncDirectory(parent)
    }

    private static func refuseExisting(_ output: String, overwrite: Bool) throws {
        var status = stat()
        guard lstat(output, &status) == 0 else { return }
        guard overwrite else {
            throw CheckpointError(
                .usage, file: output,
                message: "it exists already; choose another output with -o, or replace it with --force")
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            throw CheckpointError(
                .usage, file: output, message: "--force replaces a checkpoint's folder, and this is not a folder")
        }
        let names = try PosixFile.listDirectory(output)
        guard names.isEmpty || names.contains("config.json") else {
            throw CheckpointError(
                .usage, file: output,
                message: "--force replaces a checkpoint, and this folder holds something else (no config.json): "
                    + "remove it yourself if it is not needed")
        }
    }

    /// The parent folder and the last component of a path.
    static func split(_ path: String) -> (parent: String, name: String) {
        var path = Substring(path)
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard let slash = path.lastIndex(of: "/") else { return (".", String(path)) }
        let parent = path[..<slash]
        return (parent.isEmpty ? "/" : String(parent), String(path[path.index(after: slash)...]))
    }
}

/// Whether anything is at `path`, a dangling symbolic link included.
package func fileExists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
}

/// Makes a folder and those above it, as far as they are not there.
package func makeFolders(_ path: String) throws(SafetensorsError) {
    guard !fileExists(path) else { return }
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try makeFolders(String(path[..<slash])) }
    // A path may end in a slash.
    if !fileExists(path) { try PosixFile.makeDirectory(path) }
}

/// The path with every symbolic link followed; the path itself where that is not possible.
package func resolvedPath(_ path: String) -> String {
    guard let resolved = realpath(path, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved)
}
