import CPlatform
import Glibc
import Synchronization

/// A file descriptor with POSIX semantics, the one place where interrupted calls and short reads and writes are dealt
/// with.
package final class PosixFile: Sendable {
    package let path: String
    /// The descriptor of a file that is locked, which goes with it; nil where it is the pool's.
    private let own: Int32?
    /// How the file is opened again.
    private let flags: Int32

    private init(path: String, own: Int32?, flags: Int32) {
        self.path = path
        self.own = own
        self.flags = flags
    }

    deinit {
        if let own { Glibc.close(own) } else { DescriptorPool.shared.close(ObjectIdentifier(self)) }
    }

    /// Calls `body` with the file's descriptor; `errno` is what `body` left.
    ///
    /// - Parameter making: flags for the time that the file is opened first.
    private func withDescriptor<T>(making: Int32 = 0, _ body: (Int32) -> T) throws(SafetensorsError) -> T {
        if let own { return body(own) }
        let key = ObjectIdentifier(self)
        let known = first.withLock { $0 }
        var isOther = false
        let descriptor = DescriptorPool.shared.take(key, isWritable: flags & O_ACCMODE != O_RDONLY) {
            let descriptor = retryingInterrupts { systemPath(path) { Glibc.open($0, flags | making, 0o666) } }
            var status = stat()
            if let known, descriptor >= 0, fstat(descriptor, &status) == 0, !FileIdentity(status).isSameFile(as: known)
            {
                isOther = true
                Glibc.close(descriptor)
                return -1
            }
            return descriptor
        }
        guard let descriptor else {
            if isOther {
                throw SafetensorsError(.io, file: path, message: "it was replaced while it was in use: run again")
            }
            throw failure(making & O_CREAT == 0 ? "cannot be opened" : "cannot be made")
        }
        let result = body(descriptor)
        let number = errno
        DescriptorPool.shared.release(key)
        errno = number
        return result
    }

    /// What the file was when it was opened first.
    private let first = Mutex<FileIdentity?>(nil)

    /// Opens a regular file for reading. A FIFO or a device is refused, and does not block.
    package static func open(_ path: String) throws(SafetensorsError) -> PosixFile {
        let file = try opened(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        let status = try file.status()
        guard status.st_mode & S_IFMT == S_IFREG else {
            let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
            throw SafetensorsError(.unsafePath, file: path, message: "expected a file, and this is \(kind)")
        }
        InputLog.record(FileIdentity(status), path)
        return file
    }

    /// Makes a new file for reading and writing.
    package static func create(_ path: String) throws(SafetensorsError) -> PosixFile {
        try opened(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW, making: O_CREAT | O_EXCL)
    }

    /// Opens a file that exists for reading and writing.
    package static func openForUpdate(_ path: String) throws(SafetensorsError) -> PosixFile {
        try opened(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    }

    /// Opens a file for reading and writing, making it where there is none.
    package static func openOrCreate(_ path: String) throws(SafetensorsError) -> PosixFile {
        let flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW
        let descriptor = DescriptorPool.shared.opening {
            retryingInterrupts { systemPath(path) { Glibc.open($0, flags, 0o666) } }
        }
        guard descriptor >= 0 else { throw failure(path, "cannot be opened") }
        return PosixFile(path: path, own: descriptor, flags: flags)
    }

    private static func opened(
        _ path: String, _ flags: Int32, making: Int32 = 0
    ) throws(SafetensorsError) -> PosixFile {
        let file = PosixFile(path: path, own: nil, flags: flags)
        var status = stat()
        guard try file.withDescriptor(making: making, { fstat($0, &status) }) == 0 else {
            throw failure(path, "cannot be examined")
        }
        let identity = FileIdentity(status)
        file.first.withLock { $0 = identity }
        return file
    }

    /// All of a file of the kernel's, which does not say its size.
    static func procFile(_ path: String) throws(SafetensorsError) -> [UInt8] {
        let file = try opened(path, O_RDONLY | O_CLOEXEC)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = try file.withDescriptor { descriptor in
            bytes.withUnsafeMutableBytes { buffer in
                retryingInterrupts { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
            }
        }
        guard count >= 0 else { throw failure(path, "cannot be read") }
        return Array(bytes.prefix(count))
    }

    // MARK: Reading and writing

    /// Fills `buffer` from `offset` on; the end of the file is an error.
    package func readExactly(
        into buffer: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(SafetensorsError) {
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { return }
            let (at, left) = (offset + done, min(buffer.count - done, 1 << 30))
            let count = try withDescriptor { descriptor in
                retryingInterrupts { pread(descriptor, base + done, left, off_t(at)) }
            }
            guard count >= 0 else { throw failure("cannot be read at byte \(offset + done)") }
            guard count > 0 else {
                throw SafetensorsError(
                    .io, file: path,
                    message: "ends at byte \(offset + done), where \(buffer.count - done) more were expected: "
                        + "it was cut short while it was read")
            }
            done += count
        }
    }

    /// `count` bytes from `offset` on.
    package func bytes(at offset: Int, count: Int) throws(SafetensorsError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 16)
        defer { buffer.deallocate() }
        let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count])
        try readExactly(into: part, at: offset)
        return Array(part)
    }

    /// Writes all of `bytes` at `offset`.
    package func writeExactly(_ bytes: [UInt8], at offset: Int) throws(SafetensorsError) {
        var result: Result<Void, SafetensorsError> = .success(())
        bytes.withUnsafeBytes { buffer in
            do throws(SafetensorsError) {
                try writeExactly(from: buffer, at: offset)
            } catch {
                result = .failure(error)
            }
        }
        try result.get()
    }

    /// Writes all of `buffer` at `offset`.
    package func writeExactly(from buffer: UnsafeRawBufferPointer, at offset: Int) throws(SafetensorsError) {
        var done = 0
        while done < buffer.count {
            guard let base = buffer.baseAddress else { return }
            let (at, left) = (offset + done, min(buffer.count - done, 1 << 30))
            let count = try withDescriptor { descriptor in
                retryingInterrupts { pwrite(descriptor, base + done, left, off_t(at)) }
            }
            guard count > 0 else { throw failure("cannot be written at byte \(offset + done)") }
            done += count
        }
    }

    /// Gives the file its size, and its blocks where the file system can do that.
    package func preallocate(_ size: Int) throws(SafetensorsError) {
        guard size > 0 else { return }
        if try call({ cplatform_fallocate($0, off_t(size)) }) == 0 { return }
        guard errno == EOPNOTSUPP || errno == EINVAL || errno == ENOSYS else {
            throw failure("cannot be given its \(byteText(size))")
        }
        guard try call({ ftruncate($0, off_t(size)) }) == 0 else {
            throw failure("cannot be given its \(byteText(size))")
        }
    }

    /// Cuts the file to `size` bytes.
    package func truncate(_ size: Int) throws(SafetensorsError) {
        guard try call({ ftruncate($0, off_t(size)) }) == 0 else { throw failure("cannot be cut") }
    }

    private func call(_ body: (Int32) -> Int32) throws(SafetensorsError) -> Int32 {
        try withDescriptor { descriptor in retryingInterrupts { body(descriptor) } }
    }

    private func checkEarlierWrites() throws(SafetensorsError) {
        guard !DescriptorPool.shared.hasFailed(ObjectIdentifier(self)) else {
            throw SafetensorsError(
                .io, file: path, message: "cannot be synced: the disk refused what was written before")
        }
    }

    // MARK: Syncing and the page cache

    /// The corresponding C function is `fsync`. It is not tried again after a failure: the kernel may have dropped the
    /// pages that it could not write.
    package func sync() throws(SafetensorsError) {
        guard try call({ fsync($0) }) == 0 else { throw failure("cannot be synced") }
        try checkEarlierWrites()
    }

    /// The corresponding C function is `fdatasync`.
    package func syncData() throws(SafetensorsError) {
        guard try call({ fdatasync($0) }) == 0 else { throw failure("cannot be synced") }
        try checkEarlierWrites()
    }

    /// Starts writing a range to the disk; a hint.
    package func startWriteback(offset: Int, length: Int) {
        _ = try? call { cplatform_sync_range($0, off_t(offset), off_t(length), 0) }
    }

    /// Waits until a range has been handed to the disk; a hint, not a sync.
    package func waitWriteback(offset: Int, length: Int) {
        _ = try? call { cplatform_sync_range($0, off_t(offset), off_t(length), 1) }
    }

    /// Lets go of a range in the page cache; a hint.
    package func dropCache(offset: Int = 0, length: Int = 0) {
        _ = try? call { posix_fadvise($0, off_t(offset), off_t(length), POSIX_FADV_DONTNEED) }
    }

    enum LockOutcome { case taken, isTaken, unsupported }

    /// Takes the file's lock.
    func tryLock() throws(SafetensorsError) -> LockOutcome {
        if try call({ flock($0, LOCK_EX | LOCK_NB) }) == 0 { return .taken }
        switch errno {
        case EWOULDBLOCK: return .isTaken
        case ENOLCK, EOPNOTSUPP, ENOSYS, EINVAL: return .unsupported
        default: throw failure("cannot be locked")
        }
    }

    // MARK: Facts

    private func status() throws(SafetensorsError) -> stat {
        var status = stat()
        guard try withDescriptor({ fstat($0, &status) }) == 0 else { throw failure("cannot be examined") }
        return status
    }

    package func size() throws(SafetensorsError) -> Int { Int(try status().st_size) }

    package func identity() throws(SafetensorsError) -> FileIdentity { FileIdentity(try status()) }

    /// What is at a path; a symbolic link is not followed.
    package static func identity(ofLink path: String) throws(SafetensorsError) -> FileIdentity {
        var status = stat()
        guard systemPath(path, { lstat($0, &status) }) == 0 else { throw failure(path, "cannot be examined") }
        return FileIdentity(status)
    }

    /// What a path leads to; nil where that is nothing.
    package static func identity(of path: String) throws(SafetensorsError) -> FileIdentity? {
        try target(of: path).map { FileIdentity($0) }
    }

    /// What is at a path.
    package enum Entry: Sendable { case file, folder, link, other }

    /// What is at a path, a link not followed; nil where there is nothing.
    package static func entry(_ path: String) throws(SafetensorsError) -> Entry? {
        var status = stat()
        guard systemPath(path, { lstat($0, &status) }) == 0 else {
            if isAbsence(errno) { return nil }
            throw failure(path, "cannot be examined")
        }
        return switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .folder
        case S_IFLNK: .link
        default: .other
        }
    }

    /// Whether a path leads to a folder.
    package static func isFolder(_ path: String) throws(SafetensorsError) -> Bool {
        try target(of: path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false
    }

    /// Whether an error number says that there is nothing: a disk that fails and a folder that may not be looked into say
    /// nothing of what is there.
    static func isAbsence(_ number: Int32) -> Bool { number == ENOENT || number == ENOTDIR }

    /// What a path leads to; nil where that is nothing, as for links that lead in a circle.
    static func target(of path: String) throws(SafetensorsError) -> stat? {
        var status = stat()
        if systemPath(path, { stat($0, &status) }) == 0 { return status }
        if isAbsence(errno) || errno == ELOOP { return nil }
        throw failure(path, "cannot be examined")
    }

    private func failure(_ what: String) -> SafetensorsError { Self.failure(path, what) }

    /// What the system says of the call that has just failed.
    package static func failure(_ path: String, _ what: String) -> SafetensorsError {
        let number = errno
        // What can be seen to lead nowhere is a fault of the input, not of the system.
        let code: SafetensorsError.Code
        var reason = String(cString: strerror(number))
        switch number {
        case ELOOP:
            code = .unsafePath
            reason = "its symbolic links lead in a circle"
        case ENXIO:
            code = .unsafePath
            reason = "expected a file, and this is a socket or a device"
        case ENOENT where (try? entry(path)) == .link:
            code = .missing
            reason = "it is a symbolic link to something that is not there"
        case ENOMEM:
            code = .outOfMemory
            reason = "out of memory"
        default: code = .io
        }
        return SafetensorsError(code, file: path, message: "\(what): \(reason)", errno: number)
    }
}

/// What tells whether a file is still the one it was.
public struct FileIdentity: Sendable, Hashable, CustomStringConvertible {
    /// The file system and the number of the file in it.
    public let device: UInt64, inode: UInt64
    /// Bytes.
    public let size: Int
    /// When it was written last.
    public let modifiedSeconds: Int, modifiedNanoseconds: Int

    init(_ status: stat) {
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        size = Int(status.st_size)
        modifiedSeconds = status.st_mtim.tv_sec
        modifiedNanoseconds = status.st_mtim.tv_nsec
    }

    /// Whether both are one file, whatever was written to it.
    package func isSameFile(as other: FileIdentity) -> Bool { device == other.device && inode == other.inode }

    /// The parts in a fixed order.
    public var description: String { "\(device):\(inode):\(size):\(modifiedSeconds).\(modifiedNanoseconds)" }
}

/// Calls again what a signal interrupted.
func retryingInterrupts<T: FixedWidthInteger>(_ call: () -> T) -> T {
    while true {
        let result = call()
        if result != -1 || errno != EINTR { return result }
    }
}
