import Checkpoints
import Foundation
import Safetensors
import Synchronization
import TestSupport
import Testing

@Suite("The writer")
struct WriterTests {
    private let folder: TemporaryFolder
    private var output: String { folder.path + "/out" }

    init() throws { folder = try TemporaryFolder() }

    private func options(_ change: (inout WriteOptions) -> Void = { _ in }) -> WriteOptions {
        var options = WriteOptions()
        options.threads = 1
        change(&options)
        return options
    }

    /// All files of a folder and their bytes.
    private func snapshot(_ path: String) throws -> [String: [UInt8]] {
        var result: [String: [UInt8]] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: path) {
            result[name] = try contents(path + "/" + name)
        }
        return result
    }

    @Test("The bytes do not depend on threads or memory, and nothing is left beside the output")
    func deterministic() async throws {
        let source = try Checkpoint(at: Fixtures.model("gpt-oss")).converted(to: .bf16)
        try await source.write(to: output, options: options())
        try await source.write(
            to: folder.path + "/two",
            options: options {
                $0.threads = 2
                $0.memory = 96 << 20
            })
        #expect(try snapshot(output) == snapshot(folder.path + "/two"))
        #expect(folder.names == ["out", "two"])
    }

    @Test("Shards are cut, indexed and read back")
    func shards() async throws {
        let source = try Checkpoint(at: Fixtures.model("mixtral"))
        try await source.write(to: output, options: options { $0.shardLimit = 50_000 })
        let names = try FileManager.default.contentsOfDirectory(atPath: output)
        #expect(names.contains("model.safetensors.index.json"))
        #expect(names.filter { $0.hasSuffix(".safetensors") }.count >= 4)
        let (a, b) = (try NamedTensors(at: output), try NamedTensors(at: Fixtures.model("mixtral")))
        let results = try await Comparison.byName(a, b, threads: 2) { false }
        #expect(results.count == b.names.count)
        let identical = results.filter(\.isIdentical).count
        #expect(identical == results.count)
    }

    @Test("What exists is not overwritten without being asked, and then replaced whole")
    func overwrite() async throws {
        let source = try Checkpoint(at: Fixtures.model("llama"))
        try await source.write(to: output, options: options())
        let error = await #expect(throws: CheckpointError.self) {
            try await source.write(to: output, options: options())
        }
        #expect(error?.code == .usage)
        #expect(error?.message.contains("`overwrite`") == true)
        try await Checkpoint(at: Fixtures.model("qwen3")).write(to: output, options: options { $0.overwrite = true })
        #expect(try Checkpoint(at: output).description.architecture.modelType == "qwen3")
        #expect(folder.names == ["out"])
        // A folder that is not a checkpoint is not ours to remove.
        let precious = folder.path + "/precious"
        try FileManager.default.createDirectory(atPath: precious, withIntermediateDirectories: false)
        try folder.write("precious/thesis.tex", [1])
        await #expect(throws: CheckpointError.self) {
            try await source.write(to: precious, options: options { $0.overwrite = true })
        }
        #expect(try contents(precious + "/thesis.tex") == [1])
    }

    @Test("The output may not be the source, in it, or around it")
    func overlap() async throws {
        let input = try folder.copy(Fixtures.model("llama"), as: "in")
        let source = try Checkpoint(at: input)
        try FileManager.default.createSymbolicLink(atPath: folder.path + "/link", withDestinationPath: input)
        for target in [input, input + "/inner", folder.path, folder.path + "/link/inner"] {
            let error = await #expect(throws: CheckpointError.self) {
                try await source.write(to: target, options: options { $0.overwrite = true })
            }
            #expect(error?.code == .usage)
        }
        #expect(try contents(input + "/model.safetensors") == contents(Fixtures.model("llama") + "/model.safetensors"))
    }

    @Test("An interrupted run leaves its work, names both ways on, and resumes to the same bytes")
    func resume() async throws {
        let source = try Checkpoint(at: Fixtures.model("mixtral"))
        try await source.write(to: folder.path + "/whole", options: options())
        let asked = Mutex(0)
        let error = await #expect(throws: CheckpointError.self) {
            try await source.write(
                to: output,
                options: options { options in
                    options.isCancelled = {
                        asked.withLock {
                            $0 += 1
                            return $0 > 20
                        }
                    }
                })
        }
        #expect(error?.code == .cancelled)
        #expect(folder.names == [".out.moe-tool-partial", "whole"])
        let plain = await #expect(throws: CheckpointError.self) {
            try await source.write(to: output, options: options())
        }
        #expect(plain?.message.contains("`resume`") == true && plain?.message.contains("`overwrite`") == true)
        // Other options make other bytes: that work cannot be continued.
        let other = await #expect(throws: CheckpointError.self) {
            try await source.converted(to: .bf16).write(to: output, options: options { $0.resume = true })
        }
        #expect(other?.message.contains("`overwrite`") == true)
        try await source.write(to: output, options: options { $0.resume = true })
        #expect(try snapshot(output) == snapshot(folder.path + "/whole"))
        #expect(folder.names == ["out", "whole"])
    }

    @Test("Ranges that the journal names are not written again")
    func journalled() async throws {
        let source = try Checkpoint(at: Fixtures.model("mixtral"))
        try await source.write(to: folder.path + "/whole", options: options())
        let asked = Mutex(0)
        _ = try? await source.write(
            to: output,
            options: options { options in
                options.isCancelled = {
                    asked.withLock {
                        $0 += 1
                        return $0 > 20
                    }
                }
            })
        // As if the whole file had been synced: with the true bytes of one half and zeros in the other.
        let partial = folder.path + "/.out.moe-tool-partial"
        let size = try contents(folder.path + "/whole/model.safetensors").count
        var bytes = try contents(folder.path + "/whole/model.safetensors")
        let last = try #require(try SafetensorsFile(path: folder.path + "/whole/model.safetensors").header.tensors.last)
        for index in (size - (last.end - last.begin))..<size { bytes[index] = 0 }
        try Data(bytes).write(to: URL(fileURLWithPath: partial + "/checkpoint/model.safetensors"))
        let journal = try FileHandle(forWritingTo: URL(fileURLWithPath: partial + "/journal"))
        try journal.seekToEnd()
        try journal.write(contentsOf: Data("model.safetensors 0 \(size)\nmodel.safeten".utf8))
        try journal.close()
        let report = try await source.write(to: output, options: options { $0.resume = true })
        #expect(report.resumedBytes == size)
        #expect(try contents(output + "/model.safetensors") == bytes, "what was journalled was believed")
    }

    @Test("Two runs on one output: the second fails at once")
    func locked() async throws {
        let source = try Checkpoint(at: Fixtures.model("llama"))
        let work = try WorkFolder(output: output, overwrite: false, resume: false)
        let error = await #expect(throws: CheckpointError.self) {
            try await source.write(to: output, options: options())
        }
        #expect(error?.message.contains("another run") == true)
        try withExtendedLifetime(work) { try work.remove() }
        try await source.write(to: output, options: options())
    }

    @Test("A source that changes while it is read is noticed")
    func changed() async throws {
        let input = try folder.copy(Fixtures.model("llama"), as: "in")
        let source = try Checkpoint(at: input)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: input + "/model.safetensors"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data([0]))
        try handle.close()
        let error = await #expect(throws: SafetensorsError.self) {
            try await source.write(to: output, options: options())
        }
        #expect(error?.message.contains("changed") == true)
        #expect(!folder.names.contains("out"))
    }

    @Test("Verification reads every byte back")
    func verify() async throws {
        try await Checkpoint(at: Fixtures.model("qwen3-moe")).write(to: output, options: options { $0.verify = true })
        #expect(
            try contents(output + "/model.safetensors") == contents(Fixtures.model("qwen3-moe") + "/model.safetensors"))
    }

    @Test("Values too large for the dtype stop the run and leave nothing")
    func overflow() async throws {
        let input = try folder.copy(Fixtures.model("llama"), as: "in")
        try poison(input, "model.norm.weight", Float(1e6))
        let narrow = try Checkpoint(at: input).converted(to: .f16)
        let error = await #expect(throws: CheckpointError.self) {
            try await narrow.write(to: output, options: options())
        }
        #expect(error?.code == .incompatible && error?.tensor == "model.norm.weight")
        #expect(folder.names == ["in"])
        try await narrow.write(to: output, options: options { $0.allowOverflow = true })
        let half = try SafetensorsFile(path: output + "/model.safetensors").bytes("model.norm.weight")
        #expect(half.prefix(2) == [0x00, 0x7C], "infinity")
    }

    @Test("NaN is copied with a warning, and not computed with unless asked")
    func nonfinite() async throws {
        let input = try folder.copy(Fixtures.model("llama"), as: "in")
        try poison(input, "model.norm.weight", .nan)
        let source = try Checkpoint(at: input)
        let report = try await source.write(to: output, options: options())
        #expect(report.warnings.contains { $0.contains("model.norm.weight: 1 values") })
        let error = await #expect(throws: CheckpointError.self) {
            try await source.converted(to: .bf16).write(to: folder.path + "/b", options: options())
        }
        #expect(error?.code == .incompatible)
        try await source.converted(to: .bf16).write(
            to: folder.path + "/b", options: options { $0.allowNonfinite = true })
    }

    /// Sets the first value of an F32 tensor.
    private func poison(_ model: String, _ name: String, _ value: Float) throws {
        let path = model + "/model.safetensors"
        let file = try SafetensorsFile(path: path)
        let info = try #require(file.info(name))
        var bytes = try contents(path)
        for (index, byte) in withUnsafeBytes(of: value.bitPattern.littleEndian, Array.init).enumerated() {
            bytes[file.header.dataOffset + info.begin + index] = byte
        }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test("A path that cannot be written fails before any work")
    func unwritable() async throws {
        let source = try Checkpoint(at: Fixtures.model("llama"))
        for target in [folder.path + "/missing/out", "/proc/out"] {
            await #expect(throws: (any Error).self) { try await source.write(to: target, options: options()) }
        }
    }
}

@Suite("Sets of byte ranges")
struct ByteRangesTests {
    @Test("Against a set of integers")
    func random() {
        var generator = SeededGenerator(seed: 3)
        for _ in 0..<200 {
            var ranges = ByteRanges()
            var reference: Set<Int> = []
            for _ in 0..<20 {
                let start = Int.random(in: 0..<60, using: &generator)
                let range = start..<start + Int.random(in: 0..<8, using: &generator)
                ranges.insert(range)
                reference.formUnion(range)
            }
            #expect(ranges.count == reference.count)
            for start in 0..<68 {
                for end in start...68 {
                    #expect(ranges.contains(start..<end) == (start..<end).allSatisfy(reference.contains))
                }
            }
        }
    }
}
