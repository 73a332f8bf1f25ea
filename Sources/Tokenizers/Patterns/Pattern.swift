/// A regular expression as tokenizer files have them, in Oniguruma's syntax, with what it finds in a text.
package struct Pattern: Sendable {
    private let program: PatternProgram

    /// - Throws: `PatternError` for one that is not well formed, and one that asks for what is not supported.
    package init(_ text: String) throws(PatternError) { program = try PatternProgram(PatternParser.parse(text)) }

    /// Calls `body` with each match in a text in UTF-8, as Oniguruma finds them.
    ///
    /// - Throws: `InterruptionError` where a signal asked for the end; `PatternError` for a text that takes too much memory.
    /// - Complexity: O(bytes) times the size of the pattern, whatever they are.
    package func forEachMatch(in text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) throws -> Void) throws {
        try PatternMatcher.forEachMatch(program, in: text, body)
    }

    /// Where a match ends that begins where the text begins; nil where none does.
    func endOfMatch(atStartOf text: UnsafeBufferPointer<UInt8>) throws -> Int? {
        try PatternMatcher.endOfMatch(program, atStartOf: text)
    }
}
