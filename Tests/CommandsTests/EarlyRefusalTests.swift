import Foundation
import Safetensors
import TestSupport
import Testing

/// What cannot end well is refused before the long work begins, and not after it.
@Suite struct EarlyRefusalTests {
    private let folder: TemporaryFolder
    private let mixture: String
    private let long: String
    private let short: String

    init() throws {
        folder = try TemporaryFolder()
        mixture = try folder.copy(Fixtures.model("mixtral"), as: "mixture")
        // Ids of the vocabulary of 96.
        func ids(_ count: Int) -> [UInt8] { (0..<count).flatMap { [UInt8($0 * 37 % 96), 0] } }
        long = try folder.write("long.bin", ids(400)) + ":uint16"
        short = try folder.write("short.bin", ids(20)) + ":uint16"
    }

    /// What a refused command says; nothing may have been computed and nothing be left.
    private func refusal(_ arguments: [String], _ code: Int32) throws -> String {
        let before = folder.names
        let result = try Tool.run(list: arguments, in: folder.path)
        #expect(result.code == code, "\(arguments): \(result.errors)")
        for word in ["Training", "measuring", "step 1"] { #expect(!result.errors.contains(word), "\(result.errors)") }
        #expect(folder.names == before)
        return result.errors
    }

    @Test("A domain without a window, though the first has many")
    func shortDomain() throws {
        let data = ["--data", "a=" + long, "--data", "b=" + short]
        let message = "short.bin: the domain b has 20 tokens"
        #expect(try refusal(["prune", mixture, "--experts", "2", "-o", "out"] + data, 4).contains(message))
        #expect(try refusal(["densify", mixture, "--method", "usage", "-o", "out"] + data, 4).contains(message))
        let text = ["a=" + long, "b=" + short].joined(separator: ",")
        let other = Fixtures.model("mistral")
        let merged = try refusal(
            ["merge", other, other, "--router", "domain:" + text, "--domains-in-order", "-o", "out"], 4)
        #expect(merged.contains(message))
        let compared = try refusal(["compare", mixture, mixture, "--length", "64"] + data, 4)
        #expect(compared.contains(message))
    }

    @Test("An output in its own source")
    func overlap() throws {
        let data = ["--data", "a=" + long, "--length", "24"]
        let inside = ["-o", mixture + "/inside"]
        for arguments in [
            ["finetune", mixture, "--steps", "1"] + data + inside,
            ["prune", mixture, "--experts", "2", "--data", "a=" + long] + inside,
            ["densify", mixture, "--method", "usage", "--data", "a=" + long] + inside,
            ["distill", "--teacher", mixture, "--student", Fixtures.model("mistral")] + data + inside,
        ] {
            #expect(try refusal(arguments, 2).contains("lie inside it"))
            #expect(!FileManager.default.fileExists(atPath: mixture + "/inside"))
        }
    }

    @Test("Metrics of another run")
    func metrics() throws {
        try folder.write("out.metrics.jsonl", Array("{\"step\": 1, \"loss\": 2}\n".utf8))
        let message = try refusal(
            ["finetune", mixture, "--data", "a=" + long, "--length", "24", "--steps", "1", "-o", "out"], 2)
        #expect(message.contains("out.metrics.jsonl: it exists already"))
    }

    @Test("A result whose default name is taken")
    func defaultName() throws {
        try folder.write("mixture-2x", [0])
        let message = try refusal(["prune", mixture, "--experts", "2", "--data", "a=" + long], 2)
        #expect(message.contains("mixture-2x: it exists already"))
    }

    @Test(
        "A weight that is not finite is named however it is read",
        arguments: [["--align", "permutation"], ["--method", "svd"], ["--method", "top-neurons"], []])
    func nonfinite(_ method: [String]) throws {
        let path = mixture + "/model.safetensors"
        let name = "model.layers.0.block_sparse_moe.experts.3.w1.weight"
        let tensor = try #require(try SafetensorsFile(path: path).header.tensors.first { $0.name == name })
        #expect(tensor.dtype == .f32)
        var bytes = try contents(path)
        let header = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        // The last value of the matrix, little-endian.
        for (index, byte) in [0x00, 0x00, 0xC0, 0x7F].enumerated() {
            bytes[8 + header + tensor.end - 4 + index] = UInt8(byte)
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let message = try refusal(["densify", mixture, "-o", "out"] + method, 4)
        #expect(message.contains("tensor \(name): 1 values are NaN or infinite"), "\(message)")
        let kept = try Tool.run(
            list: ["densify", mixture, "-o", "out", "--align", "permutation", "--allow-nonfinite"], in: folder.path)
        #expect(kept.code == 0 && kept.errors.contains("\(name): 1 values are NaN"), "\(kept.errors)")
    }

    @Test("Why two folders are compared by names alone is said")
    func noModel() throws {
        let other = try folder.copy(
            Fixtures.model("mixtral"), as: "other", setting: ["tie_word_embeddings": true])
        let result = try Tool.run("compare", mixture, other)
        #expect(result.code == 0)
        #expect(result.errors.contains("other is no model, and is compared by its tensors' names: "))
    }
}
