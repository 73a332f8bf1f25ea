import Foundation
import Safetensors
import TestSupport
import Testing

/// `--memory` is the peak memory of the process for every command that runs a model: less than it can do with is refused
/// before anything is read, naming the least.
@Suite struct MemoryTests {
    private let folder: TemporaryFolder
    private let text: String
    private let mixture: String

    init() throws {
        folder = try TemporaryFolder()
        let words = String(repeating: "Some words to read, and a few more of them. ", count: 400)
        text = try folder.write("text.txt", Array(words.utf8))
        mixture = Fixtures.model("mixtral")
    }

    private func refused(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let before = folder.names
        let result = try Tool.run(list: arguments, in: folder.path)
        #expect(result.code == 2, "\(arguments): \(result.errors)", sourceLocation: sourceLocation)
        #expect(result.errors.contains("MiB at least"), "\(result.errors)", sourceLocation: sourceLocation)
        #expect(folder.names == before, "nothing is written", sourceLocation: sourceLocation)
    }

    @Test func hugeRequestsAreRefusedBeforeTheWork() throws {
        try refused(["evaluate", Seed.path, "--data", text, "--batch-tokens", "16000000", "--memory", "200MiB"])
        try refused(["evaluate", Seed.path, "--data", text, "--length", "1000000", "--memory", "200MiB"])
        try refused(["generate", Seed.path, "--prompt", "a", "--max-tokens", "16000000", "--memory", "1GiB"])
        try refused(["compare", Seed.path, Seed.path, "--data", text, "--length", "8000000", "--tokens", "8000000"])
        try refused([
            "finetune", Seed.path, "--train", "all", "--data", text, "--length", "1000000", "--batch-tokens",
            "1000000", "--memory", "200MiB", "-o", "out",
        ])
        try refused([
            "train", "--preset", "small", "--tokenizer", "bytes", "--data", text, "--memory", "200MiB", "-o", "out",
        ])
    }

    @Test func whatFitsIsDone() throws {
        let result = try Tool.run(
            list: ["evaluate", Seed.path, "--data", text, "--memory", "128MiB", "--json"], in: folder.path)
        #expect(result.code == 0, "\(result.errors)")
    }

    @Test(
        "With the memory that a refusal names the command does what it was refused",
        arguments: [
            ["evaluate", "MIXTURE", "--data", "TEXT", "--memory", "48MiB"],
            ["generate", "MIXTURE", "--prompt", "a", "--max-tokens", "2", "--memory", "48MiB"],
            ["compare", Seed.path, Seed.path, "--data", "TEXT", "--tokens", "256", "--memory", "48MiB"],
            // What writes takes 96 MiB in any case.
            ["finetune", "MIXTURE", "--data", "TEXT", "--steps", "1", "-o", "out", "--memory", "96MiB"],
            [
                "finetune", "MIXTURE", "--train", "all", "--data", "TEXT", "--steps", "1", "-o", "out", "--memory",
                "96MiB",
            ],
            [
                "distill", "--student", Seed.path, "--teacher", "MIXTURE", "--data", "TEXT", "--steps", "1", "-o",
                "out",
                "--memory", "96MiB",
            ],
        ])
    func whatARefusalNamesIsEnough(_ command: [String]) throws {
        let made = try Tool.run(
            list: ["upcycle", Seed.path, "--experts", "2", "--top-k", "1", "-o", "mixture"], in: folder.path)
        #expect(made.code == 0, "\(made.errors)")
        let arguments = command.map {
            $0.replacing("MIXTURE", with: folder.path + "/mixture").replacing("TEXT", with: "x=" + text)
        }
        let refused = try Tool.run(list: arguments, in: folder.path)
        #expect(refused.code == 2, "\(refused.errors)")
        let words = refused.errors.split(whereSeparator: \.isWhitespace)
        let place = try #require(words.firstIndex { $0 == "takes" || $0 == "take" }, "\(refused.errors)")
        let least = try #require(Int(words[place + 1]), "\(refused.errors)")
        let done = try Tool.run(list: arguments.dropLast() + ["\(least)MiB"], in: folder.path)
        #expect(done.code == 0, "\(done.errors)")
    }
}
