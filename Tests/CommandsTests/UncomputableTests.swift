import Foundation
import Safetensors
import TestSupport
import Testing

/// Tensors of a dtype without values (integers, booleans, complex numbers, scales) in the place of weights: arithmetic on
/// them is refused, naming them, and copying them is not.
@Suite struct UncomputableTests {
    private let folder: TemporaryFolder
    private static let gate = "model.layers.1.mlp.gate_proj.weight"
    private static let query = "model.layers.1.self_attn.q_proj.weight"
    private static let types: [DType] = [.i32, .i16, .i64, .u8, .bool, .u32, .c64, .f8E8M0]

    init() throws { folder = try TemporaryFolder() }

    private func refuse(
        _ arguments: [String], _ tensor: String, _ dtype: DType, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let before = folder.names
        let result = try Tool.run(list: arguments, in: folder.path)
        #expect(result.code == 4, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
        #expect(result.errors.contains(dtype.rawValue), "\(result.errors)", sourceLocation: sourceLocation)
        #expect(result.errors.contains(tensor), "\(result.errors)", sourceLocation: sourceLocation)
        #expect(result.output.isEmpty, sourceLocation: sourceLocation)
        #expect(folder.names == before, "nothing is written", sourceLocation: sourceLocation)
    }

    @Test(arguments: types)
    func denseWeights(_ dtype: DType) throws {
        let dense = try folder.retyped(Seed.path, as: "dense", Self.gate, dtype)
        let text = try folder.write(
            "text.txt", Array(String(repeating: "Some words to read. ", count: 400).utf8))
        for options in [["--init", "noise:0.01"], ["--init", "drop:0.5"]] {
            try refuse(["upcycle", "-e", "2", dense, "-o", "out"] + options, Self.gate, dtype)
            try refuse(["upcycle", "-e", "2", dense, "-o", "out", "--dry-run"] + options, Self.gate, dtype)
        }
        try refuse(["evaluate", dense, "--data", text], Self.gate, dtype)
        try refuse(["evaluate", dense, "--data", text, "--memory", "128MiB"], Self.gate, dtype)
        try refuse(["generate", dense, "--prompt", "a"], Self.gate, dtype)
        try refuse(
            ["finetune", dense, "--train", "all", "--data", text, "--steps", "1", "-o", "out"], Self.gate, dtype)
        try refuse(["compare", dense, Seed.path, "--data", text], Self.gate, dtype)
        try refuse(["compare", dense, Seed.path, "--tolerance", "1e9"], Self.gate, dtype)
        try refuse(["merge", "--dense", dense, Seed.path, "-o", "out"], Self.gate, dtype)
    }

    @Test(arguments: types)
    func downProjections(_ dtype: DType) throws {
        let name = "model.layers.1.mlp.down_proj.weight"
        let dense = try folder.retyped(Seed.path, as: "dense", name, dtype)
        try refuse(["upcycle", "-e", "2", "--granularity", "2", dense, "-o", "out"], name, dtype)
        try refuse(["upcycle", "-e", "2", "--scale", "3", dense, "-o", "out"], name, dtype)
    }

    @Test(arguments: types)
    func averages(_ dtype: DType) throws {
        let one = try folder.retyped(Seed.path, as: "one", Self.query, dtype)
        for method in ["linear", "ties", "slerp"] {
            try refuse(
                ["merge", one, Seed.path, "--base", Seed.path, "--average", method, "--dtype", "BF16", "-o", "out"],
                Self.query, dtype)
        }
    }

    @Test(arguments: types)
    func experts(_ dtype: DType) throws {
        let made = try Tool.run("upcycle", "-e", "2", Seed.path, "-o", folder.path + "/plain")
        #expect(made.code == 0, "\(made.errors)")
        let name = "model.layers.0.block_sparse_moe.experts.1.w1.weight"
        let moe = try folder.retyped(folder.path + "/plain", as: "moe", name, dtype)
        let text = try folder.write(
            "text.txt", Array(String(repeating: "Some words to read. ", count: 400).utf8))
        for method in [["average"], ["average", "--align", "permutation"], ["svd"], ["top-neurons"]] {
            try refuse(["densify", moe, "-o", "out", "--method"] + method, name, dtype)
        }
        try refuse(["prune", moe, "-e", "1", "-k", "1", "--data", text, "-o", "out"], name, dtype)
        try refuse(["evaluate", moe, "--data", text, "--stats", "s.safetensors"], name, dtype)
        try refuse(["distill", "--teacher", moe, "--student", Seed.path, "--data", text, "-o", "out"], name, dtype)
    }

    @Test("What is only copied is the same bytes, whatever they are", arguments: types)
    func copies(_ dtype: DType) throws {
        let dense = try folder.retyped(Seed.path, as: "dense", Self.gate, dtype)
        let bytes = try SafetensorsFile(path: dense + "/model.safetensors").bytes(Self.gate)
        let made = try Tool.run("upcycle", "-e", "2", dense, "-o", folder.path + "/moe")
        #expect(made.code == 0, "\(made.errors)")
        let moe = try SafetensorsFile(path: folder.path + "/moe/model.safetensors")
        for expert in 0..<2 {
            let name = "model.layers.1.block_sparse_moe.experts.\(expert).w1.weight"
            #expect(moe.info(name)?.dtype == dtype)
            #expect(try moe.bytes(name) == bytes)
        }
        let back = try Tool.run("densify", folder.path + "/moe", "--method", "expert:1", "-o", folder.path + "/back")
        #expect(back.code == 0, "\(back.errors)")
        #expect(try SafetensorsFile(path: folder.path + "/back/model.safetensors").bytes(Self.gate) == bytes)
        let converted = try Tool.run("convert", "--dtype", "F32", dense, "-o", folder.path + "/f32")
        if dtype == .f8E8M0 {
            #expect(converted.code == 4, "it is a floating-point type, of scales, that does not convert")
        } else {
            #expect(converted.code == 0, "\(converted.errors)")
            #expect(try SafetensorsFile(path: folder.path + "/f32/model.safetensors").bytes(Self.gate) == bytes)
        }
        #expect(try Tool.run("compare", dense, dense, "--tolerance", "0").code == 0)
    }
}
