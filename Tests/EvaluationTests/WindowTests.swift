import Checkpoints
import Evaluation
import Safetensors
import TestSupport
import Testing
import Tokenizers

@Suite("Windows")
struct WindowTests {
    private func windows(
        _ source: DataSource, length: Int, _ encoder: TextEncoder, batch: Int = 2, limit: Int? = nil
    ) throws -> (ids: [Int32], bytes: [Int], summary: DataSummary) {
        var options = DataOptions()
        options.tokenLimit = limit
        let reader = try WindowReader(source, length: length, options: options, encoder: encoder)
        var (ids, bytes): ([Int32], [Int]) = ([], [])
        while let next = try reader.next(atMost: batch) {
            #expect((1...batch).contains(next.count))
            #expect(Array(next[next.count - 1]) == next.ids.suffix(length))
            ids += next.ids
            bytes += next.byteCounts
        }
        #expect(reader.windowCount == bytes.count)
        return (ids, bytes, reader.summary)
    }

    private func write(_ folder: TemporaryFolder, _ texts: String...) throws -> DataSource {
        let lines = texts.map { "{\"text\": \(quoted($0))}\n" }.joined()
        return DataSource(name: "x", path: try folder.write("x.jsonl", Array(lines.utf8)))
    }

    @Test("Documents follow one another, each after its first token; the rest is dropped")
    func documents() throws {
        let folder = try TemporaryFolder()
        let source = try write(folder, "ab", "cde", "é")
        let encoder = try TextEncoder(.bytes, vocabularySize: 300, beginning: 256, end: 257)
        // 256 a b | 256 c d | e 256 é, and é has two bytes: one is left.
        let all = try windows(source, length: 3, encoder)
        #expect(all.ids == [256, 97, 98, 256, 99, 100, 101, 256, 0xC3])
        // The first token of a window is not predicted, and a document's first token stands for no bytes.
        #expect(all.bytes == [2, 2, 1])
        #expect(all.summary.documents == 3)
        #expect(all.summary.tokens == 10)
        let limited = try windows(source, length: 3, encoder, limit: 8)
        #expect(limited.ids == Array(all.ids.prefix(6)))
        #expect(limited.summary.tokens == 8)
        let error = refusal { try windows(source, length: 11, encoder) }
        #expect(error?.code == .incompatible)
        #expect(error?.message.contains("10 tokens") == true)
        #expect(refusal { try windows(source, length: 1, encoder) }?.code == .usage)
    }

    @Test("Windows are those of the reference", arguments: ["gpt2-style", "mistral-style"], ["", ".zst"])
    func reference(_ name: String, _ end: String) throws {
        let json = try JSON(parsing: try contents(Fixtures.file("data/windows.json")), file: "windows.json")
        let expected = try #require(json.object?[name]?.object)
        let folder = Fixtures.file("tokenizers/\(name)")
        let encoder = try TextEncoder(
            try #require(try TextEncoder.Kind.tokenizer(inFolder: folder)),
            vocabularySize: try #require(expected["vocabulary"]?.int),
            beginning: try #require(expected["start"]?.int.map { Int32($0) }), end: 2)
        let source = DataSource(name: "x", path: Fixtures.file("data/documents.jsonl\(end)"))
        let all = try windows(source, length: 32, encoder, batch: 3)
        #expect(all.ids == expected["ids"]?.array?.compactMap { $0.int.map { Int32($0) } })
        #expect(all.bytes == expected["bytes"]?.array?.compactMap(\.int))
        #expect(all.summary.tokens == expected["tokens"]?.int)
    }

    @Test("Files of tokens are read as they are")
    func tokens() throws {
        let folder = try TemporaryFolder()
        let encoder = try TextEncoder(.none, vocabularySize: 70_000, beginning: 1, end: nil)
        #expect(!encoder.countsBytes)
        let narrow = try folder.write("a.bin", bytes(hex: "0100 0200 ff00 0001 ffff"))
        let first = try windows(DataSource(name: "a", path: narrow, tokens: .uint16), length: 2, encoder)
        #expect(first.ids == [1, 2, 255, 256])
        #expect(first.bytes == [0, 0])
        let wide = try folder.write("b.bin", bytes(hex: "01000000 60110100"))
        #expect(
            try windows(DataSource(name: "b", path: wide, tokens: .uint32), length: 2, encoder).ids == [1, 69_984])
        let large = try folder.write("c.bin", bytes(hex: "01000000 60110100 ffffffff"))
        let error = refusal {
            try windows(DataSource(name: "c", path: large, tokens: .uint32), length: 2, encoder)
        }
        #expect(error?.code == .incompatible)
        let cut = try folder.write("d.bin", bytes(hex: "0100 02"))
        let short = refusal {
            try windows(DataSource(name: "d", path: cut, tokens: .uint16), length: 2, encoder)
        }
        #expect(short?.code == .malformed)
        // Bytes of text are those of each id's token.
        let known = try TextEncoder(.bytes, vocabularySize: 70_000, beginning: nil, end: nil)
        #expect(
            try windows(DataSource(name: "a", path: narrow, tokens: .uint16), length: 2, known).bytes == [1, 0])
    }

    @Test("Tokens that the model does not know are refused, with both sizes")
    func vocabulary() throws {
        let folder = try TemporaryFolder()
        let source = try write(folder, "a long enough text")
        let tokenizer = try Tokenizer(contentsOf: Fixtures.file("tokenizers/gpt2-style/tokenizer.json"))
        let encoder = try TextEncoder(.tokenizer(tokenizer), vocabularySize: 70, beginning: nil, end: nil)
        let error = refusal { try windows(source, length: 2, encoder) }
        #expect(error?.code == .incompatible)
        #expect(error?.file == source.path + ", line 1")
        #expect(error?.message.contains("vocabulary of 70 ") == true)
        #expect(error?.message.contains("\(tokenizer.vocabularySize) ids") == true)
        func refused(_ kind: TextEncoder.Kind, _ size: Int, _ beginning: Int32?) -> CheckpointError? {
            refusal {
                try TextEncoder(kind, vocabularySize: size, beginning: beginning, end: nil)
            }
        }
        #expect(refused(.bytes, 255, nil)?.code == .incompatible)
        #expect(refused(.tokenizer(tokenizer), 1200, 1200)?.code == .incompatible)
        let none = try TextEncoder(.none, vocabularySize: 70, beginning: nil, end: nil)
        #expect(refusal { try windows(source, length: 2, none) }?.code == .incompatible)
    }

    @Test("The token that begins a document is the one for a beginning, or else the one for an end")
    func start() throws {
        func start(_ kind: TextEncoder.Kind, _ beginning: Int32?, _ end: Int32?) throws -> Int32? {
            try TextEncoder(kind, vocabularySize: 300, beginning: beginning, end: end).documentStart
        }
        #expect(try start(.none, 5, 6) == 5)
        #expect(try start(.none, nil, 6) == 6)
        #expect(try start(.none, -1, nil) == nil)
        // A configuration's ids may be of a vocabulary that bytes do not use.
        #expect(try start(.bytes, 32_000, 299) == 299)
        #expect(try start(.bytes, 32_000, nil) == nil)
    }
}
