import Foundation
import Safetensors
import TestSupport
import Testing

/// finetune where things go wrong: nothing is lost, and every end has its message.
@Suite("Training that is interrupted")
struct TrainingTests {
    private let folder: TemporaryFolder
    private let out: String
    private let arguments: [String]

    init() throws {
        folder = try TemporaryFolder()
        out = folder.path + "/out"
        let ids = try folder.write("ids.bin", (0..<960).flatMap { [UInt8($0 * 37 % 96), 0] })
        arguments = [
            "finetune", Fixtures.model("mixtral"), "--train", "all", "--data", "x=\(ids):uint16", "--length", "24",
            "--batch-tokens", "48", "--balance", "switch:0.01",
        ]
    }

    private func finetune(_ more: String..., to output: String? = nil) throws -> Tool.Result {
        try Tool.run(list: arguments + ["-o", output ?? out] + more)
    }

    private var lines: [JSONObject] {
        get throws {
            try contents(out + ".metrics.jsonl").split(separator: UInt8(ascii: "\n")).compactMap {
                try JSON(parsing: Array($0), file: "metrics").object
            }
        }
    }

    @Test("Killed at any moment, a run goes on from its last saved state to the same bytes")
    func killed() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.path)
        process.arguments = arguments + ["--steps", "3000", "--save-every", "0.0001", "-q", "-o", out]
        try process.run()
        let state = out + ".state.safetensors"
        let deadline = Date(timeIntervalSinceNow: 60)
        while !FileManager.default.fileExists(atPath: state), process.isRunning, Date() < deadline { usleep(2000) }
        usleep(50_000)
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        try #require(process.terminationReason == .uncaughtSignal, "the run ended before it was killed")
        #expect(!FileManager.default.fileExists(atPath: out))
        let refused = try finetune("--steps", "3000", "-q")
        #expect(refused.code == 2 && refused.errors.contains("--resume"), "\(refused.errors)")
        let other = try finetune("--steps", "3000", "--lr", "0.5", "--resume", "-q")
        #expect(other.code == 2 && other.errors.contains("lr was 0.001 and is 0.5"), "\(other.errors)")
        // What a kill in the middle of a save leaves; the run that is resumed ends before it saves.
        try folder.write(".out.state.safetensors.moe-tool-partial", [1, 2, 3])
        let resumed = try finetune("--steps", "3000", "-q", "--resume")
        #expect(resumed.code == 0, "\(resumed.errors)")
        let whole = try finetune("--steps", "3000", "-q", to: out + "2")
        #expect(whole.code == 0, "\(whole.errors)")
        #expect(try contents(out + "/model.safetensors") == contents(out + "2/model.safetensors"))
        #expect(
            try lines.compactMap { $0["step"]?.int } == Array(0..<3000), "no step twice or missing"
        )
        let left = ["ids.bin", "out", "out.metrics.jsonl", "out2", "out2.metrics.jsonl"]
        #expect(folder.names.sorted() == left, "nothing but the result and its metrics is left")
    }

    /// RLIMIT_FSIZE stands for the full disk: a write beyond it fails with EFBIG.
    private func finetune(kibibytes: Int, _ more: String...) throws -> (code: Int32, messages: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        let script = "ulimit -f \(kibibytes); trap '' XFSZ; exec \"$0\" \"$@\""
        process.arguments = ["-c", script, Tool.path] + arguments + ["-o", out] + more
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let messages = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, messages)
    }

    @Test("No room for a state: the run goes on, and nothing half-written is left")
    func noRoomForState() throws {
        let (code, messages) = try finetune(kibibytes: 8, "--steps", "3", "--save-every", "0.00001")
        #expect(code == 5, "\(messages)")
        #expect(messages.contains("the state could not be saved, training goes on"), "\(messages)")
        #expect(messages.contains("step 3 of 3") && messages.contains("File too large"), "\(messages)")
        #expect(!folder.names.contains { $0 == "out" || $0.contains("partial") }, "\(folder.names)")
    }

    @Test("No room for the result: the training is kept, and resuming writes it")
    func noRoomForResult() throws {
        // The state of the routers alone is small.
        let (code, messages) = try finetune(kibibytes: 40, "--steps", "3", "--train", "router")
        #expect(code == 5, "\(messages)")
        #expect(messages.contains("--resume writes the result"), "\(messages)")
        #expect(folder.names.contains("out.state.safetensors") && !folder.names.contains("out"), "\(folder.names)")
        let resumed = try finetune("--steps", "3", "--train", "router", "--resume")
        #expect(resumed.code == 0, "\(resumed.errors)")
        #expect(try finetune("--steps", "3", "--train", "router", to: out + "2").code == 0)
        #expect(try contents(out + "/model.safetensors") == contents(out + "2/model.safetensors"))
    }

    @Test("A learning rate that diverges ends with the step, and the last good state is kept")
    func diverges() throws {
        let result = try finetune("--steps", "200", "--lr", "1e30", "--clip", "0", "--schedule", "constant")
        #expect(result.code == 4, "\(result.errors)")
        #expect(result.errors.contains("step") && result.errors.contains("lower --lr"), "\(result.errors)")
        #expect(result.errors.contains("the state of the last good step is kept"), "\(result.errors)")
        let file = try SafetensorsFile(path: out + ".state.safetensors")
        #expect(file.header.tensors.contains { $0.name.hasPrefix("weight.") })
        #expect(!FileManager.default.fileExists(atPath: out))
    }

    @Test("Text that cannot be read is named with its line")
    func badData() throws {
        let text = try folder.write("text.jsonl", Array("{\"text\": \"abc abc abc\"}\n{\"body\": \"x\"}\n".utf8))
        let tokenizer = try folder.copy(Fixtures.file("tasks"), as: "m")
        try folder.write("m/tokenizer.json", contents(Fixtures.file("tokenizers/gpt2-style/tokenizer.json")))
        let missing = try Tool.run("finetune", tokenizer, "--train", "all", "--data", text, "--length", "4", "-o", out)
        #expect(missing.code == 3, "\(missing.errors)")
        #expect(missing.errors.contains("text.jsonl, line 2:"), "\(missing.errors)")
        #expect(missing.errors.contains("--text-field"), "\(missing.errors)")
    }
}
