import TestSupport
import Testing
import Tokenizers

@Suite("Normalisation")
struct NormalizationTests {
    private func text(_ runs: [(UInt32, Int)]) -> String {
        var result = String.UnicodeScalarView()
        for (value, count) in runs {
            if let scalar = Unicode.Scalar(value) { result.append(contentsOf: repeatElement(scalar, count: count)) }
        }
        return String(result)
    }

    private func composed(_ text: String) -> String {
        String(decoding: NormalizationForm.composed.applied(to: Array(text.utf8)), as: UTF8.self)
    }

    // By hand from UAX 15, and as Python's unicodedata has it.
    @Test("Long runs of marks are ordered and composed")
    func longRuns() {
        func check(_ from: [(UInt32, Int)], _ to: [(UInt32, Int)]) {
            #expect(Array(composed(text(from)).unicodeScalars) == Array(text(to).unicodeScalars))
        }
        check([(0x61, 1), (0x301, 40), (0x327, 1)], [(0xE1, 1), (0x327, 1), (0x301, 39)])
        check([(0x63, 1), (0x301, 40), (0x327, 2)], [(0x1E09, 1), (0x327, 1), (0x301, 39)])
        check([(0x301, 40), (0x316, 40)], [(0x316, 40), (0x301, 40)])
        check([(0x301, 40), (0x61, 1), (0x301, 1)], [(0x301, 40), (0xE1, 1)])
        // Hangul is composed by arithmetic, and what is excluded stays decomposed.
        check(
            [(0x1112, 1), (0x1161, 1), (0x11AB, 1), (0x315, 40), (0x1161, 1), (0x958, 1)],
            [(0xD55C, 1), (0x315, 40), (0x1161, 1), (0x915, 1), (0x93C, 1)])
        check([(0x344, 40), (0x9C7, 1), (0x9BE, 1)], repeated(40) + [(0x9CB, 1)])
    }

    private func repeated(_ count: Int) -> [(UInt32, Int)] {
        (0..<count).flatMap { _ in [(UInt32(0x308), 1), (UInt32(0x301), 1)] }
    }

    @Test("A run that one path takes is composed as the other does it")
    func bothPaths() {
        var generator = SeededGenerator(seed: 3)
        let pool: [UInt32] = [
            0x61, 0x41, 0x301, 0x300, 0x308, 0x323, 0x327, 0x345, 0x3B1, 0x1100, 0x1161, 0x11A8, 0x9C7, 0x9BE, 0xE9,
            0xAC00, 0x0F71, 0x0F72, 0x1D15E, 0x2126, 0xFB2C, 0x1E9B, 0x20, 0x110A5, 0x110BA,
        ]
        for _ in 0..<300 {
            let body = (0..<20).map { _ in (pool.randomElement(using: &generator) ?? 0x61, 1) }
            // The letter in front of the long run is a boundary: what is before it does not change.
            let long = text(body + [(0x78, 1), (0x316, 40)])
            let expected = composed(text(body)) + text([(0x78, 1), (0x316, 40)])
            #expect(Array(composed(long).unicodeScalars) == Array(expected.unicodeScalars))
        }
    }

    @Test("A million marks take no more than their time", .timeLimit(.minutes(1)))
    func linear() throws {
        let json = #"""
            {"normalizer": {"type": "NFC"}, "model": {"type": "BPE", "vocab": {"a": 0, "́": 1, "̧": 2}, "merges": []}}
            """#
        let tokenizer = try Tokenizer(parsing: Array(json.utf8), file: "tokenizer.json")
        let ids = try tokenizer.encode(text([(0x78, 1), (0x301, 200_000), (0x327, 200_000)]))
        #expect(ids.count == 400_000 && ids.first == 2 && ids.last == 1)
    }

    @Test("Replacements that double a text again and again are refused")
    func doubling() throws {
        let twice = #"{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}"#
        let steps = [String](repeating: twice, count: 40).joined(separator: ", ")
        func json(_ added: String) -> String {
            #"{"normalizer": {"type": "Sequence", "normalizers": [\#(steps)]}, "added_tokens": [\#(added)],"#
                + #" "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}"#
        }
        let tokenizer = try Tokenizer(parsing: Array(json("").utf8), file: "tokenizer.json")
        #expect(try tokenizer.encode("bb") == [1, 1])
        #expect(throws: TokenizerError.self) { try tokenizer.encode("ab") }
        let token = #"{"id": 2, "content": "a", "normalized": true}"#
        #expect(throws: TokenizerError.self) { try Tokenizer(parsing: Array(json(token).utf8), file: "tokenizer.json") }
    }
}
