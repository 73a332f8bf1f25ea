import Quantisation
import Safetensors

/// The tensors that a quantised weight is stored as.
struct QuantisedLayout {
    let options: QuantisationOptions
    let architecture: Architecture

    private var format: QuantisationOptions.Format { options.format }

    /// The endings that the family's own stacked experts have in this format, instead of standing one by one.
    var stackedSuffixes: Architecture.StackedCodes? { format == .mxfp4 ? architecture.stackedCodes : nil }

    /// The groups that are quantised.
    var groups: Set<QuantisationOptions.Group> {
        options.groups ?? (stackedSuffixes == nil ? QuantisationOptions.defaultGroups : [.experts])
    }

    /// Whether a tensor is to be quantised, by what it is for.
    func selects(_ expected: ExpectedTensor) -> Bool {
        let kinds = groups.reduce(into: Set<Role.Kind>()) { $0.formUnion($1.kinds) }
        return !expected.placements.isEmpty && expected.placements.allSatisfy { kinds.contains($0.role.kind) }
            && (expected.shape.count == 2 || expected.shape.count == 3)
    }

    /// The tensors that take a weight's place.
    ///
    /// - Parameter global: what the scales of NVFP4 are divided by.
    /// - Throws: `CheckpointError` for a weight that no reader knows in this format, or that does not divide into groups.
    func tensors(for weight: DiskTensor, global: Deferred<Float>?) throws -> [DiskTensor] {
        let lie = try Geometry(weight)
        let suffix = ".weight"
        let base = weight.name.hasSuffix(suffix) ? String(weight.name.dropLast(suffix.count)) : nil
        if let base, !lie.isStacked, !lie.isTransposed, stackedSuffixes == nil {
            return try plain(weight, base, lie, global)
        }
        if lie.isStacked, let suffixes = stackedSuffixes {
            try checkGroups(weight, lie)
            let (codes, scales) = encoded(lie, for: weight, global: nil)
            return [
                DiskTensor(
                    name: weight.name + suffixes.codes, dtype: .u8,
                    shape: try Shape([lie.count, lie.rows, lie.columns / 32, 16]), placements: codes),
                DiskTensor(
                    name: weight.name + suffixes.scales, dtype: .u8,
                    shape: try Shape([lie.count, lie.rows, lie.columns / 32]), placements: scales),
            ]
        }
        throw unknown(weight, lie)
    }

    /// A weight of its own: `[out, in]`.
    private func plain(
        _ weight: DiskTensor, _ base: String, _ lie: Geometry, _ global: Deferred<Float>?
    ) throws -> [DiskTensor] {
        try checkGroups(weight, lie)
        let encoder = format.encoder(for: weight.dtype, search: options.search)
        let (codes, scales) = encoded(lie, for: weight, global: global)
        let scaleShape = try Shape([encoder.scaleRows(lie.rows), encoder.scaleColumns(lie.columns)])
        func tensor(_ suffix: String, _ dtype: DType, _ shape: Shape, _ parts: Placements) -> DiskTensor {
            DiskTensor(name: base + suffix, dtype: dtype, shape: shape, placements: parts)
        }
        // What a weight has once: its whole is known to each of its matrices.
        func once(_ suffix: String, _ dtype: DType, _ part: EncodedMatrix.Part, count: Int) throws -> DiskTensor {
            let whole = LazyTensor(rows: lie.rows, columns: lie.columns, dtype: weight.dtype, expression: .constant(0))
            let number = LazyTensor(
                rows: count, columns: 1, dtype: dtype,
                expression: .encoded(EncodedMatrix(whole, encoder, global: global), part))
            return tensor(suffix, dtype, try Shape([count]), [(number, .contiguous(rows: count, columns: 1))])
        }
        let isPacked = format.isFourBits
        var result = [
            tensor(
                isPacked ? ".weight_packed" : ".weight", encoder.codeType,
                try Shape([lie.rows, encoder.codeColumns(lie.columns)]), codes),
            tensor(format == .fp8Block ? ".weight_scale_inv" : ".weight_scale", encoder.scaleType, scaleShape, scales),
        ]
        if case .int4 = format { result.append(try once(".weight_shape", .i64, .shape, count: 2)) }
        if format == .nvfp4 { result.append(try once(".weight_global_scale", .f32, .global, count: 1)) }
        return result
    }

    private typealias Placements = [(tensor: LazyTensor, view: MatrixView)]

    /// The codes and scales of all matrices of a weight, each where it belongs.
    private func encoded(
        _ lie: Geometry, for weight: DiskTensor, global: Deferred<Float>?
    ) -> (codes: Placements, scales: Placements) {
        let encoder = format.encoder(for: weight.dtype, search: options.search)
        let codeColumns = encoder.codeColumns(lie.columns)
        let scaleColumns = encoder.scaleColumns(lie.columns)
        var result: (codes: Placements, scales: Placements) = ([], [])
        for part in lie.parts(sharingRows: encoder.rowsPerBlock) {
            let matrix = EncodedMatrix(part.tensor, encoder, global: global)
            let first = part.copy * lie.rows + part.row
            let codes = LazyTensor(
                rows: part.tensor.rows, columns: codeColumns, dtype: encoder.codeType,
                expression: .encoded(matrix, .codes))
            let codeView = MatrixView(
                offset: first * codeColumns, rows: codes.rows, columns: codeColumns, rowStride: part.step * codeColumns,
                columnStride: 1)
            result.codes.append((codes, codeView))
            let scales = LazyTensor(
                rows: encoder.scaleRows(part.tensor.rows), columns: scaleColumns, dtype: encoder.scaleType,
                expression: .encoded(matrix, .scales))
            let firstBlock = part.copy * encoder.scaleRows(lie.rows) + part.row / encoder.rowsPerBlock
            let scaleView = MatrixView(
                offset: firstBlock * scaleColumns, rows: scales.rows, columns: scaleColumns,
                rowStride: part.step * scaleColumns, columnStride: 1)
            result.scales.append((scales, scaleView))
        }
        return result
    }

    private func checkGroups(_ weight: DiskTensor, _ lie: Geometry) throws {
        let group = format.columnsPerGroup
        guard lie.columns % group == 0 else {
            throw CheckpointError(
                .incompatible, tensor: weight.name,
                message: "it has \(lie.columns) columns, and \(format) groups \(group) of them, without a rest: choose "
                    + "another format or group, or leave it out with `roles`")
        }
    }

    private func unknown(_ weight: DiskTensor, _ lie: Geometry) -> CheckpointError {
        let family = architecture.modelType
        if stackedSuffixes != nil, !lie.isStacked {
            return CheckpointError(
                .usage, tensor: weight.name,
                message:
                    "readers of \(family) in \(format) take its experts so and nothing else: leave out `roles`, or "
                    + "choose another format for the others")
        }
        if lie.isStacked, architecture.layoutNames.contains("per-expert") {
            return CheckpointError(
                .usage, tensor: weight.name,
                message:
                    "no reader takes experts that are stacked in one tensor in \(format): leave out `layout`, so that "
                    + "they stand one by one")
        }
        let alone = architecture.stackedCodes == nil ? "" : "`quantise` mxfp4, or "
        return CheckpointError(
            .usage, tensor: weight.name,
            message: "the experts of \(family) are stacked in one tensor, which no reader takes in \(format): "
                + "\(alone)quantise the others alone, with `roles` attention for example")
    }
}

/// How the matrices of a weight lie in its tensor.
private struct Geometry {
    /// A matrix of the weight: row `i` of it is row `row + i * step` of copy `copy`.
    struct Part {
        let tensor: LazyTensor
        let copy: Int
        let row: Int
        let step: Int
    }

    /// How many matrices of `rows` x `columns` are stacked.
    let count: Int
    let rows: Int
    let columns: Int
    let isStacked: Bool
    let isTransposed: Bool
    let parts: [Part]

    init(_ weight: DiskTensor) throws {
        let shape = weight.shape.dimensions
        guard shape.count == 2 || shape.count == 3, let first = weight.placements.first, shape.allSatisfy({ $0 > 0 })
        else {
            throw CheckpointError(.incompatible, tensor: weight.name, message: "it is \(weight.shape) and no matrix")
        }
        isStacked = shape.count == 3
        count = isStacked ? shape[0] : 1
        let (outer, inner) = (shape[shape.count - 2], shape[shape.count - 1])
        let isTransposed = first.view.columnStride != 1 && first.view.columns > 1
        self.isTransposed = isTransposed
        let (rows, columns) = isTransposed ? (inner, outer) : (outer, inner)
        (self.rows, self.columns) = (rows, columns)
        parts = weight.placements.map { tensor, view in
            let unit = isTransposed ? 1 : columns
            return Part(
                tensor: tensor, copy: view.offset / (rows * columns), row: view.offset % (rows * columns) / unit,
                step: view.rows > 1 ? view.rowStride / unit : 1)
        }
    }

    /// The matrices so that no `size` rows of the weight that share a scale belong to two of them.
    func parts(sharingRows size: Int) -> [Part] {
        guard size > 1 else { return parts }
        var result: [Part] = []
        for copy in 0..<count {
            let own = parts.filter { $0.copy == copy }.sorted { $0.row < $1.row }
            let isSplit = own.allSatisfy { $0.step == 1 && $0.row % size == 0 }
            if isSplit || own.count == 1 {
                result += own
                continue
            }
            // Row by row in the weight's order, from the matrices one below the other.
            var places = [Int](repeating: 0, count: rows)
            var next = 0
            for part in own {
                for row in 0..<part.tensor.rows where part.row + row * part.step < rows {
                    places[part.row + row * part.step] = next + row
                }
                next += part.tensor.rows
            }
            let joined = LazyTensor.concatenated(own.map(\.tensor), .rows).picking(places, .rows)
            result.append(Part(tensor: joined, copy: copy, row: 0, step: 1))
        }
        return result
    }
}
