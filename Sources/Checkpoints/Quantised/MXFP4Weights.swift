import Quantisation
import Safetensors

/// gpt-oss's experts: FP4 in groups of 32 with powers of two, stored as the transpose of what they are without.
struct MXFP4Weights {
    func find(in parts: inout QuantisedParts) throws {
        for tensor in parts.all where tensor.info.name.hasSuffix("_blocks") {
            let name = String(tensor.info.name.dropLast("_blocks".count))
            guard let scales = parts[name + "_scales"] else {
                throw CheckpointError.misfit(name, tensor, "there is no \(escaped(name))_scales")
            }
            let stored = tensor.info.shape.dimensions
            guard tensor.info.dtype == .u8, stored.count == 4, stored[3] == 16 else {
                throw CheckpointError.misfit(name, tensor, "U8 [experts, rows, groups, 16] is expected")
            }
            let (experts, rows, columns) = (stored[0], stored[1], 32 * stored[2])
            guard scales.info.dtype == .u8 || scales.info.dtype == .f8E8M0,
                scales.info.shape.dimensions == Array(stored.dropLast())
            else {
                throw CheckpointError.misfit(
                    name, scales, "U8 \(Array(stored.dropLast())) is expected beside \(escaped(tensor.info.name))")
            }
            let layout = try ScaleLayout(
                scales, of: name, shape: [experts, rows, columns], block: (rows: 1, columns: 32))
            let codec = GroupCodec(
                name: name, codes: tensor, reader: CodeReader(.e2m1, .stream), layout: .rows, rows: experts * rows,
                columns: columns, scales: layout.grid, group: 32)
            parts.add(
                QuantisedTensor(
                    name: name, shape: [experts, columns, rows], isTransposed: true,
                    parts: [
                        QuantisedPart("codes", tensor, suffix: "_blocks", extent: .rows(block: 1)),
                        QuantisedPart("scales", scales, suffix: "_scales", extent: .rows(block: 1)),
                    ], codec: codec, format: "MXFP4 in groups of 32"))
        }
    }
}
