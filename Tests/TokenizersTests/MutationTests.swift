import Foundation
import Safetensors
import TestSupport
import Testing
import Tokenizers

@Suite("Tokenizers that are broken")
struct MutationTests {
    private static let byCharacters = #"""
        {"added_tokens": [{"id": 6, "content": "<e>", "special": true, "normalized": false, "lstrip": true, "rstrip": true},
          {"id": 9, "content": "aé", "special": false, "normalized": true, "single_word": true}],
         "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "NFC"},
          {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
         "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
         "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<e>", "type_id": 0}},
          {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<e>": {"id": "<e>", "ids": [6]}}},
         "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
          {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
         "model": {"type": "BPE", "vocab": {"<unk>": 0, "▁": 1, "a": 2, "é": 3, "▁a": 4, "<0x0A>": 5, "▁aa": 7, "<0xF0>": 8},
          "merges": ["▁ a", ["▁a", "a"]], "unk_token": "<unk>", "byte_fallback": true, "fuse_unk": true}}
        """#
    private static let byBytes = #"""
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": true}]},
         "decoder": {"type": "ByteLevel"}, "post_processor": {"type": "ByteLevel"},
         "model": {"vocab": {"a": 0, "Ġ": 1, "Ċ": 2, "Ã": 3, "©": 4, "Ã©": 5, "Ġa": 6, "x": 7}, "merges": ["Ã ©", "Ġ a"],
          "ignore_merges": true}}
        """#

    @Test("A changed file is refused or works, and bytes add up", arguments: [byCharacters, byBytes])
    func changed(_ json: String) throws {
        var generator = SeededGenerator(seed: 11)
        let folder = try TemporaryFolder()
        let text = Array("aé a\n 𝄞x  <e> aa e\u{301}▁".utf8)
        var accepted = 0
        for round in 0..<4000 {
            let bytes = round == 0 ? Array(json.utf8) : mutated(Array(json.utf8), longest: 3, using: &generator)
            let path = try folder.write("tokenizer.json", bytes)
            let tokenizer: Tokenizer
            do {
                tokenizer = try Tokenizer(contentsOf: path)
            } catch {
                #expect(round > 0 && (error is TokenizerError || error is SafetensorsError), "\(error)")
                continue
            }
            accepted += 1
            var encoder = CountingEncoder(tokenizer)
            var (ids, counts): ([Int32], [Int32]) = ([], [])
            do {
                try encoder.encode(text, ids: &ids, byteCounts: &counts)
            } catch {
                #expect((error as? TokenizerError)?.code == .unencodable, "\(error)")
                continue
            }
            #expect(ids.count == counts.count && counts.allSatisfy { $0 >= 0 })
            #expect(ids.allSatisfy { $0 >= 0 && Int($0) < tokenizer.vocabularySize })
            _ = try tokenizer.decode(tokenizer.encode(text, addsSpecialTokens: true))
        }
        #expect(accepted > 100)
    }
}
