import Glibc

/// A file that one process has to itself, until the lock goes or the process ends.
///
/// `flock` where the file system has it: the kernel lets go of it however the process ends. Where it has none (some
/// network file systems), a file `PATH.owner` that is made with `O_EXCL` and names host, process and start time: an
/// owner that is no longer there is taken over, one of another host is believed.
package final class FileLock: Sendable {
    /// The locked file, open for reading and writing.
    package let file: PosixFile
    /// The file that stands for the lock where `flock` is not to be had.
    private let owner: String?

    private init(_ file: PosixFile, owner: String?) {
        self.file = file
        self.owner = owner
    }

    deinit { if let owner { _ = systemPath(owner) { Glibc.unlink($0) } } }

    /// The name of the file beside a lock that stands for it where `flock` is not to be had.
    package static func ownerPath(_ path: String) -> String { path + ".owner" }

    /// Makes the file where there is none, and locks it; nil where another process has it.
    ///
    /// - Throws: `SafetensorsError` of `io`.
    package static func take(_ path: String) throws(SafetensorsError) -> FileLock? {
        // Whoever had the lock may have removed or replaced the file between our opening and our locking it: what is
        // locked must be what is at the path.
        for _ in 0..<100 {
            let file = try PosixFile.openOrCreate(path)
            switch try file.tryLock() {
            case .isTaken: return nil
            case .taken:
                if try file.identity().isSameFile(as: PosixFile.identity(ofLink: path)) {
                    return FileLock(file, owner: nil)
                }
            case .unsupported:
                let owner = ownerPath(path)
                return try takeOwner(owner) ? FileLock(file, owner: owner) : nil
            }
        }
        throw SafetensorsError(.io, file: path, message: "cannot be locked: it is removed again and again")
    }

    private static func takeOwner(_ path: String) throws(SafetensorsError) -> Bool {
        let mine = description(of: getpid())
        for _ in 0..<10 {
            do throws(SafetensorsError) {
                let file = try PosixFile.create(path)
                try file.writeExactly(Array(mine.utf8), at: 0)
                try file.sync()
                return true
            } catch {
                guard error.errno == EEXIST else { throw error }
            }
            let text = (try? PosixFile.contents(path, limit: 4096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let fields = text.split(separator: " ").map(String.init)
            // An owner that is cut short was killed, or is being made this moment.
            guard fields.count == 3 else {
                usleep(50_000)
                if (try? PosixFile.sizeOf(path)) == text.utf8.count { _ = systemPath(path) { Glibc.unlink($0) } }
                continue
            }
            guard fields[0] == hostName, let process = Int32(fields[1]), description(of: process) != text else {
                return false
            }
            _ = systemPath(path) { Glibc.unlink($0) }
        }
        return false
    }

    /// Host, process and its start: a number that is given out again belongs to another process.
    private static func description(of process: Int32) -> String {
        let path = "/proc/\(process)/stat"
        let text = (try? PosixFile.procFile(path)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        // The second field is the program's name in parentheses, which may hold spaces.
        let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ")
        let start = fields.count > 20 ? String(fields[20]) : "gone"
        return "\(hostName) \(process) \(start)"
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return text.isEmpty ? "localhost" : text.split(separator: " ").joined(separator: "-")
    }
}
