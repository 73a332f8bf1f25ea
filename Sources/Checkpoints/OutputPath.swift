import Glibc
package import Safetensors

/// Where a command writes a file or a folder: the rules that hold for every one of them.
///
/// An output is never an input of the run, whatever links lead to it; it is nothing that exists unless that may be
/// replaced, and then only what is recognisably of the output's own kind.
package struct OutputPath: Sendable {
    /// The path without slashes at its end.
    package let path: String
    /// The folder that it is in, and its name there.
    package let parent: String, name: String

    /// - Throws: `CheckpointError`: `usage` for a path without a name, `io` where there is no folder for it.
    package init(_ path: String) throws {
        var (parent, name) = WorkFolder.split(path)
        if [".", "..", "", "/"].contains(name) {
            guard !path.isEmpty, let resolved = try PosixFile.resolved(path), resolved != "/" else {
                throw CheckpointError(.usage, file: path, message: "expected the name of an output")
            }
            (parent, name) = WorkFolder.split(resolved)
        }
        guard try PosixFile.isFolder(parent) else {
            throw CheckpointError(
                .io, file: path,
                message: try fileExists(parent)
                    ? "\(escaped(parent)), in which it is to be written, is not a folder"
                    : "the folder \(escaped(parent)), in which it is to be written, does not exist: make it first")
        }
        self.parent = parent
        self.name = name
        self.path = path.contains("/") ? "\(parent == "/" ? "" : parent)/\(name)" : name
    }

    /// Refuses what is there and is not to be replaced.
    ///
    /// - Parameters:
    ///   - overwrite: whether something of the kind may be replaced.
    ///   - unfinishedWork: what an earlier run left of its work on this output, for the message.
    /// - Throws: `CheckpointError` of `usage`.
    package func checkReplacing(_ kind: OutputKind, overwrite: Bool, unfinishedWork: String? = nil) throws {
        guard let entry = try PosixFile.entry(path) else { return }
        func refusal(_ message: String) -> CheckpointError { CheckpointError(.usage, file: path, message: message) }
        guard overwrite else {
            let work =
                unfinishedWork.map {
                    "; an unfinished run left its work on it in \(escaped($0)), which `resume` with `overwrite` continues"
                } ?? ""
            throw refusal("it exists already; choose another output, or replace it with `overwrite`" + work)
        }
        try checkInputs()
        if kind.isFolder {
            guard entry == .folder else {
                throw refusal("`overwrite` replaces \(kind.name)'s folder, and this is not a folder")
            }
        } else {
            let leadsToFile = try PosixFile.identity(of: path) != nil && !PosixFile.isFolder(path)
            guard entry == .file || entry == .link && leadsToFile else {
                throw refusal("`overwrite` replaces \(kind.name), and this is not a file")
            }
        }
        if let objection = try InputLog.pausing({ try kind.objection(path) }) {
            throw refusal(
                "`overwrite` replaces \(kind.name), and \(objection): choose another output, or move away what is not needed"
            )
        }
    }

    /// Refuses a folder that is one of the folders that it is made from, or inside of one, or around one.
    ///
    /// - Throws: `CheckpointError` of `usage`.
    package static func checkOverlap(_ output: String, with folders: [String]) throws {
        let (parent, name) = WorkFolder.split(output)
        let target = try fileExists(output) ? resolvedPath(output) : resolvedPath(parent) + "/" + name
        for source in Set(try folders.map(resolvedPath)) {
            // A file by itself, such as a router's, lies among others; a checkpoint's folder is its own.
            let isCheckpoint = try ["config.json", AdapterConfiguration.fileName].contains {
                try fileExists(source + "/" + $0)
            }
            guard
                target == source || source.hasPrefix(target + "/") || (isCheckpoint && target.hasPrefix(source + "/"))
            else { continue }
            throw CheckpointError(
                .usage, file: output,
                message: "the output would be the source \(source), or lie inside it, or hold it: choose another folder"
            )
        }
    }

    /// Refuses a place where writing would change an input.
    ///
    /// - Throws: `CheckpointError` of `usage`.
    package func checkInputs() throws {
        func refusal(_ message: String) -> CheckpointError { CheckpointError(.usage, file: path, message: message) }
        var pending = [path]
        while let next = pending.popLast() {
            if let identity = try PosixFile.identity(of: next), let input = InputLog.input(identity) {
                throw refusal(
                    "it would take the place of \(escaped(input)), which this run reads: choose another output")
            }
            if try PosixFile.entry(next) == .folder {
                pending += try PosixFile.listDirectory(next).map { next + "/" + $0 }
            }
        }
        var folder = try PosixFile.resolved(parent) ?? parent
        while true {
            if let identity = try PosixFile.identity(of: folder), let input = InputLog.folder(identity) {
                throw refusal("it would become part of the data in \(escaped(input)): choose a place outside of it")
            }
            guard folder != "/", folder.hasPrefix("/") else { break }
            folder = WorkFolder.split(folder).parent
        }
        if try !fileExists(path), CheckpointFolder.isMember(name), try CheckpointFolder.hasConfiguration(parent) {
            throw refusal("it would become a file of the checkpoint in \(escaped(parent)): choose another name")
        }
    }
}

/// What kind of thing an output is, and how something that is there is known to be one.
package struct OutputKind: Sendable {
    /// With its article: "a report".
    package let name: String
    package let isFolder: Bool
    /// What keeps something at a path from being of the kind, as the end of a sentence; nil where nothing does.
    package let objection: @Sendable (_ path: String) throws -> String?

    package init(_ name: String, isFolder: Bool = false, objection: @escaping @Sendable (String) throws -> String?) {
        self.name = name
        self.isFolder = isFolder
        self.objection = objection
    }

    /// A file that its own reader takes.
    package static func file(_ name: String, readBy read: @escaping @Sendable (String) throws -> Void) -> OutputKind {
        OutputKind(name) { path in
            do {
                try read(path)
                return nil
            } catch  where isFailureOfSystem(error) {
                throw error
            } catch {
                return "this is none"
            }
        }
    }

    /// A checkpoint's folder.
    package static let checkpoint = OutputKind("a checkpoint", isFolder: true) { try CheckpointFolder.objection($0) }

    /// A safetensors file by itself, packed or not.
    package static let weights = OutputKind.file("a file of weights") { path in
        if path.hasSuffix(".zst") {
            guard try PosixFile.open(path).bytes(at: 0, count: 4) == [0x28, 0xB5, 0x2F, 0xFD] else {
                throw CheckpointError(.malformed, file: path, message: "no zstd file")
            }
        } else {
            _ = try SafetensorsFile(path: path)
        }
    }

    /// A folder with a tokenizer alone.
    package static let tokenizer = OutputKind("a tokenizer", isFolder: true) { path in
        for name in try PosixFile.listDirectory(path) where !["tokenizer.json", "tokenizer_config.json"].contains(name)
        {
            return "\(escaped(name)) is there, which is no file of a tokenizer that is trained here"
        }
        let file = path + "/tokenizer.json"
        guard try fileExists(file) else { return nil }
        let bytes = try PosixFile.contents(file, limit: 512 << 20)
        let json = try? JSON(parsing: bytes, file: file).object
        return json?["model"]?.object?["type"] == nil ? "tokenizer.json is none" : nil
    }

    /// A file of JSON lines with the steps of a training.
    package static let metrics = OutputKind("the metrics of a training") { path in
        let file = try PosixFile.open(path)
        let head = try file.bytes(at: 0, count: min(file.size(), 1 << 16))
        guard let line = head.split(separator: UInt8(ascii: "\n")).first else { return nil }
        // A killed run may leave a part of its first line.
        if !head.contains(UInt8(ascii: "\n")), Array("{\"step\":".utf8).starts(with: line.prefix(8)) { return nil }
        let object = (try? JSON(parsing: Array(line), file: path))?.object
        return object?["step"] != nil && (object?["loss"] != nil || object?["heldout"] != nil) ? nil : "this is none"
    }
}

/// A file that a command writes: it appears whole or not at all, under the rules of `OutputPath`.
package struct OutputFile: Sendable {
    package let path: String
    private let kind: OutputKind
    private let overwrite: Bool

    /// Refuses, before the work, what could not be written after it.
    ///
    /// - Throws: `CheckpointError` as `OutputPath` does, and `io` where the folder cannot be written to.
    package init(_ path: String, _ kind: OutputKind, overwrite: Bool) throws {
        let output = try OutputPath(path)
        self.path = output.path
        self.kind = kind
        self.overwrite = overwrite
        try output.checkReplacing(kind, overwrite: overwrite)
        try output.checkInputs()
        guard systemPath(output.parent, { access($0, W_OK) }) == 0 else {
            throw CheckpointError(
                .io, file: path, message: "the folder cannot be written to: \(String(cString: strerror(errno)))")
        }
    }

    /// Refuses what has come to be there meanwhile, or has turned out to be an input.
    package func check() throws {
        let output = try OutputPath(path)
        try output.checkReplacing(kind, overwrite: overwrite)
        try output.checkInputs()
    }

    /// Writes the file.
    ///
    /// - Throws: as `init`; `SafetensorsError` where the disk refuses. What was there is then untouched.
    package func write(_ body: (PosixFile) throws(SafetensorsError) -> Void) throws {
        try check()
        try PosixFile.replace(path, body)
    }

    /// Writes the file.
    package func write(_ bytes: [UInt8]) throws {
        try write { file throws(SafetensorsError) in try file.writeExactly(bytes, at: 0) }
    }

    /// Writes a file of tensors.
    package func write(_ tensors: TensorFile) throws {
        try check()
        try tensors.write(to: path)
    }

    /// Writes files that belong together: all are on disk before the first takes its place, they take them one right after
    /// the other, and where one cannot, what was at the places before is put back.
    package static func write(_ files: [(file: OutputFile, bytes: [UInt8])]) throws {
        for (file, _) in files { try file.check() }
        var growing: [GrowingFile] = []
        for (file, bytes) in files {
            let one = try GrowingFile(file.path)
            try one.fill { file throws(SafetensorsError) in try file.writeExactly(bytes, at: 0) }
            growing.append(one)
        }
        try Interruption.protecting {
            for (index, one) in growing.enumerated() {
                do { try one.putReversibly() } catch {
                    for earlier in growing[..<index].reversed() { try? earlier.takeBack() }
                    throw error
                }
            }
            for folder in Set(files.map { WorkFolder.split($0.file.path).parent }) {
                try PosixFile.syncDirectory(folder)
            }
        }
    }
}

/// A folder of small files that a command writes: they appear together.
package struct OutputFolder: Sendable {
    package let path: String
    private let kind: OutputKind
    private let overwrite: Bool

    /// Refuses, before the work, what could not be written after it.
    package init(_ path: String, _ kind: OutputKind, overwrite: Bool) throws {
        let output = try OutputPath(path)
        self.path = output.path
        self.kind = kind
        self.overwrite = overwrite
        try output.checkReplacing(kind, overwrite: overwrite)
        try output.checkInputs()
    }

    /// Writes the folder, and answers with what could not be cleaned up after that.
    package func write(_ files: [(name: String, bytes: [UInt8])]) throws -> [String] {
        try OutputPath(path).checkInputs()
        let work = try WorkFolder(output: path, overwrite: overwrite, resume: false, replacing: kind)
        do {
            try PosixFile.makeDirectory(work.content)
            for file in files { try PosixFile.write(work.content + "/" + file.name, file.bytes) }
            return try work.publish(replacing: kind)
        } catch {
            try? work.remove()
            throw error
        }
    }
}
