import Foundation
import Safetensors
import TestSupport
import Testing

/// generate, compare --data and --verify, as a user runs them.
@Suite("Commands that run models")
struct RunningModelsTests {
    private let folder: TemporaryFolder
    /// 1300 tokens, and a tokenizer of as many.
    private let model: String

    init() throws {
        folder = try TemporaryFolder()
        model = try folder.copy(Fixtures.file("tasks"), as: "m")
        let tokenizer = try contents(Fixtures.file("tokenizers/gpt2-style/tokenizer.json"))
        try folder.write("m/tokenizer.json", tokenizer)
    }

    private func object(_ text: String) throws -> JSONObject {
        try #require(try JSON(parsing: Array(text.utf8), file: "output").object)
    }

    @Test("generate gives the same text for the same seed, as text and as JSON")
    func generate() throws {
        let arguments = ["generate", model, "--prompt", "Hello world", "--max-tokens", "12", "--seed", "3"]
        let text = try Tool.run(list: arguments)
        #expect(text.code == 0, "\(text.errors)")
        let json = try object(Tool.run(list: arguments + ["--json"]).output)
        #expect((json["text"]?.string ?? "") + "\n" == text.output)
        #expect(json["tokens"]?.array?.count == 12)
        #expect(json["finish"]?.string == "length")
        #expect(json["prompt_tokens"]?.array?.count == 5)
        let other = try object(
            Tool.run(list: [
                "generate", model, "--prompt", "Hello world", "--seed", "4", "--bos", "--json", "--max-tokens", "2",
            ])
            .output)
        #expect(other["prompt_tokens"]?.array?.first?.int == 1)
        let bytes = try object(
            Tool.run(list: ["generate", model, "--prompt", "é", "--tokenizer", "bytes", "--json", "--max-tokens", "2"])
                .output)
        #expect(bytes["prompt_tokens"]?.array?.compactMap(\.int) == [0xC3, 0xA9])
    }

    @Test(
        "generate says what is wrong",
        arguments: [
            (["--prompt", ""], 2, "nothing to continue"),
            (["--prompt", "a", "--temperature", "-1"], 2, "--temperature"),
            (["--prompt", "a", "--top-p", "0"], 2, "--top-p"),
            (["--prompt", "a", "--top-k-tokens", "0"], 2, "--top-k-tokens"),
            (["--prompt", "a", "--max-tokens", "0"], 2, "--max-tokens"), ([], 2, "--prompt"),
        ] as [([String], Int32, String)])
    func refusals(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let result = try Tool.run(list: ["generate", model] + arguments)
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(text), "\(result.errors)")
    }

    @Test("compare --data says how far outputs are apart, and exits 6 beyond the tolerance")
    func compare() throws {
        let text = try folder.write("law.txt", Array(String(repeating: "Hello world, this is text. ", count: 60).utf8))
        let upcycled = folder.path + "/moe"
        let made = try Tool.run("upcycle", "--experts", "4", model, "-o", upcycled, "--verify", "--json")
        #expect(made.code == 0, "\(made.errors)")
        let verification = try #require(try object(made.output)["verification"]?.object)
        #expect(verification["tokens"]?.int == 256)
        #expect(verification["top_token_agreement"]?.double == 1)
        let data = ["--data", text, "--length", "32"]
        let same = try Tool.run(list: ["compare", model, upcycled, "--tolerance", "1e-3", "--json"] + data)
        #expect(same.code == 0, "\(same.errors)")
        let found = try object(same.output)
        #expect((found["maximum_difference"]?.double ?? 1) < 1e-3)
        #expect(found["domains"]?.object?["law"]?.object?["kl"]?.double != nil)
        #expect(try Tool.run(list: ["compare", model, model, "--exact"] + data).code == 0)
        let noisy = folder.path + "/noisy"
        let noise = try Tool.run(
            "upcycle", "--experts", "4", "--init", "noise:0.5", model, "-o", noisy, "--verify")
        #expect(noise.code == 0, "its function is not meant to be the same")
        #expect(noise.output.contains("Verified: on 256 tokens"))
        let different = try Tool.run(list: ["compare", model, noisy, "--tolerance", "1e-3"] + data)
        #expect(different.code == 6)
        #expect(different.output.contains("law"))
        let other = try Tool.run(list: ["compare", model, Fixtures.model("llama")] + data)
        #expect(other.code == 4)
        #expect(other.errors.contains("a vocabulary of 1300"))
    }

    @Test("convert --verify accepts rounding, and exits 6 with nothing written where the user accepts none")
    func verify() throws {
        let out = folder.path + "/half"
        let strict = try Tool.run(
            "convert", Fixtures.model("mistral"), "--dtype", "BF16", "-o", out, "--verify", "--tolerance", "0")
        #expect(strict.code == 6)
        #expect(strict.errors.contains("nothing was written"))
        #expect(folder.names == ["m"])
        let result = try Tool.run("convert", Fixtures.model("mistral"), "--dtype", "BF16", "-o", out, "--verify")
        #expect(result.code == 0, "\(result.errors)")
        #expect(result.output.contains("Verified: on 256 tokens"))
        let exact = try Tool.run(
            "convert", model, "--dtype", "F32", "-o", folder.path + "/f32", "--verify", "--tolerance", "0")
        #expect(exact.code == 0, "\(exact.errors)")
    }
}

/// evaluate --tasks, against what Tests/Fixtures/tasks/make.py has of the harness' arithmetic.
@Suite("Questions over the command line")
struct TaskCommandTests {
    @Test("evaluate --tasks counts as the harness does")
    func tasks() throws {
        let folder = try TemporaryFolder()
        let model = try folder.copy(Fixtures.file("tasks"), as: "m")
        try folder.write("m/tokenizer.json", contents(Fixtures.file("tokenizers/gpt2-style/tokenizer.json")))
        let file = Fixtures.file("tasks/questions.jsonl")
        let result = try Tool.run("evaluate", model, "--tasks", "quiz=\(file)", "--json", "-q")
        #expect(result.code == 0, "\(result.errors)")
        let found = try JSON(parsing: Array(result.output.utf8), file: "output").object?["models"]?.array?.first?.object
        let quiz = try #require(found?["tasks"]?.object?["quiz"]?.object)
        #expect(quiz["questions"]?.int == 11)
        #expect(quiz["acc"]?.double == 4.0 / 11)
        #expect(quiz["acc_norm"]?.double == 4.0 / 11)
        #expect(found?["mean"] == nil)
        let text = try Tool.run("evaluate", model, "--tasks", file)
        #expect(text.output.contains("questions"))
        #expect(text.output.contains("0.3636"))
        #expect(try Tool.run("evaluate", model).code == 2)
        #expect(try Tool.run("evaluate", model, "--tasks", file, "--gating", "dense").code == 2)
        #expect(try Tool.run("evaluate", model, "--tasks", model + "/model.safetensors").code == 2)
    }
}
