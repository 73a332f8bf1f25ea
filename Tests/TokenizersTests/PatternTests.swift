import Safetensors
import TestSupport
import Testing
import Tokenizers

/// Cases are made by the Hugging Face library: Tests/Fixtures/tokenizers/patterns/make.py.
@Suite("Patterns")
struct PatternTests {
    private func matches(_ pattern: Pattern, _ text: [UInt8]) throws -> [[Int]] {
        var result: [[Int]] = []
        try text.withUnsafeBufferPointer { buffer in
            try pattern.forEachMatch(in: buffer) { result.append([$0.lowerBound, $0.upperBound]) }
        }
        return result
    }

    @Test("Matches are those of Oniguruma")
    func cases() throws {
        let path = Fixtures.file("tokenizers/patterns/cases.json")
        let cases = try #require(try JSON(parsing: contents(path), file: path).array)
        #expect(cases.count > 200)
        for entry in cases {
            let object = try #require(entry.object)
            let text = try #require(object["pattern"]?.string)
            let pattern = try Pattern(text)
            for item in object["texts"]?.array ?? [] {
                let subject = try #require(item.object?["text"]?.string)
                let expected = (item.object?["pieces"]?.array ?? []).compactMap(\.string)
                var pieces: [String] = []
                let bytes = Array(subject.utf8)
                var last = 0
                func add(_ end: Int) {
                    if end > last { pieces.append(String(decoding: bytes[last..<end], as: UTF8.self)) }
                    last = end
                }
                for match in try matches(pattern, bytes) {
                    add(match[0])
                    add(match[1])
                }
                add(bytes.count)
                #expect(
                    pieces.map { Array($0.utf8) } == expected.map { Array($0.utf8) },
                    "\(text): \(subject.debugDescription)")
            }
        }
    }

    @Test(
        "Time grows with the text alone",
        .timeLimit(.minutes(1)),
        arguments: [
            (#"(?:a+)+b"#, "a"), (#"(?:a|a)*b"#, "a"), (#"(?:a*)*b"#, "a"), (#"a(?=.*z)"#, "a"), (#"(?>a+)b"#, "a"),
            (#"a*+b"#, "a"), (#"a*b"#, "a"), (#"a+?b"#, "a"), (#"(?:aa|a)+?(?!a)b"#, "a"), (#"(?>(?:ab?)*)c"#, "a"),
            (#"\s+(?=\S)x|\s*[\r\n]+|y"#, " "), (#"a{0,30}b"#, "a"), (#"(?:a?){20}b"#, "a"), (#"(?=(?:a*a)*b)"#, "a"),
            (#"(?:.*a){3}b"#, "a"),
        ])
    func linear(_ pattern: String, _ letter: String) throws {
        let text = [UInt8](repeating: try #require(letter.utf8.first), count: 100_000)
        // None of them is in it.
        #expect(try matches(Pattern(pattern), text).isEmpty)
    }

    @Test("What was remembered of a text gives the matches that trying gives")
    func remembering() throws {
        var generator = SeededGenerator(seed: 9)
        // The first makes the second remember: together they are the second with a branch that never matches.
        let costly = #"(?:(?:x+)+|x)+y(?<=z)"#
        for pattern in [#"a+?b|(?>ab*)c|[ab]{2,3}(?=c)|\w"#, #"(?:a|ab)(?:c|bcd)(?=d*)|b*+c|(?!a)."#, #"(?:|a)*b|c"#] {
            for _ in 0..<20 {
                var text = (0..<60).map { _ in [0x61, 0x62, 0x63, 0x64].randomElement(using: &generator) ?? UInt8(0x61)
                }
                let expected = try matches(Pattern(pattern), text)
                text += [UInt8](repeating: 0x78, count: 2000)
                let found = try matches(Pattern("\(costly)|\(pattern.replacing(#"\w"#, with: "[a-d]"))"), text)
                #expect(found.filter { $0[1] <= 60 } == expected)
            }
        }
    }

    @Test("A pattern that is broken is refused or works")
    func mutations() throws {
        let seeds = [
            #"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}]+[\r\n]*|\s+(?!\S)|(?<=a|bc)d"#,
            #"(?x: a b # c)|[a-z&&[^b[:alpha:]]]{2,}?|\x{41}\u0042\101|(?>a|\R)*+|^$\A\z\b\B|(?m-i:.)"#,
        ]
        var generator = SeededGenerator(seed: 21)
        let text = Array("aB bcd\r\n'S\u{17F} 12é漢 \t".utf8)
        var accepted = 0
        for round in 0..<6000 {
            let bytes = mutated(Array(seeds[round % 2].utf8), longest: 3, using: &generator)
            guard let pattern = try? Pattern(String(decoding: bytes, as: UTF8.self)) else { continue }
            accepted += 1
            let found = try matches(pattern, text)
            #expect(found.allSatisfy { $0[0] <= $0[1] && $0[1] <= text.count })
        }
        #expect(accepted > 100)
    }
}
