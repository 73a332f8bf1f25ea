import Checkpoints
import Safetensors
import TestSupport
import Testing
import Transforms

/// Models whose vocabulary is known by other files than tokenizer.json.
@Suite("Vocabularies in other files")
struct VocabularyFilesTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// A SentencePiece model by hand: field 1 of the message is a piece, field 1 of that its text, field 2 its score.
    private func sentencePiece(_ pieces: [String]) -> [UInt8] {
        var bytes: [UInt8] = []
        for piece in pieces {
            let text = Array(piece.utf8)
            let body = [0x0A, UInt8(text.count)] + text + [0x15, 0, 0, 0x80, 0x3F] + [0x18, 1]
            bytes += [0x0A, UInt8(body.count)] + body
        }
        // A trainer's settings, which are not read.
        return bytes + [0x12, 2, 0x18, 3]
    }

    private func models(_ name: String, _ contents: [[UInt8]]) throws -> [Checkpoint] {
        try contents.enumerated().map { index, bytes in
            let own = "m\(folder.names.count)"
            let path = try folder.variant(of: "mistral", seed: UInt64(index + 1), as: own)
            try folder.write("\(own)/\(name)", bytes)
            return try Checkpoint(at: path)
        }
    }

    private let pieces = (0..<96).map { "▁t\($0)" }

    private var others: [String] {
        var result = pieces
        result.swapAt(4, 9)
        return result
    }

    @Test("Two orders of the same tokens are refused, and equal ones are merged")
    func orders() throws {
        let equal = try models("tokenizer.model", [sentencePiece(pieces), sentencePiece(pieces)])
        #expect(try Checkpoint.merging(equal).warnings.isEmpty)
        let different = try models("tokenizer.model", [sentencePiece(pieces), sentencePiece(others)])
        let error = try #require(throws: CheckpointError.self) { try Checkpoint.merging(different) }
        #expect(error.message.contains("2 under other ids"))

        func ranks(_ tokens: [String]) -> [UInt8] {
            Array(tokens.enumerated().map { "\($1.dropFirst()) \($0)" }.joined(separator: "\n").utf8)
        }
        #expect(throws: CheckpointError.self) {
            try Checkpoint.merging(models("tokenizer.model", [ranks(pieces), ranks(others)]))
        }
        func tekken(_ tokens: [String]) -> [UInt8] {
            let entries = tokens.enumerated().map { #"{"rank": \#($0), "token_bytes": "\#($1)"}"# }
            return Array("{\"vocab\": [\(entries.joined(separator: ", "))]}".utf8)
        }
        #expect(throws: CheckpointError.self) {
            try Checkpoint.merging(models("tekken.json", [tekken(pieces), tekken(others)]))
        }
    }

    @Test("What cannot be compared is said, and refused where a tokenizer is required")
    func unknown() throws {
        var options = MergeOptions()
        options.requiresTokenizer = true
        let noise = try models("tokenizer.model", [[0xFF, 1, 2], [0xFF, 1, 3]])
        #expect(try Checkpoint.merging(noise).warnings.contains { $0.contains("cannot be compared") })
        #expect(throws: CheckpointError.self) { try Checkpoint.merging(noise, options: options) }
        let same = try models("tokenizer.model", [[0xFF, 1, 2], [0xFF, 1, 2]])
        #expect(try Checkpoint.merging(same, options: options).warnings.isEmpty)
        let settings = try models("tokenizer_config.json", [Array("{}".utf8), Array("{}".utf8)])
        #expect(throws: CheckpointError.self) { try Checkpoint.merging(settings, options: options) }
    }
}
