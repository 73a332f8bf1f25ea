import Foundation
import Safetensors
import TestSupport
import Testing

/// Runs the built program.
struct Tool {
    struct Result {
        let code: Int32
        let output: String
        let errors: String
    }

    /// The program beside the test bundle, which the package builds with it.
    static let path = URL(
        fileURLWithPath: (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    )
    .deletingLastPathComponent().appendingPathComponent("moe-tool").path

    static func run(_ arguments: String..., in folder: String? = nil, environment: [String: String] = [:]) throws
        -> Result
    {
        try run(list: arguments, in: folder, environment: environment)
    }

    /// - Parameter input: a text on standard input, which is short enough for a pipe.
    static func run(
        list arguments: [String], in folder: String? = nil, environment: [String: String] = [:], input: String? = nil
    ) throws -> Result {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: path)
        process.arguments = arguments
        if let folder { process.currentDirectoryURL = URL(fileURLWithPath: folder) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let (output, errors) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = errors
        if let input {
            let pipe = Pipe()
            process.standardInput = pipe
            pipe.fileHandleForWriting.write(Data(input.utf8))
            pipe.fileHandleForWriting.closeFile()
        }
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let messages = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        let code = process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
        return Result(
            code: code, output: String(decoding: text, as: UTF8.self), errors: String(decoding: messages, as: UTF8.self)
        )
    }
}

@Suite("The command line")
struct CommandLineTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    @Test("Upcycle, inspect and compare, as the README has it")
    func story() throws {
        let dense = try folder.copy(Fixtures.model("mistral"), as: "mistral-tiny")
        let upcycled = try Tool.run("upcycle", "--experts", "8", dense)
        #expect(upcycled.code == 0, "\(upcycled.errors)")
        #expect(upcycled.output.contains("exactly the dense function"))
        #expect(upcycled.output.hasSuffix(dense + "-8x\n"), "the output's path is the last line")
        #expect(upcycled.errors.isEmpty)
        let inspected = try Tool.run("inspect", dense + "-8x")
        #expect(inspected.output.contains("mixtral (MixtralForCausalLM)"))
        #expect(inspected.output.contains("8 per layer, top-2, width 48"))
        let compared = try Tool.run("compare", dense, dense + "-8x", "--exact")
        #expect(compared.code == 0)
        #expect(compared.output.contains("computes the dense model's function"))
        #expect(try Tool.run("upcycle", "--experts", "8", dense).code == 2, "it exists")
    }

    @Test("The current folder is the default input")
    func currentFolder() throws {
        let dense = try folder.copy(Fixtures.model("mistral"), as: "m")
        let result = try Tool.run("upcycle", "--experts", "2", "-q", in: dense)
        #expect(result.code == 0, "\(result.errors)")
        #expect(folder.names == ["m", "m-2x"])
    }

    @Test("A dry run writes nothing and says what it would")
    func dryRun() throws {
        let result = try Tool.run("upcycle", "-e", "4", Fixtures.model("llama"), "-o", folder.path + "/x", "--dry-run")
        #expect(result.code == 0)
        #expect(result.output.contains("block_sparse_moe.experts.3.w2.weight"))
        #expect(result.output.contains("Would write"))
        #expect(folder.names.isEmpty)
        let json = try Tool.run("upcycle", "-e", "4", Fixtures.model("llama"), "-o", folder.path + "/x", "-n", "--json")
        #expect(try JSON(parsing: Array(json.output.utf8), file: "stdout").object?["bytes"]?.int ?? 0 > 0)
    }

    @Test(
        "Wrong arguments exit 2 and say what is right",
        arguments: [
            (["upcycle", "--experts", "x"], "experts"), (["upcycle", "--experts", "0", "IN"], "at least 1"),
            (["upcycle", "--experts", "4", "--init", "dorp:0.5", "IN"], "dorp"),
            (["upcycle", "--experts", "4", "--router", "random:-1", "IN"], "random:-1"),
            (["upcycle", "--experts", "4", "--layers", "5-3", "IN"], "5-3"),
            (["upcycle", "--experts", "4", "--dtype", "F12", "IN"], "BF16"),
            (["upcycle", "--experts", "4", "--memory", "1MB", "IN"], "96 MiB"),
            (["upcycle", "--experts", "4", "--threads", "0", "IN"], "1 to 1024"),
            (["upcycle", "--experts", "4", "--top-k", "9", "IN"], "--top-k 9"),
            (["convert", "--layout", "sideways", "IN"], "sideways"), (["frobnicate"], "frobnicate"),
            (["compare", "a"], "second"),
        ])
    func usage(_ arguments: [String], _ expected: String) throws {
        let process = arguments.map { $0 == "IN" ? Fixtures.model("llama") : $0 }
        let result = try runTool(process)
        #expect(result.code == 2, "\(result.errors)")
        #expect(result.errors.contains(expected), "\(result.errors)")
        #expect(folder.names.isEmpty)
    }

    private func runTool(_ arguments: [String]) throws -> Tool.Result {
        let output = arguments.contains(Fixtures.model("llama")) ? ["-o", folder.path + "/out"] : []
        let all = arguments + output
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.path)
        process.arguments = all
        let (text, errors) = (Pipe(), Pipe())
        process.standardOutput = text
        process.standardError = errors
        try process.run()
        let printed = text.fileHandleForReading.readDataToEndOfFile()
        let messages = errors.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Tool.Result(
            code: process.terminationStatus, output: String(decoding: printed, as: UTF8.self),
            errors: String(decoding: messages, as: UTF8.self))
    }

    /// What is done to a good checkpoint, the exit code, and what the message says.
    static let damages: [(String, Int32, String)] = [
        ("empty file", 3, "0 bytes"), ("truncated", 3, "truncated"), ("trailing byte", 3, "belong to no tensor"),
        ("no config", 3, "no config.json"), ("broken config", 3, "JSON at byte"), ("unknown family", 4, "mamba"),
        ("wrong hidden size", 4, "should be"), ("wrong layer count", 4, "missing"),
        ("too few layers", 4, "not part of"),
        ("two counts of experts", 4, "must agree"), ("top-k", 4, "routed to"), ("quantised", 4, "quantised"),
        ("untied head", 4, "differs from the embedding"), ("no head", 4, "lm_head.weight"),
        ("fifo", 3, "not a regular file"),
        ("missing shard", 3, "not here"), ("index upwards", 3, "not opened"), ("pickle", 3, "save_pretrained"),
        ("missing expert", 4, "experts.2.w1"),
    ]

    @Test("A bad checkpoint is refused with its code and reason, and nothing is written", arguments: damages)
    func damaged(_ damage: String, _ code: Int32, _ expected: String) throws {
        let name = ["two counts of experts", "top-k", "missing expert"].contains(damage) ? "mixtral" : "llama"
        let model = try folder.copy(Fixtures.model(name), as: "in")
        let weights = model + "/model.safetensors"
        func edit(_ old: String, _ new: String) throws {
            let text = String(decoding: try contents(model + "/config.json"), as: UTF8.self)
            try #require(text.contains(old))
            try text.replacingOccurrences(of: old, with: new).write(
                toFile: model + "/config.json", atomically: true, encoding: .utf8)
        }
        switch damage {
        case "empty file": try folder.write("in/model.safetensors", [])
        case "truncated": try folder.write("in/model.safetensors", contents(weights).dropLast(1))
        case "trailing byte": try folder.write("in/model.safetensors", contents(weights) + [0])
        case "no config": try FileManager.default.removeItem(atPath: model + "/config.json")
        case "broken config": try folder.write("in/config.json", Array("{\"a\":".utf8))
        case "unknown family": try edit("\"model_type\": \"llama\"", "\"model_type\": \"mamba\"")
        case "wrong hidden size": try edit("\"intermediate_size\": 48", "\"intermediate_size\": 64")
        case "wrong layer count": try edit("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3")
        case "too few layers": try edit("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1")
        case "two counts of experts":
            try edit("\"num_local_experts\": 4", "\"num_local_experts\": 4, \"num_experts\": 8")
        case "top-k": try edit("\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 7")
        case "quantised":
            try edit("\"use_cache\": true", "\"use_cache\": true, \"quantization_config\": {\"quant_method\": \"hqq\"}")
        case "untied head": try edit("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true")
        case "no head", "missing expert":
            let file = try SafetensorsFile(path: weights)
            let left = file.header.tensors.filter {
                $0.name != "lm_head.weight" && !$0.name.contains("1.block_sparse_moe.experts.2.w1")
            }
            try writeSafetensors(
                left.map { ($0.name, $0.dtype, $0.shape, try file.bytes($0.name)) },
                to: folder.path + "/in/model.safetensors")
        case "fifo":
            try FileManager.default.removeItem(atPath: weights)
            try #require(mkfifo(weights, 0o600) == 0)
        case "missing shard":
            try FileManager.default.removeItem(atPath: weights)
            try folder.write(
                "in/model.safetensors.index.json",
                Array("{\"metadata\":{},\"weight_map\":{\"a\":\"model-00001-of-00002.safetensors\"}}".utf8))
        case "index upwards":
            try FileManager.default.removeItem(atPath: weights)
            try folder.write(
                "in/model.safetensors.index.json",
                Array("{\"metadata\":{},\"weight_map\":{\"a\":\"../x.safetensors\"}}".utf8))
        default:
            try FileManager.default.moveItem(atPath: weights, toPath: model + "/pytorch_model.bin")
        }
        let result = try Tool.run("convert", model, "-o", folder.path + "/out")
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(expected), "\(result.errors)")
        #expect(result.errors.contains(model), "the file is named")
        #expect(result.output.isEmpty)
        #expect(folder.names == ["in"], "nothing was written")
    }

    @Test("Equal tied heads are dropped with a note, and NaN is warned of")
    func notes() throws {
        let model = try folder.copy(Fixtures.model("qwen2-tied"), as: "in")
        let file = try SafetensorsFile(path: model + "/model.safetensors")
        var tensors = try file.header.tensors.map { ($0.name, $0.dtype, $0.shape, try file.bytes($0.name)) }
        let embedding = try #require(tensors.first { $0.0 == "model.embed_tokens.weight" })
        tensors.append(("lm_head.weight", embedding.1, embedding.2, embedding.3))
        try writeSafetensors(tensors, to: folder.path + "/in/model.safetensors")
        let result = try Tool.run("convert", model, "-o", folder.path + "/out")
        #expect(result.code == 0)
        #expect(result.errors.contains("is the embedding again"))
        #expect(
            try contents(folder.path + "/out/model.safetensors")
                == contents(Fixtures.model("qwen2-tied") + "/model.safetensors"))
    }

    @Test("A full disk: exit 5, the work is kept, and resuming ends with the same bytes")
    func fileSizeLimit() throws {
        // RLIMIT_FSIZE stands for the full disk: the write beyond it fails with EFBIG.
        let script = "ulimit -f 100; trap '' XFSZ; exec \"$0\" \"$@\""
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        let out = folder.path + "/out"
        process.arguments = ["-c", script, Tool.path, "upcycle", "-e", "8", "-q", Fixtures.model("llama"), "-o", out]
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let messages = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 5, "\(messages)")
        #expect(folder.names == [".out.moe-tool-partial"])
        #expect(try Tool.run("upcycle", "-e", "8", "-q", Fixtures.model("llama"), "-o", out).code == 2)
        #expect(try Tool.run("upcycle", "-e", "8", "-q", Fixtures.model("llama"), "-o", out, "--resume").code == 0)
        #expect(try Tool.run("upcycle", "-e", "8", "-q", Fixtures.model("llama"), "-o", out + "2").code == 0)
        #expect(try contents(out + "/model.safetensors") == contents(out + "2/model.safetensors"))
        #expect(folder.names == ["out", "out2"])
    }

    @Test("Names in the Hugging Face cache are found, and not downloaded")
    func hubCache() throws {
        let repository = folder.path + "/hub/models--org--tiny"
        for part in ["/refs", "/snapshots"] {
            try FileManager.default.createDirectory(atPath: repository + part, withIntermediateDirectories: true)
        }
        try FileManager.default.copyItem(atPath: Fixtures.model("llama"), toPath: repository + "/snapshots/abc123")
        try "abc123\n".write(toFile: repository + "/refs/main", atomically: true, encoding: .utf8)
        let environment = ["HF_HUB_CACHE": folder.path + "/hub"]
        for name in ["org/tiny", "org/tiny@main", "org/tiny@abc123"] {
            #expect(try Tool.run("inspect", name, environment: environment).code == 0)
        }
        let missing = try Tool.run("inspect", "org/tiny@v2", environment: environment)
        #expect(missing.code == 5)
        #expect(missing.errors.contains("hf download org/tiny --revision v2"))
        let made = try Tool.run("upcycle", "-q", "-e", "2", "org/tiny", in: folder.path, environment: environment)
        #expect(made.code == 0)
        #expect(folder.names.contains("tiny-2x"))
    }

    @Test("Differences are reported, and decide the exit code when asked")
    func differences() throws {
        let bf16 = folder.path + "/bf16"
        #expect(try Tool.run("convert", "-q", "--dtype", "bf16", Fixtures.model("llama"), "-o", bf16).code == 0)
        let result = try Tool.run("compare", Fixtures.model("llama"), bf16)
        #expect(result.code == 0 && result.output.contains("F32 and BF16"))
        #expect(try Tool.run("compare", Fixtures.model("llama"), bf16, "--exact").code == 6)
        #expect(try Tool.run("compare", Fixtures.model("llama"), bf16, "--tolerance", "1e-9").code == 6)
        #expect(try Tool.run("compare", Fixtures.model("llama"), bf16, "--tolerance", "0.1").code == 0)
        #expect(try Tool.run("compare", bf16, bf16, "--exact").code == 0)
    }

    @Test("Help and version go to standard output, and a closed one is an error")
    func output() throws {
        #expect(try Tool.run("--help").output.contains("upcycle"))
        #expect(try Tool.run("--version").output == "0.1.0\n")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "exec \"$0\" inspect \"$1\" >/dev/full", Tool.path, Fixtures.model("llama")]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 5)
    }

    @Test("Merge, densify and prune, as the README has it")
    func mergeStory() throws {
        let (a, b) = (
            try folder.copy(Fixtures.model("mistral"), as: "a"), try folder.copy(Fixtures.model("mistral"), as: "b")
        )
        let merged = try Tool.run("merge", a, b)
        #expect(merged.code == 0, "\(merged.errors)")
        #expect(merged.output.hasSuffix(folder.path + "/a+b\n"))
        #expect(merged.output.contains("2 experts, top-2, as a mixtral."))
        #expect(merged.errors.contains("no tokenizer files in a, b"))
        let dense = try Tool.run("densify", folder.path + "/a+b")
        #expect(dense.output.hasSuffix("a+b-dense\n"))
        #expect(try Tool.run("compare", a, folder.path + "/a+b-dense", "--exact").code == 0)
        let pruned = try Tool.run("prune", folder.path + "/a+b", "--criterion", "list:1", "-k", "1")
        #expect(pruned.code == 0, "\(pruned.errors)")
        #expect(pruned.output.hasSuffix("a+b-1x\n"))
        let plan = try Tool.run("merge", a, b, "--base", a, "--average", "ties", "-o", folder.path + "/no", "--dry-run")
        #expect(plan.code == 0)
        #expect(plan.output.contains("Would write"))
        // What the command line says goes before the recipe, also where it says the default.
        let recipe = try folder.write("recipe.yaml", Array("models: [a, b]\naverage: ties\n".utf8))
        #expect(try Tool.run("merge", recipe, "--dry-run").errors.contains("--base"))
        #expect(try Tool.run("merge", recipe, "--average", "linear", "--dry-run", "-o", folder.path + "/no").code == 0)
    }

    @Test(
        "Merging what does not go together says why",
        arguments: [
            (["--average", "ties"], 2, "--base"), (["--average", "mean"], 2, "average"),
            (["--router", "domain:text"], 5, "text"), (["--router", "domain:"], 2, "name the text"),
            (["--router-std", "0"], 2, "--router-std"), (["--router", "normal"], 2, "router"),
            (["--weights", "1,2,3"], 2, "3 numbers for 2 models"), (["--require-tokenizer"], 4, "no tokenizer files"),
            (["--layout", "split:5"], 2, "cannot be cut into 5"), (["--top-k", "3"], 2, "1 to 2"),
            (["--target", "qwen3_moe"], 4, "mistral can become mixtral"), (["--include-base"], 2, "--base"),
        ])
    func mergeRefusals(_ arguments: [String], _ code: Int32, _ text: String) throws {
        let model = try folder.copy(Fixtures.model("mistral"), as: "m")
        let result = try Tool.run(list: ["merge", model, model, "-o", folder.path + "/out"] + arguments)
        #expect(result.code == code, "\(result.errors)")
        #expect(result.errors.contains(text), "\(result.errors)")
        #expect(folder.names == ["m"])
    }

    @Test("A tokenizer that is not there or not supported is named")
    func tokenizerRefusals() throws {
        let none = try Tool.run("tokenizer", "encode", Fixtures.model("mistral"))
        #expect(none.code == 4)
        #expect(none.errors.contains("there is no tokenizer.json"))
        let path = try folder.write("tokenizer.json", Array(#"{"model": {"type": "Sequitur", "vocab": []}}"#.utf8))
        let other = try Tool.run("tokenizer", "encode", path)
        #expect(other.code == 4)
        #expect(other.errors.contains("Sequitur"))
    }
}
