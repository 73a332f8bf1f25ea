import Numerics
import Quantisation
import Safetensors

/// A matrix as codes and scales, made of its values when they are written.
package final class EncodedMatrix: Sendable {
    /// What is stored of it, each in a tensor of its own.
    package enum Part: Sendable, Hashable {
        /// A code for each value.
        case codes
        /// A scale for each block.
        case scales
        /// The number by which all scales are divided.
        case global
        /// The rows and columns as two 64-bit integers.
        case shape

        /// Whether it is made of the values, block by block.
        var isOfValues: Bool { self == .codes || self == .scales }
    }

    /// Rows of a matrix's values.
    struct Rows: Hashable {
        let matrix: ObjectIdentifier
        let rows: Range<Int>
    }

    /// The scales of some rows, and how many of them are too large for their type.
    struct RowScales {
        let scales: [Float]
        let overflowed: Int
    }

    let values: TensorExpression
    let rows: Int
    let columns: Int
    let encoder: BlockEncoder
    /// What the scales are divided by where they are relative to it.
    let global: Deferred<Float>?

    init(_ tensor: LazyTensor, _ encoder: BlockEncoder, global: Deferred<Float>? = nil) {
        values = tensor.expression
        rows = tensor.rows
        columns = tensor.columns
        self.encoder = encoder
        self.global = global
    }

    /// Values that are encoded at a time: what stays in the second-level cache from widening to rounding.
    private static let valuesPerPart = 1 << 17

    /// Rows that share scales.
    var rowsPerStep: Int { encoder.rowsPerBlock }

    /// Rows of a part that are made at a time.
    func rowsPerPart(of part: Part) -> Int {
        let blocks = max(1, Self.valuesPerPart / max(1, columns) / encoder.rowsPerBlock)
        return part == .scales ? blocks : blocks * encoder.rowsPerBlock
    }

    /// The rows of the values that rows of a part are made of.
    func rows(of part: Part, _ rows: Range<Int>) -> Range<Int> {
        guard part == .scales else { return rows }
        return rows.lowerBound * encoder.rowsPerBlock..<min(rows.upperBound * encoder.rowsPerBlock, self.rows)
    }
}

extension Evaluator {
    /// Rows of a part of an encoded matrix as they are written.
    ///
    /// - Parameter body: takes the bytes, and how many scales are too large for their type.
    func withBytes<R>(
        of matrix: EncodedMatrix, _ part: EncodedMatrix.Part, rows: Range<Int>,
        _ body: (UnsafeRawBufferPointer, Int) throws -> R
    ) throws -> R {
        switch part {
        case .shape:
            let shape = [Int64(matrix.rows).littleEndian, Int64(matrix.columns).littleEndian]
            return try shape[rows].withUnsafeBytes { try body($0, 0) }
        case .global:
            let global = try matrix.global?.resolve(self) ?? 1
            return try withUnsafeBytes(of: global.bitPattern.littleEndian) { try body($0, 0) }
        case .scales:
            let made = try scales(of: matrix, rows: matrix.rows(of: .scales, rows))
            let columns = matrix.encoder.scaleColumns(matrix.columns)
            let width = columns * matrix.encoder.scaleType.bits / 8
            return try withScratch(of: UInt8.self, count: rows.count * width) { bytes in
                let raw = UnsafeMutableRawBufferPointer(bytes)
                try matrix.encoder.write(made.scales, into: raw)
                return try body(UnsafeRawBufferPointer(raw), made.overflowed)
            }
        case .codes:
            let count = rows.count * matrix.columns
            return try withScratch(of: Float.self, count: count) { values in
                try evaluate(matrix.values, rows: rows, columns: matrix.columns, into: values)
                let values = UnsafeBufferPointer(values)
                let global = try matrix.global?.resolve(self) ?? 1
                let made = try scales(of: matrix, rows: rows, values: values)
                return try withScratch(of: UInt8.self, count: matrix.encoder.byteCount(count)) { bytes in
                    let raw = UnsafeMutableRawBufferPointer(bytes)
                    matrix.encoder.encode(
                        values, rows: rows.count, columns: matrix.columns, scales: made.scales, global: global,
                        into: raw)
                    return try body(UnsafeRawBufferPointer(raw), 0)
                }
            }
        }
    }

    /// The scales of rows of values, made once while the rows are at hand.
    private func scales(
        of matrix: EncodedMatrix, rows: Range<Int>, values: UnsafeBufferPointer<Float>? = nil
    ) throws -> EncodedMatrix.RowScales {
        let key = EncodedMatrix.Rows(matrix: ObjectIdentifier(matrix), rows: rows)
        if let known = loaded.scales[key] { return known }
        guard let values else {
            return try withScratch(of: Float.self, count: rows.count * matrix.columns) { values in
                try evaluate(matrix.values, rows: rows, columns: matrix.columns, into: values)
                return try scales(of: matrix, rows: rows, values: UnsafeBufferPointer(values))
            }
        }
        var overflowed = 0
        let numbers = matrix.encoder.scales(
            values, rows: rows.count, columns: matrix.columns, global: try matrix.global?.resolve(self) ?? 1,
            overflowed: &overflowed)
        let made = EncodedMatrix.RowScales(scales: numbers, overflowed: overflowed)
        loaded.scales[key] = made
        return made
    }
}

/// What the E4M3 scales of matrices that are computed together are divided by: the same for all of them, since a reader puts
/// them one below the other.
func deferredGlobal(_ tensors: [LazyTensor], _ encoder: BlockEncoder) -> Deferred<Float> {
    Deferred { evaluator in
        var largest: Float = 0
        for tensor in tensors {
            try evaluator.forEachBlock(of: tensor) { _, values in largest = encoder.largest(values, above: largest) }
        }
        return encoder.global(largest: largest)
    }
}
