import Safetensors

/// A quantised weight that is written as it is stored: its parts, byte for byte, under the names that go with the weight's.
struct QuantisedCopy {
    let tensors: [DiskTensor]
    /// The weight that it is of, or the first of those that are put together.
    let source: QuantisedTensor

    /// Consecutive stored rows of the output, and where they come from.
    private struct Run {
        let target: Range<Int>
        let tensor: QuantisedTensor
        let source: Range<Int>
    }

    /// How the matrices of the output lie as they are stored.
    private struct Geometry {
        let copies: Int
        let rows: Int
        let isStack: Bool
    }

    /// - Returns: nil where anything of the tensor is computed, or its parts cannot be put together from whole rows of blocks.
    init?(_ expected: ExpectedTensor, _ table: [Role: LazyTensor], scheme: String) throws {
        guard let (runs, geometry) = Self.runs(expected, table, scheme: scheme), let first = runs.first else {
            return nil
        }
        var tensors: [DiskTensor] = []
        for part in first.tensor.parts {
            guard expected.name.hasSuffix(part.replaced) else { return nil }
            let found = try Self.placements(of: part, runs, geometry)
            guard let (shape, placements) = found else {
                // What the values do not depend on, and what would be of no use by itself, is left out.
                if part.extent == nil { continue }
                return nil
            }
            tensors.append(
                DiskTensor(
                    name: part.name(for: expected.name), dtype: part.tensor.info.dtype, shape: try Shape(shape),
                    placements: placements))
        }
        self.tensors = tensors
        source = first.tensor
    }

    private static func runs(
        _ expected: ExpectedTensor, _ table: [Role: LazyTensor], scheme: String
    ) -> (runs: [Run], geometry: Geometry)? {
        struct Key: Hashable {
            let tensor: ObjectIdentifier
            let distance: Int, copy: Int
        }
        struct Group {
            let tensor: QuantisedTensor
            var count = 0, first = Int.max, last = -1
        }
        var groups: [Key: Group] = [:]
        var geometry: Geometry?
        for (role, whole) in expected.placements {
            guard let matrix = table[role], matrix.dtype == .bf16, whole.rows > 0,
                let pieces = pieces(of: matrix.expression, rows: matrix.rows)
            else { return nil }
            for piece in pieces {
                let (tensor, own) = (piece.tensor, piece.view)
                let view = MatrixView(
                    offset: whole.offset + piece.row * whole.rowStride, rows: own.rows, columns: whole.columns,
                    rowStride: whole.rowStride, columnStride: whole.columnStride)
                guard tensor.scheme == scheme else { return nil }
                let shape = expected.shape
                guard shape.count == 2 || shape.count == 3 else { return nil }
                let sizes =
                    tensor.isTransposed
                    ? (shape[shape.count - 1], shape[shape.count - 2])
                    : (shape[shape.count - 2], shape[shape.count - 1])
                let (rows, columns) = sizes
                guard columns == tensor.columns, columns > 0, rows > 0 else { return nil }
                geometry = Geometry(copies: shape.count == 3 ? shape[0] : 1, rows: rows, isStack: shape.count == 3)
                let target = tensor.isTransposed ? view.turned(rows: rows, columns: columns) : view
                let step = target.rowStride / columns
                guard target.columns == columns, own.columns == columns, target.columnStride == 1 || columns == 1,
                    own.columnStride == 1 || columns == 1, target.offset % columns == 0, own.offset % columns == 0,
                    target.rowStride % columns == 0, target.rowStride == own.rowStride || view.rows == 1
                else { return nil }
                let (to, from) = (target.offset / columns, own.offset / columns)
                let key = Key(tensor: ObjectIdentifier(tensor), distance: from - to, copy: to / rows)
                var group = groups[key] ?? Group(tensor: tensor)
                group.count += view.rows
                group.first = min(group.first, to)
                group.last = max(group.last, to + (view.rows - 1) * step)
                groups[key] = group
            }
        }
        guard let geometry else { return nil }
        var runs: [Run] = []
        for (key, group) in groups {
            guard group.last - group.first + 1 == group.count else { return nil }
            let target = group.first..<group.last + 1
            runs.append(
                Run(
                    target: target, tensor: group.tensor,
                    source: target.lowerBound + key.distance..<target.upperBound + key.distance))
        }
        return (runs.sorted { $0.target.lowerBound < $1.target.lowerBound }, geometry)
    }

    /// Rows of a matrix that are rows of a quantised weight each, from the row where they begin; nil where any is computed.
    private static func pieces(
        of expression: TensorExpression, rows: Int
    ) -> [(row: Int, tensor: QuantisedTensor, view: MatrixView)]? {
        switch expression {
        case .quantised(let tensor, let view): return [(0, tensor, view)]
        case .concatenated(.rows, let parts):
            var result: [(row: Int, tensor: QuantisedTensor, view: MatrixView)] = []
            var row = 0
            for part in parts {
                guard let pieces = pieces(of: part.expression, rows: part.extent) else { return nil }
                result += pieces.map { (row + $0.row, $0.tensor, $0.view) }
                row += part.extent
            }
            return result
        case .picked(.quantised(let tensor, let view), .rows, .fixed(let order), _):
            return order.indices.map { row in
                (
                    row, tensor,
                    MatrixView(
                        offset: view.offset + order[row] * view.rowStride, rows: 1, columns: view.columns,
                        rowStride: view.rowStride, columnStride: view.columnStride)
                )
            }
        default: return nil
        }
    }

    private typealias Placements = (shape: [Int], placements: [(tensor: LazyTensor, view: MatrixView)])

    private static func placements(of part: QuantisedPart, _ runs: [Run], _ geometry: Geometry) throws -> Placements? {
        if case .rows(let block)? = part.extent { return rowPlacements(of: part, block: block, runs, geometry) }
        return wholePlacements(of: part, runs, geometry)
    }

    /// The part of the same name of another weight of the same form.
    private static func like(_ part: QuantisedPart, of tensor: QuantisedTensor) -> SourceTensor? {
        let same = tensor.parts.first { $0.suffix == part.suffix && $0.extent == part.extent }
        return same?.tensor.info.dtype == part.tensor.info.dtype ? same?.tensor : nil
    }

    /// Rows of blocks, each of which must come whole.
    private static func rowPlacements(
        of part: QuantisedPart, block: Int, _ runs: [Run], _ geometry: Geometry
    ) -> Placements? {
        let targetRows = (geometry.rows + block - 1) / block
        var placements: [(tensor: LazyTensor, view: MatrixView)] = []
        var rest: [Int]?
        for run in runs {
            guard let source = like(part, of: run.tensor) else { return nil }
            let (rows, count) = (run.tensor.rowsPerCopy, run.target.count)
            let sourceRows = (rows + block - 1) / block
            let (copy, from) = run.source.lowerBound.quotientAndRemainder(dividingBy: rows)
            let (place, to) = run.target.lowerBound.quotientAndRemainder(dividingBy: geometry.rows)
            let all = run.tensor.copies * sourceRows
            guard to % block == 0, from % block == 0, from + count <= rows, to + count <= geometry.rows,
                count % block == 0 || to + count == geometry.rows && from + count == rows,
                source.info.shape.elementCount % all == 0
            else { return nil }
            let width = source.info.shape.elementCount / all
            let own = Array(source.info.shape.dimensions.dropFirst(run.tensor.shape.count > 2 ? 2 : 1))
            guard rest == nil || rest == own, own.reduce(1, *) == width else { return nil }
            rest = own
            let lines = (count + block - 1) / block
            placements.append(
                (
                    LazyTensor(
                        source,
                        view: .contiguous(
                            rows: lines, columns: width, offset: (copy * sourceRows + from / block) * width)),
                    .contiguous(rows: lines, columns: width, offset: (place * targetRows + to / block) * width)
                ))
        }
        return ((geometry.isStack ? [geometry.copies] : []) + [targetRows] + (rest ?? []), placements)
    }

    /// What belongs to whole matrices.
    private static func wholePlacements(of part: QuantisedPart, _ runs: [Run], _ geometry: Geometry) -> Placements? {
        guard runs.count == geometry.copies,
            runs.allSatisfy({ $0.target.count == geometry.rows && $0.tensor.rowsPerCopy == geometry.rows }),
            let first = runs.first
        else { return nil }
        let dimensions = part.tensor.info.shape.dimensions
        let count = part.tensor.info.shape.elementCount
        let isPerCopy = first.tensor.shape.count > 2 && dimensions.first == first.tensor.copies
        guard isPerCopy else {
            // One for all matrices of the stack, or the only one's.
            guard !geometry.isStack || first.tensor.shape.count > 2, runs.allSatisfy({ $0.tensor === first.tensor })
            else {
                return nil
            }
            let view = MatrixView.contiguous(rows: 1, columns: count)
            return (dimensions, [(LazyTensor(part.tensor, view: view), view)])
        }
        let width = count / max(first.tensor.copies, 1)
        var placements: [(tensor: LazyTensor, view: MatrixView)] = []
        for run in runs {
            guard let source = like(part, of: run.tensor), run.tensor.shape.count > 2,
                source.info.shape.dimensions.dropFirst() == dimensions.dropFirst()
            else { return nil }
            let (from, to) = (run.source.lowerBound / geometry.rows, run.target.lowerBound / geometry.rows)
            placements.append(
                (
                    LazyTensor(source, view: .contiguous(rows: 1, columns: width, offset: from * width)),
                    .contiguous(rows: 1, columns: width, offset: to * width)
                ))
        }
        return ((geometry.isStack ? [geometry.copies] : []) + dimensions.dropFirst(), placements)
    }
}
