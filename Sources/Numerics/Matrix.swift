import CPlatform
import Glibc
import Synchronization

/// A matrix of F32 values, row by row, in memory that is used again when the matrix is gone.
///
/// It has one writer at a time; loops over `Workers` write to different rows of it.
package final class Matrix: @unchecked Sendable {
    package let rows: Int
    package let columns: Int
    /// `rows * columns` values, aligned to 64 bytes, while the matrix is held.
    package let values: UnsafeMutablePointer<Float>

    private let capacity: Int
    /// The matrix whose memory this one is part of.
    private let owner: Matrix?

    /// A matrix whose values are whatever was in memory.
    package init(rows: Int, columns: Int) {
        self.rows = rows
        self.columns = columns
        (values, capacity) = MatrixMemory.take(rows * columns)
        owner = nil
    }

    /// Some rows of another matrix, in its memory.
    package init(rows range: Range<Int>, of owner: Matrix) {
        rows = range.count
        columns = owner.columns
        values = owner.row(range.lowerBound)
        capacity = 0
        self.owner = owner
    }

    /// Some values of a vector `[1, n]`, in its memory.
    package init(columns range: Range<Int>, ofVector owner: Matrix) {
        rows = 1
        columns = range.count
        values = owner.values + range.lowerBound
        capacity = 0
        self.owner = owner
    }

    /// A matrix of zeros.
    package convenience init(zeros rows: Int, _ columns: Int) {
        self.init(rows: rows, columns: columns)
        values.update(repeating: 0, count: count)
    }

    /// A copy of values that are there row by row.
    package convenience init(rows: Int, columns: Int, _ values: [Float]) {
        self.init(rows: rows, columns: columns)
        for i in 0..<min(count, values.count) { self.values[i] = values[i] }
    }

    deinit { if owner == nil { MatrixMemory.giveBack(values, capacity) } }

    /// How many values there are.
    package var count: Int { rows * columns }
    package var buffer: UnsafeMutableBufferPointer<Float> {
        UnsafeMutableBufferPointer(start: values, count: count)
    }
    /// The beginning of a row.
    package func row(_ index: Int) -> UnsafeMutablePointer<Float> { values + index * columns }
    package subscript(row: Int, column: Int) -> Float {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }
    /// The values, row by row.
    package var array: [Float] { withExtendedLifetime(self) { Array(buffer) } }

    package func copy() -> Matrix {
        let result = Matrix(rows: rows, columns: columns)
        withExtendedLifetime(self) { result.values.update(from: values, count: count) }
        return result
    }
}

/// Memory of matrices that are gone, for those to come: the system's fresh pages cost as much as the arithmetic on them.
///
/// What is kept and what is in use together exceed the most that was ever in use at once by no more than a little, so that
/// a program's peak is that of its matrices, and a loop that does the same again gets no fresh page. The little is for
/// matrices that are never there together: one would push the other's memory out in each turn.
package enum MatrixMemory {
    private struct State {
        var free: [Int: [UInt]] = [:]
        var freeBytes = 0
        var usedBytes = 0
        var peakBytes = 0
        /// What may be held in all, used or kept.
        var limit = Int.max
        private let slack = 256 << 20

        /// Memory of a size that nobody uses now.
        mutating func reuse(_ capacity: Int) -> UInt? {
            usedBytes += capacity
            peakBytes = max(peakBytes, usedBytes)
            guard let found = free[capacity]?.popLast() else { return nil }
            freeBytes -= capacity
            return found
        }

        /// What has to go so that little more is held than was ever in use, the largest pieces first.
        mutating func excess() -> [(capacity: Int, address: UInt)] {
            var result: [(capacity: Int, address: UInt)] = []
            while (freeBytes > slack && usedBytes + freeBytes > peakBytes)
                || (freeBytes > 0 && usedBytes + freeBytes > limit), let capacity = free.keys.max()
            {
                guard let address = free[capacity]?.popLast() else {
                    free[capacity] = nil
                    continue
                }
                freeBytes -= capacity
                result.append((capacity, address))
            }
            return result
        }
    }
    private static let state = Mutex(State())

    /// The bytes of all matrices, and the most they ever were.
    package static var usage: (current: Int, peak: Int) { state.withLock { ($0.usedBytes, $0.peakBytes) } }

    /// Gives the memory of matrices that are gone back to the system.
    package static func trim() {
        let pieces = state.withLock { state in
            let held = state.limit
            state.limit = 0
            defer { state.limit = held }
            return state.excess()
        }
        for piece in pieces { release(piece.address, piece.capacity) }
    }

    /// Keeps no memory of matrices that are gone beyond this many bytes together with those that are there.
    package static func limit(to bytes: Int) { state.withLock { $0.limit = bytes } }

    /// Sizes are rounded up to an eighth of a power of two, so that matrices of similar sizes share memory.
    private static func rounded(_ count: Int) -> Int {
        let bytes = max(count, 16) * 4
        let step = max(1 << max(Int.bitWidth - bytes.leadingZeroBitCount - 4, 0), 4096)
        return bytes < 4096 ? (bytes + 63) / 64 * 64 : (bytes + step - 1) / step * step
    }

    fileprivate static func take(_ count: Int) -> (UnsafeMutablePointer<Float>, Int) {
        let capacity = rounded(count)
        let (address, excess) = state.withLock { state in
            let found = state.reuse(capacity)
            return (found, found == nil ? state.excess() : [])
        }
        for piece in excess { release(piece.address, piece.capacity) }
        if let address, let pointer = UnsafeMutablePointer<Float>(bitPattern: address) { return (pointer, capacity) }
        if let fresh = fresh(capacity) { return (fresh, capacity) }
        // What is kept for matrices to come may make room.
        trim()
        guard let fresh = fresh(capacity) else { cmemory_fail(capacity) }
        return (fresh, capacity)
    }

    private static func fresh(_ capacity: Int) -> UnsafeMutablePointer<Float>? {
        guard capacity >= mappedFrom else {
            return aligned_alloc(64, capacity)?.bindMemory(to: Float.self, capacity: capacity / 4)
        }
        let pointer = mmap(nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        return pointer == MAP_FAILED ? nil : pointer?.bindMemory(to: Float.self, capacity: capacity / 4)
    }

    fileprivate static func giveBack(_ pointer: UnsafeMutablePointer<Float>, _ capacity: Int) {
        state.withLock { state in
            state.usedBytes -= capacity
            state.free[capacity, default: []].append(UInt(bitPattern: pointer))
            state.freeBytes += capacity
        }
    }

    private static let mappedFrom = 256 << 10

    private static func release(_ address: UInt, _ capacity: Int) {
        guard let pointer = UnsafeMutableRawPointer(bitPattern: address) else { return }
        if capacity >= mappedFrom { munmap(pointer, capacity) } else { free(pointer) }
    }
}
