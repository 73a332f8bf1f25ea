import Checkpoints
import Evaluation
import Safetensors
import TestSupport
import Testing

@Suite("Documents")
struct DocumentTests {
    /// All documents of a file, and what was left out.
    private func read(
        _ path: String, _ change: (inout DataOptions) -> Void = { _ in }
    ) throws -> (texts: [String], skipped: Int, first: CheckpointError?) {
        var options = DataOptions()
        change(&options)
        let reader = try DocumentReader(DataSource(name: "x", path: path), options: options)
        var texts: [String] = []
        while let document = try reader.next() { texts.append(String(decoding: document.text, as: UTF8.self)) }
        #expect(reader.documentCount == texts.count)
        return (texts, reader.skippedCount, reader.firstSkipped)
    }

    @Test("A line is a document; line ends, empty lines and a byte order mark are no part of it")
    func lineKinds() throws {
        let folder = try TemporaryFolder()
        let text = "\u{FEFF}{\"text\": \"a\"}\r\n\n  \t\n{\"n\": 1, \"text\": \"\\u00e9\\n\"}\n{\"text\":\"\"}"
        let path = try folder.write("x.jsonl", Array(text.utf8))
        #expect(try read(path).texts == ["a", "é\n", ""])
        let other = try folder.write("y.JSONL", Array("{\"body\": \"b\"}".utf8))
        #expect(try read(other) { $0.textField = "body" }.texts == ["b"])
    }

    @Test("A file of text is a document")
    func text() throws {
        let folder = try TemporaryFolder()
        #expect(try read(try folder.write("x.txt", Array("\u{FEFF}a\nb\n".utf8))).texts == ["a\nb\n"])
    }

    @Test("Compressed files are those that were compressed", arguments: ["documents.jsonl", "part.txt"])
    func compressed(_ name: String) throws {
        let path = Fixtures.file("data/\(name)")
        let plain = try read(path).texts
        #expect(plain.count == (name == "part.txt" ? 1 : 7))
        #expect(try read(path + ".zst").texts == plain)
        // Frames may follow one another.
        let folder = try TemporaryFolder()
        let frame = try contents(path + ".zst")
        let twice = try read(try folder.write("twice." + name + ".zst", frame + frame)).texts
        #expect(twice.joined() == plain.joined() + plain.joined())
    }

    @Test(
        "What is broken is refused with file and line, or left out and counted",
        arguments: [
            (#"{"text": "a"#, "JSON"), (#"{"body": "a"}"#, "missing (there are: \"body\")"),
            (#"{"text": 1}"#, "not a string"), (#"{"text": null}"#, "not a string"), (#"["text"]"#, "JSON object"),
            ("text", "JSON"), (#"{"text": "\ud800"}"#, "surrogate"), (#"{"text": "a", "text": "b"}"#, "twice"),
            (#"{"text": "a"} {"text": "b"}"#, "expected the end"), ("\u{0}", "JSON"),
            (#"{"text": "\#(String(repeating: "a", count: 4096))"}"#, "longer than 4096 bytes"),
        ])
    func broken(_ line: String, _ message: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.jsonl", Array("{\"text\": \"good\"}\n\(line)\n{\"text\": \"too\"}\n".utf8))
        let error = refusal { try read(path) { $0.documentLimit = 4096 } }
        #expect(error?.code == .malformed)
        #expect(error?.file == path + ", line 2")
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
        let rest = try read(path) {
            $0.documentLimit = 4096
            $0.skipsBad = true
        }
        #expect(rest.texts == ["good", "too"])
        #expect(rest.skipped == 1)
        #expect(rest.first?.file == path + ", line 2")
    }

    @Test("What is not UTF-8 is refused where it begins")
    func encoding() throws {
        let folder = try TemporaryFolder()
        let text = try folder.write("x.txt", Array("é\nab".utf8) + [0xFF] + Array("c".utf8))
        let error = refusal { try read(text) }
        #expect(error?.file == text + ", line 2")
        // é has two bytes, then come a line feed, a and b.
        #expect(error?.message.contains("byte 5") == true)
        let line = try folder.write("x.jsonl", Array("{\"text\": \"".utf8) + [0xC3] + Array("\"}\n".utf8))
        #expect(refusal { try read(line) }?.file == line + ", line 1")
        #expect(try read(text) { $0.skipsBad = true }.skipped == 1)
    }

    @Test("An empty file is refused", arguments: ["x.txt", "x.jsonl"])
    func empty(_ name: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(name, [])
        let error = refusal { try read(path) }
        #expect(error?.code == .malformed)
        #expect(error?.message.contains("empty") == true)
        #expect(try read(path) { $0.skipsBad = true }.skipped == 1)
        let blank = try folder.write("blank.jsonl", Array("\n \n".utf8))
        #expect(throws: CheckpointError.self) { try read(blank) }
    }

    @Test("A frame that is cut short or corrupt is refused, and what came before it can be used")
    func frames() throws {
        let folder = try TemporaryFolder()
        let frame = try contents(Fixtures.file("data/documents.jsonl.zst"))
        func refused(_ bytes: [UInt8]) throws -> CheckpointError? {
            let path = try folder.write("x.jsonl.zst", bytes)
            let rest = try read(path) { $0.skipsBad = true }
            #expect(rest.skipped >= 1)
            return refusal { try read(path) }
        }
        for count in stride(from: 1, to: frame.count, by: 37) {
            #expect(try refused(Array(frame.prefix(count)))?.code == .malformed)
        }
        #expect(try refused([])?.message.contains("empty") == true)
        #expect(try refused(Array("{\"text\": \"a\"}\n".utf8))?.message.contains("decompressed") == true)
        #expect(try refused(frame + [1, 2, 3, 4])?.message.contains("decompressed") == true)
        // The zstd command writes a checksum of the content: its last byte.
        var corrupt = frame
        corrupt[corrupt.count - 1] ^= 1
        #expect(try refused(corrupt)?.message.contains("decompressed") == true)
        let path = try folder.write("y.jsonl.zst", frame + [1, 2, 3, 4])
        #expect(try read(path) { $0.skipsBad = true }.texts.count == 7)
    }

    @Test("A small file of one enormous line does not fill the memory")
    func bomb() throws {
        let path = Fixtures.file("data/bomb.jsonl.zst")
        let error = refusal { try read(path) { $0.documentLimit = 1 << 20 } }
        #expect(error?.message.contains("longer") == true)
        // 20 MB are more than 16 times the limit: the file ends there.
        let rest = try read(path) {
            $0.documentLimit = 1 << 20
            $0.skipsBad = true
        }
        #expect(rest.texts.isEmpty)
        #expect(rest.skipped == 1)
    }
}
