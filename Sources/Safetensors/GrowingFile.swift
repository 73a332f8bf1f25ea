import CPlatform
import Glibc

/// A file that grows beside its place and is put there whole.
package final class GrowingFile {
    private let path: String
    private let growing: String
    private let lock: FileLock
    private var isPut = false
    /// Whether something was replaced for good.
    private var isReplaced = false
    /// Whether what was at the place before lies where this file grew.
    private var holdsOld = false

    /// - Throws: `SafetensorsError` of `io` where it cannot be made, or another process writes the same file.
    package init(_ path: String) throws(SafetensorsError) {
        self.path = path
        growing = PosixFile.growingPath(path)
        guard let lock = try FileLock.take(growing) else {
            throw SafetensorsError(.io, file: path, message: "another process is writing it: wait for it", errno: EBUSY)
        }
        self.lock = lock
    }

    deinit { if !isPut || holdsOld { _ = systemPath(growing) { Glibc.unlink($0) } } }

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

    /// Puts the file in its place, so that `takeBack` can restore what is there as long as this object lives.
    package func putReversibly() throws(SafetensorsError) {
        if systemPath(growing, { from in systemPath(path) { cplatform_rename_exchange(from, $0) } }) == 0 {
            holdsOld = true
        } else {
            // Nothing is there, or the file system cannot exchange.
            guard [ENOENT, EINVAL, ENOSYS, ENOTSUP].contains(errno) else {
                throw PosixFile.failure(path, "cannot be put in place")
            }
            let isReplacing = try PosixFile.entry(path) != nil
            try PosixFile.rename(growing, path)
            isReplaced = isReplacing
        }
        isPut = true
    }

    /// Undoes `putReversibly`; where the old file could not be kept, the new one stays.
    package func takeBack() throws(SafetensorsError) {
        if holdsOld {
            guard systemPath(growing, { from in systemPath(path) { cplatform_rename_exchange(from, $0) } }) == 0 else {
                holdsOld = false
                throw PosixFile.failure(path, "cannot be put back: the file that was there is \(growing)")
            }
        } else if !isReplaced {
            try PosixFile.unlink(path)
        }
    }
}
