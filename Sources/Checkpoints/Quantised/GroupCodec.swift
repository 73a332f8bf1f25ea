import Quantisation
import Safetensors

/// Codes with a scale for each group of columns: what most formats come down to.
///
/// A value is `(code - zero) * scale + bias`, each step in F32 and rounded.
package struct GroupCodec: MatrixCodec {
    /// How codes lie in their tensor.
    package enum Layout: Sendable {
        /// Row by row.
        case rows
        /// The codes of a row run down a column of 32-bit words: `[words, rows]`.
        case wordColumns
        /// The transpose of the matrix, row by row: `[columns, rows]`.
        case transposed
    }

    /// The weight's name, for messages.
    let name: String
    package let codes: SourceTensor
    let reader: CodeReader
    let layout: Layout
    /// Of all copies, one below the other.
    let rows: Int
    let columns: Int
    let scales: ScaleGrid?
    var zeros: ScaleGrid?
    var biases: ScaleGrid?
    /// Columns that share a scale.
    let group: Int
    /// The group of each column, where they are not consecutive.
    var index: SourceTensor?
    /// What every value is multiplied with at the end.
    var constant: Float = 1

    package var isScattered: Bool {
        if case .rows = layout { false } else { true }
    }

    /// Bytes of a row's codes: words may be wider than what they hold.
    private var rowBytes: Int {
        if case .wordColumns = layout { return 4 * (codes.info.shape.dimensions.first ?? 0) }
        return (codes.info.end - codes.info.begin) / max(rows, 1)
    }
    private var rowElements: Int { rowBytes / codes.elementSize }

    package func codeElements(rows: Range<Int>) -> Range<Int> {
        isScattered
            ? 0..<codes.info.shape.elementCount : rows.lowerBound * rowElements..<rows.upperBound * rowElements
    }

    package func needed(rows: Range<Int>) -> [(tensor: SourceTensor, elements: Range<Int>)] {
        let grids = [scales, zeros, biases].compactMap { grid -> (tensor: SourceTensor, elements: Range<Int>)? in
            guard let grid, let elements = grid.needed(rows: rows) else { return nil }
            return (grid.tensor, elements)
        }
        // All of what lies scattered, or none: a few rows of it are picked from the disk.
        if isScattered, rows.count < self.rows { return grids }
        return [(codes, codeElements(rows: rows))] + grids
    }

    package func decode(_ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>) throws {
        switch layout {
        case .rows:
            let view = MatrixView(
                offset: rows.first * rowElements, rows: rows.count, columns: rowElements,
                rowStride: rows.step * rowElements, columnStride: 1)
            try parts.withElements(of: codes, view) { unpack($0, rows.count, into: out) }
        case .wordColumns:
            let words = rowBytes / 4
            let view = MatrixView(
                offset: rows.first, rows: words, columns: rows.count, rowStride: self.rows, columnStride: rows.step)
            try withScratch(of: UInt32.self, count: words * rows.count) { turned in
                try parts.withElements(of: codes, view) { bytes in
                    guard let from = bytes.baseAddress, let to = turned.baseAddress else { return }
                    transpose(from, stride: rows.count, rows: words, columns: rows.count, to: to)
                }
                unpack(UnsafeRawBufferPointer(turned), rows.count, into: out)
            }
        case .transposed: try unpackTransposed(rows, parts, into: out)
        }
        try scale(rows, parts, out)
    }

    private func unpack(
        _ bytes: UnsafeRawBufferPointer, _ count: Int, into out: UnsafeMutableBufferPointer<Float>
    ) {
        for row in 0..<count {
            reader.read(
                UnsafeRawBufferPointer(rebasing: bytes[row * rowBytes..<(row + 1) * rowBytes]), from: 0,
                into: UnsafeMutableBufferPointer(rebasing: out[row * columns..<(row + 1) * columns]))
        }
    }

    /// `[columns, rows]` with the codes of a column in eights: the eights that hold the rows, turned.
    private func unpackTransposed(
        _ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let first = rows.first / 8 * 8
        let width = rows.cover.upperBound - first
        let bytes = reader.packing.byteCount(of: width, bits: reader.format.bits)
        let line = reader.packing.byteCount(of: self.rows, bits: reader.format.bits)
        let size = codes.elementSize
        let view = MatrixView(
            offset: first * reader.format.bits / 8 / size, rows: columns, columns: bytes / size, rowStride: line / size,
            columnStride: 1)
        try withScratch(of: Float.self, count: columns * width) { values in
            try parts.withElements(of: codes, view) { all in
                for column in 0..<columns {
                    reader.read(
                        UnsafeRawBufferPointer(rebasing: all[column * bytes..<(column + 1) * bytes]), from: 0,
                        into: UnsafeMutableBufferPointer(rebasing: values[column * width..<(column + 1) * width]))
                }
            }
            guard let from = values.baseAddress, let to = out.baseAddress else { return }
            if rows.step == 1 {
                transpose(from + (rows.first - first), stride: width, rows: columns, columns: rows.count, to: to)
                return
            }
            for row in 0..<rows.count {
                for column in 0..<columns {
                    out[row * columns + column] = values[column * width + rows[row] - first]
                }
            }
        }
    }

    private func scale(_ rows: StridedRows, _ parts: PartReader, _ out: UnsafeMutableBufferPointer<Float>) throws {
        func with<R>(_ grid: ScaleGrid?, _ body: (UnsafeMutableBufferPointer<Float>?) throws -> R) throws -> R {
            guard let grid else { return try body(nil) }
            return try withScratch(of: Float.self, count: rows.count * grid.groups) { values in
                try grid.read(rows, parts, into: values)
                return try body(values)
            }
        }
        guard let groups = scales?.groups else { return }
        try with(scales) { scales in
            try with(zeros) { zeros in
                try with(biases) { biases in
                    try withIndex(parts, groups: groups) { index in
                        for row in 0..<rows.count {
                            let own = row * groups..<(row + 1) * groups
                            func part(_ all: UnsafeMutableBufferPointer<Float>?) -> UnsafeBufferPointer<Float>? {
                                all.map { UnsafeBufferPointer(rebasing: $0[own]) }
                            }
                            guard let factors = part(scales) else { return }
                            let scaling = GroupScaling(scales: factors, zeros: part(zeros), biases: part(biases))
                            let line = UnsafeMutableBufferPointer(rebasing: out[row * columns..<(row + 1) * columns])
                            if let index {
                                scaling.apply(to: line, index: index)
                            } else {
                                scaling.apply(to: line, size: group)
                            }
                        }
                    }
                }
            }
        }
        if constant != 1 { for index in out.indices { out[index] *= constant } }
    }

    /// The group of each column, checked; nil where columns lie in their order.
    private func withIndex<R>(
        _ parts: PartReader, groups: Int, _ body: (UnsafeBufferPointer<Int32>?) throws -> R
    ) throws -> R {
        guard let index else { return try body(nil) }
        return try parts.withAll(of: index) { bytes in
            try withScratch(of: Int32.self, count: columns) { numbers in
                guard try read(bytes, of: index, groups: groups, { numbers[$0] = $1 }) else { return try body(nil) }
                return try body(UnsafeBufferPointer(numbers))
            }
        }
    }

    /// Gives the group of each column; false where columns are in their order, which compressed-tensors says by -1
    /// everywhere.
    private func read(
        _ bytes: UnsafeRawBufferPointer, of index: SourceTensor, groups: Int, _ body: (Int, Int32) -> Void
    ) throws -> Bool {
        if bytes.allSatisfy({ $0 == 0xFF }) { return false }
        for column in 0..<min(columns, bytes.count / 4) {
            let number = bytes.loadUnaligned(fromByteOffset: 4 * column, as: Int32.self)
            guard number >= 0, Int(number) < groups else {
                throw CheckpointError(
                    .incompatible, file: index.file.path, tensor: index.info.name,
                    message: "column \(column) of \(escaped(name)) belongs to group \(number), and there are "
                        + "\(groups): the groups must be from 0 to \(groups - 1)")
            }
            body(column, number)
        }
        return true
    }

    /// Holds the groups of columns against how many there are, where the weight is copied and nothing else reads them.
    ///
    /// - Throws: `CheckpointError`.
    func checkIndex() throws {
        guard let index, let groups = scales?.groups else { return }
        try index.file.bytes(index.info.name).withUnsafeBytes { bytes in
            _ = try read(bytes, of: index, groups: groups) { _, _ in }
        }
    }
}
