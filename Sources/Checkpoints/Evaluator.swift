import Glibc
import Numerics
import Safetensors

/// Memory for `count` values for the duration of `body`.
package func withScratch<T: BitwiseCopyable, R>(
    of type: T.Type, count: Int, _ body: (UnsafeMutableBufferPointer<T>) throws -> R
) rethrows -> R {
    let buffer = UnsafeMutableBufferPointer<T>.allocate(capacity: max(count, 1))
    defer { buffer.deallocate() }
    return try body(UnsafeMutableBufferPointer(rebasing: buffer[0..<count]))
}

/// The byte ranges of source tensors that are in memory for the block at hand.
package final class LoadedSources {
    private var ranges: [(tensor: SourceTensor, range: Range<Int>, bytes: PageBuffer)] = []
    /// A quantised weight of which values came out NaN or infinite, and how many.
    var nonfinite: (tensor: QuantisedTensor, count: Int)?
    /// A tensor of which values that were computed with, and had not been loaded ahead, are NaN or infinite.
    package internal(set) var nonfiniteSource: (tensor: SourceTensor, count: Int)?
    /// The scales of matrices that are quantised: their codes are made with them, and they are written too.
    var scales: [EncodedMatrix.Rows: EncodedMatrix.RowScales] = [:]

    package init() {}

    /// Reads bytes `range` of `tensor`'s data.
    package func load(_ tensor: SourceTensor, _ range: Range<Int>) throws {
        let buffer = try PageBuffer(count: range.count)
        try tensor.file.read(tensor.info, from: range.lowerBound, into: buffer.bytes)
        ranges.append((tensor, range, buffer))
    }

    /// The bytes `range` of `tensor`, if they are in memory.
    package func bytes(_ tensor: SourceTensor, _ range: Range<Int>) -> UnsafeRawBufferPointer? {
        for entry in ranges where entry.tensor == tensor {
            guard entry.range.lowerBound <= range.lowerBound, range.upperBound <= entry.range.upperBound else {
                continue
            }
            let start = range.lowerBound - entry.range.lowerBound
            return UnsafeRawBufferPointer(rebasing: entry.bytes.bytes[start..<start + range.count])
        }
        return nil
    }
}

/// Memory that goes back to the system when it is released: blocks of changing sizes would leave holes in the heap, which
/// add up to more than the budget.
private final class PageBuffer {
    let bytes: UnsafeMutableRawBufferPointer
    private let mapped: Int

    /// From this size on; smaller ones are quicker from the heap.
    private static let threshold = 512 << 10

    init(count: Int) throws {
        guard count >= Self.threshold else {
            mapped = 0
            let all = UnsafeMutableRawBufferPointer.allocate(byteCount: max(count, 1), alignment: 64)
            bytes = UnsafeMutableRawBufferPointer(rebasing: all[0..<count])
            return
        }
        let address = mmap(nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let address, address != MAP_FAILED else {
            throw CheckpointError(
                .outOfMemory,
                message: "out of memory: \(byteText(count)) more cannot be had: lower `memory` or `threads`")
        }
        mapped = count
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    deinit {
        if mapped > 0 { munmap(bytes.baseAddress, mapped) } else { bytes.baseAddress?.deallocate() }
    }
}

/// Computes rows of an expression, from what is in memory or else from disk.
package struct Evaluator {
    /// Elements evaluated at a time: 1 Mi, so that the F32 values of a block and its noise stay near the cache.
    package static let elementsPerBlock = 1 << 20

    /// Elements of each operand in F64 that are combined at a time: what stays in the second-level cache.
    package static let wideElementsPerBlock = 1 << 14

    let loaded: LoadedSources

    package init(loaded: LoadedSources) {
        self.loaded = loaded
    }

    /// Notes that values of a quantised weight are not finite.
    func noteNonfinite(_ tensor: QuantisedTensor, _ count: Int) {
        let before = loaded.nonfinite.map { $0.tensor === tensor ? $0.count : 0 } ?? 0
        loaded.nonfinite = (tensor, before + count)
    }

    /// Rows `rows` of a tensor as it is written: in its dtype, row after row, without gaps.
    ///
    /// - Parameter body: takes the bytes, and how many finite values became infinite or NaN in the dtype.
    package func withBytes<R>(
        of matrix: LazyTensor, rows: Range<Int>, _ body: (UnsafeRawBufferPointer, Int) throws -> R
    ) throws -> R {
        if let (tensor, view) = matrix.copied {
            return try withElements(of: tensor, view, rows: rows) { try body($0, 0) }
        }
        if case .encoded(let encoded, let part) = matrix.expression {
            return try withBytes(of: encoded, part, rows: rows, body)
        }
        let count = rows.count * matrix.columns
        if matrix.expression.isWide { return try withWideBytes(of: matrix, rows: rows, body) }
        return try withScratch(of: Float.self, count: count) { values in
            try evaluate(matrix.expression, rows: rows, columns: matrix.columns, into: values)
            return try withScratch(of: UInt8.self, count: count * (matrix.dtype.bits / 8)) { bytes in
                let raw = UnsafeMutableRawBufferPointer(bytes)
                let overflowed = try narrow(UnsafeBufferPointer(values), to: matrix.dtype, into: raw)
                return try body(UnsafeRawBufferPointer(raw), overflowed)
            }
        }
    }

    /// Writes rows `rows` of the matrix, `[rows.count, columns]`, in F32.
    package func evaluate(
        _ expression: TensorExpression, rows: Range<Int>, columns: Int, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        switch expression {
        case .source(let tensor, let view):
            try withNumbers(of: tensor, view, rows: rows) { try widen($0, tensor.info.dtype, into: out) }
        case .quantised(let tensor, let view):
            try decode(tensor, view, rows: rows, into: out)
        case .values(let values):
            try copy(values, rows: rows, columns: columns, into: out)
        case .whole(let values, _):
            try copy(values.resolve(self), rows: rows, columns: columns, into: out)
        case .concatenated(let axis, let parts):
            try concatenate(parts, axis, rows: rows, columns: columns, into: out) {
                try evaluate($0, rows: $1, columns: $2, into: $3)
            }
        case .picked(let x, let axis, let order, let width):
            try pick(x, axis, order, width: width, rows: rows, columns: columns, into: out) {
                try evaluate($0, rows: $1, columns: $2, into: $3)
            }
        case .combined, .lowRank, .aligned:
            try withScratch(of: Double.self, count: out.count) { wide in
                try evaluateWide(expression, rows: rows, columns: columns, into: wide)
                for i in out.indices { out[i] = Float(wide[i]) }
            }
        case .constant(let value):
            out.update(repeating: value)
        case .random(let key, let distribution, let repeating):
            if repeating == 1 {
                draw(key, distribution, from: rows.lowerBound * columns, into: out)
            } else {
                for row in rows {
                    let start = (row - rows.lowerBound) * columns
                    let part = UnsafeMutableBufferPointer(rebasing: out[start..<start + columns])
                    draw(key, distribution, from: row / repeating * columns, into: part)
                }
            }
        case .scaled(let x, let factor):
            try evaluate(x, rows: rows, columns: columns, into: out)
            scale(out, by: factor)
        case .perturbed(let x, let relative, let moments, let key):
            try evaluate(x, rows: rows, columns: columns, into: out)
            let sigma = relative * Float(try moments.resolve(self).standardDeviation)
            withScratch(of: Float.self, count: out.count) { noise in
                key.fillNormal(noise, from: rows.lowerBound * columns)
                addScaled(out, UnsafeBufferPointer(noise), sigma)
            }
        case .redrawn(let x, let selection, let moments, let key):
            try evaluate(x, rows: rows, columns: columns, into: out)
            let known = try moments.resolve(self)
            redraw(selection, key, known, rows: rows, columns: columns, in: out)
        case .encoded:
            throw CheckpointError(.internalFailure, message: "codes were asked for as values")
        }
    }

    private func draw(
        _ key: KeyedRandom, _ distribution: TensorExpression.Distribution, from index: Int,
        into out: UnsafeMutableBufferPointer<Float>
    ) {
        switch distribution {
        case .normal(let std):
            key.fillNormal(out, from: index)
            scale(out, by: std)
        case .uniform(let std):
            key.fillUniform(out, from: index)
            let width = 2 * std * Float(3).squareRoot()
            for i in out.indices { out[i] = (out[i] - 0.5) * width }
        }
    }

    /// Draws are numbered within the selection, so that a value does not depend on how the matrix is cut into blocks.
    private func redraw(
        _ selection: Selection, _ key: KeyedRandom, _ moments: Moments, rows: Range<Int>, columns: Int,
        in out: UnsafeMutableBufferPointer<Float>
    ) {
        let mean = Float(moments.mean)
        let sigma = Float(moments.standardDeviation)
        let picked = selection.indices
        switch selection.axis {
        case .rows:
            for (index, row) in picked.enumerated() where rows.contains(row) {
                let start = (row - rows.lowerBound) * columns
                let part = UnsafeMutableBufferPointer(rebasing: out[start..<start + columns])
                key.fillNormal(part, from: index * columns)
                for i in part.indices { part[i] = mean + sigma * part[i] }
            }
        case .columns:
            withScratch(of: Float.self, count: picked.count) { values in
                for row in rows {
                    key.fillNormal(values, from: row * picked.count)
                    let start = (row - rows.lowerBound) * columns
                    for (index, column) in picked.enumerated() {
                        out[start + column] = mean + sigma * values[index]
                    }
                }
            }
        }
    }

    /// As `withElements`, of a tensor that is computed with.
    func withNumbers<R>(
        of tensor: SourceTensor, _ view: MatrixView, rows: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        try tensor.checkComputable()
        let (cover, size) = (view.coveredElements(rows: rows), tensor.elementSize)
        let isLoaded = loaded.bytes(tensor, cover.lowerBound * size..<cover.upperBound * size) != nil
        return try withElements(of: tensor, view, rows: rows) { bytes in
            // What was loaded ahead was looked at then.
            let count = isLoaded ? 0 : try nonFiniteCount(bytes, tensor.info.dtype)
            if count > 0 { loaded.nonfiniteSource = (tensor, count) }
            return try body(bytes)
        }
    }

    /// Rows `rows` of a view as contiguous elements in the tensor's own dtype: the bytes in memory themselves where the
    /// view is contiguous, gathered into scratch memory otherwise.
    package func withElements<R>(
        of tensor: SourceTensor, _ view: MatrixView, rows: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let size = tensor.elementSize
        let cover = view.coveredElements(rows: rows)
        let range = cover.lowerBound * size..<cover.upperBound * size
        if let bytes = loaded.bytes(tensor, range) {
            return try gathered(bytes, view, rows: rows, size: size, body)
        }
        // Of what is not in memory, rows that lie far apart are read one by one.
        if view.columnStride == 1, rows.count > 1, view.rowStride >= 4 * max(view.columns, 1) {
            let width = view.columns * size
            return try withScratch(of: UInt8.self, count: rows.count * width) { scratch in
                let bytes = UnsafeMutableRawBufferPointer(scratch)
                for (index, row) in rows.enumerated() {
                    let part = UnsafeMutableRawBufferPointer(rebasing: bytes[index * width..<(index + 1) * width])
                    try tensor.file.read(tensor.info, from: (view.offset + row * view.rowStride) * size, into: part)
                }
                return try body(UnsafeRawBufferPointer(bytes))
            }
        }
        return try withScratch(of: UInt8.self, count: range.count) { scratch in
            let bytes = UnsafeMutableRawBufferPointer(scratch)
            try tensor.file.read(tensor.info, from: range.lowerBound, into: bytes)
            return try gathered(UnsafeRawBufferPointer(bytes), view, rows: rows, size: size, body)
        }
    }

    private func gathered<R>(
        _ bytes: UnsafeRawBufferPointer, _ view: MatrixView, rows: Range<Int>, size: Int,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        if view.isContiguous { return try body(bytes) }
        let count = rows.count * view.columns
        return try withScratch(of: UInt8.self, count: count * size) { scratch in
            let out = UnsafeMutableRawBufferPointer(scratch)
            moveElements(
                size: size, rows: rows.count, columns: view.columns,
                from: bytes, rowStride: view.rowStride, columnStride: view.columnStride,
                to: out, rowStride: view.columns, columnStride: 1)
            return try body(UnsafeRawBufferPointer(out))
        }
    }
}

/// Copies a strided matrix of elements of `size` bytes into another; strides are in elements, both start at zero.
package func moveElements(
    size: Int, rows: Int, columns: Int,
    from source: UnsafeRawBufferPointer, rowStride sourceRow: Int, columnStride sourceColumn: Int,
    to target: UnsafeMutableRawBufferPointer, rowStride targetRow: Int, columnStride targetColumn: Int
) {
    guard rows > 0, columns > 0, let from = source.baseAddress, let to = target.baseAddress else { return }
    if sourceColumn == 1, targetColumn == 1 {
        for row in 0..<rows {
            (to + row * targetRow * size).copyMemory(from: from + row * sourceRow * size, byteCount: columns * size)
        }
        return
    }
    func each<T: BitwiseCopyable>(_ type: T.Type) {
        for row in 0..<rows {
            for column in 0..<columns {
                let value = (from + (row * sourceRow + column * sourceColumn) * size).loadUnaligned(as: T.self)
                (to + (row * targetRow + column * targetColumn) * size).storeBytes(of: value, as: T.self)
            }
        }
    }
    switch size {
    case 1: each(UInt8.self)
    case 2: each(UInt16.self)
    case 4: each(UInt32.self)
    default: each(UInt64.self)
    }
}
