import Glibc
import Packing
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
    let record: @Sendable (_ digests: [String: String], _ identity: String) -> (name: String, bytes: [UInt8])
    let options: WriteOptions
    /// What decides the result, but for the bytes of the sources: it is part of the record.
    let identity: String

    /// Memory of the process itself: code, tables, stacks, the hasher's buffer.
    private static let fixedMemory = 64 << 20

    func write(to output: String) async throws -> WriteReport {
        try refuseOverlap(with: output)
        try BlockRunner(jobs: plan.jobs, policy: policy, hasher: nil).checkWorkspace()
        let work = try WorkFolder(output: output, overwrite: options.overwrite, resume: options.resume) {
            try isFinished(at: output)
        }
        if work.isComplete {
            return WriteReport(
                output: work.output, bytes: plan.byteCount, resumedBytes: plan.byteCount, files: fileNames,
                warnings: ["it was complete already: an earlier run had finished it"])
        }
        do {
            return try await options.pack ? writePacked(in: work) : write(in: work)
        } catch {
            // Nothing is worth keeping before the journal is there, or where the same inputs would end the same way.
            if Self.isFinal(error) || (try? fileExists(work.journalPath)) == false { try? work.remove() }
            throw error
        }
    }

    private static func isFinal(_ error: any Error) -> Bool {
        switch error {
        case let error as CheckpointError: !error.isResumable
        case let error as SafetensorsError: error.code != .io && error.code != .outOfMemory
        default: false
        }
    }

    /// The weight files' names.
    var fileNames: [String] {
        plan.files.map { options.pack ? ShardFormat.packed.name(of: $0.name) : $0.name }
    }

    /// Whether a folder holds what this run would make: it was made of the same sources, which are read for it, in the
    /// same way.
    private func isFinished(at output: String) throws -> Bool {
        guard try PosixFile.isFolder(output), WorkFolder.split(output).name != ".." else { return false }
        do {
            for (file, name) in zip(plan.files, fileNames) {
                let found = try ShardedTensors.open(output + "/" + name).files
                guard found.count == 1, found[0].header.tensors == file.tensors else { return false }
            }
            for document in documents {
                guard try PosixFile.contents(output + "/" + document.name, limit: .max) == document.bytes else {
                    return false
                }
            }
            var digests: [String: String] = [:]
            for source in sources { digests[source.path] = try RunIdentity.digest(ofFile: source.path) }
            let made = record(digests, identity)
            return try PosixFile.contents(output + "/" + made.name, limit: .max) == made.bytes
        } catch let error as SafetensorsError where !error.isFailureOfReading {
            return false
        }
    }

    private func write(in work: WorkFolder) async throws -> WriteReport {
        let fingerprint = try self.fingerprint
        var earlier: Journal?
        if try fileExists(work.journalPath) {
            earlier = try Journal(resuming: work.journalPath, fingerprint: fingerprint)
            guard earlier != nil else {
                throw CheckpointError(
                    .usage, file: work.output,
                    message: "the unfinished run beside it was made from other sources, options or by another version: "
                        + "start over with `overwrite`")
            }
        }
        try checkFreeSpace(for: work, reserved: earlier != nil)
        if try !fileExists(work.content) { try PosixFile.makeDirectory(work.content) }
        // Whatever else is there was being written when the run before was stopped.
        let names = Set(plan.files.map(\.name))
        for name in try PosixFile.listDirectory(work.content) where !names.contains(name) {
            try PosixFile.removeTree(work.content + "/" + name)
        }
        let done = try plan.files.map { file -> ByteRanges? in
            guard let earlier, try PosixFile.identity(of: work.content + "/" + file.name)?.size == file.size else {
                return nil
            }
            return earlier.done(in: file.name)
        }
        var journal = earlier
        if journal == nil || done.contains(nil) {
            // A file that is made anew must not be spoken of by what was noted of the one before.
            let kept = zip(plan.files, done).flatMap { file, done in
                (done?.ranges ?? []).map { (file: file.name, range: $0) }
            }
            journal = try Journal(
                starting: work.journalPath, fingerprint: fingerprint, replaces: try work.replacedMark, done: kept)
        }
        guard let journal else { throw CheckpointError.cancelled }
        var files: [PosixFile] = []
        for (file, done) in zip(plan.files, done) {
            let path = work.content + "/" + file.name
            if done != nil {
                files.append(try PosixFile.openForUpdate(path))
            } else {
                if try fileExists(path) { try PosixFile.unlink(path) }
                let created = try PosixFile.create(path)
                try created.preallocate(file.size)
                files.append(created)
            }
        }
        let sink = WritingSink(
            names: plan.files.map(\.name), files: files, journal: journal, done: done.map { $0 ?? ByteRanges() })
        let resumed = sink.written
        let hasher = SourceHasher(files: sources)
        var warnings = try await stream(into: sink, hasher)

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
        warnings += try work.publish()
        return WriteReport(
            output: work.output, bytes: plan.byteCount, resumedBytes: resumed, files: fileNames, warnings: warnings)
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
        for companion in companions { try companion.write(in: folder) }
        var all = documents
        let made = record(
            Dictionary(uniqueKeysWithValues: sources.map { ($0.path, digests[$0.path] ?? "") }), identity)
        all.append(made)
        if plan.files.count > 1 {
            let text = ShardIndex.serialized(
                weightMap: plan.weightMap, totalSize: plan.tensorByteCount, totalParameters: plan.parameterCount)
            all.append((ShardIndex.fileName, Array(text.utf8)))
        }
        for document in all {
            try PosixFile.write(folder + "/" + document.name, document.bytes)
        }
    }

    private func checkFreeSpace(for work: WorkFolder, reserved: Bool) throws {
        let parent = WorkFolder.split(work.output).parent
        let extra = try companions.reduce(1 << 20) { total, companion in
            switch companion.content {
            case .file(let path): total + (try PosixFile.sizeOf(path))
            case .bytes(let bytes): total + bytes.count
            }
        }
        var needed = plan.byteCount + extra
        if reserved {
            for file in plan.files { needed -= try PosixFile.allocatedBytes(work.content + "/" + file.name) }
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
        try OutputPath.checkOverlap(output, with: sources.map { WorkFolder.split($0.path).parent })
    }

    /// What a resumed run must have in common with the one it continues.
    private var fingerprint: String {
        get throws {
            var all = RunIdentity()
            all.add(identity)
            try all.add(files: sources.map(\.path))
            return all.digest
        }
    }
}
