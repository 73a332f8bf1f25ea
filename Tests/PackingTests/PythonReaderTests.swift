import Foundation
import Packing
import Safetensors
import TestSupport
import Testing

/// The reader in `Formats/mtz.md` is another implementation of the format: it must give back what was packed.
@Suite(.enabled("a Python with the package zstandard, in $PYTHON or on the path", { Python.interpreter != nil }))
struct PythonReaderTests {
    @Test func theReaderOfTheSpecificationGivesTheOriginalBack() throws {
        let folder = try TemporaryFolder()
        let page = String(decoding: try contents(Fixtures.file("../../Formats/mtz.md")), as: UTF8.self)
        let program = try #require(page.components(separatedBy: "```python\n").dropFirst().first)
        let script = try folder.write("mtz.py", Array(try #require(program.components(separatedBy: "```").first).utf8))

        let base = normalValues(count: 150_000, seed: 21)
        let near = zip(base, normalValues(count: 150_000, seed: 22)).map { $0 + 0.01 * $1 }
        let shape = try Shape([150_000])
        let plain = folder.path + "/a.safetensors"
        try writeSafetensors(
            [
                ("a", .bf16, shape, bf16(base)), ("b", .bf16, shape, bf16(near)), ("again", .bf16, shape, bf16(base)),
                ("f32", .f32, try Shape([300, 100]), normalValues(count: 30_000, seed: 23).flatMap(bytes)),
                ("ids", .i64, try Shape([5]), (0..<40).map { UInt8($0) }), ("mask", .bool, try Shape([3]), [1, 0, 1]),
                ("none", .f16, try Shape([0, 4]), []),
            ], to: plain)
        let packed = try packFile(plain, to: folder.path + "/a.mtz")
        #expect(packed.directory.contents.contains { $0.base != nil })
        let out = folder.path + "/out.safetensors"
        let (status, message) = try Python.run([script, packed.path, out])
        #expect(status == 0, "\(message)")
        #expect(try contents(out) == contents(plain))
    }

    private func bytes(_ value: Float) -> [UInt8] { withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) } }
}

enum Python {
    /// One that can import zstandard.
    static let interpreter: String? = {
        let named = ProcessInfo.processInfo.environment["PYTHON"]
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let found = path.split(separator: ":").map { "\($0)/python3" }
        return (([named].compactMap { $0 }) + found).first { candidate in
            FileManager.default.isExecutableFile(atPath: candidate)
                && (try? run(["-c", "import zstandard"], with: candidate).status) == 0
        }
    }()

    static func run(_ arguments: [String], with program: String? = interpreter) throws -> (status: Int32, text: String)
    {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program ?? "/usr/bin/python3")
        process.arguments = arguments
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = pipe
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: data, as: UTF8.self))
    }
}
