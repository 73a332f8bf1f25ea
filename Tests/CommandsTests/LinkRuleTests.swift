import Foundation
import TestSupport
import Testing

/// A file of a checkpoint, an adapter or a tokenizer may be a link to another file of its folder, and to nothing else: whoever
/// made the folder must not choose which of the reader's files are read and copied.
@Suite("Links that lead out of a folder")
struct LinkRuleTests {
    private let folder: TemporaryFolder
    private let manager = FileManager.default

    init() throws { folder = try TemporaryFolder() }

    /// The kinds of folder, with what is read from each.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let source: String
        let files: [String]
        let arguments: [String]
    }

    static let cases: [Case] = [
        Case(
            testDescription: "a checkpoint", source: "models/mistral",
            files: [
                "config.json", "model.safetensors", "moe-tool.json", "generation_config.json", "README.md",
                "tokenizer.json", "chat_template.jinja", "LICENSE",
            ], arguments: ["convert", "IN", "-o", "OUT", "-q"]),
        Case(
            testDescription: "compared", source: "models/mistral", files: ["config.json", "model.safetensors"],
            arguments: ["compare", "IN", "IN", "-q"]),
        Case(
            testDescription: "packed", source: "models/mistral",
            files: ["config.json", "model.safetensors", "moe-tool.json", "tokenizer.model"],
            arguments: ["convert", "--pack", "IN", "-o", "OUT", "-q"]),
        Case(
            testDescription: "an adapter", source: "adapters/saved",
            files: ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"],
            arguments: ["merge", "--dense", "IN", "--base", "BASE", "-o", "OUT", "-q"]),
        Case(
            testDescription: "a tokenizer", source: "../../Examples/seed",
            files: [
                "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                "config.json",
            ],
            arguments: ["tokenizer", "encode", "IN"]),
        Case(
            testDescription: "a configuration", source: "models/llama", files: ["config.json"],
            arguments: [
                "train", "IN", "--data", "TOKENS", "--length", "8", "--batch-tokens", "16", "--steps", "1", "-o", "OUT",
                "-q",
            ]),
    ]

    private func run(_ test: Case, on input: String) throws -> Tool.Result {
        // Ids of the fixtures' vocabularies of 96.
        let tokens = try folder.write("tokens.bin", (0..<400).flatMap { [UInt8($0 * 7 % 96), 0] })
        return try Tool.run(
            list: test.arguments.map {
                switch $0 {
                case "IN": input
                case "OUT": folder.path + "/out"
                case "BASE": Fixtures.file("adapters/llama")
                case "TOKENS": tokens + ":uint16"
                default: $0
                }
            }, input: "the cat")
    }

    @Test(
        "Each file is refused as a link to another folder, to nothing and to itself, and read as one within",
        arguments: cases)
    func links(_ test: Case) throws {
        for name in test.files {
            let input = try folder.copy(Fixtures.file(test.source), as: "in")
            defer {
                for one in ["in", "outside", "out"] { try? manager.removeItem(atPath: folder.path + "/" + one) }
            }
            let (path, outside) = (input + "/" + name, folder.path + "/outside")
            if manager.fileExists(atPath: path) {
                try manager.moveItem(atPath: path, toPath: outside)
            } else {
                try Data("{}".utf8).write(to: URL(fileURLWithPath: outside))
            }
            for (target, reason) in [
                (outside, "outside of the folder"), ("gone", "symbolic link to something that is not there"),
                (name, "circle"),
            ] {
                try? manager.removeItem(atPath: path)
                try manager.createSymbolicLink(atPath: path, withDestinationPath: target)
                let result = try run(test, on: input)
                #expect(
                    result.code == 3 && result.errors.contains(reason) && result.errors.contains(name),
                    "\(name) -> \(target): \(result.code) \(result.errors)")
                #expect(!folder.names.contains("out"), "\(name)")
            }
            guard name != "tokenizer.json" || test.source.hasSuffix("seed") else { continue }
            try manager.removeItem(atPath: path)
            try manager.moveItem(atPath: outside, toPath: input + "/kept")
            try manager.createSymbolicLink(atPath: path, withDestinationPath: "kept")
            let result = try run(test, on: input)
            #expect(result.code == 0, "\(name) within: \(result.errors)")
        }
    }
}
