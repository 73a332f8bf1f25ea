import Glibc

extension PosixFile {
    /// The path of a file of a folder's: the file itself, or a symbolic link that leads to a file inside of the folder or
    /// among the blobs of the same repository in the Hugging Face cache.
    ///
    /// A checkpoint that somebody else made must not lead to files of the reader's: `tokenizer.json -> ~/.ssh/id_rsa`
    /// would be copied into what is made of it.
    ///
    /// - Throws: `SafetensorsError`: `unsafePath` for a link that leads elsewhere, `missing` for one that leads nowhere.
    package static func path(of name: String, inFolder folder: String) throws(SafetensorsError) -> String {
        let path = folder + "/" + name
        var status = stat()
        guard systemPath(path, { lstat($0, &status) }) == 0 else { throw failure(path, "cannot be opened") }
        guard status.st_mode & S_IFMT == S_IFLNK else { return path }
        guard let target = try resolved(path), let base = try resolved(folder) else {
            throw failure(path, "cannot be opened (download it again, or remove it)")
        }
        if target.hasPrefix(base == "/" ? base : base + "/") { return path }
        // models--org--name/snapshots/REVISION/FILE -> models--org--name/blobs/HASH
        if let repository = hubRepository(of: base), target.hasPrefix(repository + "/blobs/") { return path }
        throw SafetensorsError(
            .unsafePath, file: path,
            message: "it is a symbolic link to \(escaped(target)), outside of the folder; it was not opened: copy the "
                + "file into the folder if it belongs there")
    }

    /// As `path(of:inFolder:)`, and nil where nothing has the name.
    package static func pathIfPresent(
        of name: String, inFolder folder: String
    ) throws(SafetensorsError) -> String? {
        guard try entry(folder + "/" + name) != nil else { return nil }
        return try path(of: name, inFolder: folder)
    }

    /// The folder of the Hugging Face cache's repository that a resolved path is a snapshot of, or lies in one of:
    /// `.../models--org--name`.
    package static func hubRepository(of path: String) -> String? {
        let parts = path.split(separator: "/")
        guard let index = parts.lastIndex(of: "snapshots"), index > 0, index + 1 < parts.count,
            parts[index - 1].hasPrefix("models--")
        else { return nil }
        return "/" + parts[..<index].joined(separator: "/")
    }

    /// The path with every symbolic link followed; nil where it leads nowhere.
    package static func resolved(_ path: String) throws(SafetensorsError) -> String? {
        guard let result = systemPath(path, { realpath($0, nil) }) else {
            if isAbsence(errno) || errno == ELOOP { return nil }
            throw failure(path, "cannot be examined")
        }
        defer { free(result) }
        return result.withMemoryRebound(to: UInt8.self, capacity: 1) { bytes in
            pathText(UnsafeBufferPointer(start: bytes, count: strlen(result)))
        }
    }
}
