import Quantisation
import Safetensors

/// NVIDIA ModelOpt's NVFP4 and FP8: `quant_method: modelopt`, or only `hf_quant_config.json`.
struct ModelOptWeights {
    let quantisation: Quantisation

    func find(in parts: inout QuantisedParts) throws {
        for tensor in parts.all {
            let name = tensor.info.name
            guard name.hasSuffix(".weight") else { continue }
            guard let scales = parts[name + "_scale"] else {
                guard tensor.info.dtype != .f8E4M3, tensor.info.dtype != .u8 else {
                    throw CheckpointError.misfit(name, tensor, "there is no \(escaped(name))_scale")
                }
                continue
            }
            let base = String(name.dropLast("weight".count))
            if let factors = parts[base + "pre_quant_scale"] {
                throw CheckpointError.misfit(
                    name, factors, "weights with factors for their inputs (AWQ within ModelOpt) are not read")
            }
            let stored = tensor.info.shape.dimensions
            var reader = CodeReader(.e4m3, .stream)
            var shape = stored
            var block: (rows: Int, columns: Int)?
            switch tensor.info.dtype {
            case .f8E4M3: block = blockSize(stored, scales)
            case .u8:
                reader = CodeReader(.e2m1UnsignedZero, .stream)
                shape = stored.dropLast() + [2 * (stored.last ?? 0)]
                block = (1, try groupSize)
            default:
                throw CheckpointError.misfit(
                    name, tensor, "beside \(escaped(scales.info.name)), F8_E4M3 or U8 is expected")
            }
            var layout = try ScaleLayout(scales, of: name, shape: shape, block: block)
            var all = [
                QuantisedPart("codes", tensor, suffix: "", extent: .rows(block: 1)),
                QuantisedPart("scales", scales, suffix: "_scale", extent: layout.extent),
            ]
            if let global = parts[name + "_scale_2"] {
                try layout.multiply(by: global, of: name)
                all.append(QuantisedPart("global scale", global, suffix: "_scale_2", extent: .whole))
            } else if tensor.info.dtype == .u8, scales.info.dtype == .f8E4M3 {
                throw CheckpointError.misfit(name, tensor, "there is no \(escaped(name))_scale_2")
            }
            if let input = parts[base + "input_scale"] {
                all.append(
                    QuantisedPart("input scale", input, suffix: "input_scale", replacing: "weight", extent: nil))
            }
            let codec = GroupCodec(
                name: name, codes: tensor, reader: reader, layout: .rows, rows: shape.dropLast().reduce(1, *),
                columns: shape.last ?? 0, scales: layout.grid, group: layout.group)
            parts.add(
                QuantisedTensor(
                    name: name, shape: shape, parts: all, codec: codec,
                    format: "\(reader.format) \(layout.description)"))
        }
    }

    /// Columns that share a scale of four bits: what any group of the settings says, else NVFP4's 16.
    private var groupSize: Int {
        get throws {
            let groups = quantisation.settings["config_groups"]?.object
            let stated =
                quantisation.settings["group_size"]
                ?? groups?.keys.lazy.compactMap { groups?[$0]?.object?["weights"]?.object?["group_size"] }.first
            guard let stated, !stated.isNull else { return 16 }
            guard let size = stated.int, (1...1 << 30).contains(size) else {
                throw CheckpointError(
                    .malformed, file: quantisation.file, message: "group_size is \(escaped(stated.serialized()))")
            }
            return size
        }
    }

    /// FP8 in blocks of 128 x 128, where the scales are as many.
    private func blockSize(_ shape: [Int], _ scales: SourceTensor) -> (rows: Int, columns: Int)? {
        guard shape.count == 2, scales.info.shape.elementCount > 1 else { return nil }
        let grid = shape.map { ($0 + 127) / 128 }
        return scales.info.shape.dimensions.filter { $0 != 1 } == grid.filter { $0 != 1 }
            && scales.info.shape.elementCount != shape[0] ? (128, 128) : nil
    }
}
