import Foundation
import Safetensors
import Synchronization
import TestSupport
import Testing

/// Kills each command at every call that changes the file system, by a library that is preloaded, and looks at what is
/// left: the output is absent, old or complete, a second run ends with the bytes of an undisturbed one, and nothing else
/// is there.
@Suite("Killed at every call that changes something")
struct KillTests {
    private let folder: TemporaryFolder
    /// Nil where there is no C compiler.
    private let library: String?

    init() throws {
        folder = try TemporaryFolder()
        library = try Self.compile(into: folder.path + "/faults.so")
        try folder.write("ids.bin", (0..<480).flatMap { [UInt8($0 * 37 % 96), 0] })
        var tensors = TensorFile()
        try tensors.add("input_ids", [1, 8], (1...8).map { Int64($0) })
        try tensors.write(to: folder.path + "/ids.safetensors")
        try folder.write("text.txt", Array(String(repeating: "the cat sat on the mat. ", count: 30).utf8))
    }

    private static func compile(into library: String) throws -> String? {
        for compiler in ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"]
        where FileManager.default.isExecutableFile(atPath: compiler) {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: compiler)
            process.arguments = ["-shared", "-fPIC", "-o", library, Fixtures.file("faults/faults.c"), "-ldl"]
            try process.run()
            process.waitUntilExit()
            if process.terminationStatus == 0 { return library }
        }
        return nil
    }

    /// A command, what it begins with in its folder, and how it is run again after a kill.
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let arguments: [String]
        /// A checkpoint that is there before, at `out`.
        var replaces = false
        /// Run again with --force where there is no --resume.
        var resumes = true
    }

    private static let training = [
        "--data", "x=IN/ids.bin:uint16", "--length", "24", "--batch-tokens", "48", "--steps", "2", "--threads", "1",
    ]
    static let cases: [Case] = [
        Case(testDescription: "upcycle", arguments: ["upcycle", "-e", "2", "MODEL/mistral", "-o", "out"]),
        Case(
            testDescription: "upcycle --force",
            arguments: ["upcycle", "-e", "2", "MODEL/mistral", "-o", "out", "--force"], replaces: true),
        Case(testDescription: "merge", arguments: ["merge", "MODEL/mistral", "MODEL/mistral", "-o", "out"]),
        Case(testDescription: "densify", arguments: ["densify", "MODEL/mixtral", "-o", "out"]),
        Case(
            testDescription: "prune",
            arguments: ["prune", "MODEL/mixtral", "--experts", "2", "--criterion", "list:0,1", "-o", "out"]),
        Case(
            testDescription: "convert",
            arguments: ["convert", "--dtype", "BF16", "MODEL/mixtral", "-o", "out", "--max-shard-size", "100kB"]),
        Case(testDescription: "pack", arguments: ["convert", "--pack", "MODEL/mistral", "-o", "out"]),
        Case(
            testDescription: "pack --force", arguments: ["convert", "--pack", "MODEL/mistral", "-o", "out", "--force"],
            replaces: true),
        Case(
            testDescription: "quantise",
            arguments: [
                "convert", "--quantise", "int4-group:16", "MODEL/mistral", "-o", "out", "--threads", "1",
            ]),
        Case(testDescription: "zstd", arguments: ["convert", "--zstd", "MODEL/mistral", "-o", "out"]),
        Case(
            testDescription: "distill",
            arguments: ["distill", "--teacher", "MODEL/mixtral", "--student", "MODEL/mistral", "-o", "out"] + training),
        Case(
            testDescription: "pack a file",
            arguments: ["convert", "--pack", "MODEL/mistral/model.safetensors", "-o", "out.mtz"]),
        Case(
            testDescription: "finetune",
            arguments: ["finetune", "MODEL/mixtral", "-o", "out/", "--train", "router"] + training),
        Case(
            testDescription: "finetune --force",
            arguments: ["finetune", "MODEL/mixtral", "-o", "out", "--train", "router", "--force"] + training,
            replaces: true),
        Case(
            testDescription: "train",
            arguments: [
                "train", "--preset", "tiny", "--tokenizer", "bytes", "--data", "IN/text.txt", "--length", "24",
                "--batch-tokens", "48", "--steps", "1", "--threads", "1", "-o", "out",
            ]),
        Case(
            testDescription: "evaluate",
            arguments: [
                "evaluate", "MODEL/mixtral", "--data", "x=IN/ids.bin:uint16", "--length", "24", "--stats",
                "s.safetensors", "--report", "r.html",
            ], resumes: false),
        Case(
            testDescription: "forward",
            arguments: ["forward", "MODEL/mixtral", "--input", "IN/ids.safetensors", "-o", "f.safetensors"],
            resumes: false),
        Case(
            testDescription: "tokenizer train",
            arguments: ["tokenizer", "train", "--data", "IN/text.txt", "--vocab-size", "260", "-o", "out"],
            resumes: false),
    ]

    private func list(_ test: Case) -> [String] {
        test.arguments.map {
            $0.replacingOccurrences(of: "MODEL", with: Fixtures.file("models"))
                .replacingOccurrences(of: "IN/", with: folder.path + "/")
        } + ["-q"]
    }

    /// A folder to run a case in.
    private func begin(_ test: Case, _ name: String) throws -> String {
        let path = folder.path + "/" + name
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        if test.replaces {
            try FileManager.default.copyItem(atPath: Fixtures.model("qwen3"), toPath: path + "/out")
            try? FileManager.default.removeItem(atPath: path + "/out/expected.safetensors")
        }
        return path
    }

    /// Files and their bytes; of metrics and reports, which say how long things took, the names alone.
    private func snapshot(_ path: String) throws -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: path) {
            var isFolder: ObjCBool = false
            _ = FileManager.default.fileExists(atPath: path + "/" + name, isDirectory: &isFolder)
            let isTimed = ["metrics.jsonl", "r.html", "r.json"].contains { name.hasSuffix($0) }
            result[name] = isFolder.boolValue || isTimed ? [] : try contents(path + "/" + name)
        }
        return result
    }

    private func output(_ files: [String: [UInt8]]) -> [String: [UInt8]] {
        files.filter { $0.key.hasPrefix("out") && !$0.key.contains("metrics") && !$0.key.contains("state") }
    }

    @Test("Nothing is torn, nothing is left, and a second run finishes", arguments: cases)
    func everyCall(_ test: Case) throws {
        guard let library else { return }
        let arguments = list(test)
        let whole = try begin(test, "whole")
        let old = output(try snapshot(whole))
        let counter = folder.path + "/count"
        let first = try Tool.run(
            list: arguments, in: whole, environment: ["LD_PRELOAD": library, "FAULT_COUNT": counter])
        #expect(first.code == 0, "\(first.errors)")
        let wanted = try snapshot(whole)
        let text = String(decoding: try contents(counter), as: UTF8.self)
        let calls = try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        #expect(calls > 5)
        // All of them take minutes on a slow machine: one run looks at a third, the next perhaps at another.
        let isThorough = ProcessInfo.processInfo.environment["MOE_TOOL_EVERY_CALL"] != nil
        let step = isThorough ? 1 : 3
        let next = Mutex(Int.random(in: 1...step))
        let problems = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 2) { _ in
            while let call = next.withLock({ (call: inout Int) -> Int? in
                call += step
                return call - step <= calls ? call - step : nil
            }) {
                do {
                    if let problem = try kill(test, arguments, at: call, library, old: old, wanted) {
                        problems.withLock { $0.append("call \(call): \(problem)") }
                    }
                } catch { problems.withLock { $0.append("call \(call): \(error)") } }
            }
        }
        let found = problems.withLock { $0 }
        #expect(found.isEmpty, "\(found.joined(separator: "\n"))")
    }

    private func kill(
        _ test: Case, _ arguments: [String], at call: Int, _ library: String, old: [String: [UInt8]],
        _ wanted: [String: [UInt8]]
    ) throws -> String? {
        let path = try begin(test, "kill-\(call)")
        defer { try? FileManager.default.removeItem(atPath: path) }
        let killed = try Tool.run(
            list: arguments, in: path, environment: ["LD_PRELOAD": library, "FAULT_KILL_AT": "\(call)"])
        guard killed.code == -SIGKILL else { return "it ended with \(killed.code): \(killed.errors)" }
        let present = output(try snapshot(path))
        guard present.isEmpty || present == old || present == output(wanted) else {
            return "the output is torn: \(present.keys.sorted())"
        }
        let names = Set(try snapshot(path).keys)
        if names.contains("r.json"), !names.contains("r.html") { return "there is a report's data without its page" }
        // A run that was to replace something goes on without being told so again, once it has noted it.
        let plain = arguments.filter { $0 != "--force" }
        var again = try Tool.run(list: plain + [test.resumes ? "--resume" : "--force"], in: path)
        if again.code == 2, test.replaces, present == old {
            again = try Tool.run(list: arguments + ["--resume"], in: path)
        }
        guard again.code == 0 else { return "the second run ended with \(again.code): \(again.errors)" }
        let found = try snapshot(path)
        let other = Set(found.keys).union(wanted.keys).filter { found[$0] != wanted[$0] }
        return other.isEmpty ? nil : "these differ after the second run: \(other.sorted())"
    }

    @Test(
        "Without flock a file stands for the lock: one of a process that is gone is taken over, another host's is believed"
    )
    func withoutFlock() throws {
        guard let library else { return }
        let arguments = ["upcycle", "-e", "2", Fixtures.model("mistral"), "-q", "-o"]
        let environment = ["LD_PRELOAD": library, "FAULT_NO_FLOCK": "1"]
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, 255)
        let name = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        for (owner, code) in [("elsewhere 1 1", 2), ("\(name) 4194305 1", 0)] as [(String, Int32)] {
            let work = folder.path + "/.out.moe-tool-partial"
            try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: false)
            try Data(owner.utf8).write(to: URL(fileURLWithPath: work + "/lock.owner"))
            let result = try Tool.run(list: arguments + [folder.path + "/out"], environment: environment)
            #expect(result.code == code, "\(owner): \(result.errors)")
            try? FileManager.default.removeItem(atPath: work)
        }
        #expect(!folder.names.contains { $0.hasPrefix(".") }, "\(folder.names)")
    }

    @Test(
        "A failing disk is an error wherever it is read, and never a fact about a file",
        arguments: ["readdir", "pread", "lstat", "stat", "realpath", "openread"])
    func failingReads(_ call: String) throws {
        guard let library else { return }
        let output = folder.path + "/out"
        let made = try Tool.run("upcycle", "-e", "2", Fixtures.model("mistral"), "-o", output, "-q")
        #expect(made.code == 0, "\(made.errors)")
        for arguments in [
            ["convert", output, "-o", folder.path + "/copy", "-q"], ["inspect", output, "-q"],
            ["compare", Fixtures.model("mistral"), output, "-q"],
            ["merge", Fixtures.model("mistral"), Fixtures.model("mistral"), "-o", folder.path + "/copy", "-q"],
        ] {
            for number in 1...400 {
                let mark = folder.path + "/mark"
                for name in ["/copy", "/.copy.moe-tool-partial"] {
                    try? FileManager.default.removeItem(atPath: folder.path + name)
                }
                let result = try Tool.run(
                    list: arguments,
                    environment: [
                        "LD_PRELOAD": library, "FAULT_FAIL": "\(call):\(number):5", "FAULT_MARK": mark,
                    ])
                guard FileManager.default.fileExists(atPath: mark) else { break }
                try FileManager.default.removeItem(atPath: mark)
                let isCleanUp = result.code == 0 && result.errors.contains("is complete, and what is left")
                #expect(
                    result.code == 5 || isCleanUp,
                    "\(arguments[0]), \(call) \(number): \(result.code) \(result.errors)")
            }
        }
    }

    @Test("A page and its data are both there or both as they were, whichever rename fails", arguments: [false, true])
    func failingPair(_ replaces: Bool) throws {
        guard let library else { return }
        let (page, data) = (folder.path + "/r.html", folder.path + "/r.json")
        /// Whose report a file is.
        func model(_ path: String) throws -> String? {
            guard let bytes = try? contents(path) else { return nil }
            let text = String(decoding: bytes, as: UTF8.self)
            return ["models/mistral", "models/mixtral"].first { text.contains($0) }
        }
        func inspect(_ name: String, _ options: [String], _ environment: [String: String] = [:]) throws -> Tool.Result {
            try Tool.run(
                list: ["inspect", Fixtures.model(name), "--report", page, "-q"] + options, environment: environment)
        }
        var failures = 0
        for number in 1...20 {
            for path in [page, data] { try? FileManager.default.removeItem(atPath: path) }
            if replaces { #expect(try inspect("mistral", []).code == 0) }
            let mark = folder.path + "/count"
            let result = try inspect(
                "mixtral", replaces ? ["--force"] : [],
                ["LD_PRELOAD": library, "FAULT_FAIL": "rename:\(number):5", "FAULT_COUNT": mark])
            #expect(result.code == 0 || result.code == 5, "\(number): \(result.errors)")
            let old = replaces ? "models/mistral" : nil
            let expected = result.code == 0 ? "models/mixtral" : old
            #expect(try model(page) == expected && model(data) == expected, "\(number): \(result.errors)")
            #expect(!folder.names.contains { $0.hasPrefix(".") }, "\(folder.names)")
            failures += result.code == 0 ? 0 : 1
        }
        #expect(failures >= 2)
    }

    @Test("What cannot be cleaned up after the result is in place is a warning, and the end is 0")
    func failingCleanUp() throws {
        guard let library else { return }
        // The first folder that is removed is that of the work.
        let result = try Tool.run(
            list: ["upcycle", "-e", "2", Fixtures.model("mistral"), "-o", folder.path + "/out"],
            environment: ["LD_PRELOAD": library, "FAULT_FAIL": "rmdir:1:5"])
        #expect(result.code == 0 && result.errors.contains("is complete"), "\(result.errors)")
        #expect(folder.names.contains("out") && folder.names.contains(".out.moe-tool-partial"))
        let again = try Tool.run(
            "upcycle", "-e", "2", Fixtures.model("mistral"), "-o", folder.path + "/out", "--resume", "-q")
        #expect(again.code == 0, "\(again.errors)")
        #expect(!folder.names.contains { $0.hasPrefix(".") }, "\(folder.names)")
    }
}
