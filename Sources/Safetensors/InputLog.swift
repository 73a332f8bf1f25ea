import Synchronization

/// The files that this process has opened to read, by device and inode: whatever it writes must be none of them.
///
/// It is kept once `start` was called, which the command line does: a run of it reads its inputs and writes its outputs
/// once. A library's caller may well read what it wrote and write it again.
package enum InputLog {
    private struct State {
        var isOn = false
        var files: [FileKey: String] = [:]
        var folders: [FileKey: String] = [:]
    }

    private struct FileKey: Hashable {
        let device: UInt64, inode: UInt64

        init(_ identity: FileIdentity) { (device, inode) = (identity.device, identity.inode) }
    }

    private static let state = Mutex(State())

    /// Begins to keep the log.
    package static func start() { state.withLock { $0.isOn = true } }

    static func record(_ identity: FileIdentity, _ path: String) {
        state.withLock { if $0.isOn { $0.files[FileKey(identity)] = path } }
    }

    /// Notes a folder of which every file is an input, those that may still be put there included.
    package static func recordFolder(_ path: String) throws(SafetensorsError) {
        guard let identity = try PosixFile.identity(of: path) else { return }
        state.withLock { if $0.isOn { $0.folders[FileKey(identity)] = path } }
    }

    /// Does something without noting what it reads: a look at an output of an earlier run.
    package static func pausing<T>(_ body: () throws -> T) rethrows -> T {
        let files = state.withLock { $0.files }
        defer { state.withLock { $0.files = files } }
        return try body()
    }

    /// The path under which a file was opened to read, if it was.
    package static func input(_ identity: FileIdentity) -> String? { state.withLock { $0.files[FileKey(identity)] } }

    /// The path under which a folder was noted, if it was.
    package static func folder(_ identity: FileIdentity) -> String? { state.withLock { $0.folders[FileKey(identity)] } }
}
