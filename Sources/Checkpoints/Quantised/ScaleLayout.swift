import Numerics
import Quantisation
import Safetensors

/// Scales, zero points or biases that go row by row with a matrix, or a stack of them, as their shape says.
struct ScaleLayout {
    private(set) var grid: ScaleGrid
    /// Columns that share a number.
    let group: Int
    let extent: QuantisedPart.Extent
    /// "in blocks of 128 x 128" and the like.
    let description: String
    private let copies: Int

    /// - Parameters:
    ///   - shape: the weight's as it is stored: `[rows, columns]`, or a stack of that.
    ///   - block: rows and columns that share a number; nil where only the shape of `scales` says so: one for all, one for
    ///     each matrix of a stack, or one for each row.
    ///   - format: what the numbers are stored in; nil for a floating-point dtype, and for E8M0.
    /// - Throws: `CheckpointError` naming the weight and the scales where the shapes do not fit.
    init(
        _ scales: SourceTensor, of weight: String, shape: [Int], block: (rows: Int, columns: Int)?,
        format: ElementFormat? = nil
    ) throws {
        guard shape.count == 2 || shape.count == 3, let rows = shape.dropLast().last, let columns = shape.last else {
            throw CheckpointError.misfit(
                weight, scales, "the weight is \(shape), and a matrix, or a stack of them, is expected")
        }
        let copies = shape.count == 3 ? shape[0] : 1
        self.copies = copies
        let storage = ScaleGrid.Storage.rows(try format ?? Self.format(of: scales, weight))
        var found = scales.info.shape.dimensions
        // ModelOpt keeps a place for the columns and rows of a block.
        if found.count == 4, found[1] == 1, found[3] == 1 { found = [found[0], found[2]] }
        let count = scales.info.shape.elementCount
        let stack = shape.count == 3 ? [copies] : []
        func grid(rowsPerCopy: Int, blockRows: Int, groups: Int) -> ScaleGrid {
            ScaleGrid(
                tensor: scales, storage: storage, rowsPerCopy: rowsPerCopy, blockRows: max(blockRows, 1), groups: groups
            )
        }
        if let block {
            let groups = (columns + block.columns - 1) / block.columns
            let expected = stack + [(rows + block.rows - 1) / block.rows, groups]
            if found == expected {
                self.grid = grid(rowsPerCopy: rows, blockRows: block.rows, groups: groups)
                group = block.columns
                extent = .rows(block: block.rows)
                description =
                    block.rows == 1 ? "in groups of \(block.columns)" : "in blocks of \(block.rows) x \(block.columns)"
                return
            }
            guard count == 1 else {
                throw CheckpointError.misfit(
                    weight, scales,
                    "blocks of \(block.rows) x \(block.columns) of a weight \(shape) have scales of shape \(expected)")
            }
        }
        let trimmed = Array(found.reversed().drop { $0 == 1 }.reversed())
        if count == 1 {
            self.grid = grid(rowsPerCopy: copies * rows, blockRows: copies * rows, groups: 1)
            extent = .whole
            description = "with one scale"
        } else if trimmed == stack + [rows] {
            self.grid = grid(rowsPerCopy: rows, blockRows: 1, groups: 1)
            extent = .rows(block: 1)
            description = "with a scale for each row"
        } else if shape.count == 3, trimmed == [copies] {
            self.grid = grid(rowsPerCopy: rows, blockRows: rows, groups: 1)
            extent = .whole
            description = "with one scale for each expert"
        } else {
            throw CheckpointError.misfit(
                weight, scales,
                "a weight \(shape) has one scale, one for each row, or blocks that the configuration states")
        }
        group = max(columns, 1)
    }

    /// Divides each by a number of the whole matrix, or of each in a stack.
    mutating func divide(by global: SourceTensor, of weight: String) throws {
        try check(global, weight)
        grid.factor = (global, divides: true)
    }

    /// Multiplies each with a number of the whole matrix, or of each in a stack.
    mutating func multiply(by global: SourceTensor, of weight: String) throws {
        try check(global, weight)
        grid.factor = (global, divides: false)
    }

    private func check(_ global: SourceTensor, _ weight: String) throws {
        let count = global.info.shape.elementCount
        guard global.info.dtype.isConvertible, count == 1 || copies > 1 && count == copies else {
            throw CheckpointError.misfit(weight, global, "one number is expected, in F32")
        }
    }

    /// How scales of eight bits are stored; nil for a floating-point dtype.
    private static func format(of scales: SourceTensor, _ weight: String) throws -> ElementFormat? {
        switch scales.info.dtype {
        case .f32, .bf16, .f16, .f64: nil
        case .f8E8M0, .u8: .e8m0
        case .f8E4M3: .e4m3
        default:
            throw CheckpointError.misfit(
                weight, scales, "scales are F32, BF16, F16, or powers of two (F8_E8M0, U8)")
        }
    }
}
