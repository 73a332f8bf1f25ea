import Crypto
import Glibc
import Safetensors

/// How a checkpoint is written.
public struct WriteOptions: Sendable {
    /// Bytes that the process may hold at its peak.
    public var memory = 512 << 20
    /// Threads that read, compute and write.
    public var threads = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    /// Bytes of tensors in one file at most; a larger tensor has a file to itself.
    public var shardLimit = 5_000_000_000
    /// Replace a checkpoint that is at the output, and start over where an unfinished run left its work.
    public var overwrite = false
    /// Continue an unfinished run.
    public var resume = false
    /// Read every byte back and compare it before the checkpoint is published.
    public var verify = false
    /// Write packed files (.mtz): without loss, equal tensors once. They are read back and compared in any case. Of an
    /// interrupted run nothing is kept: `resume` starts over.
    public var pack = false
    /// Called with the finished checkpoint as it lies on disk before it is published; what this throws keeps it from
    /// appearing.
    package var inspect: (@Sendable (Checkpoint) throws -> Void)?
    /// Let values that the dtype cannot hold become infinite, or the largest value in F8_E4M3, which has no infinity.
    public var allowOverflow = false
    /// Compute with NaN and infinities where the sources have them.
    public var allowNonfinite = false
    /// Called now and then, from any thread, with how far the writing has come.
    public var progress: (@Sendable (WriteProgress) -> Void)?
    /// Asked between blocks; when it answers yes, writing stops and the work is kept for `resume`.
    public var isCancelled: @Sendable () -> Bool = { false }

    /// The defaults: 512 MiB, all processors, shards of 5 GB, nothing overwritten.
    public init() {}
}

/// How far a checkpoint's writing has come.
public struct WriteProgress: Sendable {
    /// Bytes of weights written, or compared, and how many there are.
    public let done: Int, total: Int
    /// What is being done: writing, syncing or verifying.
    public let stage: Stage

    /// The stages of writing a checkpoint, in order.
    public enum Stage: String, Sendable { case writing, syncing, verifying }
}

/// What was written.
public struct WriteReport: Sendable {
    /// The checkpoint's folder.
    public let output: String
    /// Bytes of all weight files.
    public let bytes: Int
    /// Bytes that an earlier, interrupted run had written already.
    public let resumedBytes: Int
    /// The weight files' names.
    public let files: [String]
    /// Remarks that the user should read: values that are not finite, tensors that were dropped.
    public let warnings: [String]
}

/// Evaluates a checkpoint's table into a folder that appears whole or not at all.
struct CheckpointWriter {
    let plan: WritePlan
    /// Files beside the weights that are known before they are: name and content.
    let documents: [(name: String, bytes: [UInt8])]
    /// Files to carry over.
    let companions: [Companion]
    let sources: [SafetensorsFile]
    /// The record of how the checkpoint was made, given the digests of the source files by path.
    let record: @Sendable (_ digests: [String: String]) -> (name: String, bytes: [UInt8])
    let options: WriteOptions

    /// Memory of the process itself: code, tables, stacks, the hasher's buffer.
    private static let fixedMemory = 64 << 20

    func write(to output: String) async throws -> WriteReport {
        try refuseOverlap(with: output)
        try BlockRunner(jobs: plan.jobs, policy: policy, hasher: nil).checkWorkspace()
        let work = try WorkFolder(output: output, overwrite: options.overwrite, resume: options.resume)
        do {
            return try await options.pack ? writePacked(in: work) : write(in: work)
        } catch {
            // Nothing is worth keeping before the journal is there, or where the same inputs would end the same way.
            let isFinal = (error as? CheckpointError).map { !$0.isResumable } ?? false
            if isFinal || !fileExists(work.journalPath) { try? work.remove() }
            throw error
        }
    }

    private func write(in work: WorkFolder) async throws -> WriteReport {
        let fingerprint = self.fingerprint
        var journal: Journal?
        if fileExists(work.journalPath) {
            journal = try Journal(resuming: work.journalPath, fingerprint: fingerprint)
            guard journal != nil else {
                throw CheckpointError(
                    .usage, file: work.output,
                    message: "the unfinished run beside it was made from other sources, options or by another version: "
                        + "start over with --force")
            }
        }
        try checkFreeSpace(for: work, reserved: journal != nil)
        if !fileExists(work.content) { try PosixFile.makeDirectory(work.content) }
        let running = try journal ?? Journal(creating: work.journalPath, fingerprint: fingerprint)
        var done: [ByteRanges] = []
        var files: [PosixFile] = []
        for file in plan.files {
            let path = work.content + "/" + file.name
            if fileExists(path), let opened = try? PosixFile.openForUpdate(path), (try? opened.size()) == file.size {
                files.append(opened)
                done.append(journal?.done(in: file.name) ?? ByteRanges())
            } else {
                if fileExists(path) { try PosixFile.unlink(path) }
                let created = try PosixFile.create(path)
                try created.preallocate(file.size)
                files.append(created)
                done.append(ByteRanges())
            }
        }
        let sink = WritingSink(names: plan.files.map(\.name), files: files, journal: running, done: done)
        let resumed = sink.written
        let hasher = SourceHasher(files: sources)
        let warnings = try await stream(into: sink, hasher)

        for (index, file) in plan.files.enumerated() {
            guard sink.covers(file: index, size: file.size) else {
                throw CheckpointError(
                    .internalFailure, file: file.name, message: "not every byte of the file was written")
            }
        }
        report(plan.byteCount, .syncing)
        try writeDocuments(in: work.content, hasher.digests)
        for file in files { try file.sync() }
        let written = try plan.files.map { try check($0, at: work.content + "/" + $0.name) }
        for source in sources { try source.checkUnchanged() }
        if options.verify { try await verify(written) }
        if let inspect = options.inspect { try inspect(Checkpoint(at: work.content)) }
        if options.isCancelled() { throw CheckpointError.cancelled }
        try work.publish(overwrite: options.overwrite)
        return WriteReport(
            output: work.output, bytes: plan.byteCount, resumedBytes: resumed, files: plan.files.map(\.name),
            warnings: warnings)
    }

    /// Runs the jobs; the hasher, the syncer and the reporter run beside them. Answers with warnings.
    private func stream(into sink: WritingSink, _ hasher: SourceHasher) async throws -> [String] {
        for (index, file) in plan.files.enumerated() {
            try file.header.withUnsafeBytes {
                try sink.take(file: index, offset: 0, tensor: "header", $0)
            }
            sink.finished([(index, 0..<file.header.count)])
        }
        let runner = BlockRunner(jobs: plan.jobs, policy: policy, hasher: hasher)
        let workers = WorkerGate(count: max(1, options.threads)) { sink.close() }
        var bodies: [@Sendable (StopFlag) throws -> Void] = []
        for _ in 0..<max(1, options.threads) {
            bodies.append { stop in
                try runner.run(into: sink, stop, isCancelled: options.isCancelled)
                workers.leave()
            }
        }
        bodies.append { try sink.syncContinuously($0) }
        bodies.append { try hasher.run($0) }
        bodies.append { stop in
            while !stop.isRaised, !workers.isEmpty {
                report(sink.written, .writing)
                usleep(100_000)
            }
        }
        try await runOnThreads(bodies)
        return runner.nonfiniteCounts.sorted { $0.key < $1.key }.map { name, count in
            "\(name): \(count) values are NaN or infinite, and were kept"
        }
    }

    var policy: BlockRunner.Policy {
        let available = max(options.memory - Self.fixedMemory, 4 << 20)
        return BlockRunner.Policy(
            budget: available / max(1, options.threads), allowOverflow: options.allowOverflow,
            allowNonfinite: options.allowNonfinite)
    }

    func report(_ done: Int, _ stage: WriteProgress.Stage) {
        options.progress?(WriteProgress(done: done, total: plan.byteCount, stage: stage))
    }

    /// Parses a written header again and checks that it is the one that was planned.
    private func check(_ planned: PlannedFile, at path: String) throws -> SafetensorsFile {
        let file = try SafetensorsFile(path: path)
        guard file.size == planned.size, file.header.tensors == planned.tensors else {
            throw CheckpointError(
                .verification, file: path, message: "the header read back is not the one that was written")
        }
        return file
    }

    private func verify(_ files: [SafetensorsFile]) async throws {
        for file in files { file.dropCache() }
        let sink = VerifyingSink(files: files)
        let runner = BlockRunner(jobs: plan.jobs, policy: policy, hasher: nil)
        let body: @Sendable (StopFlag) throws -> Void = { stop in
            try runner.run(into: sink, stop, isCancelled: options.isCancelled)
        }
        let workers = WorkerGate(count: max(1, options.threads)) {}
        var bodies = Array(repeating: body, count: max(1, options.threads)).map { body in
            { @Sendable (stop: StopFlag) in
                try body(stop)
                workers.leave()
            }
        }
        bodies.append { stop in
            while !stop.isRaised, !workers.isEmpty {
                report(sink.bytesCompared, .verifying)
                usleep(100_000)
            }
        }
        try await runOnThreads(bodies)
    }

    /// Companions are copied; documents and the record are written; the index, which makes a reader see the shards,
    /// comes last.
    func writeDocuments(in folder: String, _ digests: [String: String]) throws {
        for companion in companions {
            switch companion.content {
            case .file(let path): try PosixFile.copy(path, to: folder + "/" + companion.name)
            case .bytes(let bytes): try PosixFile.replace(folder + "/" + companion.name, with: bytes)
            }
        }
        var all = documents
        let made = record(
            Dictionary(uniqueKeysWithValues: sources.map { ($0.path, digests[$0.path] ?? "") }))
        all.append(made)
        if plan.files.count > 1 {
            let text = ShardIndex.serialized(
                weightMap: plan.weightMap, totalSize: plan.tensorByteCount, totalParameters: plan.parameterCount)
            all.append((ShardIndex.fileName, Array(text.utf8)))
        }
        for document in all {
            try PosixFile.replace(folder + "/" + document.name, with: document.bytes)
        }
    }

    private func checkFreeSpace(for work: WorkFolder, reserved: Bool) throws {
        let parent = WorkFolder.split(work.output).parent
        let extra = companions.reduce(1 << 20) { total, companion in
            switch companion.content {
            case .file(let path): total + ((try? PosixFile.sizeOf(path)) ?? 0)
            case .bytes(let bytes): total + bytes.count
            }
        }
        var needed = plan.byteCount + extra
        if reserved {
            for file in plan.files { needed -= PosixFile.allocatedBytes(work.content + "/" + file.name) }
        }
        let free = try PosixFile.freeSpace(parent)
        guard needed <= free else {
            throw CheckpointError(
                .io, file: work.output,
                message: "not enough space: \(byteText(needed)) are needed and \(byteText(free)) are free in \(parent)")
        }
    }

    /// An output that is one of the inputs, or inside of one, or around one, would destroy what it is made from.
    private func refuseOverlap(with output: String) throws {
        let (parent, name) = WorkFolder.split(output)
        let target = fileExists(output) ? resolvedPath(output) : resolvedPath(parent) + "/" + name
        for source in Set(sources.map { resolvedPath(WorkFolder.split($0.path).parent) }) {
            // A file by itself, such as a router's, lies among others; a checkpoint's folder is its own.
            let isCheckpoint = ["config.json", LowRankAdapter.configName].contains { fileExists(source + "/" + $0) }
            guard
                target == source || source.hasPrefix(target + "/") || (isCheckpoint && target.hasPrefix(source + "/"))
            else { continue }
            throw CheckpointError(
                .usage, file: output,
                message: "the output would be the source \(source), or lie inside it, or hold it: choose another folder"
            )
        }
    }

    /// What a resumed run must have in common with the one it continues.
    private var fingerprint: String {
        var hash = SHA256()
        func add(_ text: String) { hash.update(data: Array((text + "\n").utf8)) }
        for document in documents {
            add(document.name)
            hash.update(data: document.bytes)
        }
        hash.update(data: record([:]).bytes)
        for file in plan.files {
            add(file.name)
            hash.update(data: file.header)
        }
        for source in sources.sorted(by: { $0.path < $1.path }) { add("\(source.path) \(source.identity)") }
        for companion in companions {
            add(companion.name)
            if case .bytes(let bytes) = companion.content { hash.update(data: bytes) }
        }
        return hexadecimal(hash.finalize())
    }
}
