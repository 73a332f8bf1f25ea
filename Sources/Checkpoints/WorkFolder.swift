import Glibc
package import Safetensors

/// The locked folder beside the output in which a checkpoint, or a file, grows, and from which it is published whole.
///
/// `.OUT.moe-tool-partial` holds `lock`, `journal` and `checkpoint/`; the last becomes OUT by one rename. A kill at any
/// time leaves the old state or the new one, and the folder to go on from.
///
/// With `--force` the old checkpoint and the new one change places, so that afterwards the old one lies where the new one
/// grew, and the journal would speak of it. What is about to be published is therefore written down before, in
/// `publishing`, by its number in the file system: whoever finds that file knows which of the two is the new one.
package final class WorkFolder {
    /// The path that the work is for.
    package let output: String
    /// Whether an earlier run had finished the output, so that there is nothing to do.
    package private(set) var isComplete = false
    /// Whether what is at the output is to be replaced.
    private(set) var replacesOutput: Bool
    private let parent: String
    private let folder: String
    private let lock: FileLock

    var content: String { folder + "/checkpoint" }
    var journalPath: String { folder + "/journal" }
    private var publishingPath: String { folder + "/publishing" }
    private var asidePath: String { folder + "/replaced" }

    /// The folder in which `output` grows.
    static func path(for output: String) -> String { PosixFile.growingPath(output) }

    /// Takes the lock, and refuses what must not be overwritten.
    ///
    /// - Parameters:
    ///   - isFinished: asked with `resume` where the output is there and no work is left of it: whether it is what this
    ///     run would make.
    /// - Throws: `CheckpointError` with code `usage` where the output exists, another run is at work on it, or an
    ///   unfinished one lies there and neither `resume` nor `overwrite` was asked for.
    package init(
        output path: String, overwrite: Bool, resume: Bool, replacing kind: OutputKind = .checkpoint,
        isFinished: () throws -> Bool = { false }
    ) throws {
        let target = try OutputPath(path)
        // One file of weights may lie beside the one that it is made of.
        if kind.isFolder { try target.checkInputs() }
        output = target.path
        parent = target.parent
        folder = Self.path(for: target.path)
        replacesOutput = overwrite
        if try !fileExists(folder) {
            // Refused without a trace.
            if try fileExists(output) {
                if resume, try InputLog.pausing(isFinished) {
                    isComplete = true
                } else {
                    try target.checkReplacing(kind, overwrite: overwrite)
                }
            }
        }
        lock = try Self.takeLock(folder, for: output)
        do {
            try recover(resume: resume, overwrite: overwrite)
            try checkWork(target, kind, overwrite: overwrite, resume: resume, isFinished: isFinished)
            if isComplete { try remove() }
        } catch {
            // What was made a moment ago and holds nothing is not left behind.
            let isEmpty = try? ![journalPath, publishingPath, content].contains(where: fileExists)
            if isEmpty == true { try? remove() }
            throw error
        }
    }

    private static func takeLock(_ folder: String, for output: String) throws -> FileLock {
        // The run before may be removing the folder.
        for _ in 0..<100 {
            do {
                try PosixFile.makeDirectory(folder)
            } catch {
                guard error.errno == EEXIST else { throw error }
                guard try PosixFile.entry(folder) == .folder else {
                    throw CheckpointError(
                        .usage, file: folder, message: "expected the folder of an unfinished run: remove this file")
                }
            }
            do {
                guard let lock = try FileLock.take(folder + "/lock") else {
                    throw CheckpointError(
                        .usage, file: output,
                        message: "another run of moe-tool is writing this output (it holds \(folder)/lock); "
                            + "wait for it, or write to another place")
                }
                return lock
            } catch let error as SafetensorsError {
                guard error.errno == ENOENT else {
                    try? PosixFile.removeDirectory(folder)
                    throw error
                }
            }
        }
        throw CheckpointError(.io, file: folder, message: "cannot be locked: it is removed again and again")
    }

    /// Brings what a run left that was killed while it published to one side or the other.
    private func recover(resume: Bool, overwrite: Bool) throws {
        if try fileExists(publishingPath) {
            let text = String(decoding: try PosixFile.contents(publishingPath, limit: 4096), as: UTF8.self)
            // One that was cut short was being written, and nothing had been moved.
            if text.hasSuffix("\n") {
                let mark = String(text.dropLast())
                if try Self.mark(of: output) == mark {
                    // It is in place: what lies here is what it replaced.
                    if resume { isComplete = true }
                    try removeContents()
                } else if try isInContent(mark) {
                    if try fileExists(asidePath), try !fileExists(output) { try PosixFile.rename(asidePath, output) }
                } else if overwrite, !resume {
                    try removeContents()
                } else {
                    throw CheckpointError(
                        .usage, file: output,
                        message: "\(folder) holds a finished run's work that was moved since: look at what is in it, "
                            + "and start over with `overwrite`")
                }
            }
            if try fileExists(publishingPath) { try PosixFile.unlink(publishingPath) }
        }
    }

    private func checkWork(
        _ target: OutputPath, _ kind: OutputKind, overwrite: Bool, resume: Bool, isFinished: () throws -> Bool
    ) throws {
        if isComplete { return }
        let journal = try Journal.preamble(of: journalPath)
        if journal == nil {
            // Nothing can be gone on with: killed before the journal's first line, or while it was removed.
            try removeContents()
        } else if overwrite, !resume {
            try removeContents()
        }
        if try fileExists(output) {
            if journal == nil, resume, try InputLog.pausing(isFinished) {
                isComplete = true
                return
            }
            let agreed = try resume && journal?.replaces == Self.mark(of: output)
            let work = journal == nil ? nil : folder
            try target.checkReplacing(kind, overwrite: overwrite || agreed, unfinishedWork: work)
            replacesOutput = true
        }
        if journal != nil, !overwrite, !resume {
            throw CheckpointError(
                .usage, file: self.output,
                message: "an unfinished run left its work in \(folder): continue it with `resume`, "
                    + "or start over with `overwrite`")
        }
    }

    /// What the journal notes of the checkpoint that is to be replaced.
    var replacedMark: String? {
        get throws { replacesOutput ? try Self.mark(of: output) : nil }
    }

    /// A file or folder by its number in the file system; nil where there is nothing.
    package static func mark(of path: String) throws -> String? {
        guard try fileExists(path) else { return nil }
        let identity = try PosixFile.identity(ofLink: path)
        return "\(identity.device):\(identity.inode)"
    }

    private func isInContent(_ mark: String) throws -> Bool {
        if try Self.mark(of: content) == mark { return true }
        guard try PosixFile.entry(content) == .folder else { return false }
        return try PosixFile.listDirectory(content).contains { try Self.mark(of: content + "/" + $0) == mark }
    }

    /// Puts the finished checkpoint in its place, and answers with what could not be cleaned up after that.
    ///
    /// The old checkpoint, if there is one to replace, changes places with the new one and is removed after that.
    ///
    /// - Parameter file: a file of the content, where that is the output and not the folder.
    func publish(file: String? = nil, replacing kind: OutputKind = .checkpoint) throws -> [String] {
        try Interruption.protecting { try put(file, replacing: kind) }
    }

    private func put(_ file: String?, replacing kind: OutputKind) throws -> [String] {
        let published = file.map { content + "/" + $0 } ?? content
        try PosixFile.syncDirectory(content)
        guard let mark = try Self.mark(of: published) else {
            throw CheckpointError(.io, file: published, message: "it is gone: something else removed it")
        }
        try PosixFile.write(publishingPath, Array((mark + "\n").utf8))
        try PosixFile.syncDirectory(folder)
        do {
            if replacesOutput, try fileExists(output) {
                // It may have changed in the hours since it was looked at.
                try OutputPath(output).checkReplacing(kind, overwrite: true)
                try PosixFile.exchange(published, output, aside: asidePath)
            } else {
                try PosixFile.renameNoReplace(published, output)
            }
        } catch {
            try? PosixFile.unlink(publishingPath)
            throw error
        }
        try PosixFile.syncDirectory(parent)
        do {
            try remove()
            return []
        } catch {
            return ["\(output) is complete, and what is left of the work could not be removed: \(error)"]
        }
    }

    /// Removes the folder and what is in it.
    package func remove() throws {
        try removeContents()
        if try fileExists(publishingPath) { try PosixFile.unlink(publishingPath) }
        for path in [folder + "/lock", FileLock.ownerPath(folder + "/lock")] where try fileExists(path) {
            try PosixFile.unlink(path)
        }
        try PosixFile.removeDirectory(folder)
        try PosixFile.syncDirectory(parent)
    }

    /// Removes the work, and keeps the lock.
    ///
    /// The journal goes first: without it nothing is resumed, so that a kill on the way leaves no journal of files that
    /// are gone.
    private func removeContents() throws {
        for path in [journalPath, Journal.growingPath(journalPath)] where try fileExists(path) {
            try PosixFile.unlink(path)
        }
        try PosixFile.removeTree(content)
        try PosixFile.removeTree(asidePath)
    }

    /// Removes what an interrupted run left of `output`, if anything.
    package static func discard(_ output: String) throws {
        let target = try OutputPath(output)
        guard try fileExists(path(for: target.path)) else { return }
        // With leave to overwrite nothing of it is gone on with.
        try WorkFolder(output: output, overwrite: true, resume: false).remove()
    }

    /// Refuses what must not be replaced, without a trace; where unfinished work lies beside it, that is looked at when the
    /// work folder is opened.
    package static func check(output: String, overwrite: Bool) throws {
        let target = try OutputPath(output)
        if try !fileExists(path(for: target.path)) { try target.checkReplacing(.checkpoint, overwrite: overwrite) }
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
///
/// - Throws: `SafetensorsError` where that cannot be told.
package func fileExists(_ path: String) throws(SafetensorsError) -> Bool {
    try PosixFile.entry(path) != nil
}

/// Makes a folder and those above it, as far as they are not there.
package func makeFolders(_ path: String) throws(SafetensorsError) {
    guard try !fileExists(path) else { return }
    if let slash = path.lastIndex(of: "/"), slash != path.startIndex { try makeFolders(String(path[..<slash])) }
    // A path may end in a slash.
    if try !fileExists(path) { try PosixFile.makeDirectory(path) }
}

/// The path with every symbolic link followed; the path itself where it leads nowhere.
package func resolvedPath(_ path: String) throws(SafetensorsError) -> String {
    try PosixFile.resolved(path) ?? path
}
