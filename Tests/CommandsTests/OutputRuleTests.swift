import Foundation
import Safetensors
import TestSupport
import Testing

/// Outputs are never inputs, nor anything that exists and is not of their kind; inputs stay in their folders.
@Suite("What commands may write, and where they may read")
struct OutputRuleTests {
    private let folder: TemporaryFolder
    private let model: String
    private var data: [String] { ["--data", "x=\(folder.path)/ids.bin:uint16", "--length", "24"] }

    init() throws {
        folder = try TemporaryFolder()
        model = try folder.copy(Fixtures.model("mixtral"), as: "moe")
        try folder.write("ids.bin", (0..<480).flatMap { [UInt8($0 * 37 % 96), 0] })
        var tensors = TensorFile()
        try tensors.add("input_ids", [1, 8], (1...8).map { Int64($0) })
        try tensors.write(to: folder.path + "/ids.safetensors")
    }

    private func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.path + "/" + name, withDestinationPath: target)
    }

    /// A checkpoint and nothing else.
    private func checkpoint(_ name: String) throws -> String {
        let path = try folder.copy(Fixtures.model("llama"), as: name)
        try? FileManager.default.removeItem(atPath: path + "/expected.safetensors")
        return path
    }

    /// Every file under the folder, links not followed.
    private func snapshot() throws -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: folder.path) {
            let path = folder.path + "/" + name
            let kind = try FileManager.default.attributesOfItem(atPath: path)[.type] as? FileAttributeType
            result[name] = kind == .typeRegular ? try contents(path) : []
        }
        return result
    }

    @Test("An output onto an input, with --force, through names, hard links and symbolic links, changes nothing")
    func ontoInputs() throws {
        let weights = model + "/model.safetensors"
        try FileManager.default.linkItem(atPath: weights, toPath: folder.path + "/hard.safetensors")
        try link("soft.safetensors", to: weights)
        try FileManager.default.linkItem(atPath: folder.path + "/ids.bin", toPath: folder.path + "/data.html")
        let ids = folder.path + "/ids.safetensors"
        try FileManager.default.createDirectory(
            atPath: folder.path + "/texts", withIntermediateDirectories: false)
        try folder.write("texts/a.txt", Array(String(repeating: "a b c ", count: 60).utf8))
        let before = try snapshot()
        func evaluate(_ stats: String) -> [String] { ["evaluate", model, "--stats", stats, "--force"] + data }
        func forward(_ output: String) -> [String] { ["forward", model, "--input", ids, "-o", output, "--force"] }
        let runs: [[String]] = [
            evaluate(weights), evaluate(folder.path + "/hard.safetensors"), evaluate(folder.path + "/soft.safetensors"),
            evaluate(ids), evaluate(folder.path + "/ids.bin"), evaluate(model + "/model-00002-of-00002.safetensors"),
            evaluate(model + "/config.json"), forward(weights), forward(ids),
            forward(folder.path + "/soft.safetensors"),
            ["evaluate", model, "--report", folder.path + "/data.html", "--force"] + data,
            ["convert", model, "--dtype", "BF16", "-o", model, "--force"],
            ["convert", "--pack", weights, "-o", weights, "--force"],
            [
                "distill", "--teacher", model, "--student", Fixtures.model("mixtral"), "-o", model, "--force",
                "--steps", "1",
            ]
                + data,
            [
                "train", "--preset", "tiny", "--tokenizer", "bytes", "--data", folder.path + "/texts", "--length", "8",
                "--batch-tokens", "16", "--steps", "1", "-o", folder.path + "/texts/out",
            ],
        ]
        for run in runs {
            let result = try Tool.run(list: run + ["-q"])
            #expect(result.code == 2, "\(run): \(result.errors)")
            #expect(try snapshot() == before, "\(run) changed something")
        }
    }

    @Test("What exists is kept without --force; of another kind, with it too")
    func existing() throws {
        let first = folder.path + "/s.safetensors"
        #expect(try Tool.run(list: ["evaluate", model, "--stats", first, "-q"] + data).code == 0)
        #expect(try Tool.run(list: ["evaluate", model, "--stats", first, "-q"] + data).code == 2)
        #expect(try Tool.run(list: ["evaluate", model, "--stats", first, "-q", "--force"] + data).code == 0)
        let forward = ["forward", model, "--input", folder.path + "/ids.safetensors", "-q", "-o"]
        let logits = folder.path + "/logits.safetensors"
        #expect(try Tool.run(list: forward + [logits]).code == 0)
        #expect(try Tool.run(list: forward + [logits]).code == 2)
        #expect(try Tool.run(list: forward + [logits, "--force"]).code == 0)
        let kept = try contents(first)
        #expect(try Tool.run(list: forward + [first, "--force"]).code == 2, "these are statistics")
        #expect(try contents(first) == kept)
        let metrics = try folder.write("out.metrics.jsonl", Array("{\"step\":1,\"loss\":2}\n".utf8))
        let finetune = ["finetune", model, "-o", folder.path + "/out", "--steps", "1", "--batch-tokens", "24", "-q"]
        #expect(try Tool.run(list: finetune + data).code == 2, "the metrics of another run")
        try folder.write("out.metrics.jsonl", Array("my notes\n".utf8))
        #expect(try Tool.run(list: finetune + data + ["--force"]).code == 2)
        #expect(try contents(metrics) == Array("my notes\n".utf8))
        let absent = try Tool.run(list: finetune + data + ["-o", folder.path + "/none/out"])
        #expect(absent.code == 5 && absent.errors.contains("/none, in which it is to be written, does not exist"))
    }

    @Test("--force replaces checkpoints and nothing else that is in their folders")
    func foreignFiles() throws {
        let upcycle = ["upcycle", "-e", "2", Fixtures.model("mistral"), "--force", "-q", "-o"]
        // Somebody's project, with a configuration of its own.
        for (name, config) in [("project", "{\"name\": \"site\"}"), ("model", "{\"model_type\": \"llama\"}")] {
            try FileManager.default.createDirectory(
                atPath: folder.path + "/" + name, withIntermediateDirectories: false)
            try folder.write(name + "/config.json", Array(config.utf8))
            let before = try snapshot()
            #expect(try Tool.run(list: upcycle + [folder.path + "/" + name]).code == 2)
            #expect(try snapshot() == before)
        }
        for name in [
            "notes.md", "tokenizer_backup.json", ".git", "model.safetensors.bak", "README-mine.md", "optimizer.pt",
        ] {
            let old = try checkpoint("old")
            try folder.write("old/" + name, [1, 2, 3])
            let before = try snapshot()
            let result = try Tool.run(list: upcycle + [old])
            #expect(result.code == 2 && result.errors.contains(name), "\(name): \(result.errors)")
            #expect(try snapshot() == before)
            try FileManager.default.removeItem(atPath: old)
        }
        let old = try checkpoint("old")
        #expect(try Tool.run(list: upcycle + [old]).code == 0)
        #expect(try Tool.run(list: upcycle + [old]).code == 0, "what was written a moment ago")
    }

    @Test("A run that is resumed knows its inputs by content, whatever their sizes and times")
    func identity() throws {
        let source = try folder.copy(Fixtures.model("mistral"), as: "dense")
        let out = folder.path + "/out"
        let upcycle = ["upcycle", "-e", "2", source, "-o", out, "-q", "--resume"]
        #expect(try Tool.run(list: upcycle).code == 0)
        let again = try Tool.run(list: upcycle)
        #expect(again.code == 0 && again.errors.contains("complete already"), "\(again.errors)")
        // One bit of one weight.
        let weights = source + "/model.safetensors"
        let times = try FileManager.default.attributesOfItem(atPath: weights)[.modificationDate]
        let handle = try FileHandle(forUpdating: URL(fileURLWithPath: weights))
        let size = try handle.seekToEnd()
        try handle.seek(toOffset: size - 4)
        let byte = try #require(try handle.read(upToCount: 1)?.first)
        try handle.seek(toOffset: size - 4)
        try handle.write(contentsOf: Data([byte ^ 1]))
        try handle.close()
        try FileManager.default.setAttributes([.modificationDate: times as Any], ofItemAtPath: weights)
        let other = try Tool.run(list: upcycle)
        #expect(other.code == 2, "\(other.errors)")
    }

    @Test("Text in another order, other held-out text and another teacher are another training")
    func trainingIdentity() throws {
        try folder.write("held.bin", (0..<96).flatMap { [UInt8($0 * 11 % 96), 0] })
        let out = folder.path + "/out"
        let teacher = try folder.copy(Fixtures.model("mixtral"), as: "teacher")
        // The result has no room; the state has, and is kept.
        let arguments =
            [
                "distill", "--student", model, "--teacher", teacher, "--train", "router", "--steps", "2",
                "--batch-tokens", "48", "--heldout", "h=\(folder.path)/held.bin:uint16", "-q", "-o", out,
            ] + data
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "ulimit -f 40; trap '' XFSZ; exec \"$0\" \"$@\"", Tool.path] + arguments
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 5)
        try #require(folder.names.contains("out.state.safetensors"), "\(folder.names)")
        for (file, word) in [("ids.bin", "text"), ("held.bin", "held-out"), ("teacher/model.safetensors", "teacher")] {
            let path = folder.path + "/" + file
            let kept = try contents(path)
            var changed = kept
            changed.swapAt(changed.count - 2, changed.count - 6)
            changed[changed.count - 4] ^= 1
            try Data(changed).write(to: URL(fileURLWithPath: path))
            let result = try Tool.run(list: arguments + ["--resume"])
            #expect(result.code == 2 && result.errors.contains("content of the \(word)"), "\(file): \(result.errors)")
            try Data(kept).write(to: URL(fileURLWithPath: path))
        }
        let resumed = try Tool.run(list: arguments + ["--resume"])
        #expect(resumed.code == 0, "\(resumed.errors)")
    }

    @Test("Links of a checkpoint that lead out of it, nowhere or in a circle, and sockets, are refused with 3")
    func links() throws {
        let secret = try folder.write("secret", Array("{}".utf8))
        let names = [
            "tokenizer.json", "generation_config.json", "LICENSE", "README.md", "chat_template.jinja", "config.json",
            "model.safetensors",
        ]
        for name in names {
            for target in [secret, folder.path + "/nowhere", name] {
                let source = try folder.copy(Fixtures.model("mistral"), as: "linked")
                try? FileManager.default.removeItem(atPath: source + "/" + name)
                try link("linked/" + name, to: target)
                let result = try Tool.run("upcycle", "-e", "2", source, "-o", folder.path + "/out", "-q")
                #expect(result.code == 3 && result.errors.contains(name), "\(name) -> \(target): \(result.errors)")
                #expect(!folder.names.contains("out"))
                try FileManager.default.removeItem(atPath: source)
            }
        }
        let source = try folder.copy(Fixtures.model("mistral"), as: "list")
        try folder.write("list/config.json", Array("[]".utf8))
        for command in [["inspect", source], ["upcycle", "-e", "2", source, "-o", folder.path + "/out"]] {
            #expect(try Tool.run(list: command).code == 3)
        }
    }

    @Test("From the Hugging Face cache the result goes to the current folder")
    func cache() throws {
        let repository = folder.path + "/hub/models--org--tiny"
        try FileManager.default.createDirectory(
            atPath: repository + "/snapshots/abc", withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: repository + "/blobs", withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: Fixtures.model("mistral")) {
            try FileManager.default.copyItem(
                atPath: Fixtures.model("mistral") + "/" + name, toPath: repository + "/blobs/" + name)
            try FileManager.default.createSymbolicLink(
                atPath: repository + "/snapshots/abc/" + name, withDestinationPath: "../../blobs/" + name)
        }
        try link("mine", to: repository + "/snapshots/abc")
        let here = folder.path + "/here"
        try FileManager.default.createDirectory(atPath: here, withIntermediateDirectories: false)
        let made = try Tool.run("upcycle", "-e", "2", repository + "/snapshots/abc", "-q", in: here)
        #expect(made.code == 0, "\(made.errors)")
        #expect(try Tool.run("upcycle", "-e", "2", folder.path + "/mine", "-q", in: here).code == 0)
        #expect(try Tool.run("merge", folder.path + "/mine", folder.path + "/mine", "-q", in: here).code == 0)
        let names = try FileManager.default.contentsOfDirectory(atPath: here).sorted()
        #expect(names == ["mine+mine", "mine-2x", "tiny-2x"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: repository + "/snapshots") == ["abc"])
    }

    @Test("A damaged packed source leaves no work behind")
    func damagedSource() throws {
        let packed = folder.path + "/packed"
        #expect(try Tool.run("convert", "--pack", Fixtures.model("mistral"), "-o", packed, "-q").code == 0)
        var bytes = try contents(packed + "/model.mtz")
        bytes[bytes.count / 2] ^= 0x55
        bytes[bytes.count / 3] ^= 0x55
        try Data(bytes).write(to: URL(fileURLWithPath: packed + "/model.mtz"))
        let result = try Tool.run("upcycle", "-e", "2", packed, "-o", folder.path + "/out", "-q")
        #expect([3, 6].contains(result.code), "\(result.errors)")
        #expect(!folder.names.contains { $0.contains("partial") }, "\(folder.names)")
    }

    @Test("Names that are not UTF-8 are found, written and replaced")
    func otherEncodings() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        process.arguments = [
            "-c",
            #"""
            n=$'mod\xe8le'; cp -r "$1" "$n" && "$0" upcycle -e 2 "$n" -q -o $'r\xe9sultat' > printed &&
            "$0" upcycle -e 2 "$n" -q --force -o $'r\xe9sultat' && test -f $'r\xe9sultat/config.json' &&
            grep -q $'r\xe9sultat' printed && touch $'r\xe9sultat/\xff' &&
            { "$0" upcycle -e 2 "$n" -q --force -o $'r\xe9sultat'; test $? = 2; } && test -f $'r\xe9sultat/\xff'
            """#, Tool.path, Fixtures.model("mistral"),
        ]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
