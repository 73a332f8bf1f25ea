import Numerics
import Safetensors
import Synchronization

/// Where computed bytes go: to the files, or against them.
protocol BlockSink: Sendable {
    /// Whether bytes `range` of file `file` are there already and need not be made again.
    func has(file: Int, range: Range<Int>) -> Bool
    /// Takes the bytes at `offset` of file `file`; `tensor` is named in errors.
    func take(file: Int, offset: Int, tensor: String, _ bytes: UnsafeRawBufferPointer) throws
    /// Told when all ranges of a block have been taken.
    func finished(_ ranges: [(file: Int, range: Range<Int>)])
}

/// Cuts jobs into blocks and makes them, on as many threads as call it.
final class BlockRunner: Sendable {
    /// Bytes of the sources in memory at a time for what is copied: large enough for the disk's full rate.
    private static let copyBlock = 8 << 20
    /// And for what is computed: small enough to be in the second-level cache from reading to writing.
    private static let computedBlock = 1 << 20

    struct Policy: Sendable {
        /// Bytes that one thread may hold.
        let budget: Int
        let allowOverflow: Bool
        let allowNonfinite: Bool
    }

    private let jobs: [WriteJob]
    private let policy: Policy
    private let hasher: SourceHasher?
    private struct Cursor {
        var job = 0
        var step = 0
        var blockSteps: Int?
    }
    private let cursor = Mutex(Cursor())
    /// Values that are not finite, counted for each source tensor as it is read.
    private let nonfinite = Mutex<[String: Int]>([:])

    init(jobs: [WriteJob], policy: Policy, hasher: SourceHasher?) {
        self.jobs = jobs
        self.policy = policy
        self.hasher = hasher
    }

    /// Source tensors that hold NaN or infinities, with how many of their values do.
    var nonfiniteCounts: [String: Int] { nonfinite.withLock { $0 } }

    /// Makes blocks until there are none left.
    func run(into sink: some BlockSink, _ stop: StopFlag, isCancelled: @Sendable () -> Bool) throws {
        while !stop.isRaised {
            if isCancelled() { throw CheckpointError.cancelled }
            guard let (job, steps) = next() else {
                hasher?.finish()
                return
            }
            if steps == nil || steps?.lowerBound == 0 { hasher?.advance(to: job.positions) }
            try make(job, steps, into: sink, stop, isCancelled: isCancelled)
        }
    }

    /// The next steps of the next job; steps are nil for a job that is made whole.
    private func next() -> (WriteJob, Range<Int>?)? {
        cursor.withLock { cursor in
            guard cursor.job < jobs.count else { return nil }
            let job = jobs[cursor.job]
            guard let steps = job.commonSteps else {
                cursor = Cursor(job: cursor.job + 1)
                return (job, nil)
            }
            let size = cursor.blockSteps ?? blockSteps(of: job, steps: steps)
            let range = cursor.step..<min(cursor.step + size, steps)
            cursor =
                range.upperBound == steps
                ? Cursor(job: cursor.job + 1) : Cursor(job: cursor.job, step: range.upperBound, blockSteps: size)
            return (job, range)
        }
    }

    private func blockSteps(of job: WriteJob, steps: Int) -> Int {
        if job.hasWhole { return max(steps, 1) }
        let bytes = job.ranges(steps: nil).reduce(0) { $0 + $1.range.count }
        // What needs whole matrices first is read once if it fits, and block by block again if it does not.
        if job.hasDeferred || job.isScattered, bytes <= policy.budget / 2 { return max(steps, 1) }
        let isComputed = job.outputs.contains { $0.placements.contains { $0.tensor.copied == nil } }
        let target = min(isComputed ? Self.computedBlock : Self.copyBlock, max(policy.budget / 8, 1 << 16))
        let widest = job.outputs.map { $0.columns * $0.elementSize * $0.rowsPerStep }.max() ?? 1
        let perStep = max((bytes + steps - 1) / max(steps, 1), widest, 1)
        return max(1, target / perStep)
    }

    /// Makes steps of a job, or all of it where `steps` is nil.
    func make(
        _ job: WriteJob, _ steps: Range<Int>?, into sink: some BlockSink, _ stop: StopFlag,
        isCancelled: @Sendable () -> Bool
    ) throws {
        let ranges = job.outputs.map { output -> (file: Int, range: Range<Int>) in
            let width = output.columns * output.elementSize
            let rows = steps.map { output.rows(steps: $0) } ?? 0..<output.rows
            return (output.file, output.offset + rows.lowerBound * width..<output.offset + rows.upperBound * width)
        }
        if zip(job.outputs, ranges).allSatisfy({ sink.has(file: $0.file, range: $1.range) }) {
            sink.finished(ranges)
            return
        }
        let loaded = LoadedSources()
        let needed = job.ranges(steps: steps)
        let bytes = needed.reduce(0) { $0 + $1.range.count }
        guard steps != nil || bytes <= policy.budget else {
            throw CheckpointError.insufficientMemory(tensor: job.outputs[0].name, needed: bytes, budget: policy.budget)
        }
        var bad: (tensor: SourceTensor, count: Int)?
        let codes = job.quantisedParts
        for (tensor, range) in needed {
            try loaded.load(tensor, range)
            // What codes come to is looked at when they are decoded.
            guard tensor.info.dtype.isConvertible, !codes.contains(tensor), let data = loaded.bytes(tensor, range)
            else { continue }
            let count = try nonFiniteCount(data, tensor.info.dtype)
            if count > 0 {
                bad = (tensor, count)
                nonfinite.withLock {
                    $0["\(escaped(tensor.file.path)): \(escaped(tensor.info.name))", default: 0] += count
                }
            }
        }
        for output in job.outputs {
            if stop.isRaised { return }
            if isCancelled() { throw CheckpointError.cancelled }
            if let bad, !policy.allowNonfinite, output.placements.contains(where: { $0.tensor.copied == nil }) {
                throw CheckpointError.nonfinite(tensor: bad.tensor, count: bad.count, making: output.name)
            }
            do {
                if let matrix = output.matrix {
                    let rows = steps.map { output.rows(steps: $0) } ?? 0..<output.rows
                    try write(matrix, of: output, rows: rows, loaded, sink)
                } else {
                    try assemble(output, loaded, sink)
                }
            } catch let error as CheckpointError where error.code == .incompatible {
                // Where a decomposition fails for what is not a number, that is the reason.
                guard let (tensor, count) = loaded.nonfiniteSource, !policy.allowNonfinite else { throw error }
                throw CheckpointError.nonfinite(tensor: tensor, count: count, making: output.name)
            }
            if let (tensor, count) = loaded.nonfiniteSource {
                guard policy.allowNonfinite else {
                    throw CheckpointError.nonfinite(tensor: tensor, count: count, making: output.name)
                }
                nonfinite.withLock {
                    let name = "\(escaped(tensor.file.path)): \(escaped(tensor.info.name))"
                    // It may be read again and again.
                    $0[name] = max($0[name] ?? 0, count)
                }
                loaded.nonfiniteSource = nil
            }
            if let (tensor, count) = loaded.nonfinite {
                guard policy.allowNonfinite else {
                    throw CheckpointError.nonfinite(tensor: tensor, count: count, making: output.name)
                }
                nonfinite.withLock {
                    $0["\(escaped(tensor.codec.codes.file.path)): \(escaped(tensor.name))", default: 0] += count
                }
                loaded.nonfinite = nil
            }
        }
        sink.finished(ranges)
        if job.hasWhole {
            for output in job.outputs { for entry in output.placements { entry.tensor.expression.release() } }
        }
    }

    /// - Throws: `CheckpointError` where a value that needs whole matrices takes more memory than a thread may hold.
    func checkWorkspace() throws {
        for job in jobs {
            let (bytes, tensor) = job.workspace
            guard bytes <= policy.budget else {
                throw CheckpointError.insufficientMemory(tensor: tensor, needed: bytes, budget: policy.budget)
            }
        }
    }

    private func write(
        _ matrix: LazyTensor, of output: Output, rows: Range<Int>, _ loaded: LoadedSources, _ sink: some BlockSink
    ) throws {
        let width = output.columns * output.elementSize
        try forEachPart(of: matrix, rows: rows, output, loaded) { part, bytes in
            try sink.take(
                file: output.file, offset: output.offset + part.lowerBound * width, tensor: output.name, bytes)
        }
    }

    /// Matrices that interleave in the output are scattered into one buffer and written together.
    private func assemble(_ output: Output, _ loaded: LoadedSources, _ sink: some BlockSink) throws {
        guard output.byteCount <= policy.budget else {
            throw CheckpointError.insufficientMemory(
                tensor: output.name, needed: output.byteCount, budget: policy.budget)
        }
        try withScratch(of: UInt8.self, count: output.byteCount) { scratch in
            let target = UnsafeMutableRawBufferPointer(scratch)
            for (matrix, view) in output.placements {
                try forEachPart(of: matrix, rows: 0..<matrix.rows, output, loaded) { part, bytes in
                    let offset = (view.offset + part.lowerBound * view.rowStride) * output.elementSize
                    moveElements(
                        size: output.elementSize, rows: part.count, columns: matrix.columns,
                        from: bytes, rowStride: matrix.columns, columnStride: 1,
                        to: UnsafeMutableRawBufferPointer(rebasing: target[offset...]),
                        rowStride: view.rowStride, columnStride: view.columnStride)
                }
            }
            try sink.take(
                file: output.file, offset: output.offset, tensor: output.name, UnsafeRawBufferPointer(target))
        }
    }

    /// The bytes of a matrix: all at once for a copy, whose bytes are in memory, and otherwise as many rows at a time as
    /// are computed well.
    private func forEachPart(
        of matrix: LazyTensor, rows: Range<Int>, _ output: Output, _ loaded: LoadedSources,
        _ body: (Range<Int>, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let evaluator = Evaluator(loaded: loaded)
        let step = matrix.copied == nil ? Evaluator.rowsPerBlock(of: matrix) : max(1, rows.count)
        for start in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
            let part = start..<min(start + step, rows.upperBound)
            try evaluator.withBytes(of: matrix, rows: part) { bytes, overflowed in
                if overflowed > 0, !policy.allowOverflow {
                    throw CheckpointError.overflow(tensor: output.name, dtype: output.dtype, count: overflowed)
                }
                try body(part, bytes)
            }
        }
    }
}
