import Safetensors
import Synchronization

/// Writes blocks to their places, and journals them once they are on disk.
final class WritingSink: BlockSink {
    /// How much is written before the next sync: what an interruption costs at most.
    private static let syncInterval = 512 << 20
    /// How far writing may run ahead of the disk. A page cache full of dirty pages makes the last sync, and the answer
    /// to an interrupt, take as long as it takes to write them.
    private static let dirtyWindow = 192 << 20

    private let names: [String]
    private let files: [PosixFile]
    private let journal: Journal
    private let done: [ByteRanges]
    private struct State {
        var pending: [(file: Int, range: Range<Int>)] = []
        var pendingBytes = 0
        var written = 0
        var covered: [ByteRanges]
        var finished = false
        var dirty: [(file: Int, offset: Int, count: Int)] = []
        var dirtyBytes = 0
    }
    private let state: Mutex<State>
    private let signal = Signal()

    /// - Parameter done: the ranges of each file that need not be written again.
    init(names: [String], files: [PosixFile], journal: Journal, done: [ByteRanges]) {
        self.names = names
        self.files = files
        self.journal = journal
        self.done = done
        state = Mutex(State(written: done.reduce(0) { $0 + $1.count }, covered: done))
    }

    /// Bytes written so far, those of an earlier run included.
    var written: Int { state.withLock { $0.written } }

    /// Whether every byte of file `index` was taken.
    func covers(file index: Int, size: Int) -> Bool {
        state.withLock { $0.covered[index].contains(0..<size) }
    }

    func has(file: Int, range: Range<Int>) -> Bool { done[file].contains(range) }

    func take(file: Int, offset: Int, tensor: String, _ bytes: UnsafeRawBufferPointer) throws {
        if has(file: file, range: offset..<offset + bytes.count) { return }
        try files[file].writeExactly(from: bytes, at: offset)
        files[file].startWriteback(offset: offset, length: bytes.count)
        let settled = state.withLock { state in
            state.written += bytes.count
            state.dirty.append((file, offset, bytes.count))
            state.dirtyBytes += bytes.count
            var settled: [(file: Int, offset: Int, count: Int)] = []
            while state.dirtyBytes > Self.dirtyWindow, let first = state.dirty.first {
                state.dirty.removeFirst()
                state.dirtyBytes -= first.count
                settled.append(first)
            }
            return settled
        }
        for entry in settled {
            files[entry.file].waitWriteback(offset: entry.offset, length: entry.count)
            files[entry.file].dropCache(offset: entry.offset, length: entry.count)
        }
    }

    func finished(_ ranges: [(file: Int, range: Range<Int>)]) {
        let due = state.withLock { state in
            for entry in ranges {
                state.covered[entry.file].insert(entry.range)
                if done[entry.file].contains(entry.range) { continue }
                state.pending.append(entry)
                state.pendingBytes += entry.range.count
            }
            return state.pendingBytes >= Self.syncInterval
        }
        if due { signal.notify() }
    }

    /// Tells `syncContinuously` that all blocks have been taken.
    func close() {
        state.withLock { $0.finished = true }
        signal.notify()
    }

    /// Syncs what has been written and journals it, again and again, until `close` or a stop.
    ///
    /// After a failed sync nothing is known about the pages that were to be written, so that it is never tried again:
    /// the ranges stay out of the journal and the error ends the run.
    func syncContinuously(_ stop: StopFlag) throws {
        while true {
            let (batch, last) = state.withLock { state in
                let last = state.finished
                guard last || state.pendingBytes >= Self.syncInterval else {
                    return ([(file: Int, range: Range<Int>)](), false)
                }
                let batch = state.pending
                state.pending = []
                state.pendingBytes = 0
                return (batch, last)
            }
            if stop.isRaised { return }
            if !batch.isEmpty {
                for file in Set(batch.map(\.file)) { try files[file].syncData() }
                try journal.append(batch.map { (names[$0.file], $0.range) })
            }
            if last { return }
            signal.wait(milliseconds: 200)
        }
    }
}

/// Makes every block again and compares it with what is in the files.
final class VerifyingSink: BlockSink {
    private let files: [SafetensorsFile]
    private let compared = Mutex(0)

    init(files: [SafetensorsFile]) {
        self.files = files
    }

    var bytesCompared: Int { compared.withLock { $0 } }

    func has(file: Int, range: Range<Int>) -> Bool { false }

    func take(file: Int, offset: Int, tensor: String, _ bytes: UnsafeRawBufferPointer) throws {
        let found = UnsafeMutableRawBufferPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
        defer { found.deallocate() }
        let part = UnsafeMutableRawBufferPointer(rebasing: found[0..<bytes.count])
        try files[file].readRaw(at: offset, into: part)
        guard part.elementsEqual(bytes) else {
            let at = zip(part, bytes).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? 0
            throw CheckpointError(
                .verification, file: files[file].path, tensor: tensor,
                message: "what was read back differs from what was written, first at byte \(offset + at): "
                    + "the disk or the memory is failing; nothing was published")
        }
        compared.withLock { $0 += bytes.count }
    }

    func finished(_ ranges: [(file: Int, range: Range<Int>)]) {}
}
