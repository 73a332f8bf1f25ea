import Quantisation
import Safetensors

/// FP8 E4M3 with scales beside each weight: `quant_method: fp8`.
struct FP8Weights {
    let quantisation: Quantisation

    /// Finds the weights by their scales: what the configuration lists as not quantised need not be so.
    func find(in parts: inout QuantisedParts) throws {
        let block = try blockSize
        for tensor in parts.all {
            let name = tensor.info.name
            guard let (scales, suffix, replaced) = scales(of: name, parts) else {
                guard tensor.info.dtype == .f8E4M3, name.hasSuffix("weight"),
                    quantisation.settings["quant_method"] != nil
                else { continue }
                throw CheckpointError(
                    .incompatible, file: tensor.file.path, tensor: name,
                    message: "it is F8_E4M3 and has no scales: \(escaped(name))_scale_inv is in no file")
            }
            let weight = try codes(tensor, scales)
            let layout = try ScaleLayout(scales, of: name, shape: weight.shape, block: block)
            let codec = GroupCodec(
                name: name, codes: tensor, reader: CodeReader(weight.format, .stream), layout: .rows, rows: weight.rows,
                columns: weight.columns, scales: layout.grid, group: layout.group)
            parts.add(
                QuantisedTensor(
                    name: name, shape: weight.shape,
                    parts: [
                        QuantisedPart("codes", tensor, suffix: "", extent: .rows(block: 1)),
                        QuantisedPart(
                            "scales", scales, suffix: suffix, replacing: replaced, extent: layout.extent),
                    ] + inputScales(of: name, parts),
                    codec: codec, format: "\(weight.format) \(layout.description)"))
        }
    }

    /// Rows and columns of a block; nil where each weight has one scale.
    private var blockSize: (rows: Int, columns: Int)? {
        get throws {
            guard let value = quantisation.settings["weight_block_size"], !value.isNull else { return nil }
            guard let sizes = value.array?.map(\.int), sizes.count == 2, let rows = sizes[0], let columns = sizes[1],
                (1...1 << 30).contains(rows), (1...1 << 30).contains(columns)
            else {
                throw CheckpointError(
                    .malformed, file: quantisation.file,
                    message: "weight_block_size must be two positive numbers, found \(escaped(value.serialized()))")
            }
            return (rows, columns)
        }
    }

    /// The scales of a weight, under the names that transformers, its older versions and Mistral have for them.
    private func scales(
        of name: String, _ parts: QuantisedParts
    ) -> (tensor: SourceTensor, suffix: String, replaced: String)? {
        for suffix in ["_scale_inv", "_scale"] {
            if let scales = parts[name + suffix] { return (scales, suffix, "") }
        }
        guard name.hasSuffix(".weight"), let scales = parts[name.dropLast(6) + "qscale_weight"] else { return nil }
        return (scales, "qscale_weight", "weight")
    }

    private func codes(
        _ tensor: SourceTensor, _ scales: SourceTensor
    ) throws -> (shape: [Int], rows: Int, columns: Int, format: ElementFormat) {
        let shape = tensor.info.shape.dimensions
        guard tensor.info.dtype == .f8E4M3 || tensor.info.dtype == .f8E5M2 else {
            let isFP4 = [.i8, .u8, .f4].contains(tensor.info.dtype)
            throw CheckpointError(
                .incompatible, file: tensor.file.path, tensor: tensor.info.name,
                message: "it is \(tensor.info.dtype.rawValue) with scales \(escaped(scales.info.name)), and F8_E4M3 is "
                    + "expected"
                    + (isFP4 ? ": FP4 weights of the FP8 format, as DeepSeek-V4's experts are, are not read" : ""))
        }
        guard shape.count == 2 || shape.count == 3, let columns = shape.last else {
            throw CheckpointError.misfit(
                tensor.info.name, tensor,
                "a matrix, or a stack of them, is expected beside \(escaped(scales.info.name))")
        }
        return (
            shape, shape.dropLast().reduce(1, *), columns, tensor.info.dtype == .f8E4M3 ? .e4m3 : .e5m2
        )
    }

    /// The scales of what the weight is multiplied with, where they are fixed.
    private func inputScales(of name: String, _ parts: QuantisedParts) -> [QuantisedPart] {
        let replaced = name.hasSuffix(".weight") ? "weight" : ""
        let base = name.dropLast(replaced.count)
        let suffixes =
            replaced.isEmpty
            ? ["_activation_scale", "_input_scale"] : ["activation_scale", "input_scale", "qscale_act"]
        return suffixes.compactMap { suffix in
            parts[base + suffix].map {
                QuantisedPart("input scale", $0, suffix: suffix, replacing: replaced, extent: nil)
            }
        }
    }
}
