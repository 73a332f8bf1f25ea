import Numerics
import Safetensors

extension Evaluator {
    /// Writes rows of a view of what is stored of a quantised weight, in F32.
    func decode(
        _ tensor: QuantisedTensor, _ view: MatrixView, rows: Range<Int>, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        guard !rows.isEmpty, view.columns > 0 else { return }
        let width = tensor.columns
        let parts = PartReader(evaluator: self)
        let offset = view.offset + rows.lowerBound * view.rowStride
        if view.columnStride == 1, view.columns == width, offset % width == 0, view.rowStride % width == 0 {
            let own = StridedRows(first: offset / width, count: rows.count, step: max(view.rowStride / width, 1))
            try tensor.codec.decode(own, parts, into: out)
        } else if view.rowStride % width == 0 || rows.count == 1 {
            try decodeColumns(tensor, view, rows: rows, parts, into: out)
        } else {
            try decodeTransposed(tensor, view, rows: rows, parts, into: out)
        }
        let count = out.withMemoryRebound(to: UInt8.self) { _ in
            (try? nonFiniteCount(UnsafeRawBufferPointer(out), .f32)) ?? 0
        }
        if count > 0 { noteNonfinite(tensor, count) }
    }

    /// Some columns of whole rows.
    private func decodeColumns(
        _ tensor: QuantisedTensor, _ view: MatrixView, rows: Range<Int>, _ parts: PartReader,
        into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let width = tensor.columns
        let step = max(1, Self.elementsPerBlock / width)
        try withScratch(of: Float.self, count: min(step, rows.count) * width) { line in
            for start in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
                let count = min(step, rows.upperBound - start)
                let (row, column) = (view.offset + start * view.rowStride).quotientAndRemainder(dividingBy: width)
                let part = UnsafeMutableBufferPointer(rebasing: line[0..<count * width])
                try tensor.codec.decode(
                    StridedRows(first: row, count: count, step: max(view.rowStride / width, 1)), parts, into: part)
                for index in 0..<count {
                    let target = (start - rows.lowerBound + index) * view.columns
                    for place in 0..<view.columns {
                        out[target + place] = part[index * width + column + place * view.columnStride]
                    }
                }
            }
        }
    }

    /// Rows of the view that are columns of what is stored.
    private func decodeTransposed(
        _ tensor: QuantisedTensor, _ view: MatrixView, rows: Range<Int>, _ parts: PartReader,
        into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let width = tensor.columns
        guard view.columnStride % width == 0 || view.columns == 1 else {
            throw CheckpointError(
                .internalFailure, tensor: tensor.name, message: "neither rows nor columns of it are asked for")
        }
        let step = max(1, Self.elementsPerBlock / width)
        try withScratch(of: Float.self, count: min(step, view.columns) * width) { block in
            for start in stride(from: 0, to: view.columns, by: step) {
                let count = min(step, view.columns - start)
                let (row, column) = (view.offset + rows.lowerBound * view.rowStride + start * view.columnStride)
                    .quotientAndRemainder(dividingBy: width)
                let part = UnsafeMutableBufferPointer(rebasing: block[0..<count * width])
                try tensor.codec.decode(
                    StridedRows(first: row, count: count, step: max(view.columnStride / width, 1)), parts, into: part)
                for index in 0..<rows.count {
                    for place in 0..<count {
                        out[index * view.columns + start + place] =
                            part[place * width + column + index * view.rowStride]
                    }
                }
            }
        }
    }
}
