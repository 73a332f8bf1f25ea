import Numerics
import Packing
import Safetensors
import Synchronization

extension CheckpointWriter {
    /// Evaluates the table into packed files: what they unpack to is what `write` would have written.
    ///
    /// Tensors that are copies of the same bytes are known by their expressions, so that an upcycled network is read and
    /// compressed once however many experts have it; what is equal otherwise is found by its hash.
    func writePacked(in work: WorkFolder) async throws -> WriteReport {
        try PosixFile.makeDirectory(work.content)
        let targets = plan.files.map { work.content + "/" + ShardFormat.packed.name(of: $0.name) }
        let runner = BlockRunner(jobs: [], policy: policy, hasher: nil)
        let hasher = SourceHasher(files: sources)
        try await runOnThreads([
            { stop in
                defer { hasher.finish() }
                try pack(into: targets, runner, hasher, stop)
            },
            { try hasher.run($0) },
        ])
        report(plan.byteCount, .syncing)
        try writeDocuments(in: work.content, hasher.digests)
        for source in sources { try source.checkUnchanged() }
        try await runOnThreads([{ try readBack(targets, $0) }])
        if let inspect = options.inspect { try inspect(Checkpoint(at: work.content)) }
        if options.isCancelled() { throw CheckpointError.cancelled }
        let remarks = try work.publish()
        return WriteReport(
            output: work.output,
            bytes: try targets.reduce(0) { total, target in
                total + (try PosixFile.sizeOf(work.output + "/" + WorkFolder.split(target).name))
            }, resumedBytes: 0, files: targets.map { WorkFolder.split($0).name },
            warnings: runner.nonfiniteCounts.keys.sorted().map {
                "\($0): it holds values that are NaN or infinite, which were kept"
            } + remarks)
    }

    private func pack(
        into targets: [String], _ runner: BlockRunner, _ hasher: SourceHasher, _ stop: StopFlag
    ) throws {
        var outputs: [String: [Output]] = [:]
        for job in plan.jobs { for output in job.outputs { outputs[output.name, default: []].append(output) } }
        let workers = Workers(threads: options.threads)
        let packer = FilePacker(workers: workers, check: { try check(stop) })
        var copies: [[Copy]: Digest256] = [:]
        var done = 0
        for (file, target) in zip(plan.files, targets) {
            let writer = try PackedFileWriter(creating: target, contents: file.tensors.count, byteCount: file.size)
            var digests: [Digest256] = []
            for tensor in file.tensors {
                let parts = (outputs[tensor.name] ?? []).sorted { $0.offset < $1.offset }
                let copy = Copy.all(parts)
                if let copy, let digest = copies[copy] {
                    digests.append(digest)
                } else {
                    for part in parts { hasher.advance(to: WriteJob(outputs: [part], position: nil).positions) }
                    let reader = TableReader(
                        parts, begin: file.header.count + tensor.begin, runner, stop, isCancelled: options.isCancelled)
                    defer { reader.release() }
                    let digest = try packer.store(
                        byteCount: tensor.end - tensor.begin, dtype: tensor.dtype, in: writer, read: reader.read)
                    if let copy { copies[copy] = digest }
                    digests.append(digest)
                }
                done += tensor.end - tensor.begin
                report(done, .writing)
            }
            try writer.finish(headerBytes: file.header, fileSize: file.size, tensors: digests)
        }
    }

    private func readBack(_ targets: [String], _ stop: StopFlag) throws {
        var done = 0
        let unpacker = FileUnpacker(
            workers: Workers(threads: options.threads), check: { try check(stop) },
            progress: { bytes in
                done += bytes
                report(done, .verifying)
            })
        let files = try targets.map { path throws(SafetensorsError) in try PackedFile(path: path) }
        for file in files { try unpacker.verify(file, among: files) }
    }

    private func check(_ stop: StopFlag) throws {
        if stop.isRaised || options.isCancelled() { throw CheckpointError.cancelled }
    }
}

/// Where the bytes of a part come from that is written as it is on disk.
private struct Copy: Hashable {
    let tensor: SourceTensor
    let view: MatrixView

    /// The copies that a tensor is made of one after another; nil where anything is computed or interleaved.
    static func all(_ parts: [Output]) -> [Copy]? {
        var result: [Copy] = []
        for part in parts {
            guard let (tensor, view) = part.matrix?.copied else { return nil }
            result.append(Copy(tensor: tensor, view: view))
        }
        return result
    }
}

/// Makes any bytes of a tensor of the table.
private final class TableReader {
    private let parts: [Output]
    private let begin: Int
    private let runner: BlockRunner
    private let stop: StopFlag
    private let isCancelled: @Sendable () -> Bool
    /// Parts that can only be made whole, while the tensor is at hand.
    private var whole: [Int: [UInt8]] = [:]

    /// - Parameter begin: where the tensor begins in the file that is planned.
    init(
        _ parts: [Output], begin: Int, _ runner: BlockRunner, _ stop: StopFlag,
        isCancelled: @escaping @Sendable () -> Bool
    ) {
        self.parts = parts
        self.begin = begin
        self.runner = runner
        self.stop = stop
        self.isCancelled = isCancelled
    }

    func release() { whole = [:] }

    func read(_ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws {
        let wanted = begin + offset..<begin + offset + buffer.count
        for (index, part) in parts.enumerated() {
            let common = wanted.clamped(to: part.offset..<part.offset + part.byteCount)
            guard !common.isEmpty else { continue }
            let job = WriteJob(outputs: [part], position: nil)
            let target = UnsafeMutableRawBufferPointer(
                rebasing: buffer[common.lowerBound - wanted.lowerBound..<common.upperBound - wanted.lowerBound])
            if job.commonSteps != nil, !job.hasWhole {
                let width = max(part.columns * part.elementSize * part.rowsPerStep, 1)
                let steps =
                    (common.lowerBound - part.offset) / width..<(common.upperBound - part.offset + width - 1) / width
                try make(job, steps, at: common.lowerBound, target)
                continue
            }
            if whole[index] == nil {
                var bytes = [UInt8](repeating: 0, count: part.byteCount)
                let steps = job.commonSteps.map { 0..<$0 }
                try bytes.withUnsafeMutableBytes { try make(job, steps, at: part.offset, $0) }
                whole[index] = bytes
            }
            whole[index]?.withUnsafeBytes { bytes in
                let start = common.lowerBound - part.offset
                target.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[start..<start + common.count]))
            }
        }
    }

    private func make(
        _ job: WriteJob, _ steps: Range<Int>?, at start: Int, _ target: UnsafeMutableRawBufferPointer
    ) throws {
        try runner.make(job, steps, into: RangeSink(start: start, target), stop, isCancelled: isCancelled)
        if stop.isRaised { throw CheckpointError.cancelled }
    }
}

/// Keeps the bytes of one range of a file. One thread at a time gives it some.
private struct RangeSink: BlockSink, @unchecked Sendable {
    let start: Int
    let target: UnsafeMutableRawBufferPointer

    init(start: Int, _ target: UnsafeMutableRawBufferPointer) {
        self.start = start
        self.target = target
    }

    func has(file: Int, range: Range<Int>) -> Bool { false }

    func take(file: Int, offset: Int, tensor: String, _ bytes: UnsafeRawBufferPointer) throws {
        let common = (offset..<offset + bytes.count).clamped(to: start..<start + target.count)
        guard !common.isEmpty else { return }
        let source = UnsafeRawBufferPointer(rebasing: bytes[common.lowerBound - offset..<common.upperBound - offset])
        UnsafeMutableRawBufferPointer(rebasing: target[(common.lowerBound - start)...]).copyMemory(from: source)
    }

    func finished(_ ranges: [(file: Int, range: Range<Int>)]) {}
}
