import Checkpoints
import Foundation
import Safetensors
import TestSupport
import Testing

/// The same weights in other forms of a format have the same values; forms that are not read are named.
@Suite("Forms of quantised checkpoints")
struct QuantisedFormsTests {
    private typealias Stored = (dtype: DType, shape: [Int], bytes: [UInt8])

    /// A copy of a fixture of one file with other tensors.
    private func variant(
        of name: String, in folder: TemporaryFolder, _ change: (inout [String: Stored]) throws -> Void
    ) throws -> String {
        let path = try folder.copy(Fixtures.file("quantised/" + name), as: "in")
        let file = try SafetensorsFile(path: path + "/model.safetensors")
        var tensors: [String: Stored] = [:]
        for info in file.header.tensors {
            tensors[info.name] = (info.dtype, info.shape.dimensions, try file.bytes(info.name))
        }
        try change(&tensors)
        var result = TensorFile()
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            try result.add(name, tensor.dtype, tensor.shape, tensor.bytes)
        }
        try result.write(to: path + "/model.safetensors")
        return path
    }

    /// The values are those of the fixture itself, which `QuantisedTests` holds to the reference library's.
    private func expectSame(_ path: String, _ name: String, in folder: TemporaryFolder) async throws {
        let a = try Checkpoint(at: path)
        let b = try Checkpoint(at: Fixtures.file("quantised/" + name))
        #expect(a.isQuantised && Set(a.table.keys) == Set(b.table.keys))
        var compared = 0
        for (role, tensor) in b.table {
            #expect(try Difference.between(tensor, try #require(a.table[role])).isIdentical, "\(role)")
            compared += 1
        }
        #expect(compared > 10)
        // A copy of it has the tensors that it has.
        try await a.write(to: folder.path + "/copy")
        let (before, after) = (try ShardedTensors(opening: path), try ShardedTensors(opening: folder.path + "/copy"))
        #expect(Set(before.names) == Set(after.names))
        for name in before.names {
            let (x, y) = (try #require(before.lookup(name)), try #require(after.lookup(name)))
            #expect(try x.file.bytes(name) == y.file.bytes(name), "\(name)")
        }
    }

    @Test("Experts in stacks have their scales in stacks")
    func fused() async throws {
        let name = "fp8-qwen3-moe-ue8m0-bytes"
        let folder = try TemporaryFolder()
        let path = try variant(of: name, in: folder) { tensors in
            for layer in 0..<2 {
                let prefix = "model.layers.\(layer).mlp.experts."
                for (ours, parts) in [("gate_up_proj", ["gate_proj", "up_proj"]), ("down_proj", ["down_proj"])] {
                    for (ending, suffix) in [(".weight", ""), (".weight_scale_inv", "_scale_inv")] {
                        var (bytes, shape, dtype) = ([UInt8](), [Int](), DType.u8)
                        for expert in 0..<3 {
                            for part in parts {
                                let taken = tensors.removeValue(forKey: prefix + "\(expert)." + part + ending)
                                let tensor = try #require(taken)
                                bytes += tensor.bytes
                                (shape, dtype) = (tensor.shape, tensor.dtype)
                            }
                        }
                        tensors[prefix + ours + suffix] = (dtype, [3, parts.count * shape[0], shape[1]], bytes)
                    }
                }
            }
        }
        try await expectSame(path, name, in: folder)
    }

    @Test("Mistral's names of scales")
    func mistral() async throws {
        let name = "fp8-ministral3-per-tensor"
        let folder = try TemporaryFolder()
        let path = try variant(of: name, in: folder) { tensors in
            for (old, tensor) in tensors {
                let new = old.replacing(".weight_scale_inv", with: ".qscale_weight").replacing(
                    ".activation_scale", with: ".qscale_act")
                tensors[old] = nil
                tensors[new] = tensor
            }
        }
        #expect(try ShardedTensors(opening: path).names.contains { $0.hasSuffix(".qscale_weight") })
        try await expectSame(path, name, in: folder)
    }

    @Test("DeepSeek-V4's experts of four bits are named")
    func fp4Experts() throws {
        let folder = try TemporaryFolder()
        let path = try variant(of: "fp8-qwen3-moe-ue8m0-bytes", in: folder) { tensors in
            for (name, tensor) in tensors where name.contains(".experts.") && name.hasSuffix(".weight") {
                tensors[name] = (
                    .i8, [tensor.shape[0], tensor.shape[1] / 2], Array(tensor.bytes.prefix(tensor.bytes.count / 2))
                )
            }
        }
        let error = try #require(throws: CheckpointError.self) { try Checkpoint(at: path) }
        #expect(error.code == .incompatible && error.description.contains("DeepSeek-V4"), "\(error)")
        #expect(error.description.contains("experts.0"), "\(error)")
    }

    @Test(
        "Methods that are not read are named, with what to do",
        arguments: [
            (#"{"quant_method": "quark"}"#, "quark"), (#"{"quant_method": "hqq"}"#, "hqq"),
            (#"{"quant_method": "fbgemm_fp8"}"#, "fbgemm_fp8"), (#"{"quant_method": "aqlm"}"#, "aqlm"),
            (#"{"quant_method": "mxfp6"}"#, "mxfp6"), (#"{"quant_method": 4}"#, "4"), (#"{"bits": 4}"#, "quant_method"),
            (#"{"quant_method": "awq", "bits": 4, "version": "gemv"}"#, "gemv"),
            (#"{"quant_method": "awq", "bits": 4, "version": "gemv_fast"}"#, "gemv_fast"), (#""fp8""#, "object"),
        ])
    func methods(_ settings: String, _ named: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.copy(Fixtures.file("quantised/awq-llama"), as: "in")
        let file = path + "/config.json"
        var object = try #require(JSON(parsing: contents(file), file: file).object)
        object["quantization_config"] = try JSON(parsing: Array(settings.utf8), file: "settings")
        try folder.write("in/config.json", Array(JSON.object(object).serialized().utf8))
        let error = try #require(throws: CheckpointError.self) { try Checkpoint(at: path) }
        #expect(error.code == .incompatible || error.code == .malformed, "\(error)")
        #expect(error.description.contains(named), "\(error)")
    }
}
