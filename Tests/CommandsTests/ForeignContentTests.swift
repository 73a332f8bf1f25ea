import Foundation
import TestSupport
import Testing

/// What a person finds in the place of a file has words and a cure of its own.
@Suite struct ForeignContentTests {
    private let folder: TemporaryFolder
    private static let pointer =
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
    private static let mark: [UInt8] = [0xEF, 0xBB, 0xBF]

    init() throws { folder = try TemporaryFolder() }

    private func seed(_ name: String, with bytes: [UInt8]) throws -> String {
        let model = try folder.copy(Seed.path, as: UUID().uuidString)
        try Data(bytes).write(to: URL(fileURLWithPath: model + "/" + name))
        return model
    }

    @Test(arguments: ["model.safetensors", "config.json", "tokenizer.json"])
    func lfsPointers(_ name: String) throws {
        let model = try seed(name, with: Array(Self.pointer.utf8))
        let result = try Tool.run("generate", model, "--prompt", "a", "--max-tokens", "1")
        #expect([3, 4].contains(result.code))
        #expect(result.errors.contains("git lfs pull") && result.errors.contains(name), "\(result.errors)")
    }

    @Test("No part of a checkpoint that was not fetched is carried over", arguments: ["tokenizer.json", "vocab.json"])
    func lfsPointersCarried(_ name: String) throws {
        let model = try seed(name, with: Array(Self.pointer.utf8))
        for arguments in [["upcycle", "-e", "2"], ["convert", "--pack"]] {
            let result = try Tool.run(list: arguments + [model, "-o", folder.path + "/out"])
            #expect(result.code == 3 && result.errors.contains("git lfs pull"), "\(result.errors)")
            #expect(!folder.names.contains("out"))
        }
    }

    @Test(
        "What a server or another program put in the place of weights",
        arguments: [
            (Array("<!DOCTYPE html>\n<html>".utf8), "a web page"), (Array("\n<html lang=en>".utf8), "a web page"),
            // The first bytes of what torch.save writes, now and before 1.6.
            ([0x50, 0x4B, 0x03, 0x04, 0, 0, 0x08, 0x08], "torch.save"),
            ([0x80, 0x02, 0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46], "torch.save"),
            (Array("GGUF".utf8) + [3, 0, 0, 0], "a GGUF file"), ([0x28, 0xB5, 0x2F, 0xFD, 4, 0, 0, 0], "zstd -d"),
        ] as [([UInt8], String)])
    func otherWeights(_ bytes: [UInt8], _ text: String) throws {
        let model = try seed("model.safetensors", with: bytes + [UInt8](repeating: 0, count: 100))
        let result = try Tool.run("inspect", model)
        #expect(result.code == 3 && result.errors.contains(text), "\(result.errors)")
    }

    @Test("A header whose length looks like another program's file is read")
    func likelyLengths() throws {
        // 0x280 bytes: as the beginning of a pickle.
        var header = Array("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}".utf8)
        header += [UInt8](repeating: 0x20, count: 0x280 - header.count)
        let path = try folder.write("a.safetensors", [0x80, 0x02, 0, 0, 0, 0, 0, 0] + header + [0, 0, 0, 0])
        let result = try Tool.run("inspect", path)
        #expect(result.code == 0, "\(result.errors)")
    }

    @Test("The further templates of a chat are carried over, and none that lie elsewhere")
    func chatTemplates() throws {
        let model = try folder.copy(Seed.path, as: "model")
        let templates = model + "/additional_chat_templates"
        try FileManager.default.createDirectory(atPath: templates, withIntermediateDirectories: false)
        try Data("{{ 1 }}".utf8).write(to: URL(fileURLWithPath: templates + "/tools.jinja"))
        for (index, arguments) in [["upcycle", "-e", "2"], ["convert", "--pack"], ["convert", "--zstd"]].enumerated() {
            let out = folder.path + "/out\(index)"
            for more in [[], ["--force"], ["--force", "--resume"]] {
                let result = try Tool.run(list: arguments + [model, "-o", out] + more)
                #expect(result.code == 0, "\(result.errors)")
                #expect(try contents(out + "/additional_chat_templates/tools.jinja") == Array("{{ 1 }}".utf8))
            }
        }
        let secret = try folder.write("secret", [1])
        try FileManager.default.createSymbolicLink(atPath: templates + "/other.jinja", withDestinationPath: secret)
        let linked = try Tool.run("upcycle", "-e", "2", model, "-o", folder.path + "/linked")
        #expect(linked.code == 3 && linked.errors.contains("outside of the folder"))
        try FileManager.default.removeItem(atPath: templates)
        try FileManager.default.createSymbolicLink(atPath: templates, withDestinationPath: folder.path)
        #expect(try Tool.run("upcycle", "-e", "2", model, "-o", folder.path + "/linked").code == 3)
    }

    @Test func lfsPointersAsData() throws {
        for name in ["a.txt", "a.jsonl", "a.jsonl.zst"] {
            let path = try folder.write(name, Array(Self.pointer.utf8))
            let result = try Tool.run("evaluate", Seed.path, "--data", path)
            #expect(result.code == 3)
            #expect(result.errors.contains("git lfs pull"), "\(result.errors)")
        }
    }

    @Test("A byte order mark is accepted wherever text is read")
    func marks() throws {
        for name in ["config.json", "tokenizer.json"] {
            let model = try seed(name, with: Self.mark + contents(Seed.path + "/" + name))
            let result = try Tool.run(
                "generate", model, "--prompt", "a", "--max-tokens", "2", "--temperature", "0", "-q")
            #expect(result.code == 0, "\(result.errors)")
        }
        let words = String(repeating: "Some words. ", count: 100)
        for (name, text) in [("a.txt", words), ("b.jsonl", "{\"text\": \"\(words)\"}\n")] {
            let plain = try Tool.run(
                "evaluate", Seed.path, "--data", "d=" + folder.write(name, Array(text.utf8)), "--length", "32", "--json"
            )
            let marked = try Tool.run(
                "evaluate", Seed.path, "--data", "d=" + folder.write("m-" + name, Self.mark + Array(text.utf8)),
                "--length",
                "32", "--json")
            func losses(_ result: Tool.Result) -> [String] {
                result.output.components(separatedBy: "\n").filter { $0.contains("\"loss\"") }
            }
            #expect(plain.code == 0 && marked.code == 0, "\(marked.errors)")
            #expect(losses(plain) == losses(marked))
        }
        let runs = (1..<40).map { "1e\(6 + $0 % 5),1e\(8 + $0 % 3),\(1 << ($0 % 4)),\(2 + 10 / Double($0))" }
        let table = Self.mark + Array(("N,D,E,loss\n" + runs.joined(separator: "\n")).utf8)
        let fit = try Tool.run(
            "plan", "fit", "--runs", folder.write("r.csv", table), "--starts", "1", "--bootstrap", "0", "--held-out",
            "0")
        #expect(fit.code == 0, "\(fit.errors)")
    }

    @Test func utf16IsNamed() throws {
        func utf16(_ text: String) -> [UInt8] {
            [0xFF, 0xFE] + text.utf16.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        }
        let model = try seed(
            "config.json", with: utf16(String(decoding: contents(Seed.path + "/config.json"), as: UTF8.self)))
        let path = try folder.write("a.jsonl", utf16("{\"text\": \"a\"}\n"))
        for arguments in [["generate", model, "--prompt", "a"], ["evaluate", Seed.path, "--data", path]] {
            let result = try Tool.run(list: arguments)
            #expect(result.code == 3)
            #expect(result.errors.contains("UTF-16") && result.errors.contains("iconv"), "\(result.errors)")
        }
    }

    @Test(
        "Each wide encoding is named, without its mark too",
        arguments: [
            (.utf16LittleEndian, "UTF-16LE"), (.utf16BigEndian, "UTF-16BE"), (.utf32LittleEndian, "UTF-32LE"),
            (.utf32BigEndian, "UTF-32BE"), (.utf32, "UTF-32"),
        ] as [(String.Encoding, String)])
    func wideEncodings(_ encoding: String.Encoding, _ name: String) throws {
        let bytes = try #require("N,D,loss\n1e6,1e8,3\n".data(using: encoding))
        let path = try folder.write("runs.csv", Array(bytes))
        let result = try Tool.run("plan", "fit", "--runs", path, "--law", "chinchilla")
        #expect(result.code == 3 && result.errors.contains("it is \(name),"), "\(result.errors)")
    }

    @Test func linesOfJSON() throws {
        let pretty = try folder.write("p.jsonl", Array("{\n  \"text\": \"a\"\n}\n".utf8))
        let broken = try Tool.run("evaluate", Seed.path, "--data", pretty)
        #expect(broken.code == 3)
        #expect(broken.errors.contains("jq -c") && broken.errors.contains("line 1"), "\(broken.errors)")
        let nan = try folder.write("n.jsonl", Array("{\"text\": \"a\", \"score\": NaN}\n".utf8))
        let result = try Tool.run("evaluate", Seed.path, "--data", nan)
        #expect(result.code == 3)
        #expect(result.errors.contains("NaN") && result.errors.contains("null"), "\(result.errors)")
    }

    @Test("Shards without an index are named")
    func shards() throws {
        let model = try folder.copy(Seed.path, as: "shards")
        try FileManager.default.moveItem(
            atPath: model + "/model.safetensors", toPath: model + "/model-00001-of-00002.safetensors")
        let result = try Tool.run("inspect", model)
        #expect(result.code == 3)
        #expect(result.errors.contains("model.safetensors.index.json") && result.errors.contains("00001-of-00002"))
    }

    /// A frame by hand (RFC 8878): no size, a window of 2 GiB, one raw block.
    @Test func aLongWindowIsNamed() throws {
        let text = Array("{\"text\": \"a\"}\n".utf8)
        let header = text.count << 3 | 1
        let block = [UInt8(header & 255), UInt8(header >> 8 & 255), UInt8(header >> 16)]
        let path = try folder.write("w.jsonl.zst", [0x28, 0xB5, 0x2F, 0xFD, 0x00, 0xA8] + block + text)
        let result = try Tool.run("evaluate", Seed.path, "--data", path)
        #expect(result.code == 3)
        #expect(result.errors.contains("--long") && result.errors.contains("zstd -d"), "\(result.errors)")
    }

    @Test("Adapters that are each other's base are refused")
    func circularAdapters() throws {
        for (name, base) in [("a", "b"), ("b", "a"), ("self", "self")] {
            let path = folder.path + "/" + name
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
            let config =
                "{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 2, \"base_model_name_or_path\": \"\(base)\"}"
            try Data(config.utf8).write(to: URL(fileURLWithPath: path + "/adapter_config.json"))
        }
        for name in ["a", "b", "self"] {
            let result = try Tool.run(list: ["inspect", name], in: folder.path)
            let merged = try Tool.run(list: ["merge", "--dense", name, Seed.path, "-o", "out"], in: folder.path)
            #expect([3, 4].contains(result.code) && [3, 4].contains(merged.code), "\(merged.errors)")
        }
    }
}
