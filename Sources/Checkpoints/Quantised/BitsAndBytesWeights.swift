import Numerics
import Quantisation
import Safetensors

/// bitsandbytes' nf4, fp4 and int8: `quant_method: bitsandbytes`.
struct BitsAndBytesWeights {
    /// What bitsandbytes multiplies codes of eight bits with: 1/127 in F32.
    private static let perCode: Float = 7.874015718698502e-3

    func find(in parts: inout QuantisedParts) throws {
        let states = [".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4"]
        for tensor in parts.all {
            let name = tensor.info.name
            let base = name.hasSuffix("weight") ? String(name.dropLast("weight".count)) : name + "."
            if let suffix = states.first(where: { parts[name + $0] != nil }), let state = parts[name + suffix] {
                try add(tensor, state, suffix, &parts)
            } else if tensor.info.dtype == .i8, let scales = parts[base + "SCB"] {
                try add(tensor, scales, base: base, &parts)
            } else if tensor.info.dtype == .i8, name.hasSuffix("weight") {
                throw CheckpointError.misfit(name, tensor, "there is no \(escaped(base))SCB")
            } else if name.hasSuffix(".absmax"), parts[String(name.dropLast(7)) + states[0]] == nil,
                parts[String(name.dropLast(7)) + states[1]] == nil
            {
                throw CheckpointError.misfit(
                    String(name.dropLast(7)), tensor, "there is no quant_state beside it, which says what it belongs to"
                )
            }
        }
    }

    /// A byte for each code, a scale for each row.
    private func add(_ tensor: SourceTensor, _ scales: SourceTensor, base: String, _ parts: inout QuantisedParts) throws
    {
        let shape = tensor.info.shape.dimensions
        let layout = try ScaleLayout(scales, of: tensor.info.name, shape: shape, block: nil)
        var codec = GroupCodec(
            name: tensor.info.name, codes: tensor, reader: CodeReader(.signed(bits: 8), .stream), layout: .rows,
            rows: shape.dropLast().reduce(1, *), columns: shape.last ?? 0, scales: layout.grid, group: layout.group)
        codec.constant = Self.perCode
        let replaced = tensor.info.name.hasSuffix("weight") ? "weight" : ""
        var all = [
            QuantisedPart("codes", tensor, suffix: "", extent: .rows(block: 1)),
            QuantisedPart("scales", scales, suffix: "SCB", replacing: replaced, extent: layout.extent),
        ]
        for suffix in ["weight_format", "CB"] {
            guard let tensor = parts[base + suffix] else { continue }
            all.append(QuantisedPart("format", tensor, suffix: suffix, replacing: replaced, extent: nil))
        }
        parts.add(
            QuantisedTensor(
                name: tensor.info.name, shape: shape, parts: all, codec: codec,
                format: "bitsandbytes int8 with a scale for each row"))
    }

    /// Two codes to a byte, a scale for each block of the matrix as one row.
    private func add(_ tensor: SourceTensor, _ state: SourceTensor, _ suffix: String, _ parts: inout QuantisedParts)
        throws
    {
        let name = tensor.info.name
        let object = try JSON(parsing: state.smallPart(of: name), file: state.file.path).object
        let shape = (object?["shape"]?.array ?? []).compactMap(\.int)
        guard let object, let block = object["blocksize"]?.int, (1...1 << 30).contains(block), shape.count >= 2,
            shape.count == object["shape"]?.array?.count, let count = try? Shape(shape).elementCount, count > 0
        else {
            throw CheckpointError.misfit(
                name, state, "a JSON text with blocksize and the shape of a matrix is expected")
        }
        guard let scales = parts[name + ".absmax"], let map = parts[name + ".quant_map"] else {
            throw CheckpointError.misfit(name, state, "absmax and quant_map belong beside it, and are not there")
        }
        let bytes = tensor.info.end - tensor.info.begin
        guard bytes == (count + 1) / 2, scales.info.shape.elementCount == (count + block - 1) / block else {
            throw CheckpointError.misfit(
                name, tensor,
                "a weight \(shape) takes \((count + 1) / 2) bytes and \((count + block - 1) / block) scales, and "
                    + "\(escaped(scales.info.name)) has \(scales.info.shape.elementCount)")
        }
        var values = try map.values(of: name)
        guard values.count == 16 else { throw CheckpointError.misfit(name, map, "16 values are expected") }
        let type = suffix.hasSuffix("nf4") ? "nf4" : "fp4"
        // The fourth bit of fp4 is a sign to bitsandbytes' kernels, which its table does not say of zero.
        if type == "fp4", values[8] == 0 { values[8] = -0.0 }
        var nested: FlatCodec.Nested?
        var all = [
            QuantisedPart("codes", tensor, suffix: "", extent: .whole),
            QuantisedPart("scales", scales, suffix: ".absmax", extent: .whole),
            QuantisedPart("values of codes", map, suffix: ".quant_map", extent: .whole),
            QuantisedPart("state", state, suffix: suffix, extent: .whole),
        ]
        if scales.info.dtype == .u8 {
            guard let factors = parts[name + ".nested_absmax"], let table = parts[name + ".nested_quant_map"],
                let size = object["nested_blocksize"]?.int, (1...1 << 30).contains(size),
                let offset = object["nested_offset"]?.double, factors.info.dtype.isConvertible,
                factors.info.shape.elementCount == (scales.info.shape.elementCount + size - 1) / size
            else {
                throw CheckpointError.misfit(
                    name, scales, "scales that are codes need nested_absmax, nested_quant_map and nested_blocksize")
            }
            let numbers = try table.values(of: name)
            guard numbers.count == 256 else { throw CheckpointError.misfit(name, table, "256 values are expected") }
            nested = FlatCodec.Nested(
                factors: factors, format: ElementFormat("codes of scales", bits: 8, values: numbers), block: size,
                offset: Float(offset))
            all += [
                QuantisedPart("scales of scales", factors, suffix: ".nested_absmax", extent: .whole),
                QuantisedPart("values of scales", table, suffix: ".nested_quant_map", extent: .whole),
            ]
        } else if !scales.info.dtype.isConvertible {
            throw CheckpointError.misfit(name, scales, "scales are F32, or codes in U8")
        }
        let codec = FlatCodec(
            codes: tensor, reader: CodeReader(ElementFormat(type, bits: 4, values: values), .highFirst), count: count,
            columns: shape.last ?? 1, scales: scales, block: block, nested: nested)
        parts.add(
            QuantisedTensor(
                name: name, shape: shape, parts: all, codec: codec,
                format:
                    "bitsandbytes \(type) in groups of \(block)\(nested == nil ? "" : ", its scales quantised again")"))
    }
}

/// Codes of a matrix as one long row, with a scale for each block of it, whichever rows that lies in.
struct FlatCodec: MatrixCodec {
    /// Scales that are codes themselves.
    struct Nested {
        let factors: SourceTensor
        let format: ElementFormat
        let block: Int
        let offset: Float
    }

    let codes: SourceTensor
    let reader: CodeReader
    /// Elements of the matrix.
    let count: Int
    let columns: Int
    let scales: SourceTensor
    let block: Int
    let nested: Nested?

    var isScattered: Bool { false }

    private func bytes(_ elements: Range<Int>) -> Range<Int> { elements.lowerBound / 2..<(elements.upperBound + 1) / 2 }

    func codeElements(rows: Range<Int>) -> Range<Int> {
        let bytes = bytes(rows.lowerBound * columns..<rows.upperBound * columns)
        return bytes.lowerBound / codes.elementSize..<(bytes.upperBound + codes.elementSize - 1) / codes.elementSize
    }

    func needed(rows: Range<Int>) -> [(tensor: SourceTensor, elements: Range<Int>)] {
        let blocks = rows.lowerBound * columns / block..<(rows.upperBound * columns + block - 1) / block
        return [(codes, codeElements(rows: rows)), (scales, blocks)]
    }

    func decode(_ rows: StridedRows, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>) throws {
        if rows.step == 1 { return try decode(rows.cover, parts, into: out) }
        for index in 0..<rows.count {
            try decode(
                rows[index]..<rows[index] + 1, parts,
                into: UnsafeMutableBufferPointer(rebasing: out[index * columns..<(index + 1) * columns]))
        }
    }

    private func decode(_ rows: Range<Int>, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>) throws {
        let elements = rows.lowerBound * columns..<rows.upperBound * columns
        guard !elements.isEmpty else { return }
        let own = codeElements(rows: rows)
        let first = elements.lowerBound - own.lowerBound * codes.elementSize * 2
        try parts.withElements(of: codes, .contiguous(rows: 1, columns: own.count, offset: own.lowerBound)) {
            reader.read($0, from: first, into: out)
        }
        let blocks = elements.lowerBound / block..<(elements.upperBound - 1) / block + 1
        try withScratch(of: Float.self, count: blocks.count) { factors in
            try readScales(blocks, parts, into: factors)
            GroupScaling(scales: UnsafeBufferPointer(factors)).apply(
                to: out, from: elements.lowerBound - blocks.lowerBound * block, size: block)
        }
    }

    private func readScales(
        _ blocks: Range<Int>, _ parts: PartReader, into out: UnsafeMutableBufferPointer<Float>
    ) throws {
        let view = MatrixView.contiguous(rows: 1, columns: blocks.count, offset: blocks.lowerBound)
        guard let nested else {
            return try parts.withElements(of: scales, view) { try widen($0, scales.info.dtype, into: out) }
        }
        try parts.withElements(of: scales, view) { CodeReader(nested.format, .stream).read($0, from: 0, into: out) }
        let outer = blocks.lowerBound / nested.block..<(blocks.upperBound - 1) / nested.block + 1
        try withScratch(of: Float.self, count: outer.count) { factors in
            try parts.withElements(
                of: nested.factors, .contiguous(rows: 1, columns: outer.count, offset: outer.lowerBound)
            ) { try widen($0, nested.factors.info.dtype, into: factors) }
            GroupScaling(scales: UnsafeBufferPointer(factors)).apply(
                to: out, from: blocks.lowerBound - outer.lowerBound * nested.block, size: nested.block)
        }
        for index in out.indices { out[index] += nested.offset }
    }
}
