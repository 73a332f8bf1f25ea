import Foundation
import TestSupport
import Testing

/// Runs under `ulimit -n`: files are read and written with the descriptors there are.
@Suite("Few descriptors")
struct DescriptorTests {
    private let folder: TemporaryFolder
    private let shards: String

    init() throws {
        folder = try TemporaryFolder()
        shards = folder.path + "/shards"
        let mixture = folder.path + "/mixture"
        for arguments in [
            ["upcycle", "-e", "8", Seed.path, "-o", mixture],
            ["convert", mixture, "--max-shard-size", "1kB", "-o", shards],
        ] {
            let result = try Tool.run(list: arguments + ["-q"])
            #expect(result.code == 0, "\(result.errors)")
        }
    }

    private func run(_ arguments: [String], limit: Int) throws -> (code: Int32, isTrap: Bool, errors: String) {
        let process = Process()
        let errors = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "ulimit -n \(limit); exec \"$0\" \"$@\"", Tool.path] + arguments
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, process.terminationReason != .exit, text)
    }

    @Test("A checkpoint of many shards is read and written", arguments: [20, 64])
    func shards(limit: Int) throws {
        let count = try FileManager.default.contentsOfDirectory(atPath: shards).count
        #expect(count > 121)
        let output = folder.path + "/out"
        let copy = try run(["convert", shards, "--max-shard-size", "1kB", "-o", output, "-q"], limit: limit)
        #expect(copy.code == 0, "\(copy.errors)")
        for name in try FileManager.default.contentsOfDirectory(atPath: shards) where name != "moe-tool.json" {
            #expect(try contents(output + "/" + name) == contents(shards + "/" + name), "\(name)")
        }
        for arguments in [
            ["compare", shards, output], ["inspect", shards],
            ["convert", "--pack", shards, "-o", folder.path + "/packed"],
            ["densify", shards, "-o", folder.path + "/dense"],
        ] {
            let result = try run(arguments, limit: limit)
            #expect(result.code == 0, "\(arguments[0]): \(result.errors)")
        }
    }

    @Test("Too few of them are an error that says so, and leave nothing", arguments: [4, 5, 6, 8, 12])
    func tooFew(limit: Int) throws {
        for arguments in [
            ["inspect", shards], ["convert", shards, "-o", folder.path + "/out"],
            ["convert", "--pack", shards, "-o", folder.path + "/out"],
        ] {
            let result = try run(arguments, limit: limit)
            #expect(!result.isTrap && result.code == 5, "\(arguments[0]): \(result.code) \(result.errors)")
            #expect(result.errors.contains("open files"), "\(result.errors)")
            #expect(!folder.names.contains { $0.contains("out") }, "\(folder.names)")
        }
    }
}
