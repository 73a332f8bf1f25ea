import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("moe-tool compare and the checks of what is written")
struct CompareTests {
    private let folder: TemporaryFolder
    private let dense: String

    init() throws {
        folder = try TemporaryFolder()
        dense = try folder.copy(Fixtures.model("mistral"), as: "dense")
    }

    private func upcycled(_ arguments: String...) throws -> Tool.Result {
        try Tool.run(list: ["upcycle", "--experts", "2", dense, "-o", folder.path + "/moe"] + arguments)
    }

    private func document(_ result: Tool.Result) throws -> JSONObject {
        try #require(try JSON(parsing: Array(result.output.utf8), file: "output").object)
    }

    @Test("A dense model and a mixture of another function differ")
    func function() throws {
        #expect(try upcycled().code == 0)
        #expect(try Tool.run("compare", dense, folder.path + "/moe", "--exact").code == 0)
        let changed = try folder.copy(
            folder.path + "/moe", as: "changed",
            setting: ["rope_theta": 5e5, "rope_parameters": nil, "rms_norm_eps": 0.1])
        let exact = try Tool.run("compare", dense, changed, "--exact")
        #expect(exact.code == 6)
        #expect(exact.output.contains("norm epsilon: 1e-06 and 0.1"))
        #expect(try Tool.run("compare", dense, changed, "--tolerance", "1e9").code == 6)
        let json = try document(Tool.run("compare", dense, changed, "--json"))
        #expect(json["same_function"]?.bool == false)
        #expect(json["configuration"]?.array?.compactMap { $0.object?["name"]?.string } == ["rope", "norm epsilon"])
    }

    @Test("Two models of the same tensors differ by what their configurations say")
    func names() throws {
        let other = try folder.copy(dense, as: "other", setting: ["sliding_window": 3, "use_cache": false])
        #expect(try Tool.run("compare", dense, other, "--exact").code == 6)
        let json = try document(Tool.run("compare", dense, other, "--json"))
        #expect(json["identical"]?.bool == false && json["different"]?.array?.isEmpty == true)
        let same = try folder.copy(dense, as: "same", setting: ["use_cache": false, "rope_theta": 10000])
        #expect(try Tool.run("compare", dense, same, "--exact").code == 0)
    }

    @Test(
        "The verdict names the dtype that weights are rounded to, and --verify can fail",
        arguments: ["F8_E4M3", "BF16"])
    func rounding(_ dtype: String) throws {
        let written = try upcycled("--dtype", dtype, "--verify", "--json")
        #expect(written.code == 0, "\(written.errors)")
        #expect(try document(written)["function"]?.object?["preserved"]?.string == "rounded")
        let strict = try upcycled("--dtype", dtype, "--verify", "--tolerance", "0", "--force")
        #expect(strict.code == 6)
        let plain = try upcycled("--dtype", dtype, "--dry-run", "--force")
        #expect(plain.output.contains("weights rounded to \(dtype)"))
        #expect(!plain.output.contains("exactly the dense function"))
    }

    @Test("A prune that leaves no model is refused before the text is read")
    func prune() throws {
        let result = try Tool.run(
            "prune", Fixtures.model("deepseek-v3"), "--experts", "2", "--top-k", "1", "--data", "nowhere=/nowhere",
            "-o", folder.path + "/out")
        #expect(result.code == 4, "\(result.errors)")
        #expect(result.errors.contains("two best"))
        #expect(!folder.names.contains("out"))
    }

    @Test("Fused experts are called fused", arguments: ["granitemoe", "gpt-oss"])
    func layout(_ name: String) throws {
        let json = try document(Tool.run("inspect", Fixtures.model(name), "--json"))
        #expect(json["experts"]?.object?["layout"]?.string == "fused")
        let refused = try Tool.run(
            "convert", Fixtures.model(name), "--layout", "per-expert", "-o", folder.path + "/out")
        #expect(refused.code == 2 && refused.errors.contains("has fused"))
    }
}
