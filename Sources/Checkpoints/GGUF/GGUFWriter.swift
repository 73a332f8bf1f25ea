import Numerics
import Safetensors

/// What a GGUF file's weights are stored as.
public enum GGUFType: String, Sendable, CaseIterable {
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case q80 = "Q8_0"

    /// Its number as a tensor's type.
    var number: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q80: 8
        case .bf16: 30
        }
    }

    /// The number of a file that is mostly of it.
    fileprivate var fileNumber: UInt32 {
        switch self {
        case .f32: 0
        case .f16: 1
        case .q80: 7
        case .bf16: 32
        }
    }

    /// Bytes of so many elements, whole blocks of them.
    package func byteCount(_ elements: Int) -> Int {
        switch self {
        case .f32: elements * 4
        case .f16, .bf16: elements * 2
        case .q80: elements / 32 * 34
        }
    }

    fileprivate var dtype: DType {
        switch self {
        case .f32, .q80: .f32
        case .f16: .f16
        case .bf16: .bf16
        }
    }
}

extension Checkpoint {
    /// Writes the checkpoint as one GGUF file, which appears whole or not at all.
    ///
    /// - Parameters:
    ///   - type: of the matrices; vectors and routers are in F32, and rows that blocks do not fill in F16.
    ///   - preTokenizer: llama.cpp's name of the pre-tokenizer; nil for that which does the same.
    /// - Throws: `CheckpointError` where llama.cpp has no architecture for it, or would compute something else.
    @discardableResult
    public func writeGGUF(
        to output: String, type: GGUFType, preTokenizer: String? = nil, options: WriteOptions = WriteOptions()
    ) throws -> WriteReport {
        let target = try OutputPath(output)
        try target.checkReplacing(.gguf, overwrite: options.overwrite)
        let plan = try GGUFPlan(self, type, preTokenizer)
        let file = try GrowingFile(target.path)
        var failure: (any Error)?
        do {
            try file.fill { growing throws(SafetensorsError) in
                do { try plan.write(to: growing, options) } catch let error as SafetensorsError { throw error } catch {
                    failure = error
                    throw SafetensorsError(.io, file: output, message: "\(error)")
                }
            }
        } catch { throw failure ?? error }
        try target.checkReplacing(.gguf, overwrite: options.overwrite)
        try file.put()
        return WriteReport(
            output: target.path, bytes: plan.byteCount, resumedBytes: 0, files: [target.name], warnings: [])
    }

    /// What a GGUF file of the checkpoint would hold.
    package func ggufPlan(type: GGUFType, preTokenizer: String? = nil) throws -> GGUFPlan {
        try GGUFPlan(self, type, preTokenizer)
    }
}

extension OutputKind {
    /// A GGUF file, known by how it begins.
    package static let gguf = OutputKind.file("a GGUF file") { path in
        let file = try PosixFile.open(path)
        guard try file.size() >= 4, try file.bytes(at: 0, count: 4) == Array("GGUF".utf8) else {
            throw CheckpointError(.malformed, file: path, message: "it does not begin as a GGUF file does")
        }
    }
}

/// A GGUF file before it is written.
package struct GGUFPlan {
    package let metadata: GGUFMetadata
    /// Each tensor, what it is stored as, and where its data begin behind the header.
    package let tensors: [(tensor: GGUFTensor, type: GGUFType, offset: Int)]
    /// What comes before the data.
    package let header: [UInt8]
    package let byteCount: Int

    private static let alignment = 32

    private let source: String

    init(_ checkpoint: Checkpoint, _ type: GGUFType, _ preTokenizer: String?) throws {
        source = checkpoint.description.config.file
        let described = try GGUFDescription(checkpoint.description)
        let table = try GGUFTable(checkpoint, described.rules, described.configuration)
        var metadata = GGUFMetadata()
        metadata["general.architecture"] = .string(described.rules.architecture)
        metadata["general.type"] = .string("model")
        metadata["general.name"] = .string(checkpoint.name)
        metadata["general.quantization_version"] = .uint32(2)
        metadata["general.file_type"] = .uint32(type.fileNumber)
        metadata["general.alignment"] = .uint32(UInt32(Self.alignment))
        for (key, value) in described.metadata.entries { metadata[key] = value }
        let tokenizer = try GGUFTokenizer(
            checkpoint.companions, checkpoint.description.config, rows: described.configuration.vocabulary,
            pre: preTokenizer)
        for (key, value) in tokenizer.metadata.entries { metadata[key] = value }
        metadata["moe-tool.version"] = .string(ToolVersion.current)
        metadata["moe-tool.steps"] = .strings(
            checkpoint.recording(["command": "convert", "gguf": .string(type.rawValue)]).history.map {
                JSON.object($0).line
            })
        var offset = 0
        var tensors: [(tensor: GGUFTensor, type: GGUFType, offset: Int)] = []
        for tensor in table.tensors {
            guard tensor.name.utf8.count < 64, tensor.tensor.dtype.isFloatingPoint else {
                throw CheckpointError(
                    .incompatible, tensor: tensor.name,
                    message: "a GGUF file has names of 63 bytes at most, and floating-point numbers")
            }
            try tensor.tensor.checkComputable(as: tensor.name)
            let type = Self.type(of: tensor, type)
            tensors.append((tensor, type, offset))
            let size = type.byteCount(tensor.dimensions.reduce(1, *))
            offset += (size + Self.alignment - 1) / Self.alignment * Self.alignment
        }
        self.metadata = metadata
        self.tensors = tensors
        header = metadata.header(
            tensors.map { ($0.tensor.name, $0.tensor.dimensions, $0.type.number, $0.offset) }, alignment: Self.alignment
        )
        byteCount = header.count + offset
    }

    /// llama.cpp's rule: vectors, norms, biases and routers stay in F32, and F16 takes rows that blocks do not fill.
    private static func type(of tensor: GGUFTensor, _ type: GGUFType) -> GGUFType {
        if tensor.dimensions.count < 2 || !tensor.name.hasSuffix(".weight") || tensor.name.hasSuffix("_norm.weight")
            || tensor.name.contains(".ffn_gate_inp")
        {
            return .f32
        }
        return type == .q80 && (tensor.dimensions.last ?? 0) % 32 != 0 ? .f16 : type
    }

    func write(to file: PosixFile, _ options: WriteOptions) throws {
        try file.writeExactly(header, at: 0)
        try file.truncate(byteCount)
        for (tensor, type, offset) in tensors {
            var at = header.count + offset
            let matrix = tensor.tensor.written(as: type.dtype)
            let step = max(1, Evaluator.elementsPerBlock / max(1, matrix.columns))
            for start in stride(from: 0, to: matrix.rows, by: step) {
                if options.isCancelled() { throw CheckpointError(.cancelled, message: "interrupted") }
                let rows = start..<min(start + step, matrix.rows)
                let evaluator = Evaluator(loaded: LoadedSources())
                try evaluator.withBytes(of: matrix, rows: rows) { bytes, overflowed in
                    if overflowed > 0, !options.allowOverflow {
                        throw CheckpointError.overflow(tensor: tensor.name, dtype: matrix.dtype, count: overflowed)
                    }
                    let count = nonfinite(bytes, matrix.dtype)
                    if count > 0, type == .q80 || !options.allowNonfinite {
                        throw CheckpointError(
                            .incompatible, file: source, tensor: tensor.name,
                            message: "\(count) values are NaN or infinite: repair the source"
                                + (type == .q80 ? ", no block can hold them" : ", or write them with `allowNonfinite`"))
                    }
                    if type == .q80 {
                        let blocks = try eightBitBlocks(bytes)
                        try file.writeExactly(blocks, at: at)
                        at += blocks.count
                    } else {
                        try file.writeExactly(from: bytes, at: at)
                        at += bytes.count
                    }
                }
                options.progress?(WriteProgress(done: at, total: byteCount, stage: .writing))
            }
        }
    }

    /// How many values are NaN or infinite: those whose exponent has every bit set.
    private func nonfinite(_ bytes: UnsafeRawBufferPointer, _ dtype: DType) -> Int {
        func count<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, _ exponent: T) -> Int {
            stride(from: 0, to: bytes.count - bytes.count % MemoryLayout<T>.size, by: MemoryLayout<T>.size).reduce(
                into: 0
            ) {
                $0 &+= bytes.loadUnaligned(fromByteOffset: $1, as: type) & exponent == exponent ? 1 : 0
            }
        }
        return switch dtype {
        case .f16: count(UInt16.self, 0x7C00)
        case .bf16: count(UInt16.self, 0x7F80)
        default: count(UInt32.self, 0x7F80_0000)
        }
    }

    /// ggml's Q8_0: of 32 values the largest magnitude by 127, in F16, and the nearest multiples, halves away from 0.
    private func eightBitBlocks(_ bytes: UnsafeRawBufferPointer) throws -> [UInt8] {
        let count = bytes.count / 128
        var result = [UInt8](repeating: 0, count: count * 34)
        var scales = [Float](repeating: 0, count: count)
        for block in 0..<count {
            var largest: Float = 0
            for i in 0..<32 {
                largest = max(largest, abs(bytes.loadUnaligned(fromByteOffset: block * 128 + i * 4, as: Float.self)))
            }
            let scale = largest / 127
            let inverse = scale == 0 ? 0 : 1 / scale
            scales[block] = scale
            for i in 0..<32 {
                let value = bytes.loadUnaligned(fromByteOffset: block * 128 + i * 4, as: Float.self) * inverse
                let rounded = value.rounded(.toNearestOrAwayFromZero)
                result[block * 34 + 2 + i] = UInt8(bitPattern: Int8(max(-127, min(127, rounded))))
            }
        }
        var halves = [UInt8](repeating: 0, count: count * 2)
        _ = try scales.withUnsafeBufferPointer { scales in
            try halves.withUnsafeMutableBytes { try narrow(scales, to: .f16, into: $0) }
        }
        for block in 0..<count {
            result[block * 34] = halves[block * 2]
            result[block * 34 + 1] = halves[block * 2 + 1]
        }
        return result
    }
}
