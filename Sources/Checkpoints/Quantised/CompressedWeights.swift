import Numerics
import Quantisation
import Safetensors

/// The layouts of compressed-tensors, in which llm-compressor writes: `quant_method: compressed-tensors`.
///
/// What a weight is follows from its tensors; the groups of the configuration say what these leave open.
struct CompressedWeights {
    let quantisation: Quantisation
    private let schemes: [CompressedScheme]

    private static let formats: Set<String> = [
        "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "nvfp4-pack-quantized",
        "mxfp4-pack-quantized", "mxfp8-quantized", "mixed-precision", "dense",
    ]

    /// - Throws: `CheckpointError` for a format that is not read.
    init(_ quantisation: Quantisation) throws {
        self.quantisation = quantisation
        let settings = quantisation.settings
        schemes = try CompressedScheme.all(in: settings, quantisation.file)
        func refuse(_ what: String) -> CheckpointError {
            CheckpointError(
                .incompatible, file: quantisation.file,
                message: "the weights are in compressed-tensors' \(escaped(what)), which is not read: "
                    + "\(Self.formats.sorted().joined(separator: ", ")) are; decompress the checkpoint with "
                    + "compressed-tensors")
        }
        for format in [settings["format"]?.string] + schemes.map(\.format) {
            if let format, !Self.formats.contains(format) { throw refuse(format) }
        }
        if let format = settings["sparsity_config"]?.object?["format"]?.string, format != "dense" {
            throw refuse("sparsity format " + format)
        }
        if let transforms = settings["transform_config"]?.object?["config_groups"]?.object, !transforms.keys.isEmpty {
            throw refuse("transform_config (rotated weights)")
        }
    }

    func find(in parts: inout QuantisedParts) throws {
        for tensor in parts.all {
            let name = tensor.info.name
            if name.hasSuffix(".weight_packed") {
                try packed(tensor, base: String(name.dropLast("weight_packed".count)), &parts)
            } else if name.hasSuffix(".weight"), let scales = parts[name + "_scale"] {
                try whole(tensor, scales, base: String(name.dropLast("weight".count)), &parts)
            } else if name.hasSuffix(".weight"), [.f8E4M3, .f8E5M2, .i8].contains(tensor.info.dtype) {
                throw CheckpointError.misfit(name, tensor, "there is no \(escaped(name))_scale")
            }
        }
    }

    /// The first scheme whose targets name the module and that the tensors fit; else the first that they fit.
    private func scheme(of base: String, _ fits: (CompressedScheme) -> Bool) -> CompressedScheme? {
        let module = String(base.dropLast())
        let fitting = schemes.filter(fits)
        return fitting.first { $0.names(module) } ?? fitting.first
    }

    /// One code to an element: integers or FP8.
    private func whole(
        _ tensor: SourceTensor, _ scales: SourceTensor, base: String, _ parts: inout QuantisedParts
    ) throws {
        let format: ElementFormat
        switch tensor.info.dtype {
        case .f8E4M3: format = .e4m3
        case .f8E5M2: format = .e5m2
        case .i8: format = .signed(bits: 8)
        case let dtype where dtype.isConvertible:
            // The model was saved before it was compressed: the weight is there, and the scales are for later.
            parts.leaveOut(scales.info.name)
            return
        default:
            throw CheckpointError.misfit(
                base + "weight", tensor, "beside \(escaped(scales.info.name)), F8_E4M3 or I8 is expected")
        }
        let shape = tensor.info.shape.dimensions
        let isInteger = tensor.info.dtype == .i8
        let scheme = scheme(of: base) { $0.isInteger == isInteger && $0.fits(shape, scales) }
        try add(
            base, shape: shape, codes: ("codes", tensor, "weight"), CodeReader(format, .stream), scales, scheme, &parts)
    }

    /// Several codes to a word or a byte.
    private func packed(_ tensor: SourceTensor, base: String, _ parts: inout QuantisedParts) throws {
        let name = base + "weight"
        guard let scales = parts[base + "weight_scale"] else {
            throw CheckpointError.misfit(name, tensor, "there is no \(escaped(base))weight_scale")
        }
        let stored = tensor.info.shape.dimensions
        guard stored.count == 2 || stored.count == 3, let width = stored.last else {
            throw CheckpointError.misfit(name, tensor, "packed codes of a matrix, or of a stack of them, are expected")
        }
        switch tensor.info.dtype {
        case .u8:
            let shape = stored.dropLast() + [2 * width]
            let scheme = scheme(of: base) { !$0.isInteger && $0.fits(Array(shape), scales) }
            if let bits = scheme?.bits, bits != 4 {
                throw CheckpointError.misfit(name, tensor, "codes of \(bits) bits of floating point are not read")
            }
            try add(
                base, shape: Array(shape), codes: ("codes", tensor, "weight_packed"), CodeReader(.e2m1, .stream),
                scales,
                scheme, &parts)
        case .i32:
            let columns = try columns(of: base, stored, parts)
            let candidates = schemes.filter { $0.isInteger && $0.packing(columns: columns, width: width) != nil }
            guard
                let scheme = candidates.first(where: { $0.names(String(base.dropLast())) }) ?? candidates.first,
                let packing = scheme.packing(columns: columns, width: width)
            else {
                throw CheckpointError.misfit(
                    name, tensor,
                    "\(columns) codes to a row do not take \(width) words with the bits of any group of the configuration"
                )
            }
            try add(
                base, shape: stored.dropLast() + [columns], codes: ("codes", tensor, "weight_packed"),
                CodeReader(.offset(bits: scheme.bits), packing), scales, scheme, &parts)
        default: throw CheckpointError.misfit(name, tensor, "I32 or U8 is expected")
        }
    }

    /// Codes to a row: what `weight_shape` says, else what the words hold.
    private func columns(of base: String, _ stored: [Int], _ parts: QuantisedParts) throws -> Int {
        let width = stored.last ?? 0
        guard let shape = parts[base + "weight_shape"] else {
            guard let scheme = scheme(of: base, { $0.isInteger }) else { return width }
            return width * 32 / scheme.bits
        }
        let numbers = try shape.integers(of: base + "weight")
        guard numbers.count == stored.count, Array(numbers.dropLast()) == Array(stored.dropLast()),
            let columns = numbers.last, (0...1 << 40).contains(columns)
        else {
            throw CheckpointError.misfit(
                base + "weight", shape, "it says \(numbers), and the packed codes are \(stored)")
        }
        return columns
    }

    private func add(
        _ base: String, shape: [Int], codes: (label: String, tensor: SourceTensor, suffix: String),
        _ reader: CodeReader,
        _ scales: SourceTensor, _ scheme: CompressedScheme?, _ found: inout QuantisedParts
    ) throws {
        let name = base + "weight"
        var layout = try ScaleLayout(scales, of: name, shape: shape, block: scheme?.block(of: shape))
        var parts = [
            QuantisedPart(
                codes.label, codes.tensor, suffix: codes.suffix, replacing: "weight", extent: .rows(block: 1)),
            QuantisedPart("scales", scales, suffix: "weight_scale", replacing: "weight", extent: layout.extent),
        ]
        if found[base + "weight_global_scale"] == nil, scheme?.isGlobal == true {
            throw CheckpointError.misfit(name, codes.tensor, "there is no \(escaped(base))weight_global_scale")
        }
        if found[base + "weight_zero_point"] == nil, scheme?.isSymmetric == false {
            throw CheckpointError.misfit(
                name, codes.tensor,
                "there is no \(escaped(base))weight_zero_point, which belongs to what is not symmetric")
        }
        if let global = found[base + "weight_global_scale"] {
            try layout.divide(by: global, of: name)
            parts.append(
                QuantisedPart(
                    "global scale", global, suffix: "weight_global_scale", replacing: "weight", extent: .whole))
        }
        var codec = GroupCodec(
            name: name, codes: codes.tensor, reader: reader, layout: .rows, rows: shape.dropLast().reduce(1, *),
            columns: shape.last ?? 0, scales: layout.grid, group: layout.group)
        if let zeros = found[base + "weight_zero_point"] {
            let (grid, extent) = try zeroPoints(zeros, name, shape, layout, reader.format.bits, scheme)
            codec.zeros = grid
            parts.append(
                QuantisedPart("zero points", zeros, suffix: "weight_zero_point", replacing: "weight", extent: extent))
        }
        if let index = found[base + "weight_g_idx"] {
            guard index.info.dtype == .i32, index.info.shape.dimensions == [shape.last ?? 0] else {
                throw CheckpointError.misfit(
                    name, index, "I32 [\(shape.last ?? 0)] is expected: a group for each column")
            }
            codec.index = index
            parts.append(
                QuantisedPart(
                    "groups of columns", index, suffix: "weight_g_idx", replacing: "weight", extent: .whole))
        }
        for (label, suffix) in [
            ("shape", "weight_shape"), ("input scale", "input_scale"),
            ("input scale", "input_global_scale"), ("input scale", "input_zero_point"),
            ("input scale", "output_scale"),
        ] {
            guard let tensor = found[base + suffix] else { continue }
            parts.append(QuantisedPart(label, tensor, suffix: suffix, replacing: "weight", extent: nil))
        }
        let asymmetric = codec.zeros == nil ? "" : " with zero points"
        found.add(
            QuantisedTensor(
                name: name, shape: shape, parts: parts, codec: codec,
                format: "\(reader.format) \(layout.description)\(asymmetric)"))
    }

    private func zeroPoints(
        _ zeros: SourceTensor, _ name: String, _ shape: [Int], _ layout: ScaleLayout, _ bits: Int,
        _ scheme: CompressedScheme?
    ) throws -> (grid: ScaleGrid, extent: QuantisedPart.Extent) {
        guard zeros.info.dtype == .i32 else {
            guard zeros.info.dtype == .i8 else {
                throw CheckpointError.misfit(name, zeros, "zero points are I8, or packed into I32")
            }
            let own = try ScaleLayout(
                zeros, of: name, shape: shape, block: scheme?.block(of: shape), format: .signed(bits: 8))
            return (own.grid, own.extent)
        }
        let groups = layout.grid.groups
        guard shape.count == 2, case .rows(block: 1) = layout.extent,
            zeros.info.shape.dimensions == [(shape[0] * bits + 31) / 32, groups]
        else {
            throw CheckpointError.misfit(
                name, zeros,
                "zero points of \(shape) with \(groups) groups, packed along the rows, are I32 "
                    + "[\((shape[0] * bits + 31) / 32), \(groups)]")
        }
        let grid = ScaleGrid(
            tensor: zeros, storage: .packedRows(CodeReader(.offset(bits: bits), .stream)), rowsPerCopy: shape[0],
            blockRows: 1, groups: groups)
        // As many rows share a word as fit; where they go on from one word into the next, all belong together.
        return (grid, 32 % bits == 0 ? .rows(block: 32 / bits) : .whole)
    }
}

/// A group of `config_groups`: how the weights that it names are quantised.
struct CompressedScheme {
    let bits: Int
    let isInteger: Bool
    let format: String?
    let isSymmetric: Bool
    private let strategy: String
    private let groupSize: Int?
    private let blockSize: (rows: Int, columns: Int)?
    private let names: Set<String>
    private let patterns: [ModulePattern]

    static func all(in settings: JSONObject, _ file: String) throws -> [CompressedScheme] {
        guard let groups = settings["config_groups"]?.object else { return [] }
        return try groups.keys.compactMap { key in
            guard let group = groups[key]?.object, let weights = group["weights"]?.object else { return nil }
            return try CompressedScheme(group, weights, named: key, file)
        }
    }

    private init(_ group: JSONObject, _ weights: JSONObject, named key: String, _ file: String) throws {
        func malformed(_ what: String, _ value: JSON?) -> CheckpointError {
            CheckpointError(
                .malformed, file: file,
                message: "config_groups.\(escaped(key)).weights.\(what) is \(escaped(value?.serialized() ?? "absent"))")
        }
        guard let bits = weights["num_bits"]?.int, (1...8).contains(bits) else {
            throw malformed("num_bits", weights["num_bits"])
        }
        self.bits = bits
        isInteger = weights["type"]?.string != "float"
        format = group["format"]?.string
        isSymmetric = weights["symmetric"]?.bool ?? true
        let size = weights["group_size"]?.int
        if let size, size != -1, !(1...1 << 30).contains(size) { throw malformed("group_size", weights["group_size"]) }
        groupSize = size == -1 ? nil : size
        strategy = weights["strategy"]?.string ?? (groupSize == nil ? "tensor" : "group")
        let block = weights["block_structure"]?.array?.compactMap(\.int)
        if let block, block.count != 2 || !block.allSatisfy({ (1...1 << 30).contains($0) }) {
            throw malformed("block_structure", weights["block_structure"])
        }
        blockSize = block.map { ($0[0], $0[1]) }
        let targets = (group["targets"]?.array ?? []).compactMap(\.string)
        names = Set(targets)
        // What is not understood names nothing: the tensors decide then.
        patterns = targets.filter { $0.hasPrefix("re:") }.compactMap {
            try? ModulePattern(matching: String($0.dropFirst(3)))
        }
    }

    /// Whether the group's targets name a module by its name.
    func names(_ module: String) -> Bool { names.contains(module) || patterns.contains { $0.matches(module) } }

    /// Whether scales are relative to one of the whole weight.
    var isGlobal: Bool { strategy == "tensor_group" }

    /// Rows and columns that share a scale; nil for a row, or all.
    func block(of shape: [Int]) -> (rows: Int, columns: Int)? {
        switch strategy {
        case "group", "tensor_group": groupSize.map { (1, $0) }
        case "block": blockSize
        default: nil
        }
    }

    /// Whether the scales of a weight have the shape that the group gives them.
    func fits(_ shape: [Int], _ scales: SourceTensor) -> Bool {
        guard let block = block(of: shape), shape.count >= 2 else { return strategy != "group" && strategy != "block" }
        let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
        let grid = [(rows + block.rows - 1) / block.rows, (columns + block.columns - 1) / block.columns]
        return Array(scales.info.shape.dimensions.suffix(2)) == grid
    }

    /// How so many codes lie in so many words; nil where they do not.
    func packing(columns: Int, width: Int) -> CodePacking? {
        if (columns * bits + 31) / 32 == width { return .stream }
        return CodePacking.words.byteCount(of: columns, bits: bits) / 4 == width ? .words : nil
    }
}
