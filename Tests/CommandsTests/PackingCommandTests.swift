import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("Packed checkpoints on the command line")
struct PackingCommandTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Every file of `a`, and no other, is in `b` with the same bytes.
    private func expectEqual(_ a: String, _ b: String) throws {
        let names = try FileManager.default.contentsOfDirectory(atPath: a).sorted()
        #expect(try FileManager.default.contentsOfDirectory(atPath: b).sorted() == names)
        for name in names { #expect(try contents(a + "/" + name) == contents(b + "/" + name), "\(name)") }
    }

    @Test("Pack and unpack give the same folder", arguments: Fixtures.dense + Fixtures.mixtures)
    func roundTrip(name: String) throws {
        let (packed, unpacked) = (folder.path + "/packed", folder.path + "/unpacked")
        let made = try Tool.run("convert", "--pack", Fixtures.model(name), "-o", packed)
        #expect(made.code == 0, "\(made.errors)")
        #expect(try Tool.run("convert", "--unpack", packed, "-o", unpacked).code == 0)
        for file in try FileManager.default.contentsOfDirectory(atPath: unpacked) {
            #expect(try contents(unpacked + "/" + file) == contents(Fixtures.model(name) + "/" + file), "\(file)")
        }
        #expect(try Tool.run("compare", Fixtures.model(name), packed, "--exact").code == 0)
    }

    @Test("What is written packed is what is written otherwise, shard by shard")
    func upcyclePacked() throws {
        let (plain, packed) = (folder.path + "/plain", folder.path + "/packed")
        let options = ["--experts", "8", Fixtures.model("mistral"), "--max-shard-size", "100kB"]
        #expect(try Tool.run(list: ["upcycle"] + options + ["-o", plain]).code == 0)
        let made = try Tool.run(list: ["upcycle"] + options + ["-o", packed, "--pack"])
        #expect(made.code == 0, "\(made.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: packed).filter { $0.hasSuffix(".mtz") }.count > 1)
        #expect(try Tool.run("convert", "--unpack", packed, "-o", folder.path + "/unpacked").code == 0)
        try expectEqual(plain, folder.path + "/unpacked")
        // And packed again, by another way, it has the same contents.
        #expect(try Tool.run("convert", "--pack", plain, "-o", folder.path + "/again").code == 0)
        try expectEqual(packed, folder.path + "/again")
        let report = try Tool.run("inspect", "--json", packed).output
        let json = try #require(JSONSerialization.jsonObject(with: Data(report.utf8)) as? [String: Any])
        let numbers = try #require(json["packed"] as? [String: Any])
        // Of the 8 copies of gate, up and down of every layer one is unique.
        let layers = try #require(json["layers"] as? Int)
        #expect(numbers["shared_tensors"] as? Int == layers * 3 * 7)
    }

    @Test("What is computed can be written packed", arguments: ["noise:0.01", "drop:0.5"])
    func computedPacked(value: String) throws {
        let (plain, packed) = (folder.path + "/plain", folder.path + "/packed")
        let options = ["--experts", "4", Fixtures.model("mistral"), "--init", value]
        #expect(try Tool.run(list: ["upcycle"] + options + ["-o", plain]).code == 0)
        #expect(try Tool.run(list: ["upcycle"] + options + ["-o", packed, "--pack", "--verify"]).code == 0)
        #expect(try Tool.run("convert", "--unpack", packed, "-o", folder.path + "/unpacked").code == 0)
        try expectEqual(plain, folder.path + "/unpacked")
    }

    @Test("A fused layout is packed as it is written")
    func fusedPacked() throws {
        let (plain, packed) = (folder.path + "/plain", folder.path + "/packed")
        let options = ["convert", Fixtures.model("mixtral"), "--layout", "fused"]
        #expect(try Tool.run(list: options + ["-o", plain]).code == 0)
        #expect(try Tool.run(list: options + ["-o", packed, "--pack"]).code == 0)
        #expect(try Tool.run("convert", "--unpack", packed, "-o", folder.path + "/unpacked").code == 0)
        try expectEqual(plain, folder.path + "/unpacked")
    }

    @Test("A packed checkpoint is read by every command as it is")
    func packedIsRead() throws {
        let packed = folder.path + "/packed"
        #expect(try Tool.run("convert", "--pack", Fixtures.model("mistral"), "-o", packed).code == 0)
        for (output, source) in [("a", Fixtures.model("mistral")), ("b", packed)] {
            let made = try Tool.run("upcycle", "--experts", "2", source, "-o", folder.path + "/" + output)
            #expect(made.code == 0, "\(made.errors)")
        }
        #expect(
            try contents(folder.path + "/a/model.safetensors") == contents(folder.path + "/b/model.safetensors"))
    }

    @Test("A damaged file is named with its tensor, exit 6 or 3, and nothing is written")
    func damaged() throws {
        let packed = folder.path + "/packed"
        #expect(try Tool.run("convert", "--pack", Fixtures.model("mistral"), "-o", packed).code == 0)
        var bytes = try contents(packed + "/model.mtz")
        bytes[bytes.count / 2] ^= 0x55
        try folder.write("packed/model.mtz", bytes)
        let refused = try Tool.run("convert", "--unpack", packed, "-o", folder.path + "/out")
        #expect([3, 6].contains(refused.code) && refused.errors.contains("tensor "), "\(refused.errors)")
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/out"))
    }

    @Test("What cannot be is refused")
    func refusals() throws {
        let packed = folder.path + "/packed"
        #expect(try Tool.run("convert", "--pack", Fixtures.model("mistral"), "-o", packed).code == 0)
        #expect(try Tool.run("convert", "--pack", packed, "-o", folder.path + "/twice").code == 2)
        #expect(try Tool.run("convert", "--unpack", Fixtures.model("mistral"), "-o", folder.path + "/no").code == 2)
        #expect(try Tool.run("convert", "--pack", "--unpack", packed, "-o", folder.path + "/no").code == 2)
        #expect(try Tool.run("convert", "--pack", Fixtures.model("mistral"), "-o", packed).code == 2)
        _ = try folder.copy(Fixtures.model("mistral") + "/model.safetensors", as: "packed/model.safetensors")
        #expect(try Tool.run("inspect", packed).code == 3)
    }

    @Test("What --zstd writes is what zstd -d restores", .enabled(if: hasZstd))
    func seekableZstd() throws {
        let source = Fixtures.model("mixtral") + "/model.safetensors"
        let made = try Tool.run("convert", "--zstd", Fixtures.model("mixtral"), "-o", folder.path + "/z")
        #expect(made.code == 0, "\(made.errors)")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/zstd")
        process.arguments = ["-d", "-q", folder.path + "/z/model.safetensors.zst", "-o", folder.path + "/out"]
        try process.run()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try contents(folder.path + "/out") == contents(source))
    }
}

private let hasZstd = FileManager.default.isExecutableFile(atPath: "/usr/bin/zstd")
