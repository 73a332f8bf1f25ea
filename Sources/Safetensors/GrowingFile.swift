import Glibc

/// A file that grows beside its place and is put there whole.
package final class GrowingFile {
    private let path: String
    private let growing: String
    private let lock: FileLock
    private var isPut = false

    /// - Throws: `SafetensorsError` of `io` where it cannot be made, or another process writes the same file.
    package init(_ path: String) throws(SafetensorsError) {
        self.path = path
        growing = PosixFile.growingPath(path)
        guard let lock = try FileLock.take(growing) else {
            throw SafetensorsError(.io, file: path, message: "another process is writing it: wait for it", errno: EBUSY)
        }
        self.lock = lock
    }

    deinit { if !isPut { _ = systemPath(growing) { Glibc.unlink($0) } } }

    /// Writes and syncs the content.
    package func fill(_ body: (PosixFile) throws(SafetensorsError) -> Void) throws(SafetensorsError) {
        try lock.file.truncate(0)
        try body(lock.file)
        try lock.file.sync()
    }

    /// Puts the file in its place.
    ///
    /// - Parameter syncing: whether its name is on disk afterwards.
    package func put(syncing: Bool = true) throws(SafetensorsError) {
        try PosixFile.rename(growing, path)
        isPut = true
        if syncing { try PosixFile.syncDirectory(PosixFile.split(path).folder) }
    }
}
