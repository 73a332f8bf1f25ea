import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing

/// Quantised checkpoints that contradict themselves: an error that names the weight, never a trap.
@Suite("Damaged quantised checkpoints")
struct QuantisedDamageTests {
    /// A copy of a fixture of one file with tensors changed; nil takes one away.
    private func variant(
        of name: String, in folder: TemporaryFolder,
        _ change: (String, TensorInfo, [UInt8]) -> (DType, [Int], [UInt8])?
    ) throws -> String {
        let path = try folder.copy(Fixtures.file("quantised/" + name), as: "in")
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        var result = TensorFile()
        for (key, value) in file.header.metadata { result.metadata[key] = value }
        for info in file.header.tensors {
            guard let (dtype, shape, bytes) = change(info.name, info, try file.bytes(info.name)) else { continue }
            try result.add(info.name, dtype, shape, bytes)
        }
        try result.write(to: path + "/model.safetensors")
        return path
    }

    private func error(_ path: String, in folder: TemporaryFolder) async -> CheckpointError? {
        do {
            try await Checkpoint(at: path).converted(to: .f32).write(to: folder.path + "/out")
            return nil
        } catch { return error as? CheckpointError }
    }

    /// Fixture, the end of a tensor's name, what is done to it, and what the message says.
    static let damages: [(String, String, String, String)] = [
        ("fp8-minimax-m2-ragged", "q_proj.weight_scale_inv", "remove", "has no scales"),
        ("fp8-minimax-m2-ragged", "q_proj.weight_scale_inv", "shape", "blocks of 128 x 128"),
        ("fp8-minimax-m2-ragged", "q_proj.weight_scale_inv", "nan", "NaN or infinite"),
        ("fp8-llama-ue8m0", "q_proj.weight_scale_inv", "ones", "NaN or infinite"),
        ("ct-int4-g-idx-llama", "q_proj.weight_g_idx", "large", "groups must be from 0"),
        ("ct-int4-g-idx-llama", "q_proj.weight_g_idx", "negative", "groups must be from 0"),
        ("ct-int4-asymmetric-llama", "q_proj.weight_zero_point", "shape", "packed along the rows"),
        ("ct-int4-asymmetric-llama", "q_proj.weight_shape", "large", "it says"),
        ("ct-int4-asymmetric-llama", "q_proj.weight_scale", "remove", "there is no"),
        ("ct-nvfp4-qwen3-moe", "q_proj.weight_global_scale", "zero", "NaN or infinite"),
        ("gptq-4bit-desc-act-qwen3-moe", "q_proj.g_idx", "large", "groups must be from 0"),
        ("gptq-3bit-llama", "q_proj.qzeros", "shape", "zero points of"),
        ("awq-llama", "q_proj.scales", "shape", "bits of a weight"),
        ("bnb-fp4-llama", "q_proj.weight.absmax", "shape", "scales"),
        ("bnb-fp4-llama", "q_proj.weight.quant_state.bitsandbytes__fp4", "text", "blocksize"),
        ("bnb-int8-llama", "q_proj.SCB", "shape", "one for each row"),
        ("mlx-4bit-qwen3-moe", "q_proj.biases", "remove", "belongs beside it"),
        ("mlx-4bit-qwen3-moe", "q_proj.scales", "shape", "groups of"),
        ("torchao-int8-llama", "q_proj._weight_scale", "remove", "in no file"),
    ]

    @Test("Parts that do not fit are refused by name", arguments: damages.indices)
    func damaged(_ number: Int) async throws {
        let (name, tensor, damage, expected) = Self.damages[number]
        let folder = try TemporaryFolder()
        let path = try variant(of: name, in: folder) { name, info, bytes in
            guard name.hasSuffix(tensor) else { return (info.dtype, info.shape.dimensions, bytes) }
            switch damage {
            case "remove": return nil
            case "shape":
                return (info.dtype, [2, info.shape.elementCount] + info.shape.dimensions.dropFirst(9), bytes + bytes)
            case "nan": return (info.dtype, info.shape.dimensions, bytes.map { _ in 0xFF })
            case "ones": return (info.dtype, info.shape.dimensions, bytes.map { _ in 255 })
            case "zero": return (info.dtype, info.shape.dimensions, bytes.map { _ in 0 })
            case "text":
                return (info.dtype, info.shape.dimensions, Array("{}".utf8) + bytes.dropFirst(2).map { _ in 0x20 })
            case "large": return (info.dtype, info.shape.dimensions, [0xFF, 0xFF, 0xFF, 0x7F] + bytes.dropFirst(4))
            default: return (info.dtype, info.shape.dimensions, [0xFE, 0xFF, 0xFF, 0xFF] + bytes.dropFirst(4))
            }
        }
        let found = try #require(await error(path, in: folder), "\(name) \(damage)")
        #expect(found.code == .incompatible || found.code == .malformed)
        #expect(found.description.contains(expected), "\(found)")
        #expect(found.description.contains("q_proj"), "\(found)")
    }

    @Test(
        "Settings that mean nothing are refused",
        arguments: [
            ("fp8-llama-ue8m0", "weight_block_size", "[0, 128]"), ("fp8-llama-ue8m0", "weight_block_size", "\"128\""),
            ("fp8-llama-ue8m0", "quant_method", "\"hqq\""), ("awq-llama", "version", "\"gemv\""),
            ("gptq-4bit-v2-llama", "checkpoint_format", "\"marlin\""), ("mlx-4bit-qwen3-moe", "group_size", "0"),
            ("mlx-4bit-qwen3-moe", "bits", "7"), ("ct-mxfp4-llama", "format", "\"mxfp6-pack-quantized\""),
            ("ct-int3-llama", "config_groups", "{\"a\": {\"weights\": {\"num_bits\": 0}}}"),
        ])
    func settings(_ name: String, _ key: String, _ value: String) async throws {
        let folder = try TemporaryFolder()
        let path = try folder.copy(Fixtures.file("quantised/" + name), as: "in")
        let file = path + "/config.json"
        var object = try #require(JSON(parsing: contents(file), file: file).object)
        for place in ["quantization_config", "quantization"] {
            guard var inner = object[place]?.object else { continue }
            inner[key] = try JSON(parsing: Array(value.utf8), file: "value")
            object[place] = .object(inner)
        }
        try folder.write("in/config.json", Array(JSON.object(object).serialized().utf8))
        let found = try #require(await error(path, in: folder))
        #expect(found.code == .incompatible || found.code == .malformed, "\(found)")
    }

    @Test("Random changes end in an error or in a result, never in a trap", arguments: QuantisedTests.names)
    func mutations(_ name: String) async throws {
        var generator = SeededGenerator(seed: UInt64(name.utf8.reduce(7) { $0 &* 31 &+ Int($1) }.magnitude))
        let source = Fixtures.file("quantised/" + name)
        let weights = try FileManager.default.contentsOfDirectory(atPath: source).filter {
            $0.hasSuffix(".safetensors")
        }
        for round in 0..<6 {
            let folder = try TemporaryFolder()
            let path = try folder.copy(source, as: "in")
            if round % 2 == 0 {
                try folder.write("in/config.json", mutated(contents(path + "/config.json"), using: &generator))
            } else {
                // Numbers of the header, which keep its length.
                let file = try #require(weights.sorted().first)
                var bytes = try contents(path + "/" + file)
                let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
                let digits = (8..<8 + length).filter { (0x30...0x39).contains(bytes[$0]) }
                for _ in 0..<3 {
                    let place = try #require(digits.randomElement(using: &generator))
                    bytes[place] = UInt8.random(in: 0x30...0x39, using: &generator)
                }
                for _ in 0..<20 where bytes.count > length + 9 {
                    bytes[Int.random(in: length + 8..<bytes.count, using: &generator)] = .random(
                        in: 0...255, using: &generator)
                }
                try folder.write("in/" + file, bytes)
            }
            do {
                try await Checkpoint(at: path).converted(to: .f32).write(to: folder.path + "/out")
            } catch let error as CheckpointError {
                #expect(error.code == .incompatible || error.code == .malformed, "\(error)")
            } catch let error as SafetensorsError {
                #expect(error.code != .io, "\(error)")
            }
        }
    }
}
