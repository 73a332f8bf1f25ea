import Foundation
import Glibc
import Safetensors
import TestSupport
import Testing

/// What people see: lines that fit their terminal, errors that name what was meant, and JSON where it is asked for.
@Suite struct TerminalTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Runs the program on a terminal of so many columns, and answers with all that it printed there.
    private func onTerminal(columns: UInt16, _ arguments: [String]) throws -> (code: Int32, text: String) {
        var (parent, child): (Int32, Int32) = (0, 0)
        var size = winsize(ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        try #require(openpty(&parent, &child, nil, nil, &size) == 0)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Tool.path)
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        let terminal = FileHandle(fileDescriptor: child, closeOnDealloc: false)
        process.standardOutput = terminal
        process.standardError = terminal
        process.standardInput = FileHandle.nullDevice
        try process.run()
        close(child)
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(parent, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes += buffer[0..<count]
        }
        close(parent)
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: bytes, as: UTF8.self))
    }

    /// What stands on a line of the terminal at any time: a redrawn line begins anew.
    private func lines(_ text: String) -> [String] {
        text.replacingOccurrences(of: "\r\n", with: "\n").replacingOccurrences(of: "\u{1B}[2K", with: "")
            .components(separatedBy: CharacterSet(charactersIn: "\r\n"))
    }

    @Test("Progress and tables stay within the terminal", arguments: [40, 60, 80, 100] as [UInt16])
    func widths(_ columns: UInt16) throws {
        let long = "a-model-with-a-rather-long-name-as-models-have-them-these-days"
        let made = try Tool.run("upcycle", "-e", "2", Seed.path, "-o", folder.path + "/" + long)
        #expect(made.code == 0, "\(made.errors)")
        var data: [String] = []
        for name in ["law", "code", "manuals", "novels", "letters"] {
            let path = try folder.write(
                "\(name).txt", Array(String(repeating: "Some words of \(name) to read. ", count: 300).utf8))
            data += ["--data", path]
        }
        let result = try onTerminal(columns: columns, ["evaluate", long, "--length", "64"] + data)
        #expect(result.code == 0, "\(result.text)")
        let all = lines(result.text)
        let progress = all.filter { $0.contains("%  ") && !$0.contains("(") }
        #expect(!progress.isEmpty)
        for line in progress { #expect(line.count < Int(columns), "\(line)") }
        #expect(columns < 80 || progress.contains { $0.hasSuffix(" left") }, "the time left is not cut")
        let table = all.drop { !$0.contains("load CV") }.prefix { !$0.hasPrefix("Report") }
        #expect(!table.isEmpty)
        for line in table { #expect(line.count <= Int(columns), "\(line)") }
        let words = all.joined(separator: " ")
        for name in ["law", "code", "manuals", "novels", "letters"] { #expect(words.contains("top of \(name)")) }
    }

    @Test(
        "A mistyped name gets the nearest one, an option of another command that command",
        arguments: [
            (["upcycel", "x"], "did you mean upcycle?"),
            (["upcycle", "--expert", "8", "x"], "did you mean --experts?"),
            (["plan", "los"], "did you mean loss?"), (["tokenizer", "encod", "x"], "did you mean encode?"),
            (["inspect", "--tensor", "x"], "did you mean --tensors?"),
            (["prune", "--exprts", "2", "x"], "did you mean --experts?"),
            (["inspect", "--seed", "1", "x"], "inspect has no option --seed: it is one of upcycle"),
            (["frobnicate"], "it has upcycle"),
            (["inspect", "--frobnicate", "x"], "inspect has no option --frobnicate\n"),
        ])
    func names(_ arguments: [String], _ expected: String) throws {
        let result = try Tool.run(list: arguments)
        #expect(result.code == 2)
        #expect(result.errors.hasPrefix("moe-tool: "), "\(result.errors)")
        #expect(result.errors.contains(expected), "\(result.errors)")
        #expect(result.output.isEmpty)
    }

    @Test("Every error has the one prefix, and with --json is a document")
    func errors() throws {
        _ = try folder.write("x.safetensors", Array("no".utf8))
        for (arguments, code, name) in [
            (["inspect", "x.safetensors"], 3, "malformed"), (["inspect", "absent"], 5, "io"),
            (["upcycle", "-e", "2", Fixtures.model("mixtral"), "-o", "out"], 4, "incompatible"),
            (["merge", Seed.path, "-o", "out"], 2, "usage"), (["upcycle", Seed.path, "-o", "out"], 2, "usage"),
            (["upcycle", "-e", "2", Seed.path, "-o", "no/such/folder"], 5, "io"),
        ] as [([String], Int, String)] {
            let plain = try Tool.run(list: arguments, in: folder.path)
            #expect(Int(plain.code) == code, "\(arguments): \(plain.errors)")
            #expect(plain.errors.hasPrefix("moe-tool: ") && plain.output.isEmpty, "\(plain.errors)")
            let json = try Tool.run(list: arguments + ["--json"], in: folder.path)
            #expect(Int(json.code) == code)
            let error = try JSON(parsing: Array(json.output.utf8), file: "output").object?["error"]?.object
            #expect(error?["exit_code"]?.int == code && error?["name"]?.string == name, "\(json.output)")
            #expect(error?["message"]?.string?.isEmpty == false)
        }
        #expect(try Tool.run("merge", Seed.path).errors.contains("two models"))
        #expect(
            try Tool.run("upcycle", "-e", "2", Seed.path, "-o", folder.path + "/no/such/folder").errors.contains(
                "make it first"))
    }

    @Test("Who reads only the first line ends the program silently")
    func closedPipe() throws {
        for line in ["inspect --tensors", "plan loss -N 1e9 -D 1e10 -E 8"] {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/bash")
            let model = line.hasPrefix("inspect") ? "'\(Seed.path)'" : ""
            process.arguments = [
                "-c", "exec 3>&1; { '\(Tool.path)' \(line) \(model); echo $? >&3; } | head -c 1 >/dev/null",
            ]
            let (output, errors) = (Pipe(), Pipe())
            process.standardOutput = output
            process.standardError = errors
            try process.run()
            let code = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
            process.waitUntilExit()
            #expect(text.isEmpty, "\(text)")
            #expect(code == "0\n" || code == "141\n")
        }
    }

    @Test("Long helps begin with the usual options, and lose none")
    func help() throws {
        for command in ["upcycle", "merge", "densify", "prune", "finetune", "train", "distill", "evaluate"] {
            let text = try Tool.run(command, "--help").output
            let sections = text.components(separatedBy: "\n").filter {
                $0.hasSuffix(":") && $0 == $0.uppercased() && !$0.hasPrefix(" ")
            }
            #expect(sections.first == "ARGUMENTS:" || sections.first == "OPTIONS:", "\(command): \(sections)")
            #expect(sections.count > 4, "\(command): \(sections)")
            let start = try #require(text.range(of: "\nOPTIONS:\n"))
            let usual = text[start.upperBound...].components(separatedBy: "\n\n")[0]
            #expect(usual.components(separatedBy: "\n").count { $0.hasPrefix("  -") } <= 10)
            let dump = try Tool.run("--experimental-dump-help").output
            let all =
                try JSON(parsing: Array(dump.utf8), file: "dump").object?["command"]?.object?["subcommands"]?.array
                ?? []
            let own = all.compactMap(\.object).first { $0["commandName"]?.string == command }
            for argument in (own?["arguments"]?.array ?? []).compactMap(\.object)
            where argument["kind"]?.string != "positional" {
                let name = argument["preferredName"]?.object?["name"]?.string ?? ""
                #expect(text.contains((name.count > 1 ? "--" : "-") + name), "\(command) --\(name)")
            }
        }
    }
}
