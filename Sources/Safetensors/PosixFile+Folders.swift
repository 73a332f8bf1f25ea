import CPlatform
import Glibc

extension PosixFile {
    /// Writes a file that appears whole or not at all: a new one beside it, synced, takes its place.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(SafetensorsError) {
        try replace(path) { file throws(SafetensorsError) in try file.writeExactly(bytes, at: 0) }
    }

    /// Writes a file that appears whole or not at all, with what `body` puts into it.
    package static func replace(
        _ path: String, _ body: (PosixFile) throws(SafetensorsError) -> Void
    ) throws(SafetensorsError) {
        let (folder, name) = split(path)
        try replace(path, through: "\(folder)/.\(name).tmp-\(getpid())", body)
    }

    /// Writes a file that appears whole or not at all: `body` fills `temporary`, in the same folder, which is synced and
    /// takes the file's place. Whatever fails, the file that was there stays, and `temporary` is removed.
    package static func replace(
        _ path: String, through temporary: String, _ body: (PosixFile) throws(SafetensorsError) -> Void
    ) throws(SafetensorsError) {
        if Glibc.unlink(temporary) != 0, errno != ENOENT { throw failure(temporary, "cannot be removed") }
        let file = try create(temporary)
        do throws(SafetensorsError) {
            try body(file)
            try file.sync()
            guard rename(temporary, path) == 0 else { throw failure(path, "cannot be put in place") }
        } catch {
            Glibc.unlink(temporary)
            throw error
        }
        try syncDirectory(split(path).folder)
    }

    /// Copies a file's bytes into a new file, and syncs it.
    package static func copy(_ source: String, to path: String) throws(SafetensorsError) {
        let from = try open(source)
        if Glibc.access(path, F_OK) == 0 { try unlink(path) }
        let to = try create(path)
        let size = try from.size()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < size {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(buffer.count, size - offset)])
            try from.readExactly(into: part, at: offset)
            try to.writeExactly(from: UnsafeRawBufferPointer(part), at: offset)
            offset += part.count
        }
        try to.sync()
    }

    /// The whole of a file that is small by nature.
    package static func contents(_ path: String, limit: Int) throws(SafetensorsError) -> [UInt8] {
        let file = try open(path)
        let size = try file.size()
        guard size <= limit else {
            throw SafetensorsError(
                .malformed, file: path, message: "it has \(byteText(size)), more than the \(byteText(limit)) expected")
        }
        return try file.bytes(at: 0, count: size)
    }

    /// The names in a folder, sorted, without `.` and `..`.
    package static func listDirectory(_ path: String) throws(SafetensorsError) -> [String] {
        guard let stream = opendir(path) else { throw failure(path, "cannot be listed") }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted(by: utf8Precedes)
    }

    /// The corresponding C function is `mkdir`, with mode 0777 less the umask.
    package static func makeDirectory(_ path: String) throws(SafetensorsError) {
        guard mkdir(path, 0o777) == 0 else { throw failure(path, "cannot be made") }
    }

    package static func removeDirectory(_ path: String) throws(SafetensorsError) {
        guard rmdir(path) == 0 else { throw failure(path, "cannot be removed") }
    }

    package static func unlink(_ path: String) throws(SafetensorsError) {
        guard Glibc.unlink(path) == 0 else { throw failure(path, "cannot be removed") }
    }

    /// Removes a folder and all that is in it; symbolic links are removed, not followed. Nothing there is no error.
    package static func removeTree(_ path: String) throws(SafetensorsError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else { return try unlink(path) }
        for name in try listDirectory(path) { try removeTree(path + "/" + name) }
        try removeDirectory(path)
    }

    /// Syncs a folder, so that the names in it survive a power failure.
    package static func syncDirectory(_ path: String) throws(SafetensorsError) {
        let descriptor = retryingInterrupts { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
        guard descriptor >= 0 else { throw failure(path, "cannot be opened") }
        defer { close(descriptor) }
        // Some file systems have nothing to sync in a folder and say so.
        guard retryingInterrupts({ fsync(descriptor) }) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure(path, "cannot be synced")
        }
    }

    /// Renames, unless something is at the target already.
    package static func renameNoReplace(_ source: String, _ target: String) throws(SafetensorsError) {
        if cplatform_rename_noreplace(source, target) == 0 { return }
        guard errno == EINVAL || errno == ENOSYS || errno == ENOTSUP else {
            throw failure(target, "the finished checkpoint cannot be put in place")
        }
        // No RENAME_NOREPLACE here: rename refuses a folder that is not empty by itself.
        guard rename(source, target) == 0 else {
            throw failure(target, "the finished checkpoint cannot be put in place")
        }
    }

    /// Lets two paths change places at once; where the file system cannot do that, one after the other.
    package static func exchange(_ a: String, _ b: String) throws(SafetensorsError) {
        if cplatform_rename_exchange(a, b) == 0 { return }
        guard errno == EINVAL || errno == ENOSYS || errno == ENOTSUP else {
            throw failure(b, "the finished checkpoint cannot be put in place")
        }
        let aside = a + ".old"
        guard rename(b, aside) == 0, rename(a, b) == 0, rename(aside, a) == 0 else {
            throw failure(b, "the finished checkpoint cannot be put in place")
        }
    }

    /// Bytes that are free to users in the file system of `path`.
    package static func freeSpace(_ path: String) throws(SafetensorsError) -> Int {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw failure(path, "cannot be examined") }
        return Int(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    /// Bytes of disk that a file has already, 0 where there is no file.
    package static func allocatedBytes(_ path: String) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { return 0 }
        return Int(status.st_blocks) * 512
    }

    package static func sizeOf(_ path: String) throws(SafetensorsError) -> Int {
        var status = stat()
        guard stat(path, &status) == 0 else { throw failure(path, "cannot be examined") }
        return Int(status.st_size)
    }

    private static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }
}
