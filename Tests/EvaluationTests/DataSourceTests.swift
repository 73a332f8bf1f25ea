import Checkpoints
import Evaluation
import Foundation
import Safetensors
import TestSupport
import Testing

@Suite("Data sources")
struct DataSourceTests {
    private func refused(_ arguments: String...) -> CheckpointError? {
        refusal { try DataSource.parse(arguments) }
    }

    @Test("A name and a path, with the dtype of tokens where it is said")
    func named() throws {
        #expect(
            try DataSource.parse(["code=a/b=c.jsonl", "law=d:uint32"]) == [
                DataSource(name: "code", path: "a/b=c.jsonl"), DataSource(name: "law", path: "d", tokens: .uint32),
            ])
        #expect(refused("=x")?.code == .usage)
        #expect(refused("x=")?.code == .usage)
        #expect(refused("a=x", "a=y")?.message.contains("two domains are named a") == true)
    }

    @Test("The entries of a folder are the domains, named up to the first dot")
    func folder() throws {
        let folder = try TemporaryFolder()
        for name in ["python.heldout.jsonl.zst", "law.txt", "tokens.bin", ".hidden", "README.md"] {
            try folder.write(name, [1])
        }
        try FileManager.default.createDirectory(atPath: folder.path + "/a.folder", withIntermediateDirectories: true)
        let sources = try DataSource.parse([folder.path + "/:uint16"])
        #expect(sources.map(\.name) == ["a.folder", "law", "python", "tokens"])
        #expect(sources[1].path == folder.path + "/law.txt")
        #expect(sources.map(\.tokens) == [.uint16, nil, nil, .uint16])
        let file = try DataSource.parse([folder.path + "/python.heldout.jsonl.zst"])
        #expect(file.map(\.name) == ["python"])
        try folder.write("law.train.jsonl", [1])
        #expect(refused(folder.path)?.code == .usage)
    }

    @Test("What is not there, empty or of no kind is refused")
    func refusals() throws {
        let folder = try TemporaryFolder()
        #expect(refused(folder.path)?.code == .usage)
        #expect(refused(folder.path + "/nothing")?.code == .io)
        try folder.write("a.jsonl.gz", [1])
        #expect(refused(folder.path)?.code == .usage)
        #expect(refused(folder.path)?.message.contains("zstd") == true)
    }

    @Test("A file's kind and the dtype of its tokens must be known")
    func kinds() throws {
        let folder = try TemporaryFolder()
        func refused(_ source: DataSource) -> CheckpointError? {
            refusal { try DocumentReader(source, options: DataOptions()) }
        }
        for name in ["a.gz", "a.parquet", "a", "a.json", "a.bin.zst", "a.zst"] {
            let path = try folder.write(name, [1])
            #expect(refused(DataSource(name: "a", path: path))?.code == .usage, "\(name)")
        }
        let tokens = try folder.write("b.bin", [1, 0])
        #expect(refused(DataSource(name: "b", path: tokens))?.message.contains(":uint16") == true)
        let text = try folder.write("c.txt", [65])
        #expect(refused(DataSource(name: "c", path: text, tokens: .uint16))?.code == .usage)
    }

    @Test("Folders are read recursively, by the bytes of the paths; links in a circle are refused")
    func recursion() throws {
        let folder = try TemporaryFolder()
        for name in ["b", "a", "a/z"] {
            try FileManager.default.createDirectory(
                atPath: folder.path + "/" + name, withIntermediateDirectories: true)
        }
        // "-" (0x2D) and "." (0x2E) come before "/" (0x2F).
        for name in ["b/1.txt", "a/2.txt", "a/z/1.txt", "a-x.txt", "a.txt", "a/.hidden.txt", "a/README"] {
            try folder.write(name, Array(name.utf8))
        }
        let source = DataSource(name: "all", path: folder.path)
        let reader = try DocumentReader(source, options: DataOptions())
        var texts: [String] = []
        while let document = try reader.next() { texts.append(String(decoding: document.text, as: UTF8.self)) }
        #expect(texts == ["a-x.txt", "a.txt", "a/2.txt", "a/z/1.txt", "b/1.txt"])

        try FileManager.default.createSymbolicLink(atPath: folder.path + "/a/up", withDestinationPath: folder.path)
        let error = refusal { try DocumentReader(source, options: DataOptions()) }
        #expect(error?.code == .incompatible)
    }
}
