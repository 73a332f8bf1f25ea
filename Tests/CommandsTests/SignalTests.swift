import Foundation
import Glibc
import TestSupport
import Testing

/// Long work ends within a second of a signal, with 128 and its number.
@Suite(.serialized) struct SignalTests {
    private let folder: TemporaryFolder
    /// A second on an idle machine; the tests may run beside others.
    private static let limit = 6.0

    init() throws { folder = try TemporaryFolder() }

    /// Starts the program, sends the signal after a while, and answers with the code and the seconds to the end.
    private func interrupted(
        _ arguments: [String], _ signal: Int32, after seconds: Double
    ) throws -> (code: Int32, seconds: Double, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        let (input, errors) = (Pipe(), Pipe())
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        Thread.sleep(forTimeInterval: seconds)
        let started = Date()
        kill(process.processIdentifier, signal)
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, Date().timeIntervalSince(started), text)
    }

    @Test(arguments: [SIGINT, SIGHUP, SIGQUIT])
    func aFitEnds(_ signal: Int32) throws {
        let rows = (1..<300).map { "1e\(6 + $0 % 5),1e\(8 + $0 % 3),\(1 << ($0 % 4)),\(2 + 10 / Double($0))" }
        let runs = try folder.write("runs.csv", Array(("N,D,E,loss\n" + rows.joined(separator: "\n")).utf8))
        let result = try interrupted(["plan", "fit", "--runs", runs, "--bootstrap", "100000"], signal, after: 0.5)
        #expect(result.code == 128 + signal, "\(result.errors)")
        #expect(result.seconds < Self.limit)
        #expect(!result.errors.contains("Backtrace"))
    }

    @Test(arguments: [["--method", "svd"], ["--align", "permutation"]])
    func decompositionsEnd(_ method: [String]) throws {
        let made = try Tool.run("upcycle", "-e", "8", Seed.path, "-o", folder.path + "/moe", "--init", "noise:0.1")
        #expect(made.code == 0)
        let result = try interrupted(["densify", folder.path + "/moe", "-o", "out"] + method, SIGINT, after: 0.5)
        // A fast machine may be done.
        #expect(result.code == 130 || result.code == 0, "\(result.errors)")
        #expect(result.seconds < Self.limit)
    }

    @Test("What waits for its input ends as well")
    func waiting() throws {
        let result = try interrupted(["tokenizer", "encode", Seed.path], SIGTERM, after: 0.5)
        #expect(result.code == 143)
        #expect(result.seconds < Self.limit)
    }

    @Test("A training saves its state, and goes on to the same bytes")
    func training() throws {
        let text = try folder.write("text.txt", Array(String(repeating: "Some words to read. ", count: 400).utf8))
        let line = [
            "finetune", Seed.path, "--train", "all", "--data", text, "--heldout", text, "--eval-every", "2", "--steps",
            "6", "--length", "64", "--batch-tokens", "512",
        ]
        let whole = try Tool.run(list: line + ["-o", "whole"], in: folder.path)
        #expect(whole.code == 0, "\(whole.errors)")
        // Wherever the signal comes: before the first step, within one, within an evaluation or after the last.
        let result = try interrupted(line + ["-o", "parts"], SIGINT, after: 0.8)
        #expect(result.code == 130 || result.code == 0, "\(result.errors)")
        if result.code != 0 {
            let resume = folder.names.contains("parts.state.safetensors") ? ["--resume"] : ["--force"]
            let rest = try Tool.run(list: line + ["-o", "parts"] + resume, in: folder.path)
            #expect(rest.code == 0, "\(rest.errors)")
        }
        #expect(
            try contents(folder.path + "/parts/model.safetensors") == contents(folder.path + "/whole/model.safetensors")
        )
    }
}
