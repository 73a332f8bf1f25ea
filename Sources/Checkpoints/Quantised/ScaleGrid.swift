import Numerics
package import Quantisation
import Safetensors

/// Numbers for blocks of a matrix: scales, zero points or biases, whichever way they are stored.
package struct ScaleGrid: Sendable {
    /// How the numbers lie.
    package enum Storage: Sendable {
        /// As values of a format of at most eight bits, or where it is nil of the tensor's own floating-point dtype:
        /// `[copies, block rows, groups]`.
        case rows(ElementFormat?)
        /// Floating-point values, `[groups, rows]`.
        case columns
        /// Codes of `[rows, groups]` that are packed along the rows.
        case packedRows(CodeReader)
        /// Codes of `[groups, rows]` that are packed along the rows.
        case packedColumns(CodeReader)
    }

    let tensor: SourceTensor
    let storage: Storage
    /// Rows of each matrix, and rows that share a row of the grid.
    let rowsPerCopy: Int, blockRows: Int
    /// Numbers in a row of the grid.
    let groups: Int
    /// What is added to each.
    var offset: Float = 0
    /// A number for the whole matrix that each is multiplied with, or divided by.
    var factor: (tensor: SourceTensor, divides: Bool)?

    private var gridRows: Int { (rowsPerCopy + blockRows - 1) / max(blockRows, 1) }

    /// The row of the grid for a row of the stack.
    private func gridRow(_ row: Int) -> Int {
        let (copy, rest) = row.quotientAndRemainder(dividingBy: max(rowsPerCopy, 1))
        return copy * gridRows + rest / blockRows
    }

    /// What should be read with the rows; nil for what is so small, or lies so, that it is read by itself.
    func needed(rows: Range<Int>) -> Range<Int>? {
        switch storage {
        case .rows:
            guard let last = rows.last, blockRows == 1, groups > 1 else { return nil }
            return gridRow(rows.lowerBound) * groups..<(gridRow(last) + 1) * groups
        case .columns, .packedRows, .packedColumns: return nil
        }
    }

    /// Writes the numbers of rows, `[rows.count, groups]`.
    func read(_ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>) throws {
        guard rows.count > 0 else { return }
        switch storage {
        case .rows(let format): try readRows(format, rows, parts, into: out)
        case .columns:
            let view = MatrixView(
                offset: rows.first, rows: groups, columns: rows.count, rowStride: rowsPerCopy, columnStride: rows.step)
            try withScratch(of: Float.self, count: out.count) { values in
                try parts.withElements(of: tensor, view) { try widen($0, tensor.info.dtype, into: values) }
                turn(values, rows: rows.count, into: out)
            }
        case .packedRows(let reader): try readPackedRows(reader, rows, parts, into: out)
        case .packedColumns(let reader):
            let words = tensor.info.shape.elementCount / max(groups, 1)
            try withScratch(of: Float.self, count: out.count) { values in
                try parts.withAll(of: tensor) { bytes in
                    withScratch(of: Float.self, count: rows.cover.count) { line in
                        for group in 0..<groups {
                            let part = UnsafeRawBufferPointer(
                                rebasing: bytes[group * words * 4..<(group + 1) * words * 4])
                            reader.read(part, from: rows.first, into: line)
                            for index in 0..<rows.count { values[group * rows.count + index] = line[index * rows.step] }
                        }
                    }
                }
                turn(values, rows: rows.count, into: out)
            }
        }
        if offset != 0 { for index in out.indices { out[index] += offset } }
        if let factor { try multiply(out, rows, by: factor, parts) }
    }

    private func readRows(
        _ format: ElementFormat?, _ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let cover = gridRow(rows.first)..<gridRow(rows[rows.count - 1]) + 1
        let view = MatrixView.contiguous(rows: cover.count, columns: groups, offset: cover.lowerBound * groups)
        try withScratch(of: Float.self, count: cover.count * groups) { values in
            try parts.withElements(of: tensor, view) { bytes in
                if let format {
                    CodeReader(format, .stream).read(bytes, from: 0, into: values)
                } else {
                    try widen(bytes, tensor.info.dtype, into: values)
                }
            }
            for index in 0..<rows.count {
                let row = gridRow(rows[index]) - cover.lowerBound
                let target = UnsafeMutableBufferPointer(rebasing: out[index * groups..<(index + 1) * groups])
                _ = target.update(fromContentsOf: values[row * groups..<(row + 1) * groups])
            }
        }
    }

    /// Codes that are packed down the rows: the words of some rows, turned so that each column of codes is a stream.
    private func readPackedRows(
        _ reader: CodeReader, _ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        // 32 codes fill whole words, whatever their width.
        let start = rows.first / 32 * 32
        let firstWord = start * reader.format.bits / 32
        let lastWord = (rows.cover.upperBound * reader.format.bits + 31) / 32
        let count = lastWord - firstWord
        let view = MatrixView.contiguous(rows: count, columns: groups, offset: firstWord * groups)
        try withScratch(of: UInt32.self, count: count * groups) { turned in
            try parts.withElements(of: tensor, view) { bytes in
                guard let from = bytes.baseAddress, let to = turned.baseAddress else { return }
                transpose(from, stride: groups, rows: count, columns: groups, to: to)
            }
            withScratch(of: Float.self, count: rows.cover.upperBound - start) { line in
                for group in 0..<groups {
                    let words = UnsafeRawBufferPointer(
                        UnsafeBufferPointer(rebasing: turned[group * count..<(group + 1) * count]))
                    reader.read(words, from: 0, into: line)
                    for index in 0..<rows.count { out[index * groups + group] = line[rows[index] - start] }
                }
            }
        }
    }

    /// `[groups, rows]` into `[rows, groups]`.
    private func turn(
        _ values: UnsafeMutableBufferPointer<Float>, rows: Int, into out: UnsafeMutableBufferPointer<Float>
    ) {
        guard let from = values.baseAddress, let to = out.baseAddress else { return }
        transpose(UnsafeRawPointer(from), stride: rows, rows: groups, columns: rows, to: UnsafeMutableRawPointer(to))
    }

    /// Multiplies with the matrix's own number: the one there is, or that of its place in the stack.
    private func multiply(
        _ out: UnsafeMutableBufferPointer<Float>, _ rows: StridedRows, by factor: (tensor: SourceTensor, divides: Bool),
        _ parts: PartReader
    ) throws {
        let count = factor.tensor.info.shape.elementCount
        try withScratch(of: Float.self, count: count) { factors in
            try parts.withAll(of: factor.tensor) { try widen($0, factor.tensor.info.dtype, into: factors) }
            for index in 0..<rows.count {
                let value = factors[count == 1 ? 0 : rows[index] / max(rowsPerCopy, 1)]
                for place in index * groups..<(index + 1) * groups {
                    out[place] = factor.divides ? out[place] / value : out[place] * value
                }
            }
        }
    }
}
