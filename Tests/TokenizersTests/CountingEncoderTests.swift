import Safetensors
import TestSupport
import Testing
import Tokenizers

@Suite("Bytes of tokens")
struct CountingEncoderTests {
    @Test(
        "Ids are those of the tokenizer, and the bytes of a text's tokens add up to its own",
        arguments: TokenizerTests.names)
    func sums(_ name: String) throws {
        let tokenizer = try Tokenizer(contentsOf: Fixtures.file("tokenizers/\(name)/tokenizer.json"))
        var encoder = CountingEncoder(tokenizer)
        let data = try contents(Fixtures.file("tokenizers/\(name)/cases.json"))
        for entry in try #require(try JSON(parsing: data, file: "cases.json").array) {
            let text = try #require(entry.object?["text"]?.string)
            var (ids, counts): ([Int32], [Int32]) = ([5], [6])
            try encoder.encode(Array(text.utf8), ids: &ids, byteCounts: &counts)
            #expect(try ids == [5] + tokenizer.encode(text))
            #expect(ids.count == counts.count)
            #expect(counts.allSatisfy { $0 >= 0 })
            if ids.count > 1 {
                #expect(counts.reduce(0) { $0 + Int($1) } == 6 + text.utf8.count, "\(text.debugDescription)")
            }
        }
    }

    @Test("Each token has the bytes that it spells")
    func each() throws {
        // By hand: tokens of one character, with a prefix space, an added token and one for what is unknown.
        let json = #"""
            {"model": {"type": "BPE", "vocab": {"<unk>": 0, "▁": 1, "a": 2, "é": 3, "▁a": 4, "<0x0A>": 5}, "merges": ["▁ a"],
              "unk_token": "<unk>", "byte_fallback": true},
             "added_tokens": [{"id": 6, "content": "<end>", "special": true, "normalized": false, "lstrip": true}],
             "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}}
            """#
        let folder = try TemporaryFolder()
        let tokenizer = try Tokenizer(contentsOf: try folder.write("tokenizer.json", Array(json.utf8)))
        #expect(tokenizer.byteCounts() == [0, 1, 1, 2, 2, 1, 0])
        var encoder = CountingEncoder(tokenizer)
        var (ids, counts): ([Int32], [Int32]) = ([], [])
        try encoder.encode(Array("aé a\n 𝄞x  <end>a".utf8), ids: &ids, byteCounts: &counts)
        // ▁a é ▁a LF ▁ 𝄞 x ; two spaces and <end>; a
        #expect(ids == [4, 3, 4, 5, 1, 0, 0, 6, 2])
        // The space that was put in front is none of the text's. What is unknown has 4 and 1 bytes, in parts 3 and 2.
        #expect(counts == [1, 2, 2, 1, 1, 3, 2, 7, 1])
    }
}
