import Foundation
import Safetensors
import TestSupport
import Testing

/// Quantised checkpoints from the command line.
@Suite struct QuantisedCommandTests {
    private let folder: TemporaryFolder
    private let tokens: String

    init() throws {
        folder = try TemporaryFolder()
        // Ids of a vocabulary of 96.
        var ids: [UInt8] = []
        for place in 0..<512 { ids += [UInt8((place * 37 + place / 7) % 96), 0] }
        tokens = "x=" + (try folder.write("tokens.bin", ids)) + ":uint16"
    }

    private func object(_ arguments: [String]) throws -> JSONObject {
        let result = try Tool.run(list: arguments + ["--json"], in: folder.path)
        #expect(result.code == 0, "\(arguments): \(result.errors)")
        return try #require(JSON(parsing: Array(result.output.utf8), file: "output").object)
    }

    /// In place the weights are decoded block by block as BF16, which is what is written of them.
    @Test(
        "A model evaluated as it is stored has the loss of its decoded form, to the last digit",
        arguments: ["fp8-qwen3-moe-ue8m0-bytes", "fp8-llama-ue8m0", "mxfp4-gpt-oss", "gptq-4bit-desc-act-qwen3-moe"])
    func evaluated(_ name: String) throws {
        let model = Fixtures.file("quantised/" + name)
        let written = try object(["convert", model, "--dequantise", "-o", "plain"])
        #expect(written["quantised_weights"]?.string?.contains("are written as BF16") == true)
        let stored = try object(["evaluate", model, "--data", tokens, "--length", "32"])
        let plain = try object(["evaluate", folder.path + "/plain", "--data", tokens, "--length", "32"])
        let losses = [stored, plain].map { $0["models"]?.array?.first?.object?["mean"]?.object?["loss"] }
        #expect(losses[0]?.double?.isFinite == true && losses[0] == losses[1])
    }

    @Test("What becomes of quantised weights is told, and what stays quantised is as it is asked for")
    func kept() throws {
        let upcycle = ["upcycle", Fixtures.file("quantised/fp8-llama-ue8m0"), "--experts", "2", "--top-k", "1"]
        let plain = try object(upcycle + ["-o", "plain"])
        let kept = try object(upcycle + ["-o", "kept", "--keep-quantised"])
        #expect(plain["quantised_weights"]?.string?.contains("are written as BF16") == true)
        // Four of attention, three of each expert.
        #expect(kept["quantised_weights"]?.string?.hasPrefix("10 weights stay quantised") == true)
        #expect(try #require(kept["bytes"]?.int) < #require(plain["bytes"]?.int))
    }

    @Test("What is asked for and cannot be is said")
    func refused() throws {
        let model = Fixtures.file("quantised/fp8-llama-ue8m0")
        let output = ["-o", "out"]
        for (arguments, text) in [
            (["convert", Fixtures.model("llama"), "--dequantise"] + output, "nothing to decode"),
            (["convert", model, "--dequantise", "--keep-quantised"] + output, "give one of them"),
            (["convert", model, "--quantise", "int8", "--dequantise"] + output, "leave out --dequantise"),
            (["upcycle", model, "--experts", "2", "--dtype", "F16", "--keep-quantised"] + output, "give one of them"),
        ] {
            let result = try Tool.run(list: arguments, in: folder.path)
            #expect(result.code == 2 && result.errors.contains(text), "\(arguments): \(result.errors)")
        }
        #expect(folder.names == ["tokens.bin"])
    }

    @Test("What is inspected says the formats and what is not quantised")
    func inspected() throws {
        let found = try object(["inspect", Fixtures.file("quantised/fp8-llama-ue8m0")])
        let quantised = try #require(found["quantisation"]?.object)
        #expect(quantised["method"]?.string == "fp8")
        let format = try #require(quantised["formats"]?.array?.first?.object)
        // Three matrices of 256 x 128 of two blocks each, two of 32 x 128 and two of 16 x 128 of one: a byte for each code and
        // each scale.
        #expect(format["weights"]?.int == 7 && format["elements"]?.int == 110_592 && format["bytes"]?.int == 110_602)
        #expect(quantised["not_quantised"]?.array?.isEmpty == false)
    }
}
