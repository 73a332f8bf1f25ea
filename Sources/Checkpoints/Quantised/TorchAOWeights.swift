import Numerics
import Quantisation
import Safetensors

/// torchao's tensors, whose types stand in the header's metadata: `quant_method: torchao`.
struct TorchAOWeights {
    func find(in parts: inout QuantisedParts) throws {
        for (name, type, file) in try types(parts) {
            let end = name.lastIndex(of: ".").map { name.index(after: $0) } ?? name.startIndex
            let (module, parameter) = (String(name[..<end]), String(name[end...]))
            func part(_ attribute: String) -> SourceTensor? { parts[module + "_" + parameter + "_" + attribute] }
            guard let codes = part("qdata"), let scales = part("scale") else {
                throw CheckpointError(
                    .incompatible, file: file, tensor: name,
                    message: "it is a torchao \(escaped(type)), and _\(escaped(parameter))_qdata and "
                        + "_\(escaped(parameter))_scale are in no file")
            }
            let stored = codes.info.shape.dimensions
            guard stored.count == 2 else { throw CheckpointError.misfit(name, codes, "a matrix is expected") }
            let zeros = part("zero_point")
            let tensor: QuantisedTensor
            switch type {
            case "Int8Tensor", "IntxUnpackedToInt8Tensor", "Float8Tensor":
                tensor = try whole(name, parameter, type, codes, scales, zeros)
            case "Int4Tensor": tensor = try nibbles(name, parameter, codes, scales, zeros)
            default:
                throw CheckpointError(
                    .incompatible, file: file, tensor: name,
                    message:
                        "it is a torchao \(escaped(type)), which is not read: Int8Tensor, IntxUnpackedToInt8Tensor, "
                        + "Float8Tensor and Int4Tensor are; save the model dequantised")
            }
            parts.add(tensor)
        }
    }

    /// The parameters that are no plain tensors, with their types.
    private func types(_ parts: QuantisedParts) throws -> [(name: String, type: String, file: String)] {
        var result: [(name: String, type: String, file: String)] = []
        for file in parts.tensors.files {
            for (name, text) in file.header.metadata.sorted(by: { utf8Precedes($0.key, $1.key) }) {
                guard text.hasPrefix("{"),
                    let type = try JSON(parsing: Array(text.utf8), file: file.path).object?["_type"]
                else { continue }
                guard let type = type.string else {
                    throw CheckpointError(
                        .malformed, file: file.path, tensor: name,
                        message: "its _type in the header's metadata is no text")
                }
                if type != "Tensor", !result.contains(where: { $0.name == name }) {
                    result.append((name, type, file.path))
                }
            }
        }
        return result
    }

    private func part(
        _ label: String, _ tensor: SourceTensor, _ parameter: String, _ attribute: String,
        _ extent: QuantisedPart.Extent
    ) -> QuantisedPart {
        QuantisedPart(label, tensor, suffix: "_\(parameter)_\(attribute)", replacing: parameter, extent: extent)
    }

    /// A byte to a code: `(q - zero) * scale`.
    private func whole(
        _ name: String, _ parameter: String, _ type: String, _ codes: SourceTensor, _ scales: SourceTensor,
        _ zeros: SourceTensor?
    ) throws -> QuantisedTensor {
        let shape = codes.info.shape.dimensions
        guard codes.info.dtype == (type == "Float8Tensor" ? .f8E4M3 : .i8) else {
            throw CheckpointError.misfit(name, codes, "a \(type) is \(type == "Float8Tensor" ? "F8_E4M3" : "I8")")
        }
        let block = try block(of: shape, scales, name)
        let layout = try ScaleLayout(scales, of: name, shape: shape, block: block)
        let format = type == "Float8Tensor" ? ElementFormat.e4m3 : .signed(bits: 8)
        var codec = GroupCodec(
            name: name, codes: codes, reader: CodeReader(format, .stream), layout: .rows, rows: shape[0],
            columns: shape[1], scales: layout.grid, group: layout.group)
        var all = [
            part("codes", codes, parameter, "qdata", .rows(block: 1)),
            part("scales", scales, parameter, "scale", layout.extent),
        ]
        if let zeros {
            guard zeros.info.dtype == .i8 else { throw CheckpointError.misfit(name, zeros, "zero points are I8") }
            let grid = try ScaleLayout(zeros, of: name, shape: shape, block: block, format: .signed(bits: 8))
            guard grid.grid.groups == layout.grid.groups else {
                throw CheckpointError.misfit(
                    name, zeros, "as many are expected as there are scales, \(scales.info.shape)")
            }
            codec.zeros = grid.grid
            all.append(part("zero points", zeros, parameter, "zero_point", grid.extent))
        }
        return QuantisedTensor(
            name: name, shape: shape, parts: all, codec: codec, format: "torchao \(type) \(layout.description)")
    }

    /// Rows and columns that share a scale, as the numbers of both say.
    private func block(
        of shape: [Int], _ scales: SourceTensor, _ name: String
    ) throws -> (rows: Int, columns: Int)? {
        let grid = scales.info.shape.dimensions
        guard grid.count == 2, grid[1] > 1 else { return nil }
        guard grid[0] > 0, shape[0] % grid[0] == 0, shape[1] % grid[1] == 0 else {
            throw CheckpointError.misfit(name, scales, "a weight \(shape) cannot be in so many blocks of one size")
        }
        return (shape[0] / grid[0], shape[1] / grid[1])
    }

    /// Two signed codes to a byte: `q * scale + zero`, with scales and zeros of the transpose.
    private func nibbles(
        _ name: String, _ parameter: String, _ codes: SourceTensor, _ scales: SourceTensor, _ zeros: SourceTensor?
    ) throws -> QuantisedTensor {
        let (rows, columns) = (codes.info.shape.dimensions[0], 2 * codes.info.shape.dimensions[1])
        let grid = scales.info.shape.dimensions
        guard let zeros, zeros.info.shape == scales.info.shape, grid.count == 2, grid[1] == rows, grid[0] > 0,
            columns % grid[0] == 0, scales.info.dtype.isConvertible, zeros.info.dtype.isConvertible,
            codes.info.dtype == .i8 || codes.info.dtype == .u8
        else {
            throw CheckpointError.misfit(
                name, scales, "scales and zero points [groups, \(rows)] of a weight [\(rows), \(columns)] are expected")
        }
        func transposed(_ tensor: SourceTensor) -> ScaleGrid {
            ScaleGrid(tensor: tensor, storage: .columns, rowsPerCopy: rows, blockRows: 1, groups: grid[0])
        }
        var codec = GroupCodec(
            name: name, codes: codes, reader: CodeReader(.signed(bits: 4), .stream), layout: .rows, rows: rows,
            columns: columns, scales: transposed(scales), group: columns / grid[0])
        codec.biases = transposed(zeros)
        return QuantisedTensor(
            name: name, shape: [rows, columns],
            parts: [
                part("codes", codes, parameter, "qdata", .whole), part("scales", scales, parameter, "scale", .whole),
                part("zero points", zeros, parameter, "zero_point", .whole),
            ], codec: codec, format: "torchao Int4Tensor in groups of \(codec.group)")
    }
}
