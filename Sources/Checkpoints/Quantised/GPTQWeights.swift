import Numerics
import Quantisation
import Safetensors

/// GPTQ's layout, and AWQ's `gemm`, which differ in how codes lie: 32-bit words down the columns of the transpose, or along its
/// rows.
struct GPTQWeights {
    let quantisation: Quantisation
    /// Bits of AWQ, whose codes lie in an order of their own.
    private static let awqBits = 4

    private var isAWQ: Bool { quantisation.method == .awq }

    func find(in parts: inout QuantisedParts) throws {
        try checkForm()
        for tensor in parts.all where tensor.info.name.hasSuffix(".qweight") {
            try add(tensor, base: String(tensor.info.name.dropLast("qweight".count)), &parts)
        }
    }

    /// - Throws: `CheckpointError` for an arrangement that is not read.
    private func checkForm() throws {
        let settings = quantisation.settings
        let key = isAWQ ? "version" : "checkpoint_format"
        let known = isAWQ ? ["gemm"] : ["gptq", "gptq_v2"]
        if let form = settings[key]?.string, !known.contains(form.lowercased()) {
            throw CheckpointError(
                .incompatible, file: quantisation.file,
                message:
                    "the weights are in \(quantisation.method.rawValue)'s arrangement \(escaped(form)), which is not "
                    + "read: \(known.joined(separator: " and ")) \(known.count == 1 ? "is" : "are")")
        }
    }

    private func add(_ tensor: SourceTensor, base: String, _ parts: inout QuantisedParts) throws {
        let name = base + "weight"
        guard let scales = parts[base + "scales"], let zeros = parts[base + "qzeros"] else {
            throw CheckpointError.misfit(
                name, tensor, "\(escaped(base))scales and \(escaped(base))qzeros belong beside it, and are not there")
        }
        let stored = tensor.info.shape.dimensions
        guard tensor.info.dtype == .i32, stored.count == 2, scales.info.shape.dimensions.count == 2,
            zeros.info.dtype == .i32, scales.info.dtype.isConvertible
        else {
            throw CheckpointError.misfit(name, tensor, "I32 [rows, columns] with scales [groups, rows] is expected")
        }
        let groups = scales.info.shape.dimensions[0]
        let rows = scales.info.shape.dimensions[1]
        let index = parts[base + "g_idx"]
        let bits = try isAWQ ? Self.awqBits : bits(zeros, rows: rows, name)
        let columns = isAWQ ? stored[0] : index?.info.shape.elementCount ?? stored[0] * 32 / bits
        let expected = isAWQ ? [columns, (rows + 7) / 8] : [(columns * bits + 31) / 32, rows]
        guard stored == expected, rows > 0, groups > 0, columns > 0,
            zeros.info.shape.dimensions == [groups, (rows * bits + 31) / 32]
        else {
            throw CheckpointError.misfit(
                name, tensor,
                "\(bits) bits of a weight [\(rows), \(columns)] in \(groups) groups are I32 \(expected), with qzeros I32 "
                    + "[\(groups), \((rows * bits + 31) / 32)], which are \(zeros.info.shape)")
        }
        if let index, index.info.dtype != .i32 || index.info.shape.dimensions != [columns] {
            throw CheckpointError.misfit(name, index, "I32 [\(columns)] is expected: a group for each column")
        }
        let packing: CodePacking = isAWQ ? .awq : .stream
        func grid(_ tensor: SourceTensor, _ storage: ScaleGrid.Storage) -> ScaleGrid {
            ScaleGrid(tensor: tensor, storage: storage, rowsPerCopy: rows, blockRows: 1, groups: groups)
        }
        let format = ElementFormat.unsigned(bits: bits)
        var codec = GroupCodec(
            name: name, codes: tensor, reader: CodeReader(format, packing), layout: isAWQ ? .transposed : .wordColumns,
            rows: rows, columns: columns, scales: grid(scales, .columns),
            group: try groupSize(columns: columns, groups: groups, name, scales))
        codec.zeros = grid(zeros, .packedColumns(CodeReader(format, packing)))
        // The first form of GPTQ stores one less.
        if !isAWQ, quantisation.settings["checkpoint_format"]?.string != "gptq_v2" { codec.zeros?.offset = 1 }
        codec.index = index
        var all = [
            QuantisedPart("codes", tensor, suffix: "qweight", replacing: "weight", extent: .whole),
            QuantisedPart("zero points", zeros, suffix: "qzeros", replacing: "weight", extent: .whole),
            QuantisedPart("scales", scales, suffix: "scales", replacing: "weight", extent: .whole),
        ]
        if let index {
            all.append(
                QuantisedPart("groups of columns", index, suffix: "g_idx", replacing: "weight", extent: .whole))
        }
        let label = "\(isAWQ ? "AWQ" : "GPTQ") of \(bits) bits in \(groups == 1 ? "rows" : "groups of \(codec.group)")"
        parts.add(QuantisedTensor(name: name, shape: [rows, columns], parts: all, codec: codec, format: label))
    }

    /// What the zero points take, which may differ from layer to layer.
    private func bits(_ zeros: SourceTensor, rows: Int, _ name: String) throws -> Int {
        let width = zeros.info.shape.dimensions.last ?? 0
        let stated = quantisation.settings["bits"]?.int
        let fitting = [2, 3, 4, 8].filter { (rows * $0 + 31) / 32 == width }
        guard let bits = fitting.first(where: { $0 == stated }) ?? fitting.first else {
            throw CheckpointError.misfit(name, zeros, "zero points of \(rows) rows in 2, 3, 4 or 8 bits are expected")
        }
        return bits
    }

    private func groupSize(columns: Int, groups: Int, _ name: String, _ scales: SourceTensor) throws -> Int {
        if let size = quantisation.settings["group_size"]?.int, size > 0, size <= 1 << 30,
            (columns + size - 1) / size == groups
        {
            return size
        }
        // Rules for single modules may set another size; without them the settings are wrong, or the scales.
        let stated = quantisation.settings["group_size"]
        if let stated, !stated.isNull, quantisation.settings["dynamic"]?.object?.keys.isEmpty ?? true,
            stated.int != -1 || groups != 1
        {
            throw CheckpointError.misfit(
                name, scales,
                "group_size is \(escaped(stated.serialized())) in \(escaped(quantisation.file)), and \(columns) columns "
                    + "have \(groups) groups")
        }
        guard columns % groups == 0 else {
            throw CheckpointError.misfit(
                name, scales, "\(columns) columns cannot be in \(groups) groups of one size")
        }
        return columns / groups
    }
}
