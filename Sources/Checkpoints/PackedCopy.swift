import Crypto
import Numerics
import Packing
import Safetensors

/// Packs a checkpoint's folder, or one file, or compresses it, and unpacks it again bit for bit.
///
/// What is beside the weights is copied as it is. The copy is read back and every tensor's SHA-256 compared before it
/// appears; the source is only read.
public struct PackedCopy: Sendable {
    /// What is made of the weights' files: packed files, the original ones, or the same under zstd, which `zstd -d` makes
    /// the same again.
    public enum Direction: Sendable {
        /// To packed files, .mtz.
        case packing
        /// From packed files to the original ones.
        case unpacking
        /// To .safetensors.zst.
        case compressing
    }

    private let direction: Direction
    private let input: String
    private let output: String
    private var options: WriteOptions

    /// - Parameters:
    ///   - input: a folder or a file.
    ///   - output: a folder, or a file where the input is one.
    public init(_ direction: Direction, of input: String, to output: String, options: WriteOptions = WriteOptions()) {
        self.direction = direction
        self.input = input
        self.output = output
        self.options = options
    }

    /// Makes the copy.
    ///
    /// - Throws: `CheckpointError`, `SafetensorsError`; nothing is then at the output that was not there before.
    @discardableResult
    public func run() async throws -> WriteReport {
        guard try ShardedTensors.isPacked(input) == (direction == .unpacking) else {
            let what =
                direction == .unpacking ? "it is not packed: there is no .mtz file" : "it is packed: `unpack` it first"
            throw CheckpointError(.usage, file: input, message: what)
        }
        return try await cancelling { isCancelled in
            var copy = self
            let isStopped = options.isCancelled
            copy.options.isCancelled = { isCancelled() || isStopped() }
            return try await PosixFile.isFolder(input) ? copy.runFolder() : copy.runFile()
        }
    }

    private func runFolder() async throws -> WriteReport {
        try refuseOverlap()
        let sources = try Sources(direction, input)
        let names = sources.names.map { copiedName($0) }
        let carried = try carriedFiles()
        let work = try WorkFolder(output: output, overwrite: options.overwrite, resume: options.resume) {
            try isFinished(sources, in: output, carried)
        }
        if work.isComplete { return try completed(work, names.map { work.output + "/" + $0 }) }
        do {
            try PosixFile.makeDirectory(work.content)
            let bytes = try await copy(sources, into: work.content)
            for (name, path) in carried {
                try Companion(name: name, content: .file(path)).write(in: work.content)
            }
            if options.isCancelled() { throw CheckpointError.cancelled }
            let remarks = try work.publish()
            return WriteReport(output: work.output, bytes: bytes, resumedBytes: 0, files: names, warnings: remarks)
        } catch {
            try? work.remove()
            throw error
        }
    }

    private func runFile() async throws -> WriteReport {
        let suffix =
            switch direction {
            case .packing: PackedFile.suffix
            case .unpacking: ShardFormat.safetensors.suffix
            case .compressing: ".zst"
            }
        guard output.hasSuffix(suffix) else {
            throw CheckpointError(.usage, file: output, message: "the output of one file must end in \(suffix)")
        }
        if let found = try PosixFile.identity(of: output),
            try PosixFile.identity(of: input)?.isSameFile(as: found) == true
        {
            throw CheckpointError(.usage, file: output, message: "the output is the input: choose another")
        }
        let sources = try Sources(direction, input)
        let work = try WorkFolder(
            output: output, overwrite: options.overwrite, resume: options.resume, replacing: .weights
        ) {
            try isFinished(sources, in: WorkFolder.split(output).parent, [], as: [WorkFolder.split(output).name])
        }
        if work.isComplete { return try completed(work, [work.output]) }
        do {
            try PosixFile.makeDirectory(work.content)
            let bytes = try await copy(sources, into: work.content)
            if options.isCancelled() { throw CheckpointError.cancelled }
            let remarks = try work.publish(file: copiedName(sources.names[0]), replacing: .weights)
            return WriteReport(
                output: work.output, bytes: bytes, resumedBytes: 0, files: [WorkFolder.split(output).name],
                warnings: remarks)
        } catch {
            try? work.remove()
            throw error
        }
    }

    private func completed(_ work: WorkFolder, _ paths: [String]) throws -> WriteReport {
        let bytes = try paths.reduce(0) { try $0 + PosixFile.sizeOf($1) }
        return WriteReport(
            output: work.output, bytes: bytes, resumedBytes: bytes, files: paths.map { WorkFolder.split($0).name },
            warnings: ["it was complete already: an earlier run had finished it"])
    }

    /// Whether what would be made is there: every tensor and every other file is compared.
    private func isFinished(
        _ sources: Sources, in folder: String, _ carried: [(name: String, path: String)], as names: [String]? = nil
    ) throws -> Bool {
        let targets = (names ?? sources.names.map { copiedName($0) }).map { folder + "/" + $0 }
        guard try targets.allSatisfy(fileExists) else { return false }
        for (name, path) in carried {
            let copy = folder + "/" + name
            guard try fileExists(copy), try RunIdentity.digest(ofFile: copy) == RunIdentity.digest(ofFile: path) else {
                return false
            }
        }
        let workers = Workers(threads: options.threads)
        let check = { if options.isCancelled() { throw CheckpointError.cancelled } }
        do {
            switch sources.content {
            case .plain(let files) where direction == .packing:
                for (file, target) in zip(files, targets) {
                    let packed = try PackedFile(path: target)
                    guard try packed.directory.headerBytes == file.headerBytes() else { return false }
                    for (tensor, digest) in zip(file.header.tensors, packed.directory.tensors) {
                        try check()
                        guard try digest.description == self.digest(of: tensor, in: file) else { return false }
                    }
                }
                return true
            case .plain(let files):
                let compressor = SeekableZstd(workers: workers, check: check)
                for (file, target) in zip(files, targets) { try compressor.verify(target, of: file) }
                return true
            case .packed(let files):
                let verifier = FileUnpacker(workers: workers, check: check, progress: { _ in })
                for (file, target) in zip(files, targets) { try verifier.verify(unpacked: target, of: file) }
                return true
            }
        } catch let error as SafetensorsError where !error.isFailureOfReading {
            return false
        }
    }

    private func digest(of tensor: TensorInfo, in file: SafetensorsFile) throws -> String {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var hash = SHA256()
        let size = tensor.end - tensor.begin
        for start in stride(from: 0, to: size, by: buffer.count) {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<min(buffer.count, size - start)])
            try file.read(tensor, from: start, into: part)
            hash.update(bufferPointer: UnsafeRawBufferPointer(part))
        }
        return hexadecimal(hash.finalize())
    }

    /// Writes the weights' files, and reads them back. Answers with their bytes.
    private func copy(_ sources: Sources, into folder: String) async throws -> Int {
        let options = options
        let targets = sources.names.map { folder + "/" + copiedName($0) }
        try await runOnThreads([
            { stop in
                let workers = Workers(threads: options.threads)
                let check = { if stop.isRaised || options.isCancelled() { throw CheckpointError.cancelled } }
                func progress(_ stage: WriteProgress.Stage) -> (Int) -> Void {
                    let meter = ProgressMeter(stage, total: sources.byteCount, options)
                    return { meter.add($0) }
                }
                switch sources.content {
                case .plain(let files) where direction == .compressing:
                    let compressor = SeekableZstd(workers: workers, check: check)
                    let advance = progress(.writing)
                    for (file, target) in zip(files, targets) {
                        try compressor.compress(file, to: target)
                        try file.checkUnchanged()
                        advance(file.size)
                    }
                case .plain(let files):
                    let packer = FilePacker(workers: workers, check: check, progress: progress(.writing))
                    for (file, target) in zip(files, targets) {
                        try packer.pack(file, to: target)
                        try file.checkUnchanged()
                    }
                    let unpacker = FileUnpacker(workers: workers, check: check, progress: progress(.verifying))
                    let packed = try targets.map { path throws(SafetensorsError) in try PackedFile(path: path) }
                    for (file, source) in zip(packed, files) {
                        guard try file.directory.headerBytes == source.headerBytes() else {
                            throw CheckpointError(
                                .verification, file: file.path, message: "the header read back is not the source's")
                        }
                        try unpacker.verify(file, among: packed)
                    }
                case .packed(let files):
                    let unpacker = FileUnpacker(workers: workers, check: check, progress: progress(.writing))
                    for (file, target) in zip(files, targets) { try unpacker.unpack(file, among: files, to: target) }
                    let verifier = FileUnpacker(workers: workers, check: check, progress: progress(.verifying))
                    for (file, target) in zip(files, targets) { try verifier.verify(unpacked: target, of: file) }
                }
            }
        ])
        return try targets.reduce(0) { try $0 + PosixFile.sizeOf($1) }
    }

    /// The name of the file that is made of another.
    private func copiedName(_ name: String) -> String {
        switch direction {
        case .packing: ShardFormat.packed.name(of: name)
        case .unpacking: name.dropLast(PackedFile.suffix.count) + ShardFormat.safetensors.suffix
        case .compressing: name + ".zst"
        }
    }

    /// Files that are copied as they are.
    private func carriedFiles() throws -> [(name: String, path: String)] {
        var names = try Companion.inFolder(input).map(\.name)
        for name in ["config.json", Provenance.fileName, ShardIndex.fileName] where try fileExists(input + "/" + name) {
            names.append(name)
        }
        return try names.map { ($0, try PosixFile.path(of: $0, inFolder: input)) }
    }

    private func refuseOverlap() throws {
        let (parent, name) = WorkFolder.split(output)
        let target = try fileExists(output) ? resolvedPath(output) : resolvedPath(parent) + "/" + name
        let source = try resolvedPath(input)
        guard target != source, !source.hasPrefix(target + "/"), !target.hasPrefix(source + "/") else {
            throw CheckpointError(
                .usage, file: output,
                message: "the output would be the source \(source), or lie inside it, or hold it: choose another folder"
            )
        }
    }
}

/// The files of a checkpoint that is copied.
private struct Sources: Sendable {
    enum Content {
        case plain([SafetensorsFile])
        case packed([PackedFile])
    }

    let content: Content
    /// The files' names.
    let names: [String]
    /// Bytes of the files as they are unpacked.
    let byteCount: Int

    init(_ direction: PackedCopy.Direction, _ path: String) throws {
        let files = try ShardedTensors.open(path).files
        names = files.map { WorkFolder.split($0.path).name }
        switch direction {
        case .packing, .compressing:
            content = .plain(files)
            byteCount = files.reduce(0) { $0 + $1.size }
        case .unpacking:
            let packed = try files.map { file throws(SafetensorsError) in try PackedFile(path: file.path) }
            content = .packed(packed)
            byteCount = packed.reduce(0) { $0 + $1.directory.fileSize }
        }
    }
}

/// Adds up what a stage has done.
private final class ProgressMeter {
    private let stage: WriteProgress.Stage
    private let total: Int
    private var options: WriteOptions
    private var done = 0

    init(_ stage: WriteProgress.Stage, total: Int, _ options: WriteOptions) {
        self.stage = stage
        self.total = total
        self.options = options
    }

    func add(_ bytes: Int) {
        done += bytes
        options.progress?(WriteProgress(done: done, total: total, stage: stage))
    }
}
