import CPlatform
import Glibc

extension PosixFile {
    /// Where a file grows before it takes its place.
    package static func growingPath(_ path: String) -> String {
        let (folder, name) = split(path)
        return "\(folder)/.\(name).moe-tool-partial"
    }

    /// Writes a file that appears whole or not at all: a new one beside it, synced, takes its place.
    package static func replace(_ path: String, with bytes: [UInt8]) throws(SafetensorsError) {
        try replace(path) { file throws(SafetensorsError) in try file.writeExactly(bytes, at: 0) }
    }

    /// Writes a file that appears whole or not at all, with what `body` puts into it.
    ///
    /// It grows under a name of its own in the same folder, always the same one and locked, so that what a killed process
    /// leaves is written over by the next. Whatever fails, the file that was there stays and the new one is removed.
    package static func replace(
        _ path: String, _ body: (PosixFile) throws(SafetensorsError) -> Void
    ) throws(SafetensorsError) {
        try Interruption.protecting { () throws(SafetensorsError) in
            let growing = try GrowingFile(path)
            try growing.fill(body)
            try growing.put()
        }
    }

    /// Writes a new file, in the place of one that is there, and syncs it. A kill may leave it cut short.
    package static func write(_ path: String, _ bytes: [UInt8]) throws(SafetensorsError) {
        if try entry(path) != nil { try unlink(path) }
        let file = try create(path)
        try file.writeExactly(bytes, at: 0)
        try file.sync()
    }

    /// Copies a file's bytes into a new file, and syncs it.
    package static func copy(_ source: String, to path: String) throws(SafetensorsError) {
        let from = try open(source)
        if try entry(path) != nil { try unlink(path) }
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

    /// The whole of a file of text that is small by nature, without a byte order mark.
    package static func contents(_ path: String, limit: Int) throws(SafetensorsError) -> [UInt8] {
        let file = try open(path)
        let size = try file.size()
        guard size <= limit else {
            throw SafetensorsError(
                .malformed, file: path, message: "it has \(byteText(size)), more than the \(byteText(limit)) expected")
        }
        let bytes = try file.bytes(at: 0, count: size)
        let beginning = bytes.prefix(ForeignContent.prefixLength)
        if let problem = ForeignContent.problem(ofDownload: beginning) ?? ForeignContent.problem(ofText: beginning) {
            throw SafetensorsError(.malformed, file: path, message: problem)
        }
        return Array(ForeignContent.withoutMark(bytes[...]))
    }

    /// The names in a folder, sorted, without `.` and `..`.
    package static func listDirectory(_ path: String) throws(SafetensorsError) -> [String] {
        let descriptor = DescriptorPool.shared.opening {
            retryingInterrupts { systemPath(path) { Glibc.open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) } }
        }
        guard descriptor >= 0 else { throw failure(path, "cannot be listed") }
        guard let stream = fdopendir(descriptor) else {
            let error = failure(path, "cannot be listed")
            close(descriptor)
            throw error
        }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            // The end of the folder and a failing disk look the same but for the error number.
            errno = 0
            guard let entry = readdir(stream) else {
                if errno != 0 { throw failure(path, "cannot be listed") }
                break
            }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 256) { bytes in
                    pathText(UnsafeBufferPointer(start: bytes, count: 256).prefix { $0 != 0 })
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted(by: utf8Precedes)
    }

    /// The corresponding C function is `mkdir`, with mode 0777 less the umask.
    package static func makeDirectory(_ path: String) throws(SafetensorsError) {
        guard systemPath(path, { mkdir($0, 0o777) }) == 0 else { throw failure(path, "cannot be made") }
    }

    package static func removeDirectory(_ path: String) throws(SafetensorsError) {
        guard systemPath(path, { rmdir($0) }) == 0 else { throw failure(path, "cannot be removed") }
    }

    package static func unlink(_ path: String) throws(SafetensorsError) {
        guard systemPath(path, { Glibc.unlink($0) }) == 0 else { throw failure(path, "cannot be removed") }
    }

    /// Removes a folder and all that is in it; symbolic links are removed, not followed. Nothing there is no error.
    package static func removeTree(_ path: String) throws(SafetensorsError) {
        guard let entry = try entry(path) else { return }
        guard entry == .folder else { return try unlink(path) }
        for name in try listDirectory(path) { try removeTree(path + "/" + name) }
        try removeDirectory(path)
    }

    /// Syncs a folder, so that the names in it survive a power failure.
    package static func syncDirectory(_ path: String) throws(SafetensorsError) {
        let descriptor = DescriptorPool.shared.opening {
            retryingInterrupts { systemPath(path) { Glibc.open($0, O_RDONLY | O_DIRECTORY | O_CLOEXEC) } }
        }
        guard descriptor >= 0 else { throw failure(path, "cannot be opened") }
        defer { close(descriptor) }
        // Some file systems have nothing to sync in a folder and say so.
        guard retryingInterrupts({ fsync(descriptor) }) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure(path, "cannot be synced")
        }
    }

    /// Renames.
    package static func rename(_ source: String, _ target: String) throws(SafetensorsError) {
        guard systemPath(source, { from in systemPath(target) { Glibc.rename(from, $0) } }) == 0 else {
            throw failure(target, "cannot be put in place")
        }
    }

    /// Renames, unless something is at the target already.
    package static func renameNoReplace(_ source: String, _ target: String) throws(SafetensorsError) {
        if systemPath(source, { from in systemPath(target) { cplatform_rename_noreplace(from, $0) } }) == 0 { return }
        guard errno == EINVAL || errno == ENOSYS || errno == ENOTSUP else {
            throw failure(target, "cannot be put in place")
        }
        // No RENAME_NOREPLACE here: rename refuses a folder that is not empty by itself.
        guard try entry(target) == nil else {
            throw SafetensorsError(.io, file: target, message: "cannot be put in place: it exists", errno: EEXIST)
        }
        try rename(source, target)
    }

    /// Lets two paths change places at once; where the file system cannot do that, one after the other, and then what was
    /// at `b` is at `aside` for a moment.
    package static func exchange(_ a: String, _ b: String, aside: String) throws(SafetensorsError) {
        if systemPath(a, { from in systemPath(b) { cplatform_rename_exchange(from, $0) } }) == 0 { return }
        guard errno == EINVAL || errno == ENOSYS || errno == ENOTSUP else {
            throw failure(b, "cannot be put in place")
        }
        try rename(b, aside)
        do throws(SafetensorsError) { try rename(a, b) } catch {
            try rename(aside, b)
            throw error
        }
        try rename(aside, a)
    }

    /// Bytes that are free to users in the file system of `path`.
    package static func freeSpace(_ path: String) throws(SafetensorsError) -> Int {
        var status = statvfs()
        guard systemPath(path, { statvfs($0, &status) }) == 0 else { throw failure(path, "cannot be examined") }
        return Int(
            clamping: UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize)).partialValue)
    }

    /// Bytes of disk that a file has already, 0 where there is no file.
    package static func allocatedBytes(_ path: String) throws(SafetensorsError) -> Int {
        try target(of: path).map { Int($0.st_blocks) * 512 } ?? 0
    }

    package static func sizeOf(_ path: String) throws(SafetensorsError) -> Int {
        var status = stat()
        guard systemPath(path, { stat($0, &status) }) == 0 else { throw failure(path, "cannot be examined") }
        return Int(status.st_size)
    }

    package static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }
}
