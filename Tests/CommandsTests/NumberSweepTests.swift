import Foundation
import Safetensors
import TestSupport
import Testing

/// Numbers that no run has, in the options and configurations that a run computes with first: a refusal or a result, never a
/// trap, and never late. Tests/Fuzz/numbers.py does it for all of them.
@Suite struct NumberSweepTests {
    private let folder: TemporaryFolder
    private static let values = [
        "0", "-1", "2147483648", "4611686018427387904", "9223372036854775807", "9223372036854775808", "1e400", "nan",
        "",
    ]

    init() throws { folder = try TemporaryFolder() }

    private func run(_ arguments: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let started = Date()
        let result = try Tool.run(list: arguments, in: folder.path)
        #expect(
            [0, 2, 3, 4, 5, 6].contains(result.code), "\(arguments): \(result.code) \(result.errors.prefix(300))",
            sourceLocation: sourceLocation)
        #expect(Date().timeIntervalSince(started) < 30, "\(arguments)", sourceLocation: sourceLocation)
    }

    private static let lines: [[String]] = [
        ["upcycle", "SEED", "-n", "-e={}"], ["upcycle", "SEED", "-n", "-e", "2", "--top-k={}", "--granularity", "2"],
        ["upcycle", "SEED", "-n", "-e", "2", "--init=drop:{}"], ["upcycle", "SEED", "-n", "-e", "2", "--layers=0-{}"],
        ["upcycle", "SEED", "-n", "-e", "2", "--max-shard-size={}"],
        ["merge", "SEED", "SEED", "--base", "SEED", "-n", "--average", "breadcrumbs", "--gamma={}"],
        ["merge", "SEED", "SEED", "-n", "--dense", "--average", "slerp", "--t={}"],
        ["merge", "SEED", "SEED", "-n", "--weights={},1"], ["merge", "SEED", "SEED", "-n", "--scale={}"],
        ["evaluate", "SEED", "--data", "TEXT", "--length={}"],
        ["evaluate", "SEED", "--data", "TEXT", "--length", "8", "--batch-tokens={}"],
        ["evaluate", "SEED", "--data", "TEXT", "--gating=lory:{}"],
        ["generate", "SEED", "--prompt", "a", "--max-tokens", "1", "--top-p={}"],
        ["finetune", "SEED", "--train", "all", "--data", "TEXT", "--length", "8", "--steps", "1", "--batch-tokens={}"],
        ["finetune", "SEED", "--train", "all", "--data", "TEXT", "--length", "8", "--steps={}", "--minutes", "0.001"],
        ["evaluate", "MIXTURE", "--data", "TOKENS", "--length", "8", "--top-k={}"],
        ["forward", "MIXTURE", "--input", "IDS", "-o", "f.safetensors", "--top-k={}"],
        ["finetune", "MIXTURE", "--data", "TOKENS", "--length", "8", "-n", "--top-k={}"],
        ["plan", "loss", "-N={}", "-D", "1e10", "-E", "8"], ["plan", "cost", "-N", "1e9", "-E={}"],
        ["plan", "optimal", "--flops={}"], ["plan", "optimal", "--flops", "1e20", "--context={}"],
        ["tokenizer", "train", "--data", "TEXT", "-o", "t", "--vocab-size={}"],
    ]

    @Test(arguments: lines)
    func options(_ line: [String]) throws {
        let text = try folder.write("text.txt", Array("Some words to read, and a few more of them.".utf8))
        let ids = folder.path + "/ids.safetensors"
        var tensors = TensorFile()
        try tensors.add("input_ids", [1, 4], (1...4).map { Int64($0) })
        try tensors.write(to: ids)
        let tokens = try folder.write("tokens.bin", (0..<32).flatMap { [UInt8($0), 0] }) + ":uint16"
        let names = [
            "SEED": Seed.path, "TEXT": text, "MIXTURE": Fixtures.model("mixtral"), "IDS": ids, "TOKENS": tokens,
        ]
        for value in Self.values {
            try run(line.map { names[$0] ?? $0.replacingOccurrences(of: "{}", with: value) })
        }
    }

    @Test(
        arguments: ["mistral", "mixtral", "deepseek-v3"],
        [
            "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings", "rope_theta",
            "vocab_size",
        ])
    func configurations(_ family: String, _ key: String) throws {
        let model = try folder.copy(Fixtures.model(family), as: "model")
        let path = model + "/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        for value in Self.values where !value.isEmpty && value != "nan" {
            let changed = text.replacingOccurrences(
                of: "\"\(key)\": [0-9.]+", with: "\"\(key)\": \(value)", options: .regularExpression)
            try changed.write(toFile: path, atomically: true, encoding: .utf8)
            try run(["inspect", model])
            try run(["generate", model, "--tokenizer", "bytes", "--prompt", "a", "--max-tokens", "1"])
        }
    }

    /// The least integer has no absolute value.
    @Test(arguments: [
        ("mixtral", "rms_norm_eps"), ("deepseek-v3", "routed_scaling_factor"), ("granite", "logits_scaling"),
    ])
    func theLeastInteger(_ family: String, _ key: String) throws {
        let model = try folder.copy(Fixtures.model(family), as: "model")
        let path = model + "/config.json"
        let changed = try String(contentsOfFile: path, encoding: .utf8).replacingOccurrences(
            of: "\"\(key)\": [-0-9.e]+", with: "\"\(key)\": -9223372036854775808", options: .regularExpression)
        #expect(changed.contains("-9223372036854775808"))
        try changed.write(toFile: path, atomically: true, encoding: .utf8)
        for arguments in [
            ["inspect", model], ["densify", model, "-n"], ["upcycle", "-e", "2", model, "-n"],
            ["compare", model, Fixtures.model(family)], ["merge", model, Fixtures.model(family), "-n"],
        ] { try run(arguments) }
    }

    /// The number of tensors is compared before they are listed.
    @Test func manyLayersAreRefusedAtOnce() throws {
        let model = try folder.copy(Fixtures.model("mixtral"), as: "model")
        let path = model + "/config.json"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        for (key, value) in [("num_hidden_layers", "16384"), ("num_local_experts", "65536")] {
            let changed = text.replacingOccurrences(
                of: "\"\(key)\": [0-9]+", with: "\"\(key)\": \(value)", options: .regularExpression)
            try changed.write(toFile: path, atomically: true, encoding: .utf8)
            for command in ["inspect", "convert"] {
                let started = Date()
                let result = try Tool.run(list: [command, model], in: folder.path)
                #expect(result.code == 4, "\(result.errors)")
                #expect((result.errors + result.output).contains(value))
                #expect(Date().timeIntervalSince(started) < 10)
            }
        }
    }
}
