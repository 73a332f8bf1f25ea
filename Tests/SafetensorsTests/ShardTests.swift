import Glibc
import Safetensors
import TestSupport
import Testing

@Suite("Shards and index")
struct ShardTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func tensor(_ name: String, in file: String) throws {
        try writeSafetensors([(name, .u8, try Shape([1]), [1])], to: folder.path + "/" + file)
    }

    private func index(_ text: String) throws { try folder.write(ShardIndex.fileName, Array(text.utf8)) }

    private func refusal() -> SafetensorsError? {
        do throws(SafetensorsError) {
            _ = try ShardedTensors(opening: folder.path)
            return nil
        } catch {
            return error
        }
    }

    @Test(
        "A weight_map value is one path component with the right extension",
        arguments: [
            "../x.safetensors", "/etc/passwd", "a/b.safetensors", "C:\\\\x.safetensors", "x.bin", "", "..",
            "a\\u0000.safetensors",
        ])
    func unsafeNames(_ name: String) throws {
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"\(name)\"}}")
        let error = try #require(refusal())
        #expect(error.code == .unsafePath)
        #expect(error.description.contains("not opened"))
    }

    @Test(
        "What is not an index is refused",
        arguments: [
            "[]", "{}", "{\"weight_map\":[]}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{}}",
            "{\"weight_map\":{\"a\":\"x.safetensors\",\"a\":\"x.safetensors\"}}",
        ])
    func malformed(_ text: String) throws {
        try index(text)
        #expect(refusal()?.code == .malformed)
    }

    @Test("All missing shards are listed")
    func missing() throws {
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}")
        let error = try #require(refusal())
        #expect(error.code == .missing)
        #expect(error.description.contains("one.safetensors, two.safetensors"))
    }

    @Test("What the files have beside the index is refused, what they lack is said")
    func disagreement() throws {
        try tensor("a", in: "one.safetensors")
        try index("{\"metadata\":{},\"weight_map\":{\"b\":\"one.safetensors\"}}")
        #expect(try #require(refusal()).description.contains("(a)"))
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"one.safetensors\"}}")
        let tensors = try ShardedTensors(opening: folder.path)
        #expect(tensors.names == ["a"])
        #expect(tensors.absent == ["b"])
        #expect(tensors.warnings.contains { $0.contains("in no file (b)") })
        try tensor("c", in: "two.safetensors")
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"two.safetensors\",\"c\":\"one.safetensors\"}}")
        #expect(try #require(refusal()).description.contains("not in the file it names (a, c)"))
    }

    @Test("Where two shards have a tensor, the index decides", arguments: ["one", "two"])
    func overlay(_ owner: String) throws {
        for (file, value) in [("one", UInt8(1)), ("two", 2), ("three", 3)] {
            try writeSafetensors(
                [("a", .u8, try Shape([1]), [value]), (file, .u8, try Shape([1]), [9])],
                to: folder.path + "/\(file).safetensors")
        }
        let rest = ["one", "two", "three"].map { "\"\($0)\":\"\($0).safetensors\"" }.joined(separator: ",")
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"\(owner).safetensors\",\(rest)}}")
        let tensors = try ShardedTensors(opening: folder.path)
        let (file, _) = try #require(tensors.lookup("a"))
        #expect(try file.bytes("a") == [owner == "one" ? 1 : 2])
        #expect(tensors.names.sorted() == ["a", "one", "three", "two"])
        #expect(tensors.entries.count == 4)
    }

    @Test("Shards without an index, and Mistral's own form, have words of their own")
    func withoutIndex() throws {
        try tensor("a", in: "model-00001-of-00002.safetensors")
        try tensor("a", in: "model-00002-of-00002.safetensors")
        #expect(refusal()?.description.contains("2 shards (model-00001-of-00002.safetensors, …) and no") == true)
        for name in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
            try PosixFile.unlink(folder.path + "/" + name)
        }
        try tensor("layers.0.attention.wq.weight", in: "consolidated.safetensors")
        #expect(refusal()?.description.contains("Mistral's own form") == true)
    }

    @Test("Stray weights are refused, since readers do not agree on them")
    func stray() throws {
        try tensor("a", in: "model-00001-of-00001.safetensors")
        try index("{\"metadata\":{},\"weight_map\":{\"a\":\"model-00001-of-00001.safetensors\"}}")
        #expect(refusal() == nil)
        try tensor("b", in: "model.safetensors")
        #expect(refusal()?.description.contains("remove what is stale") == true)
        try PosixFile.unlink(folder.path + "/" + ShardIndex.fileName)
        #expect(refusal()?.description.contains("remove what is stale") == true)
    }

    @Test("Missing metadata is a warning")
    func warnings() throws {
        try tensor("a", in: "one.safetensors")
        try index("{\"weight_map\":{\"a\":\"one.safetensors\"}}")
        #expect(try ShardedTensors(opening: folder.path).warnings.first?.contains("metadata is missing") == true)
        try index("{\"metadata\":{\"total_size\":\"x\"},\"weight_map\":{\"a\":\"one.safetensors\"}}")
        #expect(try ShardedTensors(opening: folder.path).warnings.first?.contains("not a number") == true)
    }

    @Test("A FIFO, a folder, a device and a link out of the folder are refused without blocking")
    func notFiles() throws {
        let path = folder.path + "/model.safetensors"
        try #require(mkfifo(path, 0o600) == 0)
        #expect(refusal()?.code == .unsafePath)
        try PosixFile.unlink(path)
        try PosixFile.makeDirectory(path)
        #expect(refusal()?.code == .unsafePath)
        try PosixFile.removeDirectory(path)
        let other = try TemporaryFolder()
        try writeSafetensors([("a", .u8, try Shape([1]), [1])], to: other.path + "/x.safetensors")
        try #require(symlink(other.path + "/x.safetensors", path) == 0)
        #expect(refusal()?.code == .unsafePath)
        try PosixFile.unlink(path)
        try #require(symlink("model.safetensors", path) == 0)
        #expect(refusal() != nil, "a link to itself")
        try PosixFile.unlink(path)
        try tensor("a", in: "real.bin.safetensors")
        try #require(symlink("real.bin.safetensors", path) == 0)
        #expect(refusal() == nil, "a link inside of the folder")
    }

    @Test("A hub cache's snapshot may link to its own blobs and to no other repository's")
    func hubCache() throws {
        let base = folder.path + "/models--org--name"
        for part in ["", "/blobs", "/snapshots", "/snapshots/abc"] { try PosixFile.makeDirectory(base + part) }
        try writeSafetensors([("a", .u8, try Shape([1]), [1])], to: base + "/blobs/0123")
        try #require(symlink("../../blobs/0123", base + "/snapshots/abc/model.safetensors") == 0)
        #expect(try ShardedTensors(opening: base + "/snapshots/abc").names == ["a"])
        let other = folder.path + "/models--org--other"
        for part in ["", "/snapshots", "/snapshots/abc"] { try PosixFile.makeDirectory(other + part) }
        try #require(symlink("../../../models--org--name/blobs/0123", other + "/snapshots/abc/model.safetensors") == 0)
        #expect(throws: SafetensorsError.self) { try ShardedTensors(opening: other + "/snapshots/abc") }
    }

    @Test("Pickles and GGUF are refused by name, with the line that converts them")
    func otherFormats() throws {
        try folder.write("pytorch_model.bin", [0])
        #expect(refusal()?.description.contains("save_pretrained") == true)
        try PosixFile.unlink(folder.path + "/pytorch_model.bin")
        try folder.write("x.gguf", [0])
        #expect(refusal()?.description.contains("gguf_file") == true)
    }

    @Test("Tensors are cut into shards in order, a large one by itself")
    func shards() {
        // By hand, after huggingface_hub's split: 9 has a file to itself at once, 4 + 3 + 1 fill the next, 5 begins another.
        #expect(ShardIndex.assignShards(sizes: [4, 3, 9, 1, 5], limit: 8) == [[2], [0, 1, 3], [4]])
        #expect(ShardIndex.assignShards(sizes: [5, 5], limit: 8) == [[0], [1]])
        #expect(ShardIndex.assignShards(sizes: [], limit: 8) == [[]])
        #expect(ShardIndex.shardNames(count: 1) == ["model.safetensors"])
        #expect(ShardIndex.shardNames(count: 12).last == "model-00012-of-00012.safetensors")
    }

    // What transformers 5.23 writes: json.dumps(index, indent=2, sort_keys=True) and a line feed.
    @Test("The index is written as transformers writes it")
    func text() {
        let text = ShardIndex.serialized(
            weightMap: [("b", "model-00002-of-00002.safetensors"), ("a", "model-00001-of-00002.safetensors")],
            totalSize: 12, totalParameters: 3)
        #expect(
            text == """
                {
                  "metadata": {
                    "total_parameters": 3,
                    "total_size": 12
                  },
                  "weight_map": {
                    "a": "model-00001-of-00002.safetensors",
                    "b": "model-00002-of-00002.safetensors"
                  }
                }

                """)
    }
}
