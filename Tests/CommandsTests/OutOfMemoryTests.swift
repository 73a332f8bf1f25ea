import Foundation
import Glibc
import TestSupport
import Testing

/// Where the address space is used up, every command ends with a message and 70, and what it was to write is not there.
@Suite(.serialized) struct OutOfMemoryTests {
    private let folder: TemporaryFolder
    private let mixture: String
    private let text: String
    private let tokens: String
    private let other: String
    private let packed: String

    init() throws {
        folder = try TemporaryFolder()
        other = try folder.copy(Seed.path, as: "other")
        mixture = Fixtures.model("mixtral")
        // Ids of the mixture's vocabulary of 96.
        tokens = try folder.write("tokens.bin", (0..<20_000).flatMap { [UInt8($0 * 7 % 96), 0] })
        packed = folder.path + "/packed"
        #expect(try Tool.run("convert", "--pack", Seed.path, "-o", packed, "-q").code == 0)
        text = try folder.write("text.txt", Array(String(repeating: "Some words to read. ", count: 2000).utf8))
    }

    /// KiB that the process may map: too little to begin with, for a product of matrices, for a second thread's, and for
    /// all but the largest pieces.
    private static let limits = [150_000, 225_000, 300_000, 450_000, 700_000]

    private static let commands: [[String]] = [
        ["inspect", "MODEL"],
        ["convert", "MODEL", "--dtype", "F32", "-o", "out", "--verify"],
        ["upcycle", "MODEL", "-e", "4", "-o", "out", "--verify"],
        ["densify", "MIXTURE", "--method", "svd", "-o", "out"],
        ["densify", "MIXTURE", "--align", "permutation", "-o", "out"],
        [
            "prune", "MIXTURE", "--experts", "2", "--criterion", "reap", "--data", "TOKENS:uint16", "-o", "out",
        ],
        ["merge", "MODEL", "OTHER", "--router", "domain:a=TEXT,b=TEXT", "--domains-in-order", "-o", "out"],
        ["evaluate", "MODEL", "--data", "TEXT"],
        ["generate", "MODEL", "--prompt", "Some"],
        ["compare", "MODEL", "OTHER", "--data", "TEXT"],
        ["finetune", "MODEL", "--train", "all", "--data", "TEXT", "--steps", "2", "-o", "out"],
        ["train", "--preset", "tiny", "--tokenizer", "bytes", "--data", "TEXT", "--steps", "2", "-o", "out"],
        ["plan", "optimal", "--flops", "1e20"],
        ["convert", "--pack", "MODEL", "-o", "out"],
        ["convert", "--zstd", "MODEL", "-o", "out"],
        ["tokenizer", "train", "--data", "TEXT", "--vocab-size", "300", "-o", "out"],
        ["convert", "--unpack", "PACKED", "-o", "out"],
        ["evaluate", "PACKED", "--data", "TEXT"],
    ]

    /// Runs a command within a limit in KiB, and ends it where it does not end.
    ///
    /// - Parameter delay: microseconds after which it is sent a signal, and must end.
    private func run(
        _ arguments: [String], limit: String, delay: UInt32? = nil
    ) throws -> (code: Int32, isEnded: Bool, errors: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", "ulimit -v \(limit); exec \"$0\" \"$@\"", Tool.path] + arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder.path)
        let errors = Pipe()
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        process.standardError = errors
        try process.run()
        let id = process.processIdentifier
        let watch = DispatchWorkItem { kill(id, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + 60, execute: watch)
        if let delay {
            usleep(delay)
            kill(id, SIGTERM)
            let late = DispatchWorkItem { kill(id, SIGKILL) }
            DispatchQueue.global().asyncAfter(deadline: .now() + 10, execute: late)
            defer { late.cancel() }
            _ = errors.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            watch.cancel()
            return (process.terminationStatus, process.terminationReason == .exit, "")
        }
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        watch.cancel()
        return (process.terminationStatus, process.terminationReason == .exit, text)
    }

    private func list(_ command: [String]) -> [String] {
        command.map { argument in
            argument.replacingOccurrences(of: "MODEL", with: Seed.path)
                .replacingOccurrences(of: "MIXTURE", with: mixture).replacingOccurrences(of: "TEXT", with: text)
                .replacingOccurrences(of: "TOKENS", with: tokens)
                .replacingOccurrences(of: "OTHER", with: other).replacingOccurrences(of: "PACKED", with: packed)
        }
    }

    private func clean() throws {
        for name in folder.names where !["other", "packed", "text.txt", "tokens.bin"].contains(name) {
            try FileManager.default.removeItem(atPath: folder.path + "/" + name)
        }
    }

    @Test("One SIGTERM ends it, wherever memory ran out", arguments: OutOfMemoryTests.commands)
    func oneSignalEnds(_ command: [String]) throws {
        for (limit, delay) in zip(Self.limits, [30_000, 100_000, 150_000, 200_000, 250_000] as [UInt32]) {
            try clean()
            let (code, isEnded, _) = try run(list(command), limit: String(limit), delay: delay)
            // Killed by the signal itself, before there was a handler, or told of it.
            #expect(isEnded || code == SIGTERM, "\(limit) KiB, \(delay): \(code)")
            if isEnded, code != 0 { #expect([70, 127, 143].contains(code), "\(limit) KiB, \(delay): \(code)") }
        }
    }

    @Test(arguments: OutOfMemoryTests.commands)
    func everyCommandEnds(_ command: [String]) throws {
        let arguments = list(command)
        for limit in ["unlimited"] + Self.limits.map(String.init) {
            try clean()
            let (code, isEnded, errors) = try run(arguments, limit: limit)
            // Less than the libraries take is the system's to say.
            if code == 127, errors.contains("shared libraries") { continue }
            #expect(isEnded && (code == 0 || code == 70 && limit != "unlimited"), "\(limit) KiB: \(code), \(errors)")
            if code == 70 { #expect(errors.contains("out of memory"), "\(limit) KiB: \(errors)") }
            if code != 0 { #expect(!folder.names.contains("out"), "\(limit) KiB") }
        }
    }
}
